"""Lanes: the events that one condition selects and that have a value in one column, with the spans of several windows.

Every aggregation runs over a lane and knows nothing of clocks, versions, conditions or nulls: those have been settled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from gnomon.core.kernel.columns import Column, Ints, Yes
from gnomon.core.kernel.entries import Entry, Events, Rows, Span

__all__ = ["Lane"]

T = TypeVar("T")


@dataclass(eq=False)
class Lane:
    """Selected events and where they count.

    Args:
        events: all events of the part.
        rows: the spine.
        main: places among all events of the selected main ones, in order.
        start: of those, the instant from which each counts.
        extra: places among all events of the selected extras.
        extra_start: of those, the same.
        spans: per window, in places among the selected.
        column: the values of all events that have one, in order; None where only events are counted.
        at: for each event its place in `column`; None where all events have a value.
    """

    events: Events
    rows: Rows
    main: Ints
    start: Ints
    extra: Ints
    extra_start: Ints
    spans: tuple[Span, ...]
    column: Column | None = None
    at: Ints | None = None
    _shared: dict[Any, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, entry: Entry) -> Lane:
        """All events."""
        parts = entry.main_places, entry.start, entry.extra, entry.extra_start
        return cls(entry.events, entry.rows, *parts, entry.spans)

    def only(self, selected: Yes | None, column: Column | None = None, at: Ints | None = None) -> Lane:
        """The lane of those events that are selected.

        Args:
            selected: for every event of the part, whether it is; None for all.
            column: the values of all events that have one, in order.
            at: for each event its place in `column`, of those selected; None where all events have a value.
        """
        if selected is None or selected.all():
            return replace(self, column=column, at=at, _shared={})
        return self._cut(selected[self.main], selected[self.extra], column, at)

    def _cut(self, main: Yes, extra: Yes, column: Column | None, at: Ints | None) -> Lane:
        before, extra_before = _counts_before(main), _counts_before(extra)
        moved: dict[int, Ints] = {}  # windows share their right ends

        def move(places: Ints) -> Ints:
            if id(places) not in moved:
                moved[id(places)] = before[places]
            return moved[id(places)]

        spans = []
        for span in self.spans:
            kept = extra[span.extra]
            spans.append(
                Span(
                    span.window,
                    move(span.left),
                    move(span.right),
                    extra_before[span.extra[kept]],
                    span.first[kept],
                    span.last[kept],
                )
            )
        return Lane(
            self.events,
            self.rows,
            self.main[main],
            self.start[main],
            self.extra[extra],
            self.extra_start[extra],
            tuple(spans),
            column,
            at,
        )

    def parted(self, main: Yes, extra: Yes) -> Lane:
        """The lane of some of its events, given for main ones and extras apart."""
        return self._cut(main, extra, self.column, self.at)

    def through(self, spans: Sequence[Span]) -> Lane:
        """The same events through some of the windows; what several aggregations need is made once all the same."""
        if len(spans) == len(self.spans):
            return self
        windows = tuple(span.window for span in spans)
        return self.shared(("through", windows), lambda: self._through(tuple(spans)))

    def _through(self, spans: tuple[Span, ...]) -> Lane:
        made = replace(self, spans=spans, _shared={})
        if self.column is not None:
            made.__dict__["values"] = self.values
        return made

    def holding(self, values: Column) -> Lane:
        """The same events with other values: of its main ones, then of its extras."""
        made = replace(self, _shared={})
        made.__dict__["values"] = values
        return made

    @property
    def places(self) -> Ints:
        """Places among all events of the main ones, then of the extras."""
        return np.concatenate([self.main, self.extra]) if len(self.extra) else self.main

    @cached_property
    def values(self) -> Column:
        """The values of the main events, then of the extras."""
        assert self.column is not None
        if len(self.main) == len(self.column):
            return self.column  # all that have a value, in order
        return self.column.take(self.places if self.at is None else self.at[self.places])

    @cached_property
    def counts(self) -> list[Ints]:
        """Per window, how many events count at each row."""
        return [span.right - span.left + self.extras_added(span, None) for span in self.spans]

    def extras_added(self, span: Span, weights: Ints | None) -> Ints | int:
        """Per row, the sum of the weights of the extras that count; 0 for all where there are none.

        Args:
            span: the window's span.
            weights: one int64 per extra; None for 1 each.
        """
        if not len(span.extra):
            return 0
        steps = np.zeros(len(self.rows) + 1, np.int64)
        given: Any = 1 if weights is None else weights[span.extra]
        np.add.at(steps, span.first, given)
        np.subtract.at(steps, span.last, given)
        return np.cumsum(steps[:-1])

    def shared(self, name: Any, make: Callable[[], T]) -> T:
        """What several aggregations of a lane need, made once."""
        if name not in self._shared:
            self._shared[name] = make()
        found: T = self._shared[name]
        return found

    def row_spans(self, span: Span) -> tuple[Ints, Ints, Ints]:
        """The rows at which each event counts: its place among main and extras, the first row, the row after the last.

        Events that count at no row are left out.
        """
        key = self.events.key[self.main]
        leave = span.window.leave(self.events.event[self.main])
        first = self.rows.track.before(key, self.start)
        last = self.rows.track.before(key, leave)
        there = np.flatnonzero(first < last)
        place = np.concatenate([there, len(self.main) + span.extra])
        return place, np.concatenate([first[there], span.first]), np.concatenate([last[there], span.last])


def _counts_before(selected: Yes) -> Ints:
    """How many are selected before each place, and in all."""
    counts = np.zeros(len(selected) + 1, np.int64)
    np.cumsum(selected, out=counts[1:])
    return counts
