"""Engines: each reads sources and runs plans in its own way."""
