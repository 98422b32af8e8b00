"""The summary of an entity's sealed chunks: a row per chunk, and a row per block of neighbouring chunks.

A window needs the records of the chunks at its two ends only; between them rows are enough, and of many rows the
blocks that lie inside as a whole.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from gnomon.core.ledger.layouts import Layout, layout_of
from gnomon.core.ledger.rows import Row, Rows, block_of
from gnomon.core.ledger.shape import Shape

__all__ = ["Summary"]

_HEAD = struct.Struct("<IIQ")


class Summary:
    """A summary, read in place.

    Args:
        shape: the shape.
        raw: its bytes; empty where there is no chunk.
    """

    def __init__(self, shape: Shape, raw: bytes = b"") -> None:
        self.layout, self._block = layout_of(shape), shape.block
        self.count, self._blocks, self._size = _HEAD.unpack_from(raw) if raw else (0, 0, 0)
        self._raw = raw
        self._rows = Rows(self.layout, raw, _HEAD.size, self.count)

    def __len__(self) -> int:
        return int(self.count)

    def column(self, place: int) -> Any:
        """A column of the chunks' rows, as a memoryview."""
        return self._rows.column(place)

    @cached_property
    def firsts(self) -> Any:
        """The event time of each chunk's first event."""
        return self.column(Layout.FIRST)

    @cached_property
    def lasts(self) -> Any:
        """The event time of each chunk's last event."""
        return self.column(Layout.LAST)

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

    def numbers(self, place: int, chunks: range, wide: int | None = None) -> list[Any]:
        """Numbers of a column that together stand for some neighbouring chunks.

        Args:
            place: the column.
            chunks: the chunks' places; none of them is wide.
            wide: the column that says whether a block is; None where none can be.
        """
        column = self.column(place)
        low, high = self._inside(chunks)
        if low >= high or (wide is not None and any(self.blocks.column(wide)[low:high])):
            found: list[Any] = column[chunks.start : chunks.stop].tolist()
            return found
        found = column[chunks.start : low * self._block].tolist()
        found += self.blocks.column(place)[low:high].tolist()
        found += column[high * self._block : chunks.stop].tolist()
        return found

    def states(self, place: int, chunks: range) -> list[bytes]:
        """States of a job that together stand for some neighbouring chunks."""
        states, (low, high) = self._rows.states(place), self._inside(chunks)
        if low >= high:
            return states[chunks.start : chunks.stop]
        blocks = self.blocks.states(place)[low:high]
        return [*states[chunks.start : low * self._block], *blocks, *states[high * self._block : chunks.stop]]

    def replaced(self, start: int, stop: int, rows: Sequence[Row]) -> bytes:
        """The summary's bytes with other rows in place of some."""
        count = self.count - (stop - start) + len(rows)
        if not count:
            return b""
        made = self._rows.replaced(start, stop, rows)
        now = Rows(self.layout, made, 0, count)
        # Blocks before the change stay, and those after it, too, if the chunks there have kept their places.
        first, whole = start // self._block, count // self._block
        last = -(-stop // self._block) if len(rows) == stop - start else whole
        fresh = [self._made(now, place) for place in range(first, min(last, whole))]
        blocks = self.blocks.replaced(first, max(min(last, self._blocks), first), fresh)
        return _HEAD.pack(count, whole, len(made)) + made + blocks

    def _inside(self, chunks: range) -> tuple[int, int]:
        """The first block that lies inside some chunks as a whole, and the one after the last."""
        return -(-chunks.start // self._block), min(chunks.stop // self._block, self._blocks)

    def _made(self, rows: Rows, block: int) -> Row:
        return block_of(self.layout, rows.rows(block * self._block, (block + 1) * self._block))
