"""Grids: how often each value counts at each row.

A grid has a line per row of a key and a column per value of it. Every event adds one where it begins to count and takes
one away where it ends, and running sums down the columns make counts of that. A large key's grid is made block by block
of rows, each going on from the last line of the one before. Small keys' grids are laid behind each other and kept as
cells that are not zero: most keys are small, and one by one they would take longer to begin than to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnomon.core.kernel.columns import Ints
from gnomon.core.kernel.entries import Span
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.orders import order_of

__all__ = ["Block", "Cells", "Grid"]

SMALL = 1 << 12
"""A grid of so many cells, or fewer, is small."""
AT_ONCE = 1 << 21
"""So many cells are held at a time."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells that are not zero, in order of (row, value).

    Args:
        row: rows of the spine.
        value: the values, as small numbers.
        count: how often each counts at the row.
    """

    row: Ints
    value: Ints
    count: Ints


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of one key, one after the other.

    Args:
        begin: the first row.
        value: the values that the columns stand for, as small numbers, going up.
        counts: a line per row, a column per value.
    """

    begin: int
    value: Ints
    counts: npt.NDArray[np.int32]


class Grid:
    """The grid of a window.

    Args:
        lane: the lane.
        span: the window's span.
        code: each event's value as a small number, of main events, then of extras.
    """

    def __init__(self, lane: Lane, span: Span, code: Ints) -> None:
        self._starts = lane.rows.starts
        place, first, last = lane.row_spans(span)
        key, code = lane.rows.key[first], code[place]
        kinds = int(code.max(initial=0)) + 1
        order = np.argsort(key, kind="stable")
        self._key, self._code = key[order], code[order]
        self._first, self._last = first[order], last[order]
        self._lines = self._key * kinds + self._code
        rows = np.diff(self._starts)
        kinds_of_key = np.bincount(np.unique(self._lines) // kinds, minlength=len(rows))
        self._cells_of_key = rows * kinds_of_key
        self._bounds = np.searchsorted(self._key, np.arange(len(rows) + 1))

    def small(self) -> Iterator[Cells]:
        """The cells of small keys' grids; every row is in one piece, with all its cells."""
        sizes = np.where(self._cells_of_key <= SMALL, self._cells_of_key, 0)
        piece = np.cumsum(sizes) // AT_ONCE
        for low, high in _stretches(piece):
            inside = slice(self._bounds[low], self._bounds[high])
            which = np.flatnonzero(sizes[self._key[inside]] > 0) + self._bounds[low]
            if len(which):
                yield self._cells(which)

    def large(self) -> Iterator[Block]:
        """The blocks of large keys' grids."""
        for key in np.flatnonzero(self._cells_of_key > SMALL).tolist():
            yield from self._blocks(key)

    def _cells(self, which: Ints) -> Cells:
        first, last, lines = self._first[which], self._last[which], self._lines[which]
        _, one, of_line = np.unique(lines, return_index=True, return_inverse=True)
        key = self._key[which][one]
        low, high = self._starts[key], self._starts[key + 1]
        offset = np.zeros(len(one) + 1, np.int64)
        np.cumsum(high - low + 1, out=offset[1:])  # a cell more, where what reaches the end comes down
        shift = offset[:-1] - low
        size = int(offset[-1])
        steps = np.bincount(first + shift[of_line], minlength=size) - np.bincount(last + shift[of_line], minlength=size)
        counts = np.cumsum(steps)
        there = np.flatnonzero(counts)
        line = np.searchsorted(offset, there, side="right") - 1
        row, value = there - shift[line], self._code[which][one][line]
        order = order_of(row, value)
        return Cells(row[order], value[order], counts[there[order]])

    def _blocks(self, key: int) -> Iterator[Block]:
        events = slice(self._bounds[key], self._bounds[key + 1])
        value, column = np.unique(self._code[events], return_inverse=True)
        begins, ends = _Steps(self._first[events], column), _Steps(self._last[events], column)
        carried = np.zeros(len(value), np.int32)
        height = max(1, AT_ONCE // len(value))
        for begin in range(int(self._starts[key]), int(self._starts[key + 1]), height):
            end = min(begin + height, int(self._starts[key + 1]))
            counts = np.zeros((end - begin, len(value)), np.int32)
            np.add.at(counts, begins.within(begin, end), 1)
            np.subtract.at(counts, ends.within(begin, end), 1)
            counts[0] += carried
            np.cumsum(counts, axis=0, out=counts)
            carried = counts[-1].copy()
            yield Block(begin, value, counts)


class _Steps:
    """Where events begin, or end: rows in order, with their columns."""

    def __init__(self, row: Ints, column: Ints) -> None:
        order = np.argsort(row, kind="stable")
        self._row, self._column = row[order], column[order]

    def within(self, begin: int, end: int) -> tuple[Ints, Ints]:
        """(line, column) of those in some rows, lines counted from the first."""
        low, high = np.searchsorted(self._row, [begin, end])
        return self._row[low:high] - begin, self._column[low:high]


def _stretches(piece: Ints) -> Iterator[tuple[int, int]]:
    """Stretches of places with one number each."""
    ends = np.flatnonzero(np.diff(piece, append=piece[-1:] + 1)) + 1
    return zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True) if len(piece) else iter(())
