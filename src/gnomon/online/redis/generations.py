"""Generations in Redis: which is published, how one comes to be, and how one goes without leaving anything behind.

A generation takes rows as long as its counters are there. Whoever removes one deletes the counters first, so that a
writer that is late cannot add to it any more; then its rows are found by scanning and unlinked, batch by batch.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from gnomon.contracts.online import Table
from gnomon.errors import BackendError, NewerFormat
from gnomon.online import owners
from gnomon.online.redis.connection import Server
from gnomon.online.redis.layout import BUCKETS, Generation, Meta, fresh, of_pointer
from gnomon.online.redis.scripts import CLAIM, DROP, GIVE_UP, MARKS, PUBLISH

__all__ = ["Filling", "Generations"]


class Generations:
    """The generations on one server, and what this process knows of them.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._metas: dict[str, Meta] = {}
        self._pointers: dict[Table, bytes] = {}
        self.known: dict[Table, Generation | None] = {}
        """What each table's pointer said when it was last looked at."""

    def meta(self, project: str) -> Meta:
        """Where a project's notes lie."""
        found = self._metas.get(project)
        if found is None:
            found = self._metas[project] = Meta(project)
        return found

    def pointer_of(self, table: Table) -> bytes:
        """The key of a table's pointer."""
        found = self._pointers.get(table)
        if found is None:
            found = self._pointers[table] = self.meta(table.project).pointer(table)
        return found

    def moved(self, table: Table, generation: Generation | None, pointer: bytes | None) -> bool:
        """Whether a pointer names something else than thought; if so, it is remembered."""
        if pointer == (None if generation is None else generation.pointer):
            return False
        self.known[table] = None if pointer is None else of_pointer(table.project, pointer)
        return True

    def moved_since(self, table: Table, generation: Generation) -> bool:
        """Whether another generation was published while many slots were written or read, one step each."""
        if generation.buckets == 1 and not self._server.spread:
            return False  # one step saw rows and pointer together
        return self.moved(table, generation, self._server.mget([self.pointer_of(table)])[0])

    def published(self, table: Table, afresh: bool = False) -> Generation | None:
        """The published generation, as last seen or `afresh`; None if there is none."""
        if afresh or self.known.get(table) is None:
            self.moved(table, self.known.get(table), self._server.mget([self.pointer_of(table)])[0])
        return self.known.get(table)

    def look_again(self, table: Table, generation: Generation) -> None:
        """Find out why a generation takes no more rows.

        Raises:
            BackendError: it is published all the same, so the server lost part of it.
        """
        if self.published(table, afresh=True) == generation:
            raise BackendError(
                f"{self._server.settings.where}: {table.name} of project {table.project!r} is there in part only.",
                instead="Keys of it were evicted, or removed by hand.",
                hint="set maxmemory-policy to noeviction, then load again: gnomon materialize --replace.",
            )

    def first(self, table: Table) -> Generation:
        """A table's first, empty generation: this one, or that of somebody who was faster."""
        generation = self._claimed(table)
        try:
            if not self._publish(table, generation, b"first"):
                self._give_up(table, generation)
        finally:
            owners.end(generation.name)
        return self.published(table, afresh=True) or self.first(table)

    @contextlib.contextmanager
    def filling(self, table: Table) -> Iterator[Filling]:
        """A new generation: published when the block ends, removed when it raises."""
        generation = self._claimed(table)
        try:
            yield Filling(self, generation)
            if not self._publish(table, generation, b""):
                raise Filling(self, generation).lost()
        except BaseException:
            with contextlib.suppress(BackendError):
                self._give_up(table, generation)
            raise
        finally:
            owners.end(generation.name)

    def count(self, generation: Generation) -> int:
        """How many rows were put into a generation and not deleted."""
        return sum(int(one or 0) for one in self._server.mget(generation.counters()))

    def tables(self, project: str) -> list[Table]:
        """The tables of a project that have a published generation, ordered by name."""
        names = self._server.ask("SMEMBERS", self.meta(project).tables)
        return [Table(project, name) for name in sorted(name.decode() for name in names)]

    def drop(self, table: Table) -> None:
        """Remove a table with notes and all."""
        meta = self.meta(table.project)
        keys = [meta.pointer(table), meta.tables, meta.filling, meta.notes(table)]
        self._server.run(DROP, keys, [table.name.encode()])
        self.known.pop(table, None)
        self.sweep(table.project)

    def sweep(self, project: str) -> None:
        """Remove generations nobody will publish any more."""
        marks, now = self._server.run(MARKS, [self.meta(project).filling], [])
        for pointer, mark in zip(marks[::2], marks[1::2], strict=True):
            with contextlib.suppress(NewerFormat):  # a newer gnomon's is left to it
                generation = of_pointer(project, pointer)
                if not owners.lives(generation.name, mark.decode(), int(now)):
                    self._remove(generation)

    def renew(self, generation: Generation, how: bytes) -> bool:
        """Move the deadline of a mark on; False if the generation was given up meanwhile."""
        lease = str(owners.LEASE).encode()
        arguments = [generation.pointer, owners.process().encode(), lease, how]
        return bool(self._server.run(CLAIM, [self.meta(generation.project).filling], arguments))

    def lost(self) -> BackendError:
        """What is said when a generation went away while it was being filled."""
        return BackendError(
            f"{self._server.settings.where}: this load was taken for dead and its rows were removed, or the server lost"
            " its data.",
            hint="run the same command again.",
        )

    def _claimed(self, table: Table) -> Generation:
        generation = fresh(table, BUCKETS if self._server.spread else 1)
        owners.begin(generation.name)
        try:
            self.renew(generation, b"new")
            self._server.mset(dict.fromkeys(generation.counters(), b"0"))
        except BaseException:
            owners.end(generation.name)
            raise
        return generation

    def _publish(self, table: Table, generation: Generation, how: bytes) -> bool:
        meta = self.meta(table.project)
        keys = [meta.pointer(table), meta.tables, meta.filling]
        return bool(self._server.run(PUBLISH, keys, [generation.pointer, table.name.encode(), how]))

    def _give_up(self, table: Table, generation: Generation) -> None:
        # Marked first: should the rest fail, the next sweep does it. It may be published: an answer can be lost.
        keys = [self.pointer_of(table), self.meta(generation.project).filling]
        if self._server.run(GIVE_UP, keys, [generation.pointer]):
            self._remove(generation)

    def _remove(self, generation: Generation) -> None:
        self._server.unlink(generation.counters())
        for keys in self._server.scan(generation.pattern):
            self._server.unlink(keys)
        self._server.ask("HDEL", self.meta(generation.project).filling, generation.pointer)


@dataclass(slots=True)
class Filling:
    """A generation that is being filled.

    Args:
        generations: where it is kept.
        generation: itself.
        renewed: when its deadline was last moved on, by the monotonic clock.
    """

    generations: Generations
    generation: Generation
    renewed: float = 0.0

    def __post_init__(self) -> None:
        self.renewed = time.monotonic()

    def go_on(self) -> None:
        """Say, now and then, that it is still being filled."""
        if time.monotonic() < self.renewed + owners.LEASE / 20:
            return
        if not self.generations.renew(self.generation, b"again"):
            raise self.lost()
        self.renewed = time.monotonic()

    def count(self) -> int:
        """How many rows it has."""
        return self.generations.count(self.generation)

    def lost(self) -> BackendError:
        """What is said when it went away."""
        return self.generations.lost()
