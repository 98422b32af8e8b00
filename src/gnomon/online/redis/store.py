"""The online store on Redis or Valkey: rows are strings, a read is one MGET, a write is compare-and-set.

The pointers that say which generations are published travel in the same MGET as the rows: the store remembers what
they said last, asks under that assumption, and asks again when one moved. A writer merges here and lets a script store
the result if nobody changed the rows meanwhile; where somebody did, it merges again with what is there now.

    store = RedisStore({"connection_string": "localhost:6379,password=…"})
    store.write(table, [(b"key", b"value")], merge)
    store.read([(table, [b"key"])])                         # [[b'value']]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from gnomon.contracts.online import Asked, Change, Merge, OnlineCapabilities, Table
from gnomon.contracts.plugins import Context
from gnomon.online.amending import in_one_step
from gnomon.online.redis.amends import Amendment, Moved
from gnomon.online.redis.connection import Server
from gnomon.online.redis.generations import Generations
from gnomon.online.redis.layout import Generation
from gnomon.online.redis.options import parse
from gnomon.online.redis.scripts import DELETE, SWAP
from gnomon.online.redis.slices import Chains, Row, Slice, chains, cut, rows_of

__all__ = ["RedisStore"]

Entries = Sequence[tuple[bytes, bytes]]

TRIES = 1_000
"""How often others may come first before a request gives up; each time, one of them got something done."""

LOOKED_UP = 1_000
"""Rows a writer reads in one step."""


class RedisStore:
    """Tables in Redis.

    Args:
        options: `connection_string` as Feast writes it, or a URL; `redis_type` (`redis`, `redis_cluster`, `sentinel`);
            `sentinel_master`; `key_ttl_seconds`, after which a row that did not change expires (a part of
            an entity does not); `socket_timeout` in seconds.
        context: the repo it is made for.

    Raises:
        ConfigError: an option cannot be followed.
    """

    capabilities: OnlineCapabilities

    def __init__(self, options: Mapping[str, Any] | None = None, context: Context | None = None) -> None:
        settings = parse(options or {})
        self._server = Server(settings)
        self._generations = Generations(self._server)
        self._ttl = str(settings.ttl or "").encode()
        self.capabilities = OnlineCapabilities(
            persistent=True, shared=True, atomic_request=not self._server.spread, atomic_batch=False, remote=True
        )

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        """As the contract says."""
        known, pointer_of, moved = self._generations.known, self._generations.pointer_of, self._generations.moved
        for _ in range(TRIES):
            generations = [known.get(table) for table, _ in asked]
            wanted = []
            for (table, keys), generation in zip(asked, generations, strict=True):
                wanted.append(pointer_of(table))
                if generation is not None:
                    wanted += generation.keys(keys)
            values, stale = iter(self._server.mget(wanted)), False
            answers: list[list[bytes | None]] = []
            for (table, keys), generation in zip(asked, generations, strict=True):
                stale |= moved(table, generation, next(values))
                answers.append(list(islice(values, len(keys))) if generation is not None else [None] * len(keys))
            if not stale and not (self._server.spread and self._missed(asked, generations, answers)):
                return answers
        raise self._server.restless(TRIES)

    def write(self, table: Table, entries: Entries, merge: Merge) -> int:
        """As the contract says."""
        wanted = chains(entries)
        for _ in range(TRIES):
            generation = self._generations.published(table) or self._generations.first(table)
            changed = self._merge_into(table, generation, wanted, merge)
            if changed is not None:
                return changed
        raise self._server.restless(TRIES)

    def amend(self, table: Table, changes: Sequence[Change]) -> None:
        """As the contract says."""
        for _ in range(TRIES):
            generation = self._generations.published(table) if changes else None
            if generation is None:
                if not in_one_step(changes, lambda keys: [None] * len(keys)):
                    return
                generation = self._generations.first(table)
            guard, ttl = self._guard(table, generation), self._lifetime(generation)
            try:
                Amendment(self._server, self._generations, table, generation, guard, ttl).run(changes, TRIES)
            except Moved:
                continue
            return
        raise self._server.restless(TRIES)

    def replace(self, table: Table, batches: Iterable[Entries], merge: Merge) -> int:
        """As the contract says."""
        self._generations.sweep(table.project)
        with self._generations.filling(table) as filling:
            for entries in batches:
                wanted = chains(entries)
                # Nothing is looked up: the script says what is there already, which is nearly always nothing.
                slices = cut(filling.generation, rows_of(list(wanted), [None] * len(wanted), wanted, merge))
                if self._store(filling.generation, (b"", b""), slices, wanted, merge) is None:
                    raise filling.lost()
                filling.go_on()
            count = filling.count()
        self._generations.sweep(table.project)
        return count

    def delete(self, table: Table, keys: Sequence[bytes]) -> int:
        """As the contract says."""
        unique = dict.fromkeys(keys)
        gone = 0
        for _ in range(TRIES):
            generation = self._generations.published(table)
            if generation is None or not unique:
                return gone
            guard = self._guard(table, generation)
            calls = []
            for one in cut(generation, ((key, None, b"") for key in unique)):
                counter = generation.counter(one.bucket)
                rows = generation.keys([key for key, _, _ in one.rows])
                calls.append(([counter, guard[0] or counter, *rows], [guard[1]]))
            answers = list(self._server.run_all(DELETE, calls))
            gone += sum(int(answer) for answer in answers if answer > 0)
            if -1 not in answers and not self._generations.moved_since(table, generation):
                return gone
            self._generations.look_again(table, generation)
        raise self._server.restless(TRIES)

    def drop(self, table: Table) -> None:
        """As the contract says."""
        self._generations.drop(table)

    def tables(self, project: str) -> list[Table]:
        """As the contract says."""
        return self._generations.tables(project)

    def count(self, table: Table) -> int:
        """As the contract says; where rows expire, by looking at every key of the server."""
        generation = self._generations.published(table, afresh=True)
        if generation is None:
            return 0
        if self._lifetime(generation):
            return len({key for keys in self._server.scan(generation.pattern) for key in keys})
        return self._generations.count(generation)

    def note(self, table: Table, name: str, value: bytes) -> None:
        """As the contract says."""
        self._server.ask("HSET", self._generations.meta(table.project).notes(table), name.encode(), value)

    def notes(self, table: Table) -> dict[str, bytes]:
        """As the contract says."""
        found = self._server.ask("HGETALL", self._generations.meta(table.project).notes(table))
        return {name.decode(): value for name, value in found.items()}

    def close(self) -> None:
        """As the contract says."""
        self._server.close()

    def _missed(self, asked: Sequence[Asked], generations: Sequence[Any], answers: Sequence[list[Any]]) -> bool:
        """Whether a row may be missing because its generation was being removed, which on a cluster a read can meet."""
        return any(
            generation is not None and None in values and self._generations.moved_since(table, generation)
            for (table, _), generation, values in zip(asked, generations, answers, strict=True)
        )

    def _merge_into(self, table: Table, generation: Generation, wanted: Chains, merge: Merge) -> int | None:
        """Values changed; None if another generation was published meanwhile, into which all must go again."""
        pointer, keys = self._generations.pointer_of(table), list(wanted)
        rows: list[Row] = []
        for start in range(0, len(keys), LOOKED_UP):
            some = keys[start : start + LOOKED_UP]
            at, *have = self._server.mget([pointer, *generation.keys(some)])
            if self._generations.moved(table, generation, at):
                return None
            rows += rows_of(some, have, wanted, merge)
        changed = self._store(generation, self._guard(table, generation), cut(generation, rows), wanted, merge)
        if changed is None:
            self._generations.look_again(table, generation)
            return None
        return None if self._generations.moved_since(table, generation) else changed

    def _store(
        self, generation: Generation, guard: tuple[bytes, bytes], slices: list[Slice], wanted: Chains, merge: Merge
    ) -> int | None:
        """Values changed, once all slices are stored; None if the generation takes no more."""
        changed, ttl = 0, self._lifetime(generation)
        for _ in range(TRIES):
            answers = self._server.run_all(SWAP, (one.call(generation, guard, ttl) for one in slices))
            left: list[Slice] = []
            for one, answer in zip(slices, answers, strict=True):
                if answer == -1:
                    return None
                if isinstance(answer, list):
                    left += one.again(generation, answer, wanted, merge)
                else:
                    changed += len(one.rows)
            if not left:
                return changed
            slices = left
        raise self._server.restless(TRIES)

    def _guard(self, table: Table, generation: Generation) -> tuple[bytes, bytes]:
        """What a script makes sure of besides: that the pointer stands, where it can see it."""
        if self._server.spread or generation.buckets > 1:
            return b"", b""
        return self._generations.pointer_of(table), generation.pointer

    def _lifetime(self, generation: Generation) -> bytes:
        """Seconds to live, or b"": a part that did not change must not go from under the others that did."""
        return b"" if generation.suffix else self._ttl
