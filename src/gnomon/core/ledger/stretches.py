"""The events of one lane in one window: stretches of records, and rows of the summary for the chunks between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.core.aggregations.base import Event
from gnomon.core.ledger.records import Records
from gnomon.core.ledger.shape import Lane
from gnomon.core.ledger.summary import Span, Summary

__all__ = ["Stretch", "Stretches"]

Stretch = tuple[Records, int, int]
"""Some records, from one place to before another."""


@dataclass(slots=True)
class Stretches:
    """What a lane has in a window.

    Args:
        lane: the lane.
        some: the stretches, in order of time.
        summary: the summary.
        rows: the chunks of which the summary is enough.
    """

    lane: Lane
    some: list[Stretch]
    summary: Summary
    rows: Sequence[Span]
    _numbers: list[Any] | None = None
    _finite: bool | None = None
    _count: int = -1
    _here: int = -1
    _total: Any = None

    @property
    def here(self) -> int:
        """How many events the records have."""
        if self._here < 0:
            self._here = sum([records.count(self.lane, start, stop) for records, start, stop in self.some])
        return self._here

    @property
    def count(self) -> int:
        """How many events."""
        if self._count < 0:
            self._count = self.here
            if self.rows:
                self._count += sum(self.column(self.summary.layout.count(self.lane)))
        return self._count

    @property
    def numbers(self) -> list[Any]:
        """The numbers of the records."""
        if self._numbers is None:
            found = [records.numbers(self.lane, start, stop) for records, start, stop in self.some]
            self._numbers = found[0] if len(found) == 1 else [one for some in found for one in some]
        return self._numbers

    @property
    def finite(self) -> bool:
        """Whether all numbers are finite; chunks with others are among the records."""
        if self._finite is None:
            self._finite = all(records.finite(self.lane, start, stop) for records, start, stop in self.some)
        return self._finite

    @property
    def total(self) -> Any:
        """The sum: exact, in units, of whole numbers; of floats, all of them finite, rounded once.

        Raises:
            OverflowError: it is beyond the floats' range, or nearly.
        """
        if self._total is None:
            self._total = math.fsum(self.terms()) if self.lane.real else sum(self.terms())
        return self._total

    def terms(self) -> list[Any]:
        """Numbers whose exact sum is the exact sum."""
        if not self.rows:
            return self.numbers
        layout = self.summary.layout
        if self.lane.real:
            found, wide = self.numbers.copy(), layout.wide(self.lane)
            for place in layout.sums(self.lane):
                found += self.column(place, wide)
            return found
        high, low = layout.sums(self.lane)
        return [*self.numbers, *(one << 32 for one in self.column(high)), *self.column(low)]

    def column(self, place: int, wide: int | None = None) -> list[Any]:
        """Numbers of a column of the summary that together stand for those chunks."""
        if len(self.rows) == 1:
            return self.summary.numbers(place, self.rows[0], wide)
        return [one for span in self.rows for one in self.summary.numbers(place, span, wide)]

    def states(self, place: int) -> list[bytes]:
        """The states that the summary keeps for those chunks."""
        return [state for span in self.rows for state in self.summary.states(place, span)]

    def events(self) -> Iterable[Event]:
        """The events of the records."""
        for records, start, stop in self.some:
            yield from records.seen(self.lane, start, stop)
