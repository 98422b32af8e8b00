"""Applying events to an entity's ledger: what is read of it, and what is written, as `OnlineStore.amend` asks.

Events come in the log's order and are known by their positions, so what was applied before is left out: applying twice
is applying once. Nearly always new events are the newest, and the head grows by their bytes. A late event goes into
the chunk of its time; of a new version the old one is taken out first, wherever it is. A chunk is never changed: a new
one takes its place under a number that was never used, so that a reader who knows the old one by its summary sees that
it is gone, even where all was laid out anew since.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct

from gnomon.core.ledger.heads import Head
from gnomon.core.ledger.parts import chunk_key, head_key, id_key, summary_key
from gnomon.core.ledger.records import Records
from gnomon.core.ledger.rows import NO_CHUNK, Row, block_of, is_wide, row_of
from gnomon.core.ledger.shape import FLAGS, HAS_ID, ID, KNOWN, Shape
from gnomon.core.ledger.summary import Summary
from gnomon.errors import BackendError

__all__ = ["Incoming", "NeedsHistory", "applying", "erasing", "laid_out", "relaying"]

Puts = dict[bytes, bytes | None]
Steps = Generator[Sequence[bytes], list[bytes | None], Mapping[bytes, bytes | None]]
Fetch = Generator[Sequence[bytes], list[bytes | None], None]

FIRST_CHUNK_BITS = 62
"""Chunks are counted from a random number on: of two layings out of an entity, none is taken for one of the other."""
_WHEN = Struct("<q")


class NeedsHistory(Exception):  # noqa: N818 - a signal, not an error
    """An event is known from before what was applied: which version of it holds, only the whole history can tell.

    Args:
        entity: whose events have to be laid out anew.
    """

    def __init__(self, entity: bytes) -> None:
        super().__init__(entity)
        self.entity = entity


@dataclass(frozen=True, slots=True)
class Incoming:
    """Events of one entity.

    Args:
        records: the events in order of (event time, known time), deletes among them.
        positions: the position of each in the log.
        known: the least and the greatest known time of any, µs.
        deletes: which of them say that there is no such event.
        logged: whether they are in a log; else each call applies them, and their positions are 0.
    """

    records: Records
    positions: Sequence[int]
    known: tuple[int, int]
    deletes: frozenset[int] = frozenset()
    logged: bool = True

    def after(self, position: int) -> Incoming:
        """Those behind a position."""
        if not self.logged or min(self.positions) > position:
            return self
        kept = [place for place, one in enumerate(self.positions) if one > position]
        return self.only(kept)

    def only(self, places: Sequence[int]) -> Incoming:
        """Those at some places, which go up."""
        records, size = self.records, self.records.shape.size
        known = [records.instants(place)[1] for place in places] or [0]
        rows = b"".join(bytes(records.rows[place * size : (place + 1) * size]) for place in places)
        return Incoming(
            Records(records.shape, rows, records.heap, records.common),
            [self.positions[place] for place in places],
            (min(known), max(known)),
            frozenset(new for new, old in enumerate(places) if old in self.deletes),
            self.logged,
        )


def applying(shape: Shape, entity: bytes, incoming: Incoming) -> Callable[[], Steps]:
    """The change of an entity by some events.

    Args:
        shape: what its records hold.
        entity: its key.
        incoming: the events, at least one.

    Raises:
        NeedsHistory: when it is run, for events that have ids: the clock that stamped them was behind.
    """

    def change() -> Steps:
        ledger = Ledger(shape, entity)
        yield from ledger.look()
        new = incoming.after(ledger.head.applied)
        if new.positions:
            yield from ledger.take(new)
        return ledger.puts()

    return change


def erasing(shape: Shape, entity: bytes) -> Callable[[], Steps]:
    """The change that removes all parts of an entity; what was applied to it is forgotten, too."""

    def change() -> Steps:
        ledger = Ledger(shape, entity)
        if not (yield from ledger.look()):
            return {}
        yield from ledger.see_all()
        return ledger.nothing()

    return change


def relaying(shape: Shape, entity: bytes, parts: Mapping[bytes, bytes | None], *, applied: int) -> Callable[[], Steps]:
    """The change that puts parts laid out anew in the place of all that is there, unless that is as far on already.

    Args:
        shape: what its records hold.
        entity: its key.
        parts: what `laid_out` gave of its whole history.
        applied: the position in the log that this history is up to.
    """

    def change() -> Steps:
        ledger = Ledger(shape, entity)
        if (yield from ledger.look()):
            if ledger.head.applied >= applied:
                return {}
            yield from ledger.see_all()
        return {**ledger.nothing(), **parts}

    return change


def laid_out(shape: Shape, entity: bytes, records: Records, *, applied: int, newest: int) -> Puts:
    """The parts of an entity all of whose events are at hand.

    Args:
        shape: what its records hold.
        entity: its key.
        records: its events, in order, of each id the version that holds.
        applied: the position in the log that they are up to.
        newest: the instant from which on answers are wanted, µs: events that count in no window by then are left out.
    """
    ledger = Ledger(shape, entity)
    ledger.head = Head(ledger.still_counting(records, newest), applied, newest)
    ledger.changed = True
    ledger.seal()
    ledger.settle()
    return ledger.puts()


class Ledger:
    """One entity's ledger while it is changed.

    Args:
        shape: what its records hold.
        entity: its key.
    """

    def __init__(self, shape: Shape, entity: bytes) -> None:
        self.shape, self.entity = shape, entity
        self.head = Head(Records(shape))
        self.changed = False
        self._summary: Summary | None = None
        self._puts: Puts = {}

    def look(self) -> Generator[Sequence[bytes], list[bytes | None], bool]:
        """See the head; whether there is one."""
        (raw,) = yield [head_key(self.entity)]
        self.head = Head.from_bytes(self.shape, raw)
        return raw is not None

    def take(self, new: Incoming) -> Fetch:
        """Apply events that were not applied before."""
        self.changed, head = True, self.head
        if self.shape.versioned and new.known[0] <= head.newest:
            raise NeedsHistory(self.entity)
        head.newest = max(head.newest, new.known[1])
        head.applied = max(head.applied, max(new.positions))
        if self.shape.versioned:
            new = yield from self._without_older_versions(new)
        records = self.still_counting(new.records, head.newest)
        if len(records):
            yield from self._put_in(records)
        if len(self.head.records) > self._full:
            yield from self._see_summary()
            yield from self._expire()
            self.seal()
            self.settle()

    def still_counting(self, records: Records, newest: int) -> Records:
        """The records without those that no window from now on can see."""
        gone = self.shape.gone
        if not len(records) or gone(records.first()) > newest:
            return records
        events = records.events
        low, high = 0, len(events)  # an event that happened later goes no earlier
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if gone(events[middle]) <= newest else (low, middle)
        return records.cut(low, len(events))

    def seal(self) -> None:
        """Put the oldest records of a long head into chunks."""
        summary, records, rows, done = self.summary, self.head.records, [], 0
        while len(records) - done > self._full:
            chunk = records.cut(done, done + self.shape.chunk)
            done += self.shape.chunk
            if self.shape.gone(chunk.last()) > self.head.newest:
                rows.append(self._new_chunk(chunk))
        if not done:
            return
        self.head.records = records.cut(done, len(records))
        self._replace_rows(len(summary), len(summary), rows)

    def settle(self) -> None:
        """Let the records go that are needed as a sum only: the rows about them become one, the first."""
        settled, together = self.shape.settled, range(max(self.shape.block, 2))
        if settled is None:
            return
        while len(self.summary) >= len(together):
            summary = self.summary
            if settled(max(summary.lasts[: len(together)])) > self.head.newest or summary.wide(together):
                return
            row = block_of(summary.layout, summary.rows(together))
            if is_wide(summary.layout, row):  # as one they are; apart they were not
                return
            chunks = summary.chunks[: len(together)].tolist()
            self._replace_rows(0, len(together), [row])
            self._puts |= {chunk_key(self.entity, number): None for number in chunks if number != NO_CHUNK}

    def puts(self) -> Puts:
        """What is to be stored."""
        if self.changed:
            self._puts[head_key(self.entity)] = self.head.to_bytes()
        return self._puts

    def nothing(self) -> Puts:
        """What removes all that `see_all` saw."""
        return {head_key(self.entity): None, **self._puts}

    def see_all(self) -> Fetch:
        """See which parts there are, each to be removed."""
        yield from self._see_summary()
        self._puts[summary_key(self.entity)] = None
        yield from self._drop([number for number in self.summary.chunks if number != NO_CHUNK])

    @property
    def summary(self) -> Summary:
        """The summary, which was looked at or is not there."""
        if self._summary is None:
            assert not self.head.chunks
            self._summary = Summary(self.shape)
        return self._summary

    @property
    def _full(self) -> int:
        return self.shape.chunk + self.shape.chunk // 4

    def _see_summary(self) -> Fetch:
        if self._summary is None and self.head.chunks:
            (raw,) = yield [summary_key(self.entity)]
            self._summary = Summary(self.shape, raw or b"")

    def _put_in(self, records: Records) -> Fetch:
        """Put records into the chunks of their time, and the latest into the head."""
        head = self.head
        if head.chunks and not (len(head.records) and records.first() >= head.records.first()):
            yield from self._see_summary()
            late = records.between(NEVER_BEFORE, self.summary.lasts[-1])[1]
            if late:
                yield from self._put_into_chunks(records.cut(0, late))
                records = records.cut(late, len(records))
        self.head.records = self.head.records.joined(records)

    def _put_into_chunks(self, records: Records) -> Fetch:
        firsts = list(self.summary.firsts)
        events = list(records.events)
        into = [max(bisect_right(firsts, event) - 1, 0) for event in events]
        for place in sorted(set(into), reverse=True):
            start = into.index(place)
            stop = start + into.count(place)
            if self.summary.chunks[place] == NO_CHUNK:
                self._replace_rows(place + 1, place + 1, [self._new_chunk(records.cut(start, stop))])
                continue
            chunk = yield from self._chunk(place)
            self._put_back(place, chunk.joined(records.cut(start, stop)))

    def _chunk(self, place: int) -> Generator[Sequence[bytes], list[bytes | None], Records]:
        """A chunk, which may have been made by this very change."""
        key = chunk_key(self.entity, self.summary.chunks[place])
        raw = self._puts.get(key)
        if raw is None:
            (raw,) = yield [key]
        if raw is None:
            raise BackendError(
                "a part of an entity's events is gone from the online store.",
                hint="load the view again: gnomon materialize --replace.",
            )
        return Records.from_bytes(self.shape, raw)

    def _put_back(self, place: int, records: Records) -> None:
        """Put changed records in a chunk's place: none, a new chunk, or several where they are too many for one."""
        self._puts[chunk_key(self.entity, self.summary.chunks[place])] = None
        size = self.shape.chunk if len(records) > 2 * self.shape.chunk else max(len(records), 1)
        pieces = (records.cut(at, min(at + size, len(records))) for at in range(0, len(records), size))
        self._replace_rows(place, place + 1, [self._new_chunk(piece) for piece in pieces])

    def _new_chunk(self, records: Records) -> Row:
        number = self.head.next_chunk or random.getrandbits(FIRST_CHUNK_BITS) + 1
        self.head.next_chunk = number + 1
        self._puts[chunk_key(self.entity, number)] = records.to_bytes()
        if self.shape.versioned:
            for event, one, flags in zip(records.events, records.ids, records.flags, strict=True):
                if flags & HAS_ID:
                    self._puts[id_key(self.entity, one)] = _WHEN.pack(event)
        return row_of(self.shape, number, records)

    def _replace_rows(self, start: int, stop: int, rows: Sequence[Row]) -> None:
        raw = self.summary.replaced(start, stop, rows)
        self._summary = Summary(self.shape, raw)
        self._puts[summary_key(self.entity)] = raw or None
        self.head.chunks = len(self._summary)

    def _expire(self) -> Fetch:
        """Remove chunks none of whose events any window will see."""
        lasts, gone = self.summary.lasts, 0
        while gone < len(lasts) and self.shape.gone(lasts[gone]) <= self.head.newest:
            gone += 1
        if gone:
            yield from self._drop(list(self.summary.chunks[:gone]))
            self._replace_rows(0, gone, [])

    def _drop(self, chunks: Sequence[int]) -> Fetch:
        """Remove chunks, and what says when their events happened."""
        if self.shape.versioned and chunks:
            found = yield [chunk_key(self.entity, number) for number in chunks]
            for raw in filter(None, found):
                records = Records.from_bytes(self.shape, raw)
                self._puts |= {id_key(self.entity, one): None for one in records.ids}
        self._puts |= {chunk_key(self.entity, number): None for number in chunks}

    def _without_older_versions(self, new: Incoming) -> Generator[Sequence[bytes], list[bytes | None], Incoming]:
        """The new events of which each id has its last version only, deletes left out; older ones are taken away."""
        fields, width = new.records.fields, self.shape.width
        latest: dict[int, int] = {}
        kept: list[int] = []
        for place in range(len(new.positions)):
            if fields[place * width + FLAGS] & HAS_ID:
                one = fields[place * width + ID]
                if one not in latest or fields[place * width + KNOWN] > fields[latest[one] * width + KNOWN]:
                    latest[one] = place
            else:
                kept.append(place)
        yield from self._take_out(list(latest))
        kept += [place for place in latest.values() if place not in new.deletes]
        return new if len(kept) == len(new.positions) else new.only(sorted(kept))

    def _take_out(self, ids: Sequence[int]) -> Fetch:
        """Remove the records with some ids."""
        records, left = self.head.records, []
        for one in ids:
            place = records.find(one)
            if place is None:
                left.append(one)
            else:
                records = records.without(place)
        self.head.records = records
        if not (self.head.chunks and left):
            return
        found = yield [id_key(self.entity, one) for one in left]
        sealed = {one: _WHEN.unpack(raw)[0] for one, raw in zip(left, found, strict=True) if raw is not None}
        if sealed:
            yield from self._see_summary()
        for one, event in sealed.items():
            self._puts[id_key(self.entity, one)] = None
            yield from self._take_out_of_chunk(one, event)

    def _take_out_of_chunk(self, one: int, event: int) -> Fetch:
        start, stop = self.summary.overlapping(event, event + 1)
        for place in range(start, stop):
            chunk = yield from self._chunk(place)
            at = chunk.find(one)
            if at is not None:
                self._put_back(place, chunk.without(at))
                return


NEVER_BEFORE = -(1 << 63)
