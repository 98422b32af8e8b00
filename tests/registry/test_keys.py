"""API keys kept beside the registry: on SQLite, on PostgreSQL, and in registries from before there were keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from gnomon import Entity
from gnomon.clock import ManualClock
from gnomon.contracts.keys import KeyStore, Scope
from gnomon.contracts.plugins import Context
from gnomon.definitions.catalog import Catalog
from gnomon.errors import BackendError, NewerFormat
from gnomon.plan.changes import diff
from gnomon.registry.keys import SqlKeys
from gnomon.registry.sql import SqlRegistry
from gnomon.testing.key_suite import FULL, PLAIN, KeySuite


def context(folder: Path) -> Context:
    return Context(repo_path=folder, project="p", clock=ManualClock())


def opened(folder: Path, **options: object) -> SqlKeys:
    return SqlKeys(options, context(folder))


def commit(folder: Path, **options: object) -> SqlRegistry:
    registry = SqlRegistry(options, context(folder))
    registry.commit("p", diff(Catalog(), Catalog.of([Entity(name="user")])), expected_version=0, at=1, by="ann")
    return registry


def execute(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / ".gnomon" / "registry.db") as connection:
        connection.execute(statement)
    connection.close()


class TestOnSqlite(KeySuite):
    @pytest.fixture
    def open_keys(self, tmp_path: Path) -> Callable[[], KeyStore]:
        return lambda: opened(tmp_path)


class TestOnPostgres(KeySuite):
    @pytest.fixture
    def open_keys(self, tmp_path: Path, postgres: PostgresServer) -> Callable[[], KeyStore]:
        url = postgres.url()
        return lambda: opened(tmp_path, path=url)


def test_a_schema_of_its_own(tmp_path: Path, postgres: PostgresServer) -> None:
    """Keys of two schemas do not meet; a registry that is there gets its table."""
    url = postgres.url()
    registry = commit(tmp_path, path=url, schema="mine")
    mine, other = opened(tmp_path, path=url, schema="mine"), opened(tmp_path, path=url)
    assert mine.all() == []
    mine.add(PLAIN)
    assert (mine.all(), other.all()) == ([PLAIN], [])
    assert registry.read("p").version == 1


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert opened(tmp_path).all() == []
    assert list(tmp_path.iterdir()) == []


def test_a_registry_of_before_gets_its_table_with_the_first_key(tmp_path: Path) -> None:
    registry = commit(tmp_path)
    keys = opened(tmp_path)
    assert keys.all() == []
    keys.add(PLAIN)
    assert keys.all() == [PLAIN]
    assert registry.read("p").version == 1


def test_keys_may_come_before_definitions(tmp_path: Path) -> None:
    opened(tmp_path).add(FULL)
    registry = commit(tmp_path)
    assert registry.projects() == ["p"]
    registry.forget("p")
    assert opened(tmp_path).all() == [FULL], "keys are of the registry, not of one project"


def test_a_scope_of_a_newer_gnomon_is_left_out(tmp_path: Path) -> None:
    opened(tmp_path).add(PLAIN)
    execute(tmp_path, """UPDATE gnomon_keys SET scopes = '["read", "dream"]'""")
    assert opened(tmp_path).all()[0].scopes == (Scope.READ,)


def test_a_newer_registry_and_a_broken_one(tmp_path: Path) -> None:
    opened(tmp_path).add(PLAIN)
    execute(tmp_path, "UPDATE gnomon_meta SET value = '2'")
    with pytest.raises(NewerFormat):
        opened(tmp_path).all()
    (tmp_path / ".gnomon" / "registry.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(BackendError, match="cannot be used"):
        opened(tmp_path).all()
