"""Reading an entity's ledger: the values of its features at an instant, exact at both ends of every window.

A window is a stretch of the head, perhaps the chunks at its two ends, and rows of the summary in between. What of it
has to be fetched besides head and summary is said first; then everything is there, and the values are made.

    reading = Reading(shape, [(job, window), …])
    look = reading.look(head, summary, instant)
    reading.values(look, {number: chunk for number in look.chunks})
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gnomon.core.aggregations import Function
from gnomon.core.ledger.answers import answer_of
from gnomon.core.ledger.heads import Head
from gnomon.core.ledger.layouts import is_numeric, is_placed, layout_of
from gnomon.core.ledger.records import Records
from gnomon.core.ledger.shape import Job, Lane, Shape
from gnomon.core.ledger.stretches import Stretch, Stretches
from gnomon.core.ledger.summary import Span, Summary
from gnomon.core.windows import Window

__all__ = ["Look", "Reading"]


@dataclass(slots=True)
class Seen:
    """What a window sees of a ledger.

    Args:
        old: the window's old end, µs.
        new: its new end.
        inner: the places of the first chunk that lies inside as a whole, and of the one after the last.
        edges: the places of chunks that lie inside in part.
    """

    old: int
    new: int
    inner: tuple[int, int]
    edges: tuple[int, ...]


@dataclass(slots=True)
class Look:
    """A first look at a ledger.

    Args:
        head: the head.
        summary: the summary.
        seen: what each window sees.
        places: the places of chunks needed, window by lane where some lanes need more than the edges.
        chunks: the numbers of all chunks needed.
    """

    head: Head
    summary: Summary
    seen: list[Seen]
    places: dict[tuple[int, Lane], tuple[int, ...]] = field(default_factory=dict)
    chunks: dict[int, int] = field(default_factory=dict)


class Reading:
    """How some features of a view are read; made once, used for many entities.

    Args:
        shape: what the records hold.
        asked: the features: (job, window).
    """

    def __init__(self, shape: Shape, asked: Sequence[tuple[Job, Window]]) -> None:
        self.shape, self._layout = shape, layout_of(shape)
        self.windows = tuple(dict.fromkeys(window for _, window in asked))
        groups: dict[tuple[int, Lane], list[tuple[int, Job]]] = {}
        for place, (job, window) in enumerate(asked):
            groups.setdefault((self.windows.index(window), shape.lane(job)), []).append((place, job))
        self._groups = [
            (number, lane, [(place, answer_of(shape, job)) for place, job in jobs], self._wants(lane, jobs))
            for (number, lane), jobs in groups.items()
        ]
        self._bounds = [window.bounds() for window in self.windows]
        self._count = len(asked)
        self.nothing = self.values(self.look(Head(Records(shape)), Summary(shape), 0), {})
        """The values of an entity that has no events."""

    def look(self, head: Head, summary: Summary, instant: int) -> Look:
        """See what the windows need at an instant, which is no earlier than the head's newest known time."""
        if not summary.count:
            return Look(head, summary, [Seen(*ends(instant), (0, 0), ()) for ends in self._bounds])
        look = Look(head, summary, [_seen(summary, *ends(instant)) for ends in self._bounds])
        for number, lane, _, wants in self._groups:
            places = look.seen[number].edges
            for want in wants:
                places += tuple(place for place in want(look, look.seen[number]) if place not in places)
            look.places[number, lane] = tuple(sorted(places))
        chunks = summary.chunks
        look.chunks = {chunks[place]: place for places in look.places.values() for place in places}
        return look

    def values(self, look: Look, chunks: Mapping[int, Records]) -> list[Any]:
        """The features' values in the order asked: None for null, `INVALID` where the exact one does not fit.

        Args:
            look: the first look.
            chunks: the chunks it needs, by number.
        """
        found: list[Any] = [None] * self._count
        records = look.head.records
        ends = [records.between(seen.old, seen.new) for seen in look.seen]
        tails: list[list[Stretch]] = [[(records, start, stop)] if start < stop else [] for start, stop in ends]
        alike: dict[tuple[int, tuple[int, ...]], tuple[list[Stretch], list[Span]]] = {}
        for number, lane, answers, _ in self._groups:
            some, rows = tails[number], list[Span]()
            if look.places:
                key = number, look.places[number, lane]
                if key not in alike:
                    alike[key] = self._between(look, chunks, *key)
                some, rows = alike[key]
                some = some + tails[number]
            stretches = Stretches(lane, some, look.summary, rows)
            for place, answer in answers:
                found[place] = answer(stretches)
        return found

    def _between(
        self, look: Look, chunks: Mapping[int, Records], number: int, places: Sequence[int]
    ) -> tuple[list[Stretch], list[Span]]:
        """What a window sees of the chunks at some places; and of which others rows are enough."""
        seen, numbers = look.seen[number], look.summary.chunks
        some = [(chunks[numbers[place]], *chunks[numbers[place]].between(seen.old, seen.new)) for place in places]
        return some, [look.summary.span(one) for one in _gaps(seen.inner, places)]

    def _wants(self, lane: Lane, jobs: Sequence[tuple[int, Job]]) -> list[Callable[[Look, Seen], Iterable[int]]]:
        """What chunks jobs need besides those at a window's ends."""
        wants: list[Callable[[Look, Seen], Iterable[int]]] = []
        if any(is_numeric(self.shape, job) for _, job in jobs):
            wide = self._layout.wide(lane)
            wants.append(lambda look, seen: _marked(look.summary.column(wide), *seen.inner))
        counts = self._layout.count(lane)
        for _, job in jobs:
            if is_placed(job.function):
                wants.append(_FirstOrLast(job.function, lane, counts))
        return wants


def _seen(summary: Summary, old: int, new: int) -> Seen:
    start, stop = summary.overlapping(old, new)
    if start >= stop:
        return Seen(old, new, (0, 0), ())
    first, last = start, stop
    edges: tuple[int, ...] = ()
    if summary.firsts[first] < old:
        edges, first = (first,), first + 1
    if first < last and summary.lasts[last - 1] >= new:
        edges, last = (*edges, last - 1), last - 1
    return Seen(old, new, (first, max(first, last)), edges)


def _gaps(inner: tuple[int, int], without: Sequence[int]) -> list[range]:
    """The places from one to before another, as ranges, without some."""
    found, start = [], inner[0]
    for place in without:
        if inner[0] <= place < inner[1]:
            found.append(range(start, place))
            start = place + 1
    return [one for one in [*found, range(start, inner[1])] if one]


def _marked(column: memoryview, start: int, stop: int) -> list[int]:
    marks = column[start:stop].tolist()
    return [start + place for place, mark in enumerate(marks) if mark] if 1 in marks else []


class _FirstOrLast:
    """The inner chunks that hold the first, or the last, few events of a lane, and all that tie with them in time."""

    def __init__(self, function: Function, lane: Lane, counts: int) -> None:
        self._most, self._lane, self._counts = getattr(function, "n", 1), lane, counts
        self._first = function.name.startswith("first")

    def __call__(self, look: Look, seen: Seen) -> list[int]:
        summary, inner = look.summary, range(*seen.inner)
        counts, left = summary.column(self._counts), self._most
        found: list[int] = []
        if self._first:
            for place in inner:
                if left <= 0 and summary.firsts[place] > summary.lasts[place - 1]:
                    break
                found.append(place)
                left -= counts[place]
            return found
        start, stop = look.head.records.between(seen.old, seen.new)
        left -= look.head.records.count(self._lane, start, stop)
        earliest = look.head.records.events[start] if start < stop else None
        for place in reversed(inner):
            if left <= 0 and summary.lasts[place] != earliest:
                break
            found.append(place)
            left -= counts[place]
            earliest = summary.firsts[place]
        return found
