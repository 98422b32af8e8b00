"""Sweeps of `min` and `max`: by a table of the least of 1, 2, 4, … neighbours, of which two cover any stretch."""

from __future__ import annotations

import numpy as np

from gnomon.core.aggregations.base import FLOATS
from gnomon.core.aggregations.extremes import Extreme, Max
from gnomon.core.kernel.columns import Column, Ints, Values, float_order
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.pushdown import NONE, least_over_rows

__all__ = ["extreme", "least_of_stretches"]

NAN = float_order(np.array([np.nan]))[0]
LEAST = np.int64(-(2**63) + 1)
"""Less than any float's order: where `max` has NaN, that it loses to all."""


def extreme(function: Extreme, lane: Lane) -> list[Values]:
    """The least values, or the greatest."""
    values, is_max = lane.values, isinstance(function, Max)
    order = _turned(values) if is_max else values.order
    main, extra = order[: len(lane.main)], order[len(lane.main) :]
    stretches = [(span.left, span.right) for span in lane.spans]
    found = []
    for span, best, count in zip(lane.spans, least_of_stretches(main, stretches), lane.counts, strict=True):
        if len(span.extra):
            best = np.minimum(best, least_over_rows(span.first, span.last, extra[span.extra], len(lane.rows)))
        there = count > 0
        best = np.where(there, best, main[0] if len(main) else 0)
        found.append(values.of_order(_back(best, values) if is_max else best, there))
    return found


def _turned(values: Column) -> Ints:
    """An order in which the greatest comes first, NaN last."""
    order = values.order
    if values.dtype in FLOATS:
        order = np.where(order == NAN, LEAST, order)
    return ~order


def _back(turned: Ints, values: Column) -> Ints:
    order = ~turned
    return np.where(order == LEAST, NAN, order) if values.dtype in FLOATS else order


def least_of_stretches(order: Ints, stretches: list[tuple[Ints, Ints]]) -> list[Ints]:
    """For each (left, right), per row the least of order[left:right]; `NONE` where that is empty."""
    found = [np.full(len(left), NONE) for left, _ in stretches]
    lengths = [right - left for left, right in stretches]
    levels = [np.where(length > 0, np.frexp(length.astype(np.float64))[1] - 1, -1) for length in lengths]
    table, level = order, 0
    most = max((int(one.max(initial=-1)) for one in levels), default=-1)
    while level <= most:
        step = 1 << level
        for place, (left, right) in enumerate(stretches):
            rows = np.flatnonzero(levels[place] == level)
            if len(rows):
                found[place][rows] = np.minimum(table[left[rows]], table[right[rows] - step])
        level += 1
        if level <= most:
            table = np.minimum(table[:-step], table[step:])
    return found
