"""`sum` and `mean`: exact, then rounded once, so that no order and no split of the events shows in the result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from gnomon.core.aggregations.base import FLOATS, INVALID, Event, Function, is_number
from gnomon.core.exact import Total, as_decimal
from gnomon.types import Decimal, FeatureType, Float64, Int64

__all__ = ["INT64", "WIDEST", "Mean", "Sum"]

INT64 = range(-(2**63), 2**63)
WIDEST = 10**38
"""The least whole number with too many digits for any decimal."""

State = tuple[int, Total]
"""(events, their exact sum)."""


@dataclass(frozen=True, slots=True)
class Summing(Function):
    """What sums and means share: the number of events and their exact sum."""

    by_element: ClassVar[bool] = True

    @abstractmethod
    def output(self, dtype: FeatureType) -> FeatureType:
        """The type of the result."""

    def empty(self) -> State:
        """No events."""
        return 0, Total()

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """One more."""
        return state[0] + 1, state[1].plus(Total.of(event[2], dtype))

    def of(self, events: Iterable[Event], dtype: FeatureType) -> State:
        """All of them."""
        totals = [Total.of(one[2], dtype) for one in events]
        flags = (any(one[flag] for one in totals) for flag in (1, 2, 3))
        return len(totals), Total(sum(one[0] for one in totals), *flags)

    def merge(self, left: State, right: State) -> State:
        """Both."""
        return left[0] + right[0], left[1].plus(right[1])

    def to_bytes(self, state: State) -> bytes:
        """The count in eight bytes, then the sum."""
        return state[0].to_bytes(8, "little") + state[1].to_bytes()

    def from_bytes(self, raw: bytes) -> State:
        """The state again."""
        return int.from_bytes(raw[:8], "little"), Total.from_bytes(raw[8:])


@dataclass(frozen=True, slots=True)
class Sum(Summing):
    """The exact sum, rounded once if it is a float.

    >>> tenths = Sum()
    >>> state = tenths.empty()
    >>> for value in (0.1, 0.2, 0.3):
    ...     state = tenths.add(state, (0, 0, value), Float64)
    >>> tenths.result(state, Float64)
    0.6
    """

    name: ClassVar[str] = "sum"

    def output(self, dtype: FeatureType) -> FeatureType:
        """Int64 of whole numbers and truth values, Float64 of floats, Decimal(38, s) of decimals."""
        if not is_number(dtype):
            raise self.unfit(dtype)
        if isinstance(dtype, Decimal):
            return Decimal(38, dtype.scale)
        return Float64 if dtype in FLOATS else Int64

    def result(self, state: State, dtype: FeatureType) -> Any:
        """The sum; INVALID where 64 bits, or 38 digits, cannot hold it."""
        count, total = state
        if not count:
            return None
        if dtype in FLOATS:
            return total.as_float(dtype)
        if isinstance(dtype, Decimal):
            return as_decimal(total[0], dtype.scale) if abs(total[0]) < WIDEST else INVALID
        return total[0] if total[0] in INT64 else INVALID


@dataclass(frozen=True, slots=True)
class Mean(Summing):
    """The exact sum rounded to a float, divided by the number of events.

    >>> Mean().result((3, Total(10)), Int64)
    3.3333333333333335
    """

    name: ClassVar[str] = "mean"

    def output(self, dtype: FeatureType) -> FeatureType:
        """Float64."""
        if not is_number(dtype):
            raise self.unfit(dtype)
        return Float64

    def result(self, state: State, dtype: FeatureType) -> float | None:
        """One division."""
        count, total = state
        if not count:
            return None
        return total.as_float(dtype) / count + 0.0  # half of the least float may be −0.0
