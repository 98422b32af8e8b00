"""`top_k` and `mode`: the most frequent values; of equally frequent ones the lesser comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gnomon.core.aggregations.base import Event, Function, is_scalar
from gnomon.core.aggregations.states import canonical, identity, read, written
from gnomon.errors import DefinitionError
from gnomon.types import Array, FeatureType

__all__ = ["MOST", "Mode", "TopK"]

MOST = 1_000
"""The longest list."""

State = Mapping[tuple[Any, ...], tuple[int, Any]]
"""What a value compares as → (how often it occurs, the value)."""


@dataclass(frozen=True, slots=True)
class Frequent(Function):
    """What they share: how often each value occurs."""

    takes: ClassVar[str] = "values of any type that is no array"

    @property
    def k(self) -> int:
        """How many values are wanted."""
        return 1

    def empty(self) -> State:
        """No values."""
        return {}

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """Its value once more."""
        value = canonical(event[2])
        return self.merge(state, {identity(value, dtype): (1, value)})

    def of(self, events: Iterable[Event], dtype: FeatureType) -> State:
        """How often each of their values occurs."""
        found: dict[tuple[Any, ...], tuple[int, Any]] = {}
        for value, count in Counter(canonical(one[2]) for one in events).items():
            key = identity(value, dtype)
            found[key] = (count + found[key][0] if key in found else count, value)
        return found

    def merge(self, left: State, right: State) -> State:
        """Each value as often as in both."""
        both = dict(left)
        for key, (count, value) in right.items():
            both[key] = (both[key][0] + count if key in both else count, value)
        return both

    def ranked(self, state: State) -> list[Any]:
        """The most frequent values, most frequent first."""
        first = sorted(state.items(), key=lambda one: (-one[1][0], one[0]))
        return [value for _, (_, value) in first[: self.k]]

    def to_bytes(self, state: State) -> bytes:
        """Values and counts."""
        return written(tuple((key, *pair) for key, pair in state.items()))

    def from_bytes(self, raw: bytes) -> State:
        """Values and counts again."""
        return {key: (count, value) for key, count, value in read(raw)}


@dataclass(frozen=True, slots=True)
class Mode(Frequent):
    """The most frequent value.

    >>> from gnomon.types import String
    >>> mode, state = Mode(), Mode().empty()
    >>> for city in ("Rome", "Oslo", "Oslo", "Rome"):
    ...     state = mode.add(state, (0, 0, city), String)
    >>> mode.result(state, String)
    'Oslo'
    """

    name: ClassVar[str] = "mode"

    def output(self, dtype: FeatureType) -> FeatureType:
        """The column's own type."""
        if not is_scalar(dtype):
            raise self.unfit(dtype)
        return dtype

    def result(self, state: State, dtype: FeatureType) -> Any:
        """The first of the ranking."""
        return next(iter(self.ranked(state)), None)


@dataclass(frozen=True, slots=True)
class TopK(Frequent):
    """The most frequent values, most frequent first.

    Args:
        k: at most so many, from 1 to `MOST`.
    """

    name: ClassVar[str] = "top_k"
    k: int  # a field here, a constant in Mode

    def __post_init__(self) -> None:
        if type(self.k) is not int or not 1 <= self.k <= MOST:
            raise DefinitionError(f"{self.name}: k is {self.k!r}.", hint=f"k is a whole number from 1 to {MOST:,}.")

    @property
    def word(self) -> str:
        """`top_3`."""
        return f"top_{self.k}"

    def output(self, dtype: FeatureType) -> FeatureType:
        """An array of the column's type."""
        if not is_scalar(dtype):
            raise self.unfit(dtype)
        return Array(dtype)

    def result(self, state: State, dtype: FeatureType) -> Any:
        """The ranking."""
        return self.ranked(state) or None
