"""The summary of an entity's sealed chunks: a row per chunk, kept column by column.

For each chunk it says where it lies in time, and for each lane how many events it has and, of numbers, their exact sum
and their extremes; other aggregations keep their states. So a window needs the records of the chunks at its two ends
only. A sum of floats is kept exactly, as up to three floats that do not overlap; where that is too few, or a number is
not finite, the chunk is *wide*, and its records are read instead.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from gnomon.core.aggregations import Function
from gnomon.core.aggregations.counting import Count
from gnomon.core.aggregations.extremes import Max, Min
from gnomon.core.aggregations.ordered import First, FirstN, Last, LastN
from gnomon.core.aggregations.summing import Mean, Sum
from gnomon.core.ledger.records import Records
from gnomon.core.ledger.shape import Job, Lane, Shape

__all__ = ["Layout", "Row", "Summary", "expansion", "layout_of", "row_of"]

_HEAD = struct.Struct("<II")
_WHOLE, _REAL = struct.Struct("<q"), struct.Struct("<d")
PARTS = 3
"""A sum of floats is kept as so many."""
_LOW = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Row:
    """One chunk in the summary.

    Args:
        fields: eight bytes per column.
        states: a state per job that keeps one.
    """

    fields: tuple[bytes, ...]
    states: tuple[bytes, ...]


class Layout:
    """Which columns a shape's summary has.

    Args:
        shape: the shape.

    Attributes:
        numeric: lanes of which sums and extremes are kept.
        stateful: jobs that keep a state.
        codes: the type of each column, "q" or "d".
    """

    FIRST, LAST, CHUNK = range(3)

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.numeric = tuple(dict.fromkeys(shape.lane(job) for job in shape.jobs if is_numeric(shape, job)))
        self.stateful = tuple(job for job in dict.fromkeys(shape.jobs) if keeps_state(shape, job))
        self.codes = ["q", "q", "q"]
        self._counts: dict[Lane, int] = {}
        self._numbers: dict[Lane, int] = {}
        for lane in shape.lanes:
            self._counts[lane] = len(self.codes)
            self.codes.append("q")
        for lane in self.numeric:
            self._numbers[lane] = len(self.codes)
            self.codes += ["q", *(["d"] * (PARTS + 2) if lane.real else ["q"] * 4)]
        self.lengths = len(self.codes)
        self.codes += ["q"] * len(self.stateful)

    def count(self, lane: Lane) -> int:
        """The column of how many events are in a lane."""
        return self._counts[lane]

    def wide(self, lane: Lane) -> int:
        """The column that says whether a chunk is too wide in a lane."""
        return self._numbers[lane]

    def sums(self, lane: Lane) -> range:
        """The columns whose sum is the sum of a lane: floats; or multiples of 2^32, and ones."""
        start = self._numbers[lane] + 1
        return range(start, start + (PARTS if lane.real else 2))

    def extremes(self, lane: Lane) -> tuple[int, int]:
        """The columns of the least and of the greatest number."""
        start = self.sums(lane).stop
        return start, start + 1

    def state(self, job: Job) -> int:
        """The place of a job's states."""
        return self.stateful.index(job)


def layout_of(shape: Shape) -> Layout:
    """The layout of a shape's summaries; made once."""
    found = shape.__dict__.get("summary_layout")
    if found is None:
        found = shape.__dict__["summary_layout"] = Layout(shape)
    return found


def is_numeric(shape: Shape, job: Job) -> bool:
    """Whether a job is answered from sums and extremes."""
    lane = shape.lane(job)
    return lane.place is not None and (lane.real or lane.whole) and isinstance(job.function, (Sum, Mean, Min, Max))


def is_placed(function: Function) -> bool:
    """Whether a function looks at the first or the last few events only."""
    return isinstance(function, (First, Last, FirstN, LastN))


def keeps_state(shape: Shape, job: Job) -> bool:
    """Whether a job needs a state per chunk."""
    return not (isinstance(job.function, Count) or is_numeric(shape, job) or is_placed(job.function))


class Summary:
    """A summary, read in place.

    Args:
        shape: the shape.
        raw: its bytes; empty where there is no chunk.
    """

    def __init__(self, shape: Shape, raw: bytes = b"") -> None:
        self.layout = layout_of(shape)
        self.raw = raw
        self.count: int = _HEAD.unpack_from(raw)[0] if raw else 0

    def __len__(self) -> int:
        return self.count

    def column(self, place: int) -> memoryview:
        """A column's numbers."""
        start = _HEAD.size + 8 * place * self.count
        return memoryview(self.raw)[start : start + 8 * self.count].cast(self.layout.codes[place])  # type: ignore[call-overload, no-any-return]

    @cached_property
    def firsts(self) -> memoryview:
        """The event time of each chunk's first event."""
        return self.column(Layout.FIRST)

    @cached_property
    def lasts(self) -> memoryview:
        """The event time of each chunk's last event."""
        return self.column(Layout.LAST)

    @cached_property
    def chunks(self) -> memoryview:
        """The chunks' numbers."""
        return self.column(Layout.CHUNK)

    def overlapping(self, old: int, new: int) -> tuple[int, int]:
        """The places of the chunks that may have events with old ≤ event time < new."""
        return bisect_left(self.lasts, old), bisect_left(self.firsts, new)

    def states(self, place: int) -> list[bytes]:
        """The chunks' states of a job."""
        start = _HEAD.size + 8 * len(self.layout.codes) * self.count
        for before in range(place):
            start += sum(self.column(self.layout.lengths + before))
        ends = [start, *accumulate(self.column(self.layout.lengths + place), initial=start)][1:]
        return [self.raw[a:b] for a, b in pairwise(ends)]

    def rows(self) -> list[Row]:
        """All rows."""
        columns = [bytes(self.column(place)) for place in range(len(self.layout.codes))]
        states = [self.states(place) for place in range(len(self.layout.stateful))]
        return [
            Row(tuple(column[8 * at : 8 * at + 8] for column in columns), tuple(some[at] for some in states))
            for at in range(self.count)
        ]

    def replaced(self, start: int, stop: int, rows: Sequence[Row]) -> bytes:
        """The summary's bytes with other rows in place of some."""
        count = self.count - (stop - start) + len(rows)
        if not count:
            return b""
        parts = [_HEAD.pack(count, 0)]
        for place in range(len(self.layout.codes)):
            column = bytes(self.column(place))
            parts += [column[: 8 * start], *(row.fields[place] for row in rows), column[8 * stop :]]
        for place in range(len(self.layout.stateful)):
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
    numbers: list[int | float] = [records.first(), records.last(), chunk]
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
    numbers += map(len, states)
    packed = (
        (_WHOLE if code == "q" else _REAL).pack(number) for code, number in zip(layout.codes, numbers, strict=True)
    )
    return Row(tuple(packed), tuple(states))


def expansion(values: Sequence[float]) -> list[float] | None:
    """Floats that do not overlap and whose sum is that of some finite floats, exactly; None where three are too few.

    >>> expansion([0.1, 0.2, 0.3]), expansion([1e300, 1.0, 1e-300, 1e-310])
    ([0.6, -5.551115123125783e-17, 0.0], None)
    """
    parts: list[float] = []
    try:
        for _ in range(PARTS):
            parts.append(math.fsum([*values, *(-one for one in parts)]))
        return None if math.fsum([*values, *(-one for one in parts)]) else parts
    except OverflowError:
        return None


def _of_reals(values: Sequence[float], finite: bool) -> list[int | float]:
    parts = expansion(values) if finite else None
    if parts is None:
        return [1, *[0.0] * PARTS, 0.0, 0.0]
    return [0, *parts, min(values, default=math.inf), max(values, default=-math.inf)]


def _of_whole(values: Sequence[int]) -> list[int | float]:
    total = sum(values)
    least, most = min(values, default=(1 << 63) - 1), max(values, default=-(1 << 63))
    return [0, total >> 32, total & _LOW, least, most]
