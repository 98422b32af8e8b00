"""`variance` and `stddev`: the exact variance, rounded once; its root is rounded once more.

With n events, D = n·Σx² − (Σx)² is a whole number of squared units, so the variance D / n² (of a population) or
D / n(n−1) (of a sample) is a fraction of whole numbers, and there is one float nearest to it. It is never negative, and
zero exactly where all values are equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from gnomon.core.aggregations.base import Event, Function, is_number
from gnomon.core.exact import Total, divided, units_in_one, whole_to_bytes
from gnomon.types import FeatureType, Float64

__all__ = ["Stddev", "Variance", "fraction"]

State = tuple[int, Total, int]
"""(events, Σx, Σx² in squared units; numbers only)."""


@dataclass(frozen=True, slots=True)
class Variance(Function):
    """How far the values lie from their mean, squared.

    Args:
        population: divide by the number of events, not by one less.

    >>> variance, state = Variance(), Variance().empty()
    >>> for value in (1.0, 2.0, 4.0):
    ...     state = variance.add(state, (0, 0, value), Float64)
    >>> variance.result(state, Float64)
    2.3333333333333335
    """

    name: ClassVar[str] = "variance"
    by_element: ClassVar[bool] = True
    population: bool = False

    @property
    def word(self) -> str:
        """`variance`, or `variance_pop`."""
        return f"{self.name}_pop" if self.population else self.name

    def output(self, dtype: FeatureType) -> FeatureType:
        """Float64."""
        if not is_number(dtype):
            raise self.unfit(dtype)
        return Float64

    def empty(self) -> State:
        """No events."""
        return 0, Total(), 0

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """One more."""
        one = Total.of(event[2], dtype)
        return state[0] + 1, state[1].plus(one), state[2] + one[0] ** 2

    def of(self, events: Iterable[Event], dtype: FeatureType) -> State:
        """All of them."""
        totals = [Total.of(one[2], dtype) for one in events]
        total = Total(sum(one[0] for one in totals), *(any(one[flag] for one in totals) for flag in (1, 2, 3)))
        return len(totals), total, sum(one[0] ** 2 for one in totals)

    def merge(self, left: State, right: State) -> State:
        """Both."""
        return left[0] + right[0], left[1].plus(right[1]), left[2] + right[2]

    def result(self, state: State, dtype: FeatureType) -> float | None:
        """The variance; null of fewer events than it needs, NaN where a value is no number."""
        count, total, squares = state
        if count < (1 if self.population else 2):
            return None
        if total.special() is not None:
            return math.nan
        return divided(*fraction(count, total[0], squares, units_in_one(dtype), population=self.population))

    def to_bytes(self, state: State) -> bytes:
        """The count and the length of the sum in eight bytes each, the sum, the sum of squares."""
        total = state[1].to_bytes()
        return state[0].to_bytes(8, "little") + len(total).to_bytes(8, "little") + total + whole_to_bytes(state[2])

    def from_bytes(self, raw: bytes) -> State:
        """The state again."""
        end = 16 + int.from_bytes(raw[8:16], "little")
        squares = int.from_bytes(raw[end:], "little", signed=True)
        return int.from_bytes(raw[:8], "little"), Total.from_bytes(raw[16:end]), squares


@dataclass(frozen=True, slots=True)
class Stddev(Variance):
    """The square root of the variance."""

    name: ClassVar[str] = "stddev"

    def result(self, state: State, dtype: FeatureType) -> float | None:
        """The root of the rounded variance."""
        variance = Variance.result(self, state, dtype)
        return variance if variance is None else math.sqrt(variance)


def fraction(count: int, total: int, squares: int, units: int, *, population: bool) -> tuple[int, int]:
    """The exact variance as (numerator, denominator).

    Args:
        count: how many events.
        total: Σx in units.
        squares: Σx² in squared units.
        units: how many units are 1.
        population: divide by the number of events, not by one less.
    """
    return count * squares - total * total, count * (count if population else count - 1) * units * units
