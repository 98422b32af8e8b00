"""Records of one entity's events, in order of (event time, known time): bytes that are read in place.

A record is a row of 8-byte fields (`gnomon.core.ledger.shape`), so a column of a thousand records is one strided
memoryview, which `bisect`, `min` and `math.fsum` take as it is; and records are put in and taken out by copying bytes.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import reduce
from operator import and_
from typing import Any

from gnomon.core.aggregations.base import Event
from gnomon.core.ledger.shape import EVENT, FLAGS, HAS_ID, ID, KNOWN, Lane, Shape

__all__ = ["ALL", "Records"]

ALL = (1 << 63) - 1
"""The flags that the records of none have in common."""

_HEAD = struct.Struct("<qI4x")


class Records:
    """Some records and their heap.

    Args:
        shape: what a record holds.
        rows: the records, one after the other.
        heap: the values that do not stand in a field.
        common: flags that every record has; those it might have besides do not matter.

    Attributes:
        fields: all fields as whole numbers.
        events: the event times.
    """

    __slots__ = ("common", "events", "fields", "heap", "rows", "shape")

    def __init__(self, shape: Shape, rows: bytes | memoryview = b"", heap: bytes = b"", common: int = ALL) -> None:
        self.shape, self.rows, self.heap, self.common = shape, rows, heap, common
        self.fields = memoryview(rows).cast("q")
        self.events = self.fields[EVENT :: shape.width]

    def __len__(self) -> int:
        return len(self.rows) // self.shape.size

    def to_bytes(self) -> bytes:
        """All of it, as a chunk is kept."""
        return b"".join((_HEAD.pack(self.common, len(self)), self.rows, self.heap))

    @classmethod
    def from_bytes(cls, shape: Shape, raw: bytes) -> Records:
        """What `to_bytes` wrote."""
        common, count = _HEAD.unpack_from(raw)
        end = _HEAD.size + count * shape.size
        return cls(shape, memoryview(raw)[_HEAD.size : end], raw[end:], common)

    @property
    def reals(self) -> Any:
        """All fields as floats."""
        return memoryview(self.rows).cast("d")

    @property
    def flags(self) -> memoryview:
        """The flags."""
        return self.fields[FLAGS :: self.shape.width]

    @property
    def ids(self) -> memoryview:
        """The ids; of no meaning where an event has none."""
        return self.fields[ID :: self.shape.width]

    def first(self) -> int:
        """The event time of the first record."""
        return int(self.fields[EVENT])

    def last(self) -> int:
        """The event time of the last record."""
        return int(self.fields[EVENT - self.shape.width])

    def between(self, old: int, new: int) -> tuple[int, int]:
        """The places of the records with old ≤ event time < new."""
        events = self.events
        return bisect_left(events, old), bisect_left(events, new)

    def numbers(self, lane: Lane, start: int, stop: int) -> list[Any]:
        """The fields of a lane whose fields are numbers, from one place to before another."""
        assert lane.place is not None
        width = self.shape.width
        column = (self.reals if lane.real else self.fields)[start * width + lane.place : stop * width : width]
        if self.common & lane.need == lane.need:
            return column.tolist()
        need = lane.need
        return [one for one, flags in zip(column, self.flags[start:stop], strict=True) if flags & need == need]

    def count(self, lane: Lane, start: int, stop: int) -> int:
        """How many records are in a lane, from one place to before another."""
        need = lane.need
        if self.common & need == need:
            return stop - start
        return sum(flags & need == need for flags in self.flags[start:stop])

    def finite(self, lane: Lane, start: int, stop: int) -> bool:
        """Whether no number of a lane is an infinity or NaN."""
        if not lane.finite or self.common & lane.finite:
            return True
        return all(flags & lane.finite for flags in self.flags[start:stop])

    def seen(self, lane: Lane, start: int, stop: int) -> Iterator[Event]:
        """The events of a lane as aggregation functions take them; of the events themselves, None stands for each."""
        fields, width, need, heap = self.fields, self.shape.width, lane.need, self.heap
        decode = None if lane.place is None else self.shape.decoders[lane.place]
        column = self.reals if lane.real else fields
        for at in range(start * width, stop * width, width):
            if fields[at + FLAGS] & need == need:
                value = None if decode is None else decode(column[at + lane.place], heap)  # type: ignore[operator]
                yield fields[at], fields[at + KNOWN], value

    def joined(self, more: Records) -> Records:
        """These records and others, all in order."""
        if not self.rows:
            return more
        if not more.rows:
            return self
        moved = more.moved(len(self.heap))
        common, heap = self.common & more.common, self.heap + more.heap
        if self.instants(len(self) - 1) <= more.instants(0):
            return Records(self.shape, b"".join((self.rows, moved)), heap, common)
        rows, size = bytes(self.rows), self.shape.size
        parts, done = [], 0
        for place in range(len(more)):
            event, known = more.instants(place)
            at = self.place_of(event, known) * size
            parts += [rows[done:at], moved[place * size : (place + 1) * size]]
            done = at
        return Records(self.shape, b"".join([*parts, rows[done:]]), heap, common)

    def instants(self, place: int) -> tuple[int, int]:
        """(event time, known time) of a record."""
        at = place * self.shape.width
        return self.fields[at], self.fields[at + KNOWN]

    def place_of(self, event: int, known: int) -> int:
        """Where a record of these times belongs: behind those that are not later."""
        events = self.events
        start, stop = bisect_left(events, event), bisect_right(events, event)
        known_times = self.fields[KNOWN :: self.shape.width]
        return start + bisect_right(known_times[start:stop], known)

    def moved(self, by: int) -> bytes:
        """The records as they are when their heap stands so many bytes further on."""
        if not by or not self.shape.variable:
            return self.rows if isinstance(self.rows, bytes) else bytes(self.rows)
        rows = bytearray(self.rows)
        fields = memoryview(rows).cast("q")
        for place in self.shape.variable:
            for at in range(place, len(fields), self.shape.width):
                fields[at] += by << 32
        return bytes(rows)

    def without(self, place: int) -> Records:
        """The other records; the heap stays as it is."""
        rows, size = bytes(self.rows), self.shape.size
        return Records(self.shape, rows[: place * size] + rows[(place + 1) * size :], self.heap, self.common)

    def cut(self, start: int, stop: int) -> Records:
        """The records from one place to before another, with a heap of their own."""
        size = self.shape.size
        rows = bytes(self.rows[start * size : stop * size])
        heap = b""
        if self.shape.variable:
            rows, heap = self._gathered(bytearray(rows))
        flags = self.flags[start:stop]
        return Records(self.shape, rows, heap, reduce(and_, flags, ALL))

    def _gathered(self, rows: bytearray) -> tuple[bytes, bytes]:
        fields, parts, end = memoryview(rows).cast("q"), [], 0
        for base in range(0, len(fields), self.shape.width):
            for place in self.shape.variable:
                start, length = fields[base + place] >> 32, fields[base + place] & 0xFFFFFFFF
                parts.append(self.heap[start : start + length])
                fields[base + place] = end << 32 | length
                end += length
        return bytes(rows), b"".join(parts)

    def find(self, event_id: int) -> int | None:
        """The place of the record with an id; None where there is none."""
        for place, (one, flags) in enumerate(zip(self.ids, self.flags, strict=True)):
            if one == event_id and flags & HAS_ID:
                return place
        return None
