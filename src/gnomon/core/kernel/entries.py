"""Which events are inside at each row of the spine: most by two searches, the others by an interval of rows each.

Events lie in order of (key, event time, known time), rows of the spine in order of (key, instant). With hindsight, the
events inside at a row are those between two places: old end ≤ event time < new end.

Without hindsight an event counts from v = max(known, enter) on. Let m be the least v of it and all later events of its
key: m goes up, so "m ≤ T" is again a place. It is right for every event with v = m, and for those for which no row asks
between m and v. These are the *main* events. The others, late ones as a rule, and those superseded later, are the
*extras*: each counts at an interval of rows, found by two searches of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gnomon.core.kernel.columns import Ints, Yes
from gnomon.core.kernel.tracks import Track
from gnomon.core.windows import FOREVER, Window

__all__ = ["Entry", "Events", "Rows", "Span", "entered"]


@dataclass(frozen=True, slots=True)
class Events:
    """Events in order of (key, event time, known time).

    Args:
        key: from 0 to `keys` − 1.
        event: event times.
        known: known times.
        until: when a later version of it is known; `FOREVER` where there is none, None where that is so for all.
        keys: how many keys there are.
    """

    key: Ints
    event: Ints
    known: Ints
    until: Ints | None
    keys: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the spine in order of (key, instant).

    Args:
        key: from 0 to the number of keys − 1.
        at: instants.
        track: both, packed.
        starts: for each key the place of its first row, and at the end the number of rows.
    """

    key: Ints
    at: Ints
    track: Track
    starts: Ints

    @classmethod
    def of(cls, key: Ints, at: Ints, keys: int) -> Rows:
        """From keys and instants in order."""
        return cls(key, at, Track.of(key, at, keys), np.searchsorted(key, np.arange(keys + 1)))

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True, slots=True)
class Span:
    """The events inside one window at each row.

    Args:
        window: the window.
        left: per row, the place of the first main event inside.
        right: per row, the place after the last main event inside; never less than `left`.
        extra: places among the extras of those that count at some row.
        first: for each of those, the first row at which it counts.
        last: for each of those, the row after the last one.
    """

    window: Window
    left: Ints
    right: Ints
    extra: Ints
    first: Ints
    last: Ints


@dataclass(frozen=True, eq=False)
class Entry:
    """The events and rows of one part, seen by windows that events enter alike.

    Args:
        events: all events.
        rows: the spine.
        main: places of the main events among all; None where all are.
        extra: places of the extras.
        start: for each main event, the instant from which it counts at the rows there are: it goes up within a key.
        extra_start: the same of the extras, in no order.
        spans: per window.
    """

    events: Events
    rows: Rows
    main: Ints | None
    extra: Ints
    start: Ints
    extra_start: Ints
    spans: tuple[Span, ...]

    @cached_property
    def main_places(self) -> Ints:
        """Places of the main events among all."""
        return np.arange(len(self.events.key)) if self.main is None else self.main


def entered(events: Events, rows: Rows, windows: Sequence[Window], *, hindsight: bool) -> Entry:
    """Main events, extras and spans for windows that have one `entry`.

    Args:
        events: all events.
        rows: the spine.
        windows: the windows.
        hindsight: whether all events count as known, all along.
    """
    entry = windows[0].entry
    enter = entry.enter(events.event)
    if hindsight:
        main, extra, start = None, np.empty(0, np.int64), enter
        extra_start = extra
    else:
        usable = np.maximum(events.known, enter)
        least = _least_to_come(events.key, usable, events.keys)
        is_extra = _is_extra(events, rows, usable, least)
        extra = np.flatnonzero(is_extra)
        main = np.flatnonzero(~is_extra) if len(extra) else None
        start = least if main is None else least[main]
        extra_start = usable[extra]
    key, event = (events.key, events.event) if main is None else (events.key[main], events.event[main])
    by_event = Track.of(key, event, events.keys)
    if hindsight:
        right = by_event.before(rows.key, entry.ends(rows.at)[1])
    else:
        right = Track.of(key, start, events.keys).before(rows.key, rows.at + 1)
    starts = np.searchsorted(key, np.arange(events.keys + 1))
    spans = tuple(_span(window, events, rows, by_event, starts, right, extra, extra_start) for window in windows)
    return Entry(events, rows, main, extra, start, extra_start, spans)


def _span(
    window: Window,
    events: Events,
    rows: Rows,
    by_event: Track,
    starts: Ints,
    right: Ints,
    extra: Ints,
    extra_start: Ints,
) -> Span:
    lifetime = window.width is None
    left = starts[rows.key] if lifetime else by_event.before(rows.key, window.ends(rows.at)[0])
    right = np.maximum(left, right)
    if not len(extra):
        return Span(window, left, right, extra, extra, extra)
    leave = window.leave(events.event[extra])
    if events.until is not None:
        leave = np.minimum(leave, events.until[extra])
    key = events.key[extra]
    first, last = rows.track.before(key, extra_start), rows.track.before(key, leave)
    there = np.flatnonzero(first < last)
    return Span(window, left, right, there, first[there], last[there])


def _least_to_come(key: Ints, usable: Ints, keys: int) -> Ints:
    """For each event the least `usable` of it and all later events of its key."""
    scale = Track.scale(usable, keys)
    packed = scale.pack(key, usable)
    least = np.minimum.accumulate(packed[::-1])[::-1]  # greater keys pack to greater numbers: each key is its own
    if scale.ranks is not None:
        return scale.ranks[least - key * scale.span]
    return least - key * scale.span + scale.base


def _is_extra(events: Events, rows: Rows, usable: Ints, least: Ints) -> Yes:
    """Whether some row asks while the event is not yet usable, though a later one is; or the event is superseded."""
    found = np.zeros(len(usable), np.bool_)
    late = np.flatnonzero(usable > least)
    if len(late):
        key = events.key[late]
        found[late] = rows.track.before(key, usable[late]) > rows.track.before(key, least[late])
    if events.until is not None:
        found |= events.until < FOREVER
    return found
