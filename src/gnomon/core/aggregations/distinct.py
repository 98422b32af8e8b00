"""`count_distinct`: how many different values, exactly. NaN is one value, and so is zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from gnomon.core.aggregations.base import Event, Function, is_scalar
from gnomon.core.aggregations.states import identity, read, written
from gnomon.types import FeatureType, Int64

__all__ = ["CountDistinct"]

State = frozenset[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class CountDistinct(Function):
    """The number of different values.

    >>> from gnomon.types import Float64
    >>> distinct, state = CountDistinct(), CountDistinct().empty()
    >>> for value in (0.0, -0.0, float("nan"), float("nan"), 1.0):
    ...     state = distinct.add(state, (0, 0, value), Float64)
    >>> distinct.result(state, Float64)
    3
    """

    name: ClassVar[str] = "count_distinct"
    takes: ClassVar[str] = "values of any type that is no array"
    default: ClassVar[int] = 0

    def output(self, dtype: FeatureType) -> FeatureType:
        """Int64."""
        if not is_scalar(dtype):
            raise self.unfit(dtype)
        return Int64

    def empty(self) -> State:
        """No values."""
        return frozenset()

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """With its value."""
        return state | {identity(event[2], dtype)}

    def of(self, events: Iterable[Event], dtype: FeatureType) -> State:
        """Their values."""
        return frozenset(identity(value, dtype) for value in {one[2] for one in events})

    def merge(self, left: State, right: State) -> State:
        """The values of both."""
        return left | right

    def result(self, state: State, dtype: FeatureType) -> int:
        """How many."""
        return len(state)

    def to_bytes(self, state: State) -> bytes:
        """The values."""
        return written(tuple(state))

    def from_bytes(self, raw: bytes) -> State:
        """The values again."""
        return frozenset(read(raw))
