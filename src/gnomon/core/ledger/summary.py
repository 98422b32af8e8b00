"""The summary of an entity's sealed chunks: a row per chunk, and a row per block of neighbouring chunks.

A window needs the records of the chunks at its two ends only; between them rows are enough, and of many rows the
blocks that lie inside as a whole.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from gnomon.core.ledger.layouts import Layout, layout_of
from gnomon.core.ledger.rows import Row, Rows, block_of
from gnomon.core.ledger.shape import Shape

__all__ = ["Span", "Summary"]

_HEAD = struct.Struct("<IIQ")


class Span(NamedTuple):
    """Neighbouring chunks: those before the first whole block, the blocks, those after the last.

    Args:
        start: the place of the first chunk.
        stop: the place after the last one before the blocks.
        low: the place of the first block.
        high: the place after the last one.
        again: the place of the first chunk after the blocks.
        end: the place after the last chunk.
    """

    start: int
    stop: int
    low: int
    high: int
    again: int
    end: int


class Summary:
    """A summary, read in place.

    Args:
        shape: the shape.
        raw: its bytes; empty where there is no chunk.

    Attributes:
        count: how many chunks there are.
        firsts: the event time of each chunk's first event.
        lasts: the event time of each chunk's last event.
    """

    def __init__(self, shape: Shape, raw: bytes = b"") -> None:
        self.layout, self._block = layout_of(shape), shape.block
        self.count, self._blocks, self._size = _HEAD.unpack_from(raw) if raw else (0, 0, 0)
        self._raw = raw
        self._rows = Rows(self.layout, raw, _HEAD.size, self.count)
        self.firsts, self.lasts = self._rows.column(Layout.FIRST), self._rows.column(Layout.LAST)

    def __len__(self) -> int:
        return int(self.count)

    def column(self, place: int) -> Any:
        """A column of the chunks' rows, as a memoryview."""
        return self._rows.column(place)

    @cached_property
    def chunks(self) -> Any:
        """The chunks' numbers."""
        return self.column(Layout.CHUNK)

    @cached_property
    def blocks(self) -> Rows:
        """The rows of blocks; the last chunks may be in none."""
        return Rows(self.layout, self._raw, _HEAD.size + self._size, self._blocks)

    def overlapping(self, old: int, new: int) -> tuple[int, int]:
        """The places of the chunks that may have events with old ≤ event time < new."""
        return bisect_left(self.lasts, old), bisect_left(self.firsts, new)

    def span(self, chunks: range) -> Span:
        """Some neighbouring chunks, and the blocks that lie among them as a whole."""
        low, high = -(-chunks.start // self._block), min(chunks.stop // self._block, self._blocks)
        if low >= high:
            return Span(chunks.start, chunks.stop, 0, 0, chunks.stop, chunks.stop)
        return Span(chunks.start, low * self._block, low, high, high * self._block, chunks.stop)

    def numbers(self, place: int, span: Span, wide: int | None = None) -> list[Any]:
        """Numbers of a column that together stand for some neighbouring chunks.

        Args:
            place: the column.
            span: the chunks; none of them is wide.
            wide: the column that says whether a block is; None where none can be.
        """
        start, stop, low, high, again, end = span
        if wide is not None and low < high and any(self.blocks.column(wide, low, high)):
            stop, low, high, again = end, 0, 0, end
        found: list[Any] = self._rows.column(place, start, stop).tolist()
        if low == high:
            return found
        found += self.blocks.column(place, low, high).tolist()
        found += self._rows.column(place, again, end).tolist()
        return found

    def states(self, place: int, span: Span) -> list[bytes]:
        """States of a job that together stand for some neighbouring chunks."""
        states, (start, stop, low, high, again, end) = self._rows.states(place), span
        blocks = self.blocks.states(place)[low:high] if low < high else []
        return [*states[start:stop], *blocks, *states[again:end]]

    def wide(self, chunks: range) -> bool:
        """Whether the records of any of some chunks are needed, whatever is asked."""
        columns = (self.layout.wide(lane) for lane in self.layout.numeric)
        return any(any(self._rows.column(column, chunks.start, chunks.stop)) for column in columns)

    def rows(self, chunks: range) -> list[Row]:
        """The rows about some chunks."""
        return self._rows.rows(chunks.start, chunks.stop)

    def replaced(self, start: int, stop: int, rows: Sequence[Row]) -> bytes:
        """The summary's bytes with other rows in place of some."""
        count = self.count - (stop - start) + len(rows)
        if not count:
            return b""
        made = self._rows.replaced(start, stop, rows)
        now = Rows(self.layout, made, 0, count)
        # Blocks before the change stay, and those after it, too, if the chunks there have kept their places.
        first, whole, moved = start // self._block, count // self._block, len(rows) != stop - start
        last = -(-stop // self._block)
        fresh = [self._made(now, place) for place in range(first, whole if moved else min(last, whole))]
        blocks = self.blocks.replaced(first, self._blocks if moved else min(last, self._blocks), fresh)
        return _HEAD.pack(count, whole, len(made)) + made + blocks

    def _made(self, rows: Rows, block: int) -> Row:
        return block_of(self.layout, rows.rows(block * self._block, (block + 1) * self._block))
