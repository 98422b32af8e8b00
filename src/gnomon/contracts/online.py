"""The online store: bytes by key, read in one snapshot, changed only by atomic merges.

A store knows nothing of features. It keeps, for each *table*, a map from key to value, both bytes. What a value means
and which of two is newer is said by the `merge` function a writer hands in, so that the rule is written once for
every store (`gnomon.core.rows`).

Each table has generations. Readers and ordinary writers see the published one; a reload fills another in the
background and publishes it in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Asked", "Merge", "OnlineCapabilities", "OnlineStore", "Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one view version in one project.

    Args:
        project: the project's name.
        name: the view's `name@version`.
    """

    project: str
    name: str


Asked = tuple[Table, Sequence[bytes]]
"""A table and the keys wanted of it; keys may repeat."""

Merge = Callable[[bytes | None, bytes], bytes | None]
"""merge(stored or None, incoming) → the value to store; None leaves the store as it is.

Pure: it may be called again when another writer was faster.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineCapabilities:
    """What a store can do, asked by flows and shown in the docs.

    Args:
        persistent: values outlive the process.
        shared: several processes may use it at once.
        atomic_request: one `read` sees one snapshot, over all its tables.
        atomic_batch: readers see all entries of a `write` or none, however many there are, also after a crash.
    """

    persistent: bool
    shared: bool
    atomic_request: bool
    atomic_batch: bool


class OnlineStore(Protocol):
    """Bytes by key, per table.

    Every method raises `BackendError` when the store cannot be reached or its files are broken, `NewerFormat` when
    they were written by a newer gnomon. Nothing is half-done after an error: each batch is stored whole or not at all,
    by a store that promises `atomic_batch`; by another, each entry is, and writing the batch again completes it.
    """

    capabilities: OnlineCapabilities

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        """Values of the published generations, one list per table asked, one value per key, in order.

        Never blocked by a writer, never torn. None where the key, or the whole table, is not there.
        """
        ...

    def write(self, table: Table, entries: Sequence[tuple[bytes, bytes]], merge: Merge) -> int:
        """Merge entries into the published generation, made if there is none; in one step, given `atomic_batch`.

        A key may stand several times; its entries are merged one after the other. Concurrent writers never lose each
        other's merges. Durable on return, as far as the store is persistent.

        Returns:
            The number of values that changed.
        """
        ...

    def replace(self, table: Table, batches: Iterable[Sequence[tuple[bytes, bytes]]], merge: Merge) -> int:
        """Fill a new generation from batches, publish it in one step, then remove the old one.

        Readers see the old generation until the last batch is in. What others write meanwhile to the old generation
        is not carried over. If `batches` raises, the old generation stays and the new one is removed; what a killed
        process left is removed by the next `replace`.

        Returns:
            The number of values in the new generation.
        """
        ...

    def delete(self, table: Table, keys: Sequence[bytes]) -> int:
        """Remove keys from the published generation; returns how many were there."""
        ...

    def drop(self, table: Table) -> None:
        """Remove a table with all its generations and notes; no error if it is not there."""
        ...

    def tables(self, project: str) -> list[Table]:
        """The tables of a project that have a published generation, ordered by name."""
        ...

    def count(self, table: Table) -> int:
        """How many keys the published generation has."""
        ...

    def note(self, table: Table, name: str, value: bytes) -> None:
        """Keep a small named value beside a table, over all its generations, such as the layout of its rows."""
        ...

    def notes(self, table: Table) -> dict[str, bytes]:
        """All notes of a table; empty if it has none."""
        ...

    def close(self) -> None:
        """Release files and connections; closing twice is fine."""
        ...
