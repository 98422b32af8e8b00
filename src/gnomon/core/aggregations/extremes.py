"""`min` and `max`: −inf < … < +inf, NaN only if there is nothing else; texts by their UTF-8 bytes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from gnomon.core.aggregations.base import Event, Function, is_scalar
from gnomon.core.aggregations.states import canonical, identity, read, written
from gnomon.types import FeatureType

__all__ = ["Extreme", "Max", "Min"]

State = tuple[Any, ...]
"""Nothing, or the extreme value and what it compares as."""


@dataclass(frozen=True, slots=True)
class Extreme(Function):
    """What min and max share."""

    takes: ClassVar[str] = "values of any type that is no array"
    by_element: ClassVar[bool] = True

    @abstractmethod
    def beats(self, one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
        """Whether a value is the answer rather than another, both as `identity` gives them."""

    def output(self, dtype: FeatureType) -> FeatureType:
        """The column's own type."""
        if not is_scalar(dtype):
            raise self.unfit(dtype)
        return dtype

    def empty(self) -> State:
        """Nothing."""
        return ()

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """The greater, or lesser, of both."""
        value = canonical(event[2])
        return self.merge(state, (value, identity(value, dtype)))

    def merge(self, left: State, right: State) -> State:
        """The greater, or lesser, of both."""
        if not (left and right):
            return left or right
        return right if self.beats(right[1], left[1]) else left

    def result(self, state: State, dtype: FeatureType) -> Any:
        """The value."""
        return state[0] if state else None

    def to_bytes(self, state: State) -> bytes:
        """The value, and what it compares as."""
        return written(state)

    def from_bytes(self, raw: bytes) -> State:
        """The value again."""
        state: State = read(raw)
        return state


@dataclass(frozen=True, slots=True)
class Min(Extreme):
    """The least value.

    >>> from gnomon.types import Float64
    >>> least = Min()
    >>> state = least.add(least.add(least.empty(), (0, 0, float("nan")), Float64), (0, 0, 7.0), Float64)
    >>> least.result(state, Float64)
    7.0
    """

    name: ClassVar[str] = "min"

    def beats(self, one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
        """The lesser one; NaN is the greatest."""
        return one < other


@dataclass(frozen=True, slots=True)
class Max(Extreme):
    """The greatest value."""

    name: ClassVar[str] = "max"

    def beats(self, one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
        """The greater one; but NaN, of which alone `identity` says (2,), loses to all."""
        return (one[0] < 2, one) > (other[0] < 2, other)
