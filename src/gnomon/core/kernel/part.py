"""One part of a question: the events of some keys, and the rows of the spine that ask about them.

Versions are settled, events and rows sorted; then each aggregation sweeps the lane of what it selects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gnomon.core.aggregations import Function
from gnomon.core.kernel.columns import Column, Ints, Values, Yes
from gnomon.core.kernel.entries import Entry, Events, Rows, entered
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.orders import with_neighbours
from gnomon.core.kernel.sweeps import sweep
from gnomon.core.kernel.tracks import Track
from gnomon.core.kernel.versions import superseded_at
from gnomon.core.windows import FOREVER, Window

__all__ = ["Given", "Inputs", "Job", "answer", "ranks_with_nulls"]

AsKnown = Literal["now", "then"] | int


@dataclass(frozen=True, slots=True)
class Inputs:
    """One column of events.

    Args:
        values: those that are there.
        at: for each event the place of its value among them; None where all events have one.
        there: which events have one; None where all do.
    """

    values: Column
    at: Ints | None = None
    there: Yes | None = None

    def found(self, places: Ints) -> tuple[Yes, Ints]:
        """Which of the events at some places have a value, and the places of those values."""
        if self.at is None or self.there is None:
            return np.ones(len(places), np.bool_), places
        there = self.there[places]
        return there, self.at[places[there]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Events in any order.

    Args:
        key: the key of each, from 0 to `keys` − 1.
        event: event times.
        known: known times.
        columns: what aggregations look at, by name.
        selected: for each condition whether it is true of each event.
        ids: the events' ids, where the source has them.
        deleted: whether each is a deletion.
        ties: names of the columns that settle ties between versions, the most significant first.
    """

    key: Ints
    event: Ints
    known: Ints
    columns: Mapping[str, Inputs]
    selected: Mapping[str, Yes]
    ids: Inputs | None = None
    deleted: Yes | None = None
    ties: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One aggregation.

    Args:
        function: what is computed.
        column: of which column; empty for the events themselves.
        where: the condition; empty for all events.
        windows: over which windows.
    """

    function: Function
    column: str
    where: str
    windows: tuple[Window, ...]


def answer(given: Given, key: Ints, at: Ints, keys: int, jobs: Sequence[Job], as_known: AsKnown) -> Iterator[Values]:
    """For each job, and for each of its windows, the values at each row of the spine.

    Args:
        given: the events.
        key: per row its key, from 0 to `keys` − 1, going up.
        at: per row its instant, going up within a key.
        keys: how many keys there are.
        jobs: what is asked.
        as_known: how much hindsight is allowed.

    Yields:
        Job by job, window by window.
    """
    rows = Rows.of(key, at, keys)
    places, until = _visible(given, as_known, at)
    places = places[_in_order(given, places, keys)]
    events = Events(
        given.key[places],
        given.event[places],
        given.known[places],
        None if until is None else until[places],
        keys,
    )
    sight = Sight(given, places, events, rows, hindsight=as_known != "then")
    sight.enter({window for job in jobs for window in job.windows})
    for job in jobs:
        yield from sight.answers(job)


class Sight:
    """The events of a part as they are seen: entries by window, lanes by condition and column, each made once."""

    def __init__(self, given: Given, places: Ints, events: Events, rows: Rows, *, hindsight: bool) -> None:
        self._given, self._places, self._events, self._rows = given, places, events, rows
        self._hindsight = hindsight
        self._entries: dict[Window, Entry] = {}
        self._lanes: dict[tuple[Window, str, str], Lane] = {}
        self._columns: dict[str, Inputs] = {}

    def enter(self, windows: set[Window]) -> None:
        """Look at the events through these windows."""
        by_entry: dict[Window, list[Window]] = {}
        for window in sorted(windows, key=repr):
            by_entry.setdefault(window.entry, []).append(window)
        for entry, group in by_entry.items():
            self._entries[entry] = entered(self._events, self._rows, group, hindsight=self._hindsight)

    def answers(self, job: Job) -> list[Values]:
        """A job's values, one answer per window."""
        found: dict[Window, Values] = {}
        for entry in dict.fromkeys(window.entry for window in job.windows):
            lane = self._lane(entry, job.where, job.column)
            wanted = [span for span in lane.spans if span.window in job.windows]
            narrow = lane.through(wanted)
            for span, values in zip(wanted, sweep(job.function, narrow), strict=True):
                found[span.window] = values
        return [found[window] for window in job.windows]

    def _lane(self, entry: Window, where: str, column: str) -> Lane:
        if (entry, where, column) not in self._lanes:
            self._lanes[entry, where, column] = self._made(entry, where, column)
        return self._lanes[entry, where, column]

    def _made(self, entry: Window, where: str, column: str) -> Lane:
        selected = self._given.selected[where][self._places] if where else None
        lane = Lane.of(self._entries[entry])
        if not column:
            return lane.only(selected)
        inputs = self._inputs(column)
        if inputs.there is not None:
            selected = inputs.there if selected is None else selected & inputs.there
        return lane.only(selected, inputs.values, inputs.at)

    def _inputs(self, column: str) -> Inputs:
        """A column in the order of the events."""
        if column not in self._columns:
            self._columns[column] = _in_places(self._given.columns[column], self._places)
        return self._columns[column]


def _in_places(inputs: Inputs, places: Ints) -> Inputs:
    """A column as it is for the events at some places."""
    if inputs.at is None:
        return Inputs(inputs.values.take(places))
    there, at = inputs.found(places)
    return Inputs(inputs.values.take(at), np.cumsum(there) - 1, there)


def _visible(given: Given, as_known: AsKnown, at: Ints) -> tuple[Ints, Ints | None]:
    """Places of the events that count at some time, and until when each does; None where all do for ever."""
    limit = as_known if isinstance(as_known, int) else int(at.max(initial=-FOREVER)) if as_known == "then" else None
    known = np.ones(len(given.key), np.bool_) if limit is None else given.known <= limit
    if given.ids is None:
        return np.flatnonzero(known), None
    places = np.flatnonzero(known)
    there, at_id = given.ids.found(places)
    ids = np.zeros(len(places), np.int64)
    ids[there] = given.ids.values.order[at_id]
    until = superseded_at(
        given.key[places],
        given.event[places],
        given.known[places],
        ids,
        there,
        lambda tied: _ties(given, places[tied]),
    )
    counts = until > given.known[places]
    if as_known != "then":
        counts &= until == FOREVER
    if given.deleted is not None:
        counts &= ~given.deleted[places]
    everywhere = np.full(len(given.key), FOREVER)
    everywhere[places] = until
    kept = places[counts]
    return kept, everywhere if (everywhere[kept] < FOREVER).any() else None


def _ties(given: Given, places: Ints) -> list[Ints]:
    """What settles which of some versions holds, when their times do not: a delete does, then the greater columns."""
    deleted = [] if given.deleted is None else [given.deleted[places].astype(np.int64)]
    return deleted + [ranks_with_nulls(given.columns[name], places) for name in given.ties]


def ranks_with_nulls(inputs: Inputs, places: Ints) -> Ints:
    """Numbers that compare as the values of events do, nulls least."""
    there, at = inputs.found(places)
    ranks = np.zeros(len(places), np.int64)
    ranks[there] = np.unique(inputs.values.order[at], return_inverse=True)[1] + 1
    return ranks


def _in_order(given: Given, places: Ints, keys: int) -> Ints:
    """The order of (key, event time, known time)."""
    key, event = given.key[places], given.event[places]
    packed = Track.scale(event, keys).pack(key, event)
    order = np.argsort(packed)
    ordered = packed[order]
    tied = ordered[1:] == ordered[:-1]
    if tied.any():
        which = np.flatnonzero(with_neighbours(tied))
        order[which] = order[which][np.lexsort((given.known[places][order[which]], ordered[which]))]
    return order
