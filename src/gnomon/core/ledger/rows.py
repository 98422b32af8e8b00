"""Rows about chunks, or about blocks of chunks: numbers column by column, and the states of aggregations.

A sum of floats is kept exactly, as up to three floats that do not overlap; where that is too few, or a number is not
finite, the row is *wide*, and what it is about has to be looked at instead.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any

from gnomon.core.ledger.layouts import PARTS, Layout, layout_of
from gnomon.core.ledger.records import Records
from gnomon.core.ledger.shape import Shape

__all__ = ["NO_CHUNK", "Row", "Rows", "block_of", "expansion", "is_wide", "row_of"]

Number = int | float

NO_CHUNK = -1
"""Stands for the number of a chunk in a row about several, or about records that are no longer kept."""

_WHOLE, _REAL = struct.Struct("<q"), struct.Struct("<d")
_LOW = 0xFFFFFFFF
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        fields: eight bytes per column.
        states: a state per job that keeps one.
    """

    fields: tuple[bytes, ...]
    states: tuple[bytes, ...]


def is_wide(layout: Layout, row: Row) -> bool:
    """Whether a row is too wide in any lane."""
    return any(_WHOLE.unpack(row.fields[layout.wide(lane)])[0] for lane in layout.numeric)


class Rows:
    """Rows, read in place.

    Args:
        layout: which columns there are.
        raw: has their bytes.
        start: where these begin.
        count: how many rows there are.
    """

    __slots__ = ("_layout", "_raw", "_real", "_start", "_whole", "count")

    def __init__(self, layout: Layout, raw: bytes, start: int, count: int) -> None:
        self._layout, self._raw, self._start, self.count = layout, raw, start, count
        fields = memoryview(raw)[start : start + 8 * len(layout.codes) * count]
        self._whole: Any = fields.cast("q")
        self._real: Any = fields.cast("d")

    def column(self, place: int, start: int = 0, stop: int | None = None) -> Any:
        """A column's numbers, from one row to before another, as a memoryview."""
        fields = self._whole if self._layout.codes[place] == "q" else self._real
        count = self.count
        return fields[place * count + start : place * count + (count if stop is None else stop)]

    def states(self, place: int) -> list[bytes]:
        """The states of a job."""
        lengths = self._layout.lengths
        start = self._start + 8 * len(self._layout.codes) * self.count
        start += sum(sum(self.column(lengths + before)) for before in range(place))
        ends = accumulate(self.column(lengths + place), initial=start)
        return [self._raw[a:b] for a, b in pairwise(ends)]

    def rows(self, start: int, stop: int) -> list[Row]:
        """The rows from one place to before another."""
        columns = [bytes(self.column(place)) for place in range(len(self._layout.codes))]
        states = [self.states(place) for place in range(len(self._layout.stateful))]
        return [
            Row(tuple(column[8 * at : 8 * at + 8] for column in columns), tuple(some[at] for some in states))
            for at in range(start, stop)
        ]

    def replaced(self, start: int, stop: int, rows: Sequence[Row]) -> bytes:
        """The bytes with other rows in place of some."""
        parts: list[bytes] = []
        for place in range(len(self._layout.codes)):
            column = bytes(self.column(place))
            parts += [column[: 8 * start], *(row.fields[place] for row in rows), column[8 * stop :]]
        for place in range(len(self._layout.stateful)):
            states = self.states(place)
            parts += [*states[:start], *(row.states[place] for row in rows), *states[stop:]]
        return b"".join(parts)


def row_of(shape: Shape, chunk: int, records: Records) -> Row:
    """What the summary says of a chunk.

    Args:
        shape: the shape.
        chunk: the chunk's number.
        records: its records, at least one.
    """
    layout = layout_of(shape)
    whole = len(records)
    numbers: list[Number] = [records.first(), records.last(), chunk]
    numbers += [records.count(lane, 0, whole) for lane in shape.lanes]
    for lane in layout.numeric:
        finite = records.finite(lane, 0, whole)
        values = records.numbers(lane, 0, whole) if finite else []
        numbers += _of_reals(values, finite) if lane.real else _of_whole(values)
    states = []
    for job in layout.stateful:
        lane = shape.lane(job)
        state = job.function.of(records.seen(lane, 0, whole), lane.dtype)
        states.append(job.function.to_bytes(state))
    return _packed(layout, numbers, states)


def block_of(layout: Layout, rows: Sequence[Row]) -> Row:
    """The row about several neighbours together; it names no chunk.

    Args:
        layout: which columns there are.
        rows: the neighbours' rows, at least one.
    """
    columns = [
        [(_WHOLE if code == "q" else _REAL).unpack(row.fields[place])[0] for row in rows]
        for place, code in enumerate(layout.codes)
    ]
    numbers: list[Number] = [min(columns[Layout.FIRST]), max(columns[Layout.LAST]), NO_CHUNK]
    numbers += [sum(columns[layout.count(lane)]) for lane in layout.shape.lanes]
    for lane in layout.numeric:
        wide = any(columns[layout.wide(lane)])
        sums = [columns[place] for place in layout.sums(lane)]
        least, most = (columns[place] for place in layout.extremes(lane))
        if lane.real:
            parts = None if wide else expansion([one for some in sums for one in some])
            numbers += [parts is None, *(parts or [0.0] * PARTS), min(least), max(most)]
        else:
            total = (sum(sums[0]) << 32) + sum(sums[1])
            numbers += [0, total >> 32, total & _LOW, min(least), max(most)]
    states = []
    for place, job in enumerate(layout.stateful):
        function = job.function
        merged = reduce(function.merge, [function.from_bytes(row.states[place]) for row in rows])
        states.append(function.to_bytes(merged))
    return _packed(layout, numbers, states)


def _packed(layout: Layout, numbers: list[Number], states: Sequence[bytes]) -> Row:
    numbers += map(len, states)
    packed = (
        (_WHOLE if code == "q" else _REAL).pack(number) for code, number in zip(layout.codes, numbers, strict=True)
    )
    return Row(tuple(packed), tuple(states))


def expansion(values: Sequence[float]) -> list[float] | None:
    """Floats that do not overlap and whose sum is that of some finite floats, exactly; None where three are too few.

    >>> expansion([0.1, 0.2, 0.3]), expansion([1e300, 1.0, 1e-300, 1e-310])
    ([0.6, 2.7755575615628914e-17, 0.0], None)
    """
    parts: list[float] = []
    try:
        for _ in range(PARTS):
            parts.append(math.fsum([*values, *(-one for one in parts)]))
        return None if math.fsum([*values, *(-one for one in parts)]) else parts
    except OverflowError:
        return None


def _of_reals(values: Sequence[float], finite: bool) -> list[Number]:
    parts = expansion(values) if finite else None
    if parts is None:
        return [1, *[0.0] * PARTS, 0.0, 0.0]
    return [0, *parts, min(values, default=math.inf), max(values, default=-math.inf)]


def _of_whole(values: Sequence[int]) -> list[Number]:
    total = sum(values)
    least, most = min(values, default=_MOST), max(values, default=_LEAST)
    return [0, total >> 32, total & _LOW, least, most]
