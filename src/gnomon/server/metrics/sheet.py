"""A sheet: the numbers of one worker, in a file that is mapped into its memory, so that other workers read them, too.

A number is a cell of eight bytes. What a block of cells counts stands in a file of names beside it, a line for each
block, written before the first number. Each worker holds its sheet. When it dies its numbers stay, and the worker that
comes in its place takes the sheet over and counts on: so there are as many sheets as there were workers at a time, and
no count ever goes back while the server runs.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from gnomon.claims import hold, is_held, take
from gnomon.errors import BackendError

__all__ = ["IN_FLIGHT", "Numbers", "Sheet", "numbers"]

CELLS = 1 << 17
"""So many cells a sheet has: one MiB."""
SPARE = 64
"""The last of them, for what has no room: nobody reads them."""
IN_FLIGHT = 0
"""The cell of requests that were begun and have not ended."""
COUNTS, NAMES = ".counts", ".names"

Block = tuple[str, ...]
"""What a block of cells is of: its kind, and of what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What a sheet says.

    Args:
        alive: whether its worker lives.
        in_flight: requests that its worker has begun and not ended.
        blocks: what was counted.
    """

    alive: bool
    in_flight: int
    blocks: Mapping[Block, tuple[int, ...]]


class Sheet:
    """The numbers of this worker: those of one that died, to be counted on, or new ones.

    Args:
        folder: where the sheets of all workers of a server are.

    Raises:
        BackendError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handle, path = _taken(folder) or _made(folder)
            self._map = mmap.mmap(self._handle, 8 * CELLS)
            self._names = _opened(path.with_suffix(NAMES))
        except OSError as wrong:
            raise BackendError(
                f"{folder} cannot be written.", instead=str(wrong), hint="is it writable, and has the disk room?"
            ) from wrong
        self.path = path
        self._view = memoryview(self._map)
        self.cells = self._view.cast("q")
        self.cells[IN_FLIGHT] = 0
        self._blocks = {block: start for block, start, _ in _blocks(path)}
        self._next = max((start + width for _, start, width in _blocks(path)), default=IN_FLIGHT + 1)
        # An app in somebody's own program may never be told that it ends.
        self._end = weakref.finalize(self, _let_go, self._names, (self.cells, self._view), self._map, self._handle)

    def block(self, block: Block, width: int) -> int:
        """The first cell of a block; where the sheet is full, of one that nobody reads.

        Args:
            block: its kind, and of what it is.
            width: how many cells it has.
        """
        if (found := self._blocks.get(block)) is not None:
            return found
        if self._next + width > CELLS - SPARE:
            return CELLS - SPARE
        start, self._next = self._next, self._next + width
        self._names.write(json.dumps([block, start, width]).encode() + b"\n")
        self._blocks[block] = start
        return start

    def close(self) -> None:
        """Let go of the sheet; what it says stays."""
        self._end()


def _let_go(names: FileIO, views: tuple[memoryview, ...], mapped: mmap.mmap, handle: int) -> None:
    names.close()
    for view in views:
        view.release()
    mapped.close()
    os.close(handle)


def numbers(folder: Path) -> list[Numbers]:
    """What the sheets of a server's workers say, of the dead ones, too."""
    return [_read(path) for path in sorted(folder.glob(f"*{COUNTS}"))]


def _taken(folder: Path) -> tuple[int, Path] | None:
    """A sheet whose worker died."""
    for path in sorted(folder.glob(f"*{COUNTS}")):
        if (handle := take(path)) is not None:
            if os.fstat(handle).st_size == 8 * CELLS:
                return handle, path
            os.close(handle)
    return None


def _made(folder: Path) -> tuple[int, Path]:
    path = folder / f"{secrets.token_hex(8)}{COUNTS}"
    handle = hold(path)
    os.ftruncate(handle, 8 * CELLS)
    return handle, path


def _opened(names: Path) -> FileIO:
    """The file of names, to write at its end; a line that its worker died over is taken out."""
    opened = FileIO(names, "ab+")
    opened.seek(0)
    opened.truncate(opened.readall().rfind(b"\n") + 1)
    return opened


def _blocks(path: Path) -> Iterator[tuple[Block, int, int]]:
    names = path.with_suffix(NAMES)
    lines = names.read_bytes().split(b"\n")[:-1] if names.exists() else []
    for block, start, width in map(json.loads, lines):
        yield tuple(block), start, width


def _read(path: Path) -> Numbers:
    blocks = list(_blocks(path))  # before the numbers: what is named has room
    raw: Any = path.read_bytes()
    raw = raw.ljust(8 * CELLS, b"\0") if len(raw) < 8 * CELLS else raw
    cells = memoryview(raw).cast("q")
    found = {block: tuple(cells[start : start + width]) for block, start, width in blocks}
    alive = is_held(path)
    return Numbers(alive=alive, in_flight=cells[IN_FLIGHT] if alive else 0, blocks=found)
