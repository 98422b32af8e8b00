"""Aggregations of users' own, as a repo would have them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gnomon import agg
from gnomon.types import Array, Float64, Int64, String, UnixTimestamp


class GeometricMean(agg.Custom):
    """exp of the mean of logarithms; of positive numbers."""

    takes_types = (Float64, Int64)
    gives = Float64

    def empty(self) -> tuple[int, agg.ExactSum]:
        return 0, agg.ExactSum()

    def add(self, state: Any, value: float) -> tuple[int, agg.ExactSum]:
        return (state[0] + 1, state[1].plus(agg.ExactSum.of(math.log(value)))) if value > 0 else state

    def merge(self, left: Any, right: Any) -> tuple[int, agg.ExactSum]:
        return left[0] + right[0], left[1].plus(right[1])

    def result(self, state: Any) -> float | None:
        return math.exp(state[1].value / state[0]) if state[0] else None


class Letters(agg.Custom):
    """The letters that occur, in order; added many at once."""

    takes_types = (String,)
    gives = Array(String)

    def empty(self) -> tuple[str, ...]:
        return ()

    def add(self, state: tuple[str, ...], value: str) -> tuple[str, ...]:
        return self.add_many(state, [value])

    def add_many(self, state: tuple[str, ...], values: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted({*state, *"".join(values)}))

    def merge(self, left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({*left, *right}))

    def result(self, state: tuple[str, ...]) -> list[str]:
        return list(state)


class Noon(agg.Custom):
    """The latest instant, moved by half a day."""

    takes_types = (UnixTimestamp,)
    gives = UnixTimestamp

    def empty(self) -> None:
        return None

    def add(self, state: int | None, value: int) -> int:
        return self.merge(state, value)

    def merge(self, left: int | None, right: int | None) -> Any:
        return right if left is None else left if right is None else max(left, right)

    def result(self, state: int) -> int:
        return state + 43_200_000_000
