"""Sweeps of what depends on how often each value occurs: `top_k`, `mode`, `approx_percentile`, `histogram`.

A grid has a line per (key, value) and a cell per row of that key. Every event adds one to the cells of the rows at
which it counts: one up where it begins and one down where it ends, summed along the line. Only keys' own rows and
values meet, and grids too large are made piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnomon.core.aggregations.approx_percentile import ApproxPercentile, middle_of
from gnomon.core.aggregations.base import FLOATS
from gnomon.core.aggregations.frequent import Frequent, TopK
from gnomon.core.aggregations.histogram import Histogram
from gnomon.core.kernel.columns import Column, Ints, Values
from gnomon.core.kernel.entries import Span
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.ordered import listed
from gnomon.types import Decimal

__all__ = ["Cells", "cells_of", "frequent", "histogram", "percentile"]

MOST_CELLS = 1 << 23

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells that are not zero, in order of (row, value).

    Args:
        row: rows of the spine.
        value: the values, as small numbers.
        count: how often each occurs at the row.
    """

    row: Ints
    value: Ints
    count: Ints


def frequent(function: Frequent, lane: Lane) -> list[Values]:
    """The most frequent values of each row."""
    different_values, code = np.unique(lane.values.order, return_inverse=True)
    if isinstance(function, TopK):
        return [_ranking(function, lane, span, different_values, code) for span in lane.spans]
    return [_modes(lane, span, different_values, code) for span in lane.spans]


def _ranked(lane: Lane, span: Span, code: Ints, count: int) -> tuple[Ints, Ints]:
    """(row, value) of the most frequent values, most frequent first."""
    rows, values = [], []
    for cells in cells_of(lane, span, code):
        order = np.lexsort((cells.value, -cells.count, cells.row))
        row = cells.row[order]
        first = np.arange(len(row)) - np.searchsorted(row, row) < count
        rows.append(row[first])
        values.append(cells.value[order][first])
    nothing = np.empty(0, np.int64)
    return np.concatenate([nothing, *rows]), np.concatenate([nothing, *values])


def _modes(lane: Lane, span: Span, different_values: Ints, code: Ints) -> Values:
    row, value = _ranked(lane, span, code, 1)
    there = np.zeros(len(lane.rows), np.bool_)
    there[row] = True
    order = np.zeros(len(lane.rows), np.int64)
    order[row] = different_values[value]
    if len(different_values):
        order[~there] = different_values[0]
    return lane.values.of_order(order, there)


def _ranking(function: TopK, lane: Lane, span: Span, different_values: Ints, code: Ints) -> Values:
    row, value = _ranked(lane, span, code, function.k)
    an_event = np.zeros(len(different_values), np.int64)
    an_event[code] = np.arange(len(code))
    return listed(lane.values, an_event[value], np.bincount(row, minlength=len(lane.rows)))


def percentile(function: ApproxPercentile, lane: Lane) -> list[Values]:
    """The middles of the buckets in which the ranks fall."""
    buckets, code = np.unique(_buckets(_as_floats(lane.values), function.dropped), return_inverse=True)
    middles = np.array([middle_of(one, function.dropped) for one in buckets.tolist()], np.float64)
    return [_at_rank(function.q, lane, span, middles, code) for span in lane.spans]


def _at_rank(q: float, lane: Lane, span: Span, middles: Floats, code: Ints) -> Values:
    found, there = np.zeros(len(lane.rows)), np.zeros(len(lane.rows), np.bool_)
    for cells in cells_of(lane, span, code):
        row, begin = np.unique(cells.row, return_index=True)
        below = np.concatenate([[0], np.cumsum(cells.count)])
        total = below[np.append(begin[1:], len(cells.row))] - below[begin]
        rank = np.maximum(1, np.ceil(q * total)).astype(np.int64)
        place = np.searchsorted(below[1:], below[begin] + rank)
        found[row], there[row] = middles[cells.value[place]], True
    return Values(found, there)


def histogram(function: Histogram, lane: Lane) -> list[Values]:
    """Counts by bins."""
    code = _bins(function, lane.values)
    return [_counts(function, lane, span, code) for span in lane.spans]


def _counts(function: Histogram, lane: Lane, span: Span, code: Ints) -> Values:
    bins = len(function.edges) + 1
    table = np.zeros((len(lane.rows), bins), np.int64)
    for cells in cells_of(lane, span, code):
        table[cells.row, cells.value] = cells.count
    there = table.any(axis=1)
    offsets = np.zeros(len(table) + 1, np.int32)
    np.cumsum(there * bins, out=offsets[1:])
    flat = pa.array(table[there].ravel())
    return Values(pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(~there)))


def _bins(function: Histogram, values: Column) -> Ints:
    """Each value's bin."""
    if values.dtype in FLOATS:
        found = np.searchsorted(np.array(function.edges), values.numbers, side="right")
        return np.where(np.isnan(values.numbers), len(function.edges), found)
    if isinstance(values.dtype, Decimal):
        ranks, different_values = values.ranked
        zero = function.empty()
        table = [function.add(zero, (0, 0, one), values.dtype).index(1) for one in different_values.to_pylist()]
        return np.array(table, np.int64)[ranks] if table else ranks
    # A whole number is not below an edge if it is not below the edge's next whole number.
    edges = [-(-numerator // denominator) for numerator, denominator in map(float.as_integer_ratio, function.edges)]
    kept = [edge for edge in edges if -(2**63) <= edge < 2**63]
    below = sum(edge < -(2**63) for edge in edges)
    return below + np.searchsorted(np.array(kept, np.int64), values.numbers, side="right")


def _buckets(numbers: Floats, dropped: int) -> Ints:
    """As `bucket_of`, for arrays."""
    bucket = np.abs(numbers).view(np.int64) >> dropped
    return np.where(numbers < 0, -bucket, bucket)


def _as_floats(values: Column) -> Floats:
    if isinstance(values.dtype, Decimal):
        return np.array([float(one) for one in values.array.to_pylist()], np.float64)
    return values.numbers.astype(np.float64)


def cells_of(lane: Lane, span: Span, code: Ints) -> Iterator[Cells]:
    """The cells of a window's grid, piece by piece; every row is in one piece, with all its cells.

    Args:
        lane: the lane.
        span: the window's span.
        code: each event's value as a small number, of main events, then of extras.
    """
    place, first, last = lane.row_spans(span)
    kinds, key = int(code.max(initial=0)) + 1, lane.rows.key[first]
    lines = key * kinds + code[place]
    rows = np.diff(lane.rows.starts)
    per_key = np.bincount(np.unique(lines) // kinds, minlength=len(rows))
    for begin, end in _stretches(rows.tolist(), per_key.tolist()):
        inside = np.flatnonzero((first < end) & (last > begin))
        if len(inside):
            starts, ends = np.maximum(first[inside], begin), np.minimum(last[inside], end)
            yield _cells(starts - begin, ends - begin, code[place[inside]], lines[inside], end - begin, begin, lane)


def _stretches(rows: list[int], lines: list[int]) -> Iterator[tuple[int, int]]:
    """Stretches of rows whose grids are small enough: several keys', or a part of one's.

    Args:
        rows: how many rows each key has.
        lines: how many different values.
    """
    begin = at = cells = 0
    for count, line in zip(rows, lines, strict=True):
        own = count * max(line, 1)
        if cells + own > MOST_CELLS and at > begin:
            yield begin, at
            begin, cells = at, 0
        if own > MOST_CELLS:
            step = max(1, MOST_CELLS // max(line, 1))
            for start in range(at, at + count, step):
                yield start, min(start + step, at + count)
            begin = at + count
        else:
            cells += own
        at += count
    if at > begin:
        yield begin, at


def _cells(first: Ints, last: Ints, code: Ints, lines: Ints, rows: int, begin: int, lane: Lane) -> Cells:
    """The cells of one piece.

    Args:
        first: per event, its first row of the piece, counted from 0.
        last: the row after its last one.
        code: its value.
        lines: its (key, value).
        rows: how many rows the piece has.
        begin: the piece's first row.
        lane: the lane.
    """
    line, one, of_line = np.unique(lines, return_index=True, return_inverse=True)
    key = lane.rows.key[begin + first[one]]
    low = np.maximum(lane.rows.starts[key] - begin, 0)
    high = np.minimum(lane.rows.starts[key + 1] - begin, rows)
    offset = np.zeros(len(line) + 1, np.int64)
    np.cumsum(high - low + 1, out=offset[1:])  # a cell more, where what reaches the end comes down
    shift = offset[:-1] - low
    size = int(offset[-1])
    steps = np.bincount(first + shift[of_line], minlength=size) - np.bincount(last + shift[of_line], minlength=size)
    counts = np.cumsum(steps)
    there = np.flatnonzero(counts)
    which = np.searchsorted(offset, there, side="right") - 1
    row, value = there - shift[which], code[one[which]]
    order = np.lexsort((value, row))
    return Cells(begin + row[order], value[order], counts[there[order]])
