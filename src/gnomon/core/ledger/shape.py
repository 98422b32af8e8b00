"""What a record of a ledger holds: both clocks, what is there of it, and the columns that are aggregated.

    event i64 · known i64 · flags i64 · [id i64] · a field of 8 bytes per column

Numbers stand in their field; a text, an array or a large decimal stands in the heap behind the records, and its field
says where. The flags tell, bit by bit, which columns are there, which floats are finite, and which conditions are true.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gnomon.core.aggregations import Function
from gnomon.core.aggregations.vectors import Vector
from gnomon.core.cells import cell_of
from gnomon.core.windows import FOREVER, Window
from gnomon.errors import DefinitionError
from gnomon.types import Bool, Decimal, FeatureType, Float32, Float64, Int32, Int64, UnixTimestamp

__all__ = ["EVENT", "FLAGS", "HAS_ID", "ID", "KNOWN", "Job", "Lane", "Shape"]

EVENT, KNOWN, FLAGS, ID = range(4)
"""Places of the fields that every record has; `ID` only where events have versions."""
HAS_ID = 1 << 62
MOST_BITS = 62
WHOLE = (Bool, Int32, Int64, UnixTimestamp)
REAL = (Float32, Float64)
SHORT = 18
"""Decimals of so many digits are whole numbers of 64 bits."""
CHUNK, BLOCK = 256, 16


@dataclass(frozen=True, slots=True)
class Job:
    """One aggregation, over all its windows.

    Args:
        function: what is computed.
        column: of which column; empty for the events themselves.
        where: of the events of which this condition is true; empty for all.
        windows: the windows.
    """

    function: Function
    column: str
    where: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """What an aggregation looks at: a column of the events that a condition selects. A shape has each lane once.

    Args:
        place: the field of the column; None for the events themselves.
        dtype: the column's type.
        need: the flags that an event has if it is in the lane.
        finite: the flag of a float that is finite; 0 for other columns.
        real: whether its fields are floats; made from the type.
        whole: whether its fields are whole numbers that add up and compare as the values do; made from the type.
    """

    place: int | None
    dtype: FeatureType
    need: int
    finite: int
    real: bool = field(init=False)
    whole: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "real", self.dtype in REAL)  # kept, as it is asked for at each read
        object.__setattr__(self, "whole", self.dtype in WHOLE or is_short(self.dtype))


@dataclass(frozen=True, eq=False)
class Shape:
    """What the records of a view hold, and what is made of them.

    Args:
        columns: (name, type) of the columns that are aggregated.
        conditions: the conditions, by their text.
        versioned: whether events have ids, so that later versions correct earlier ones.
        jobs: the aggregations.
        chunk: how many records a chunk gets when it is sealed.
        block: how many chunks a block of the summary has.

    Raises:
        DefinitionError: there are more columns and conditions than flags.
    """

    columns: tuple[tuple[str, FeatureType], ...]
    conditions: tuple[str, ...]
    versioned: bool
    jobs: tuple[Job, ...]
    chunk: int = CHUNK
    block: int = BLOCK

    def __post_init__(self) -> None:
        bits = len(self.columns) + sum(dtype in REAL for _, dtype in self.columns) + len(self.conditions)
        if bits > MOST_BITS:
            raise DefinitionError(
                f"the aggregations look at {len(self.columns)} columns under {len(self.conditions)} conditions, "
                "which are too many to be kept online.",
                hint=f"floats count twice, and at most {MOST_BITS} fit: split the view into two.",
            )

    @cached_property
    def first_field(self) -> int:
        """The place of the first column's field."""
        return ID + self.versioned

    @cached_property
    def width(self) -> int:
        """How many fields a record has."""
        return self.first_field + len(self.columns)

    @cached_property
    def size(self) -> int:
        """How many bytes a record has."""
        return 8 * self.width

    @cached_property
    def variable(self) -> tuple[int, ...]:
        """The fields whose values are in the heap."""
        return tuple(self.first_field + place for place, (_, dtype) in enumerate(self.columns) if not is_fixed(dtype))

    @cached_property
    def decoders(self) -> dict[int, Callable[[Any, bytes], Any]]:
        """For each column's field the function (field, heap) → value."""
        return {self.first_field + place: _decoder(dtype) for place, (_, dtype) in enumerate(self.columns)}

    @cached_property
    def lanes(self) -> tuple[Lane, ...]:
        """What the jobs look at, each once."""
        return tuple(dict.fromkeys(map(self.lane, self.jobs)))

    def lane(self, job: Job) -> Lane:
        """What a job looks at."""
        found = self._lanes.get((job.column, job.where))
        if found is None:
            found = self._lanes[job.column, job.where] = self._lane(job)
        return found

    def _lane(self, job: Job) -> Lane:
        need = self.condition_flag(job.where) if job.where else 0
        if not job.column:
            return Lane(None, Int64, need, 0)
        place = [name for name, _ in self.columns].index(job.column)
        dtype = self.columns[place][1]
        return Lane(self.first_field + place, dtype, need | self.there_flag(place), self.finite_flag(place))

    @cached_property
    def _lanes(self) -> dict[tuple[str, str], Lane]:
        return {}

    def there_flag(self, place: int) -> int:
        """The flag that a column is not null."""
        return 1 << place

    def finite_flag(self, place: int) -> int:
        """The flag that a float is finite, or null; 0 for columns of other types."""
        return self._finite.get(place, 0)

    def condition_flag(self, where: str) -> int:
        """The flag that a condition is true."""
        return 1 << (len(self.columns) + len(self._finite) + self.conditions.index(where))

    @cached_property
    def _finite(self) -> dict[int, int]:
        floats = [place for place, (_, dtype) in enumerate(self.columns) if dtype in REAL]
        return {place: 1 << (len(self.columns) + number) for number, place in enumerate(floats)}

    @cached_property
    def lengths(self) -> dict[str, int]:
        """Of columns of vectors that are aggregated element by element, how many elements each has."""
        return {job.column: job.function.length for job in self.jobs if isinstance(job.function, Vector)}

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """All windows of all jobs."""
        return tuple(dict.fromkeys(window for job in self.jobs for window in job.windows))

    @cached_property
    def gone(self) -> Callable[[int], int]:
        """From which instant on an event counts in no window any more; `FOREVER` where it always will."""
        if any(window.width is None for window in self.windows):
            return lambda event: FOREVER
        sliding = [window for window in self.windows if not (window.tumbling or window.hop)]
        # Of windows that slide, the one that an event leaves last is the same for all events.
        longest = sorted(sliding, key=lambda window: window.leave(0))[-1:]
        exits = [window.exits() for window in self.windows if window not in sliding or window in longest]
        return exits[0] if len(exits) == 1 else lambda event: max(leave(event) for leave in exits)

    @cached_property
    def settled(self) -> Callable[[int], int] | None:
        """From which instant on an event counts in every lifetime, and in no other window; None if that is of no use.

        What is settled is needed as a sum, not as a record: unless a correction may ask for it, or an aggregation that
        looks at single events.
        """
        lifetimes = [window for window in self.windows if window.width is None]
        if self.versioned or not lifetimes:
            return None
        if any(job.function.needs_order and set(job.windows) & set(lifetimes) for job in self.jobs):
            return None
        others = [window.exits() for window in self.windows if window.width is not None]
        return lambda event: max([window.enter(event) for window in lifetimes] + [leave(event) for leave in others])

    @cached_property
    def kept(self) -> int | None:
        """So long (µs) after it happened an event counts in some window at least; None for ever."""
        widths = [None if window.width is None else window.width + window.shift for window in self.windows]
        return None if None in widths else max((one for one in widths if one is not None), default=0)

    @cached_property
    def reach(self) -> int | None:
        """So far (µs) back of an instant an event can lie and count; None where there is no such bound."""
        reaches = [window.reach for window in self.windows]
        return None if None in reaches else max((one for one in reaches if one is not None), default=0)

    @cached_property
    def id(self) -> int:
        """A number that is the same for the same shape, on every machine: 63 bits."""
        said = [
            [[name, str(dtype)] for name, dtype in self.columns],
            list(self.conditions),
            self.versioned,
            [[repr(job.function), job.column, job.where] for job in self.jobs],
        ]
        text = json.dumps(said).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def is_short(dtype: FeatureType) -> bool:
    """Whether a type's values are decimals that fit 64 bits."""
    return isinstance(dtype, Decimal) and dtype.precision <= SHORT


def is_fixed(dtype: FeatureType) -> bool:
    """Whether values stand in their field."""
    return dtype in WHOLE or dtype in REAL or is_short(dtype)


def _decoder(dtype: FeatureType) -> Callable[[Any, bytes], Any]:
    if dtype == Bool:
        return lambda field, heap: bool(field)
    if is_short(dtype):
        take = cell_of(dtype).take
        assert take is not None
        return lambda field, heap: take(field)
    if is_fixed(dtype):
        return lambda field, heap: field
    cell = cell_of(dtype)
    taken: Callable[[Any], Any] = cell.take or bytes
    return lambda field, heap: taken(heap[field >> 32 : (field >> 32) + (field & 0xFFFFFFFF)])
