"""`histogram`: how many values lie below the first edge, between each two, and from the last one on."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from gnomon.core.aggregations.base import Event, Function, is_number
from gnomon.core.aggregations.states import read, written
from gnomon.errors import DefinitionError
from gnomon.types import Array, FeatureType, Int64

__all__ = ["MOST_EDGES", "Histogram"]

MOST_EDGES = 1_000

State = tuple[int, ...]
"""A count per bin."""


@dataclass(frozen=True, slots=True)
class Histogram(Function):
    """Counts of values by bins; a value that is an edge belongs above it, NaN to the last bin.

    Args:
        edges: numbers, each greater than the one before; n edges make n + 1 bins.

    >>> from gnomon.types import Float64
    >>> histogram = Histogram(edges=(0, 10))
    >>> state = histogram.empty()
    >>> for value in (-1.0, 0.0, 9.9, 10.0, 1e9):
    ...     state = histogram.add(state, (0, 0, value), Float64)
    >>> histogram.result(state, Float64)
    [1, 2, 2]
    """

    name: ClassVar[str] = "histogram"
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        edges = tuple(map(_edge, self.edges)) if isinstance(self.edges, (list, tuple)) else ()
        if not edges or len(edges) > MOST_EDGES or any(one >= two for one, two in itertools.pairwise(edges)):
            raise DefinitionError(
                f"histogram: edges is {self.edges!r:.80}.",
                hint=f"edges is a list of 1 to {MOST_EDGES:,} numbers, each greater than the one before: [0, 10, 100].",
            )
        object.__setattr__(self, "edges", edges)

    def output(self, dtype: FeatureType) -> FeatureType:
        """Array(Int64), one count per bin."""
        if not is_number(dtype):
            raise self.unfit(dtype)
        return Array(Int64)

    def empty(self) -> State:
        """Nothing in any bin."""
        return (0,) * (len(self.edges) + 1)

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """One more in its bin."""
        value = event[2]
        place = len(self.edges) if value != value else bisect_right(self.edges, value)
        return (*state[:place], state[place] + 1, *state[place + 1 :])

    def of(self, events: Iterable[Event], dtype: FeatureType) -> State:
        """All in their bins."""
        bins = [0] * (len(self.edges) + 1)
        for _, _, value in events:
            bins[-1 if value != value else bisect_right(self.edges, value)] += 1
        return tuple(bins)

    def merge(self, left: State, right: State) -> State:
        """Bin by bin."""
        return tuple(one + two for one, two in zip(left, right, strict=True))

    def result(self, state: State, dtype: FeatureType) -> Any:
        """The counts; null where there is no value at all."""
        return list(state) if any(state) else None

    def to_bytes(self, state: State) -> bytes:
        """The counts."""
        return written(state)

    def from_bytes(self, raw: bytes) -> State:
        """The counts again."""
        state: State = read(raw)
        return state


def _edge(value: Any) -> float:
    """An edge as a float, which must be what was written."""
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and float(value) == value
    ):
        return float(value)
    raise DefinitionError(f"histogram: the edge {value!r} is no number that a float holds.", hint="edges=[0, 10, 100].")
