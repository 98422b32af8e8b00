"""Servers' tests share one PostgreSQL server."""

from postgres_server import postgres as postgres
