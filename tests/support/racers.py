"""Processes that apply to one registry at once; a module of its own, for they import what it imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gnomon import Entity
from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.definitions.catalog import Catalog
from gnomon.errors import ConflictError
from gnomon.plan.changes import diff
from gnomon.registry.sql import SqlRegistry


def race(url: str, name: str, rounds: int, barrier: Any, outcomes: Any) -> None:
    """Commit for every version when all do, and put down (version or 0, name)."""
    registry = SqlRegistry({"path": url}, Context(repo_path=Path(), project="p", clock=ManualClock()))
    for after in range(rounds):
        changes = diff(Catalog(), Catalog.of([Entity(name=f"e{after}")]))
        barrier.wait(60)
        try:
            outcomes.put((registry.commit("p", changes, expected_version=after, at=1, by=name), name))
        except ConflictError:
            outcomes.put((0, name))
