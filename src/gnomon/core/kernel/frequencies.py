"""Sweeps of what hangs on how often each value counts: `top_k`, `mode`, `approx_percentile`, `histogram`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnomon.core.aggregations.approx_percentile import ApproxPercentile, middle_of
from gnomon.core.aggregations.base import FLOATS
from gnomon.core.aggregations.frequent import Frequent, TopK
from gnomon.core.aggregations.histogram import Histogram
from gnomon.core.kernel.columns import Column, Floats, Ints, Values
from gnomon.core.kernel.entries import Span
from gnomon.core.kernel.grid import Block, Cells, Grid
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.ordered import listed
from gnomon.core.kernel.orders import order_of
from gnomon.types import Decimal

__all__ = ["frequent", "histogram", "percentile"]

FEW = 16
"""So many of the most frequent values are looked for one by one; more are found by sorting."""


def frequent(function: Frequent, lane: Lane) -> list[Values]:
    """The most frequent values of each row."""
    different_values, code = np.unique(lane.values.order, return_inverse=True)
    if isinstance(function, TopK):
        return [_ranking(function, lane, span, different_values, code) for span in lane.spans]
    return [_modes(lane, span, different_values, code) for span in lane.spans]


def _modes(lane: Lane, span: Span, different_values: Ints, code: Ints) -> Values:
    row, value = _most_frequent(lane, span, code, 1)
    there = np.zeros(len(lane.rows), np.bool_)
    there[row] = True
    order = np.zeros(len(lane.rows), np.int64)
    order[row] = different_values[value]
    if len(different_values):
        order[~there] = different_values[0]
    return lane.values.of_order(order, there)


def _ranking(function: TopK, lane: Lane, span: Span, different_values: Ints, code: Ints) -> Values:
    row, value = _most_frequent(lane, span, code, function.k)
    an_event = np.zeros(len(different_values), np.int64)
    an_event[code] = np.arange(len(code))
    return listed(lane.values, an_event[value], np.bincount(row, minlength=len(lane.rows)))


def _most_frequent(lane: Lane, span: Span, code: Ints, count: int) -> tuple[Ints, Ints]:
    """(row, value) of the most frequent values, in order of rows, most frequent first."""
    grid = Grid(lane, span, code)
    found = [_first_cells(cells, count) for cells in grid.small()]
    found += [_first_columns(block, count) for block in grid.large()]
    nothing = np.empty(0, np.int64)
    row, value, rank = (np.concatenate([nothing, *(one[place] for one in found)]) for place in range(3))
    order = order_of(row, rank)
    return row[order], value[order]


def _first_cells(cells: Cells, count: int) -> tuple[Ints, Ints, Ints]:
    """(row, value, rank) of the most frequent values among cells."""
    order = order_of(cells.row, -cells.count, cells.value)
    row = cells.row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    kept = rank < count
    return row[kept], cells.value[order][kept], rank[kept]


def _first_columns(block: Block, count: int) -> tuple[Ints, Ints, Ints]:
    """(row, value, rank) of the most frequent values of a block."""
    lines, columns = block.counts.shape
    count = min(count, columns)
    if count > FEW:
        by_count = np.argsort(-block.counts, axis=1, kind="stable")[:, :count]
        found = [by_count[:, place] for place in range(count)]
    else:
        found = list(_greatest_in_turn(block.counts.copy(), count))
    rows = np.arange(lines)
    there = [np.flatnonzero(block.counts[rows, column] > 0) for column in found]
    return (
        np.concatenate(there) + block.begin,
        block.value[np.concatenate([column[kept] for column, kept in zip(found, there, strict=True)])],
        np.repeat(np.arange(count), [len(kept) for kept in there]),
    )


def _greatest_in_turn(counts: npt.NDArray[np.int32], count: int) -> list[Ints]:
    """The column of each line's greatest count, then of the next; of equal ones the first. The counts are used up."""
    rows, found = np.arange(len(counts)), []
    for _ in range(count):
        column = counts.argmax(axis=1)
        counts[rows, column] = -1
        found.append(column)
    return found


def percentile(function: ApproxPercentile, lane: Lane) -> list[Values]:
    """The middles of the buckets in which the ranks fall."""
    buckets, code = np.unique(_buckets(_as_floats(lane.values), function.dropped), return_inverse=True)
    middles = np.array([middle_of(one, function.dropped) for one in buckets.tolist()], np.float64)
    return [_at_rank(function.q, lane, Grid(lane, span, code), middles) for span in lane.spans]


def _at_rank(q: float, lane: Lane, grid: Grid, middles: Floats) -> Values:
    found, there = np.zeros(len(lane.rows)), np.zeros(len(lane.rows), np.bool_)
    for cells in grid.small():
        row, begin = np.unique(cells.row, return_index=True)
        below = np.concatenate([[0], np.cumsum(cells.count)])
        total = below[np.append(begin, len(cells.row))[1:]] - below[begin]
        place = np.searchsorted(below[1:], below[begin] + _ranks(q, total))
        found[row], there[row] = middles[cells.value[place]], True
    for block in grid.large():
        below = np.cumsum(block.counts, axis=1, dtype=np.int32)
        total = below[:, -1].astype(np.int64)
        column = (below < _ranks(q, total)[:, None]).sum(axis=1)
        rows = slice(block.begin, block.begin + len(total))
        there[rows] = total > 0
        found[rows] = middles[block.value[np.minimum(column, len(block.value) - 1)]]
    return Values(found, there)


def _ranks(q: float, total: Ints) -> Ints:
    """As `rank_of`, for arrays."""
    ranks: Ints = np.maximum(1, np.ceil(q * total)).astype(np.int64)
    return ranks


def histogram(function: Histogram, lane: Lane) -> list[Values]:
    """Counts by bins."""
    code = _bins(function, lane.values)
    return [_counts(function, lane, Grid(lane, span, code)) for span in lane.spans]


def _counts(function: Histogram, lane: Lane, grid: Grid) -> Values:
    bins = len(function.edges) + 1
    table = np.zeros((len(lane.rows), bins), np.int64)
    for cells in grid.small():
        table[cells.row, cells.value] = cells.count
    for block in grid.large():
        table[block.begin : block.begin + len(block.counts), block.value] = block.counts
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
