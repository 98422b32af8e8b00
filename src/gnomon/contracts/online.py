"""The online store: bytes by key, read in one snapshot, changed only by atomic merges and changes.

A store knows nothing of features. It keeps, for each *table*, a map from key to value, both bytes. What a value means
and which of two is newer is said by the `merge` function a writer hands in, so that the rule is written once for
every store (`gnomon.core.rows`).

Where an entity is more than one value, its *parts* lie together, and a `Change` looks at some of them and says what is
to become of them.

Each table has generations. Readers and ordinary writers see the published one; a reload fills another in the
background and publishes it in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["STAMP", "Asked", "Change", "Merge", "OnlineCapabilities", "OnlineStore", "Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one view version in one project.

    Args:
        project: the project's name.
        name: the view's `name@version`.
        suffix: so many last bytes of each key name a part of an entity; what comes before them is the entity. Parts of
            one entity lie together: one `read` sees them in one snapshot, whatever the store promises otherwise, and
            `amend` changes them in one step. No part of a table's name: give the same for a table each time.
    """

    project: str
    name: str
    suffix: int = field(default=0, compare=False)


Asked = tuple[Table, Sequence[bytes]]
"""A table and the keys wanted of it; keys may repeat."""

Merge = Callable[[bytes | None, bytes], bytes | None]
"""merge(stored or None, incoming) → the value to store; None leaves the store as it is.

Pure: it may be called again when another writer was faster.
"""

Change = Callable[[], Generator[Sequence[bytes], list[bytes | None], Mapping[bytes, bytes | None]]]
"""What is to happen to one entity: a generator function that yields keys, is sent their values, may yield again, and
returns what to store: key → value, or None to remove the key. Nothing to do: an empty mapping.

    def change():
        head, summary = yield [b"7.h", b"7.s"]
        return {b"7.h": stamped(head, …), b"7.s": …}

All keys belong to one entity (`Table.suffix`), and all values sent to it were there at one moment.

The first key it asks for is its *guard*: a change that stores anything asks first, and puts, or removes, that key too.
The first 16 bytes of a guard's value differ from those of all its values before, so that a store without
transactions sees by them, or by its absence, that nothing of the entity has changed since. An entity whose guard is
not there has no parts.

Pure: it may be run again when another writer was faster, and after it took effect when the answer was lost on the way.
"""

STAMP = 16
"""So many bytes of a guard's value are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineCapabilities:
    """What a store can do, asked by flows and shown in the docs.

    Args:
        persistent: values outlive the process.
        shared: several processes may use it at once.
        atomic_request: one `read` sees one snapshot, over all its tables.
        atomic_batch: readers see all entries of a `write` or none, however many there are, also after a crash.
        remote: a `read` waits for another machine: who has many requests at once sends them together.
    """

    persistent: bool
    shared: bool
    atomic_request: bool
    atomic_batch: bool
    remote: bool


class OnlineStore(Protocol):
    """Bytes by key, per table.

    Every method raises `BackendError` when the store cannot be reached or its files are broken, `NewerFormat` when
    they were written by a newer gnomon. Nothing is half-done after an error: each batch is stored whole or not at all,
    by a store that promises `atomic_batch`; by another, each entry is, and writing the batch again completes it.
    """

    capabilities: OnlineCapabilities

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        """Values of the published generations, one list per table asked, one value per key, in order.

        Never blocked by a writer, never torn. None where the key, or the whole table, is not there; of nothing nothing.
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

    def amend(self, table: Table, changes: Sequence[Change]) -> None:
        """Run changes on the published generation, made if there is none and something is to be stored.

        Each change takes effect whole or not at all, for readers and after a crash too, and nothing of concurrent
        writers is lost. With `atomic_batch` all take effect in one step. Without, the last one does so after all
        others did: a place for how far one has come.

        All of it happens within one generation: when another is published meanwhile, all changes are run again, on
        that one. No two changes are about the same entity. Keys that are to be removed need not be there.

        If a change raises, nothing is stored; without `atomic_batch` that holds for the first time it is run, and all
        are run to their end before anything is stored. Durable on return, as far as the store is persistent.

        Raises:
            ValueError: a change wants to store something and has not asked for its guard.
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
