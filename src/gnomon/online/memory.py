"""The online store in this process's memory: for tests and tries; gone when the process ends.

>>> from gnomon.contracts.online import Table
>>> store, table = MemoryStore(), Table("demo", "profile@1")
>>> store.write(table, [(b"key", b"value")], merge=lambda stored, incoming: incoming)
1
>>> store.read([(table, [b"key", b"other"])])
[[b'value', None]]
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gnomon.contracts.online import Asked, Change, Merge, OnlineCapabilities, Table
from gnomon.contracts.plugins import Context, check_options
from gnomon.online.amending import in_one_step

__all__ = ["MemoryStore"]


class MemoryStore:
    """Tables as dicts; a batch makes a changed copy and puts it in place in one step."""

    capabilities = OnlineCapabilities(
        persistent=False, shared=False, atomic_request=True, atomic_batch=True, remote=False
    )

    def __init__(self, options: Mapping[str, Any] | None = None, context: Context | None = None) -> None:
        check_options("online_store of type memory", options or {}, ())
        self._published: dict[Table, dict[bytes, bytes]] = {}
        self._notes: dict[Table, dict[str, bytes]] = {}
        self._lock = threading.RLock()

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        """As the contract says."""
        published = self._published  # replaced as a whole, never changed: this is the snapshot
        return [list(map(published.get(table, {}).get, keys)) for table, keys in asked]

    def write(self, table: Table, entries: Sequence[tuple[bytes, bytes]], merge: Merge) -> int:
        """As the contract says."""
        with self._lock:
            rows = dict(self._published.get(table, {}))
            changed = _merge_into(rows, entries, merge)
            self._published = {**self._published, table: rows}
        return changed

    def amend(self, table: Table, changes: Sequence[Change]) -> None:
        """As the contract says."""
        with self._lock:
            rows = self._published.get(table, {})
            effect = in_one_step(changes, lambda keys: list(map(rows.get, keys)))
            if effect:
                rows = {**rows, **effect.puts}
                for key in effect.gone:
                    del rows[key]
                self._published = {**self._published, table: rows}

    def replace(self, table: Table, batches: Iterable[Sequence[tuple[bytes, bytes]]], merge: Merge) -> int:
        """As the contract says."""
        rows: dict[bytes, bytes] = {}
        for entries in batches:
            _merge_into(rows, entries, merge)
        with self._lock:
            self._published = {**self._published, table: rows}
        return len(rows)

    def delete(self, table: Table, keys: Sequence[bytes]) -> int:
        """As the contract says."""
        with self._lock:
            rows = self._published.get(table, {})
            gone = rows.keys() & set(keys)
            if gone:
                rows = {key: value for key, value in rows.items() if key not in gone}
                self._published = {**self._published, table: rows}
        return len(gone)

    def drop(self, table: Table) -> None:
        """As the contract says."""
        with self._lock:
            self._published = {one: rows for one, rows in self._published.items() if one != table}
            self._notes.pop(table, None)

    def tables(self, project: str) -> list[Table]:
        """As the contract says."""
        return sorted((one for one in self._published if one.project == project), key=lambda one: one.name)

    def count(self, table: Table) -> int:
        """As the contract says."""
        return len(self._published.get(table, {}))

    def note(self, table: Table, name: str, value: bytes) -> None:
        """As the contract says."""
        with self._lock:
            self._notes.setdefault(table, {})[name] = value

    def notes(self, table: Table) -> dict[str, bytes]:
        """As the contract says."""
        return dict(self._notes.get(table, {}))

    def close(self) -> None:
        """As the contract says."""


def _merge_into(rows: dict[bytes, bytes], entries: Sequence[tuple[bytes, bytes]], merge: Merge) -> int:
    changed = set()
    for key, incoming in entries:
        value = merge(rows.get(key), incoming)
        if value is not None:
            rows[key] = value
            changed.add(key)
    return len(changed)
