"""`count`: how many events; of a column, how many that are not null."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from gnomon.core.aggregations.base import Event, Function
from gnomon.types import FeatureType, Int64

__all__ = ["Count"]


@dataclass(frozen=True, slots=True)
class Count(Function):
    """The number of events.

    >>> count = Count()
    >>> count.result(count.add(count.empty(), (10, 10, None), Int64), Int64)
    1
    """

    name: ClassVar[str] = "count"
    takes: ClassVar[str] = "values of any type"
    default: ClassVar[int] = 0

    def output(self, dtype: FeatureType) -> FeatureType:
        """Int64."""
        return Int64

    def empty(self) -> int:
        """Zero."""
        return 0

    def add(self, state: int, event: Event, dtype: FeatureType) -> int:
        """One more."""
        return state + 1

    def of(self, events: Iterable[Event], dtype: FeatureType) -> int:
        """All of them."""
        return sum(1 for _ in events)

    def merge(self, left: int, right: int) -> int:
        """Both."""
        return left + right

    def result(self, state: int, dtype: FeatureType) -> int:
        """The number."""
        return state

    def to_bytes(self, state: int) -> bytes:
        """Eight bytes."""
        return state.to_bytes(8, "little")

    def from_bytes(self, raw: bytes) -> int:
        """The number again."""
        return int.from_bytes(raw, "little")
