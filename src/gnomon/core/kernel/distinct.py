"""Sweeps of `count_distinct` and `approx_count_distinct`.

Occurrences of a value follow each other in time. Where one leaves the window before the next one enters, the chain of
occurrences breaks; so a value counts from the beginning of a chain to its end, and the number of values inside is the
number of chains begun less that of chains ended: two running counts, whatever the window. Values with extras among
their occurrences are taken out, and the rows at which they count are put together from intervals.

HyperLogLog needs how many registers hold at least r, for each r; and a register does so while an event inside brings
it r or more. That is the number of different registers among those events, so it is counted as values are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnomon.core.aggregations.approx_distinct import ApproxCountDistinct, estimate, hash_of
from gnomon.core.aggregations.base import FLOATS, Function
from gnomon.core.kernel.columns import WHOLE, Column, Ints, Values, Yes
from gnomon.core.kernel.entries import Span
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.orders import order_of

__all__ = ["approximately", "different", "distinct"]

Words = npt.NDArray[np.uint64]


def distinct(function: Function, lane: Lane) -> list[Values]:
    """How many different values, exactly."""
    return [Values(counts) for counts in different(lane, lane.values.order)]


def different(lane: Lane, value: Ints) -> list[Ints]:
    """Per window, how many different values there are at each row.

    Args:
        lane: the lane.
        value: a number for each main event, then for each extra.
    """
    main = len(lane.main)
    key = lane.events.key[lane.places]
    _, group = np.unique(value, return_inverse=True)
    group = key * (int(group.max(initial=0)) + 1) + group
    chain = order_of(group[:main], np.arange(main))
    ordered = group[chain]
    event, start = lane.events.event[lane.main][chain], lane.start[chain]
    return [_over(lane, span, group, chain, ordered, event, start) for span in lane.spans]


def _over(lane: Lane, span: Span, group: Ints, chain: Ints, ordered: Ints, event: Ints, start: Ints) -> Ints:
    main = len(lane.main)
    leave = span.window.leave(event)
    broken = (ordered[1:] != ordered[:-1]) | (leave[:-1] <= start[1:])
    begins, ends = np.ones(main, np.bool_), np.ones(main, np.bool_)
    begins[1:] = broken
    ends[:-1] = broken
    added: Ints | int = 0
    if len(span.extra):
        touched = np.isin(ordered, group[main + span.extra])
        begins &= ~touched
        ends &= ~touched
        added = _united(lane, span, group, chain[touched], ordered[touched], leave[touched], start[touched])
    begun, ended = np.zeros(main + 1, np.int64), np.zeros(main + 1, np.int64)
    begun[chain + 1] = begins
    ended[chain + 1] = ends
    np.cumsum(begun, out=begun)
    np.cumsum(ended, out=ended)
    return begun[span.right] - ended[span.left] + added


def _united(lane: Lane, span: Span, group: Ints, chain: Ints, of_main: Ints, leave: Ints, start: Ints) -> Ints:
    """Per row, how many of some groups count: those of main events given, and of all extras."""
    main, rows = len(lane.main), lane.rows
    key = lane.events.key[lane.main[chain]]
    first = np.concatenate([rows.track.before(key, start), span.first])
    last = np.concatenate([rows.track.before(key, leave), span.last])
    which = np.concatenate([of_main, group[main + span.extra]])
    there = first < last
    first, last, which = first[there], last[there], which[there]
    order = np.lexsort((first, which))
    first, last, which = first[order], last[order], which[order]
    _, dense = np.unique(which, return_inverse=True)
    wide = len(rows) + 1
    reached = np.maximum.accumulate(dense * wide + last) - dense * wide  # each group is its own: it packs greater
    begins = np.ones(len(first), np.bool_)
    begins[1:] = (which[1:] != which[:-1]) | (first[1:] > reached[:-1])
    ends = np.ones(len(first), np.bool_)
    ends[:-1] = begins[1:]
    steps = np.bincount(first[begins], minlength=wide) - np.bincount(reached[ends], minlength=wide)
    return np.cumsum(steps[: len(rows)])


def approximately(function: ApproxCountDistinct, lane: Lane) -> list[Values]:
    """How many different values, by HyperLogLog."""
    hashed = lane.shared("hashes", lambda: _hashes(lane.values))
    register = (hashed >> np.uint64(64 - function.precision)).astype(np.int64)
    brings = _runs(hashed << np.uint64(function.precision), 64 - function.precision)
    most = 65 - function.precision
    at_least = [np.zeros((most + 2, len(lane.rows)), np.int64) for _ in lane.spans]
    for level in range(1, int(brings.max(initial=0)) + 1):
        high: Yes = brings >= level
        part = lane.parted(high[: len(lane.main)], high[len(lane.main) :])
        for found, counts in zip(at_least, different(part, register[high]), strict=True):
            found[level] = counts
    size = 1 << function.precision
    made = []
    for found in at_least:
        found[0] = size
        counts = found[:-1] - found[1:]
        made.append(Values(np.rint(estimate(counts, function.precision)).astype(np.int64)))
    return made


def _runs(rest: Words, bits: int) -> Ints:
    """Leading zeros of words of which only so many bits count, plus one."""
    high, low = (rest >> np.uint64(32)).astype(np.float64), (rest & np.uint64(0xFFFFFFFF)).astype(np.float64)
    length = np.where(high > 0, np.frexp(high)[1] + 32, np.frexp(low)[1])
    found: Ints = np.minimum(64 - length, bits) + 1
    return found


def _hashes(values: Column) -> Words:
    if values.dtype in WHOLE or values.dtype in FLOATS:
        return _mixed(values.numbers.view(np.uint64))
    ranks, different_values = values.ranked
    table = np.array([hash_of(one, values.dtype) for one in different_values.to_pylist()], np.uint64)
    found: Words = table[ranks] if len(table) else table
    return found


def _mixed(word: Words) -> Words:
    """As `gnomon.core.aggregations.approx_distinct.mixed`, for arrays, which wrap by themselves."""
    word = word + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ word >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ word >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return word ^ word >> np.uint64(31)
