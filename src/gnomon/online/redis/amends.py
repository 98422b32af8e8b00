"""How changes of entities become compare-and-set calls: each change's guard is what is compared, by its first bytes.

A change may ask twice, and others may store in between. So whenever it asks again, its guard is asked for too; if that
is another than before, the change begins anew.

>>> def change():
...     (guard,) = yield [b"7.h"]
...     (part,) = yield [b"7.a"]
...     return {b"7.h": b"2", b"7.a": part + b"+"}
>>> running = guarded(change)
>>> next(running), running.send([b"1"])
([b'7.h'], [b'7.h', b'7.a'])
>>> try:
...     running.send([b"1", b"x"])
... except StopIteration as end:
...     print(end.value.found, dict(end.value.wanted))
b'1' {b'7.h': b'2', b'7.a': b'x+'}
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from gnomon.contracts.online import STAMP, Change, Table
from gnomon.online.amending import settled
from gnomon.online.redis.connection import Call, Server
from gnomon.online.redis.generations import Generations
from gnomon.online.redis.layout import Generation
from gnomon.online.redis.scripts import AMEND
from gnomon.online.redis.slices import LARGEST, LONGEST

__all__ = ["Amendment", "Moved", "Step", "call_of", "cut", "guarded"]


class Moved(Exception):  # noqa: N818
    """Another generation was published, so all changes are to be run on that one."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one change came to.

    Args:
        change: itself, to be run again when another writer was faster.
        guard: the first key it asked for.
        found: what that began with; None if it was not there.
        wanted: key → value, or None to remove the key.
    """

    change: Change
    guard: bytes
    found: bytes | None
    wanted: Mapping[bytes, bytes | None]

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.wanted)

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(len(key) + len(value or b"") for key, value in self.wanted.items())


class Amendment:
    """All changes of one `amend`, on one generation.

    Args:
        server: the server.
        generations: the generations on it.
        table: whose.
        generation: the one that was published when it was last looked at.
        guard: the pointer and what it must say, where scripts can see it; else two times b"".
        ttl: seconds to live, or b"".
    """

    def __init__(
        self,
        server: Server,
        generations: Generations,
        table: Table,
        generation: Generation,
        guard: tuple[bytes, bytes],
        ttl: bytes,
    ) -> None:
        self._server, self._generations = server, generations
        self._table, self._generation = table, generation
        self._guard, self._ttl = guard, ttl

    def run(self, changes: Sequence[Change], tries: int) -> None:
        """Run changes, and store what they come to, the last of them when all others are stored.

        Args:
            changes: as the contract has them.
            tries: how often others may come first.

        Raises:
            Moved: another generation was published meanwhile.
            BackendError: others came first too often.
        """
        *others, last = self._settled(changes)
        for steps in (others, [last]):
            self._store([step for step in steps if step], tries)
            if self._generations.moved_since(self._table, self._generation):
                raise Moved

    def _settled(self, changes: Iterable[Change]) -> list[Step]:
        return settled([partial(guarded, change) for change in changes], self._looked_up)

    def _looked_up(self, wanted: Sequence[Sequence[bytes]]) -> list[list[bytes | None]]:
        """The values of keys; what one change asks for is never parted, so it is of one moment."""
        found: list[list[bytes | None]] = []
        pointer = self._generations.pointer_of(self._table)
        for some in _in_turns(wanted):
            keys = [key for one in some for key in self._generation.keys(one)]
            at, *values = self._server.mget([pointer, *keys])
            if self._generations.moved(self._table, self._generation, at):
                raise Moved
            # On a cluster the pointer is of another moment, and what is not there may have been removed since.
            if None in values and self._generations.moved_since(self._table, self._generation):
                raise Moved
            rest = iter(values)
            found += [list(islice(rest, len(one))) for one in some]
        return found

    def _store(self, steps: Sequence[Step], tries: int) -> None:
        for _ in range(tries):
            if not steps:
                return
            slices = cut(self._generation, steps)
            calls = (call_of(self._generation, some, self._guard, self._ttl) for some in slices)
            lost: list[Change] = []
            for some, answer in zip(slices, self._server.run_all(AMEND, calls), strict=True):
                if answer == -1:
                    self._generations.look_again(self._table, self._generation)
                    raise Moved
                lost += [step.change for step, told in zip(some, answer, strict=True) if told == ord("0")]
            steps = [step for step in self._settled(lost) if step]
        raise self._server.restless(tries)


def guarded(change: Change) -> Generator[Sequence[bytes], list[bytes | None], Step]:
    """A change that sees one moment of its entity, however often it asks."""
    while True:
        running = change()
        try:
            keys = next(running)
        except StopIteration as end:
            return Step(change, b"", None, end.value)
        values = yield keys
        guard, found = keys[0], _start(values[0])
        try:
            while True:
                keys = running.send(values)
                at, *values = yield [guard, *keys]
                if _start(at) != found:
                    break
        except StopIteration as end:
            return Step(change, guard, found, end.value)


def cut(generation: Generation, steps: Iterable[Step]) -> list[list[Step]]:
    """Steps in slices: each within one bucket, and small enough not to keep others waiting."""
    done: list[list[Step]] = []
    under_way: dict[int, tuple[list[Step], list[int]]] = {}
    for step in steps:
        bucket = generation.bucket(step.guard)
        some, sizes = under_way.get(bucket) or under_way.setdefault(bucket, ([], [0, 0]))
        some.append(step)
        sizes[0] += len(step.wanted)
        sizes[1] += step.size
        if sizes[0] >= LONGEST or sizes[1] >= LARGEST:
            done.append(some)
            del under_way[bucket]
    return done + [some for some, _ in under_way.values()]


def call_of(generation: Generation, steps: Sequence[Step], guard: tuple[bytes, bytes], ttl: bytes) -> Call:
    """Keys and arguments of the script that stores a slice.

    Args:
        generation: where.
        steps: of one bucket.
        guard: the pointer and the value it must have; two times b"" for none.
        ttl: seconds to live, or b"".
    """
    counter = generation.counter(generation.bucket(steps[0].guard))
    keys, arguments = [counter, guard[0] or counter], [guard[1], ttl]
    for step in steps:
        keys += generation.keys([step.guard, *step.wanted])
        arguments.append(b"-" if step.found is None else b"=" + step.found)
        arguments.append(b"".join(b"0" if value is None else b"1" for value in step.wanted.values()))
        arguments += [value for value in step.wanted.values() if value is not None]
    return keys, arguments


def _start(guard: bytes | None) -> bytes | None:
    return None if guard is None else guard[:STAMP]


def _in_turns(wanted: Iterable[Sequence[bytes]]) -> Iterator[list[Sequence[bytes]]]:
    """Lists of keys, put together to some hundred keys each time."""
    some: list[Sequence[bytes]] = []
    size = 0
    for keys in wanted:
        if some and size + len(keys) > LONGEST:
            yield some
            some, size = [], 0
        some.append(keys)
        size += len(keys)
    if some:
        yield some
