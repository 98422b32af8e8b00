"""Vectors of one length, aggregated element by element: the mean embedding of a week, say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gnomon.core.aggregations.base import INVALID, Event, Function, Unfit
from gnomon.core.aggregations.states import read, written
from gnomon.errors import DefinitionError
from gnomon.types import Array, FeatureType

__all__ = ["MOST_ELEMENTS", "Vector"]

MOST_ELEMENTS = 65_536

State = tuple[int, tuple[Any, ...]]
"""(vectors, a state per element)."""


@dataclass(frozen=True, slots=True)
class Vector(Function):
    """A function of numbers, done to each element of vectors; null elements are skipped.

    Args:
        inner: what is done to each element.
        length: how many elements every vector has.

    >>> from gnomon.core.aggregations.summing import Mean
    >>> from gnomon.types import Float64
    >>> mean, vector = Vector(inner=Mean(), length=2), Array(Float64)
    >>> state = mean.add(mean.empty(), (0, 0, [1.0, 2.0]), vector)
    >>> mean.result(mean.add(state, (1, 1, [3.0, None]), vector), vector)
    [2.0, 2.0]
    """

    inner: Function
    length: int

    def __post_init__(self) -> None:
        if type(self.length) is not int or not 1 <= self.length <= MOST_ELEMENTS:
            raise DefinitionError(
                f"{self.inner.name}: length is {self.length!r}.",
                hint=f"length is how many elements every vector has, from 1 to {MOST_ELEMENTS:,}.",
            )
        if not self.inner.by_element:
            raise DefinitionError(f"{self.inner.name} does not work on vectors.", hint="leave length out.")

    @property
    def word(self) -> str:
        """The inner function's."""
        return self.inner.word

    @property
    def arguments(self) -> dict[str, Any]:
        """The inner function's, and the length."""
        return {**self.inner.arguments, "length": self.length}

    def output(self, dtype: FeatureType) -> FeatureType:
        """An array of what the inner function gives."""
        if not isinstance(dtype, Array):
            raise Unfit(f"{self.inner.name} with a length takes vectors, not {dtype}.", hint="leave length out.")
        return Array(self.inner.output(dtype.element))

    def empty(self) -> State:
        """No vectors."""
        return 0, (self.inner.empty(),) * self.length

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """Element by element."""
        at, known, vector = event
        assert isinstance(dtype, Array)
        element = dtype.element
        parts = (
            one if value is None else self.inner.add(one, (at, known, value), element)
            for one, value in zip(state[1], vector, strict=True)
        )
        return state[0] + 1, tuple(parts)

    def merge(self, left: State, right: State) -> State:
        """Element by element."""
        return left[0] + right[0], tuple(map(self.inner.merge, left[1], right[1]))

    def result(self, state: State, dtype: FeatureType) -> Any:
        """The results, one per element; null where there is no vector."""
        assert isinstance(dtype, Array)
        found = [self.inner.result(one, dtype.element) for one in state[1]]
        return None if not state[0] else INVALID if INVALID in found else found

    def to_bytes(self, state: State) -> bytes:
        """The count, then the states."""
        return written((state[0], tuple(map(self.inner.to_bytes, state[1]))))

    def from_bytes(self, raw: bytes) -> State:
        """The states again."""
        count, parts = read(raw)
        return count, tuple(map(self.inner.from_bytes, parts))
