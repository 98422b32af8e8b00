"""Sweeps of `first`, `last`, `first_n`, `last_n` and `last_distinct_n`.

All events of a lane are ranked by (event time, known time, value). The main ones lie in that order already, but for
ties; so the first of a row is at its left end and the last at its right end. Extras bring ranks of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from gnomon.core.aggregations.ordered import Last, LastDistinctN, LastN, Ordered, Several
from gnomon.core.kernel.columns import Column, Ints, Values, Yes
from gnomon.core.kernel.entries import Span
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.orders import with_neighbours
from gnomon.core.kernel.pushdown import NONE, least_of_each, least_over_rows, lists_over_rows
from gnomon.types import Float32, Float64

__all__ = ["ordered"]

ROWS_AT_ONCE = 1 << 16


def ordered(function: Ordered, lane: Lane) -> list[Values]:
    """The values, or lists of values, in order."""
    ranks = lane.shared("ranks", lambda: _ranks(lane))
    if isinstance(function, LastDistinctN):
        return [_lists(function, lane, span, ranks, _latest_distinct(lane, ranks)) for span in lane.spans]
    if isinstance(function, Several):
        return [_lists(function, lane, span, ranks, None) for span in lane.spans]
    latest = isinstance(function, Last)
    return [_single(lane, span, ranks, latest=latest) for span in lane.spans]


class Ranks:
    """The order of a lane's events.

    Args:
        rank: of each event, main ones then extras, its rank; of those by place, ties settled.
        event: of each rank, the place of its event among main ones and extras.
    """

    def __init__(self, rank: Ints, event: Ints) -> None:
        self.rank, self.event = rank, event


def _ranks(lane: Lane) -> Ranks:
    """Rank events by (key, event time, known time, value): by place in the part, but for ties."""
    places = lane.places
    order = np.argsort(places, kind="stable")
    events = lane.events
    sorted_places = places[order]
    key, event, known = events.key[sorted_places], events.event[sorted_places], events.known[sorted_places]
    tied = (key[1:] == key[:-1]) & (event[1:] == event[:-1]) & (known[1:] == known[:-1])
    if tied.any():
        which = np.flatnonzero(with_neighbours(tied))
        group = np.cumsum(~np.concatenate([[False], tied]))[which]
        values = lane.values.take(order[which]).order
        order[which] = order[which][np.lexsort((values, group))]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return Ranks(rank, order)


def _main_ranks(lane: Lane, ranks: Ranks) -> Ints:
    """Ranks of the main events, going up: what stands at each place between a row's ends, ties settled."""
    return lane.shared("main ranks", lambda: np.sort(ranks.rank[: len(lane.main)]))


def _single(lane: Lane, span: Span, ranks: Ranks, *, latest: bool) -> Values:
    main = _main_ranks(lane, ranks)
    there = span.right > span.left
    best = np.full(len(lane.rows), NONE)
    ends = (span.right - 1 if latest else span.left)[there]
    best[there] = -main[ends] if latest else main[ends]
    if len(span.extra):
        extra = ranks.rank[len(lane.main) + span.extra]
        best = np.minimum(best, least_over_rows(span.first, span.last, -extra if latest else extra, len(lane.rows)))
    there = best != NONE
    return taken(
        lane.values, ranks.event[np.where(there, -best if latest else best, 0)] if len(ranks.event) else best, there
    )


def _lists(
    function: Several, lane: Lane, span: Span, ranks: Ranks, latest_distinct: Callable[[Ints, Ints, int], Ints] | None
) -> Values:
    """The list of each row; the best come first in a table of ranks, the latest as the least of −rank."""
    late = isinstance(function, (LastN, LastDistinctN))
    parts = []
    for begin in range(0, max(len(lane.rows), 1), ROWS_AT_ONCE):
        rows = slice(begin, begin + ROWS_AT_ONCE)
        left, right = span.left[rows], span.right[rows]
        if latest_distinct is not None:
            parts.append(latest_distinct(left, right, function.n))
        else:
            parts.append(_neighbours(_main_ranks(lane, ranks), left, right, function.n, late=late))
    best = np.concatenate(parts)
    if len(span.extra):
        best = _with_extras(function, lane, span, ranks, best, late=late)
    there = best != NONE
    sizes = there.sum(axis=1)
    if late:
        best, there = -best[:, ::-1], there[:, ::-1]
    events = ranks.event[best[there]]
    return listed(lane.values, events, sizes)


def _neighbours(main: Ints, left: Ints, right: Ints, count: int, *, late: bool) -> Ints:
    """The first, or last, ranks between the ends of each row; the last negative, latest first."""
    steps = np.arange(count)
    places = right[:, None] - 1 - steps if late else left[:, None] + steps
    there = (places >= left[:, None]) & (places < right[:, None])
    found = main[np.where(there, places, 0)] if len(main) else places
    return np.where(there, -found if late else found, NONE)


def _with_extras(function: Several, lane: Lane, span: Span, ranks: Ranks, best: Ints, *, late: bool) -> Ints:
    """The best of main events and extras together."""
    rank = ranks.rank[len(lane.main) + span.extra]
    value = -rank if late else rank
    same = None
    if isinstance(function, LastDistinctN):
        same = lane.values.order[len(lane.main) + span.extra]
    more, kinds = lists_over_rows(span.first, span.last, value, same, len(lane.rows), function.n)
    both = np.concatenate([best, more], axis=1)
    if same is None:
        return least_of_each(both, None, function.n)[0]
    order = lane.values.order
    own = np.where(best == NONE, NONE, order[ranks.event[np.where(best == NONE, 0, -best)]])
    # The order of a value may be NONE, too: it is there all the same, for of those alike what is there comes first.
    return least_of_each(both, np.concatenate([own, kinds], axis=1), function.n)[0]


def _latest_distinct(lane: Lane, ranks: Ranks) -> Callable[[Ints, Ints, int], Ints]:
    """A function of a row's ends: the last different values before the right end, as −rank, the latest first."""
    return lane.shared("latest distinct", lambda: LatestDistinct(lane, ranks))


class LatestDistinct:
    """Looks for the latest different values between two places.

    An event is the last of its value before a place if the next event of that value is not before it. So from the right
    end on, the nearest event to the left whose next one lies beyond that end is looked for, by a table of the greatest
    such place of 1, 2, 4, … neighbours.
    """

    def __init__(self, lane: Lane, ranks: Ranks) -> None:
        self._main = _main_ranks(lane, ranks)
        in_order = ranks.event[self._main]
        order, key = lane.values.order[in_order], lane.events.key[lane.main]  # ties lie within a key
        following = np.full(len(order), len(order))
        sort = np.lexsort((np.arange(len(order)), order, key))
        same = (order[sort[1:]] == order[sort[:-1]]) & (key[sort[1:]] == key[sort[:-1]])
        following[sort[:-1][same]] = sort[1:][same]
        self._tables = [following]
        while 2 << len(self._tables) - 1 <= len(following):
            step, last = 1 << len(self._tables) - 1, self._tables[-1]
            self._tables.append(np.maximum(last[:-step], last[step:]))

    def __call__(self, left: Ints, right: Ints, count: int) -> Ints:
        """−rank of the last `count` different values before each right end, `NONE` where there are fewer."""
        found = np.full((len(left), count), NONE)
        rows, at = np.arange(len(left)), right
        for place in range(count):
            at = self._stepped_back(at, left[rows], right[rows])
            on = at > left[rows]
            rows, at = rows[on], at[on] - 1
            if not len(rows):
                break
            found[rows, place] = -self._main[at]
        return found

    def _stepped_back(self, at: Ints, left: Ints, right: Ints) -> Ints:
        """The greatest place up to each `at` before which an event stands whose next one lies beyond the right end."""
        for level in range(len(self._tables) - 1, -1, -1):
            step, table = 1 << level, self._tables[level]
            over: Yes = at - step >= left
            over[over] = table[at[over] - step] < right[over]
            at = np.where(over, at - step, at)
        return at


def taken(values: Column, places: Ints, there: Yes) -> Values:
    """The values at some places, in their one form, null where they are not there."""
    if values.dtype in (Float32, Float64):
        numbers = values.numbers.astype(np.float32) if values.dtype == Float32 else values.numbers
        return Values(
            numbers[np.where(there, places, 0)] if len(numbers) else np.zeros(len(places), numbers.dtype), there
        )
    index = pa.array(np.where(there, places, 0), pa.int64(), mask=~there)
    return Values(values.array.take(index) if len(values) else pa.nulls(len(places), values.array.type))


def listed(values: Column, places: Ints, sizes: Ints) -> Values:
    """Lists of values; of a row of size 0, null."""
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    inner = taken(values, places, np.ones(len(places), np.bool_))
    flat = inner.data if isinstance(inner.data, pa.Array) else pa.array(inner.data)
    return Values(pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(sizes == 0)))
