"""What a reader knows of a log: it looks again as often as it is asked, and parses only what is new.

An open segment only grows, but for its last frame: a writer whose flush fails takes that away again, and may put
another in its place. So what was seen still holds if the segment's name still leads to the same file, if that is no
shorter, and if the last frame seen begins with the same bytes, in which are its position, its known time and its
checksum. The file is held open meanwhile, so that no other can have its number.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from gnomon.log.folder import Contents, Sealed, looked, read_segment, stamped
from gnomon.log.framing import HEADER, Frame, frames, is_broken_inside
from gnomon.log.names import Names

__all__ = ["Between", "Watch"]

MOST_CHUNKS = 64
"""A table of so many pieces is made one of one piece; each further look adds a few."""


@dataclass(frozen=True, slots=True)
class Between:
    """The events after one position, up to another.

    Args:
        sealed: the sealed files that hold some of them; they may hold others, too.
        rows: those of them that are not sealed, and none else; None where nothing is open.
        last: the position up to which the log has them.
    """

    sealed: tuple[Sealed, ...]
    rows: pa.Table | None
    last: int


class Watch:
    """A log's folder as one reader sees it; threads may share it.

    Args:
        folder: the log's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: int | None = None
        self._now = Contents()
        self._names = Names(folder)
        self._batches: list[pa.RecordBatch] = []
        self._made = 0

    def position(self) -> int:
        """The position of the last event."""
        with self._lock:
            return self._looked().position

    def offsets(self) -> dict[str, int]:
        """The greatest offset of each producer."""
        with self._lock:
            return dict(self._looked().offsets)

    def between(self, since: int, until: int | None = None) -> Between:
        """The events after a position, up to another or to the end."""
        with self._lock:
            now = self._looked()
            last = now.position if until is None else min(until, now.position)
            sealed = tuple(one for one in now.sealed if one.last > since and one.first <= last)
            return Between(sealed, self._open_rows(now, since, last), last)

    def close(self) -> None:
        """Forget it all, and close the segment."""
        with self._lock:
            self._forget()

    def _looked(self) -> Contents:
        """What the log holds now."""
        if self._names.hold() and self._segment_holds():
            return self._now
        with self._names.looking():
            found = looked(self._folder, self._read)
        if found.segment is None:
            self._forget()
        return found

    def _segment_holds(self) -> bool:
        """Whether what was seen of the segment still holds; what came since is taken in."""
        now = self._now
        if self._file is None or now.segment is None:
            return False
        try:
            found = now.segment.stat()
        except FileNotFoundError:  # sealed
            return False
        if found.st_ino != now.inode or found.st_size < now.end:
            return False
        if os.pread(self._file, HEADER.size, now.marked) != now.mark:
            return False
        return found.st_size == now.end or self._grown(self._file, found.st_size)

    def _grown(self, file: int, size: int) -> bool:
        """Take in the frames behind those seen; whether there is no damage among them."""
        now, begin, end = self._now, self._now.end, 0
        data = os.pread(file, size - begin, begin)
        for one in frames(data):
            now.take(one)
            now.mark, now.marked = data[end : end + HEADER.size], begin + end
            end = one.end
        now.end = begin + end
        return end == len(data) or not is_broken_inside(data, end)

    def _read(self, path: Path) -> tuple[Contents, str]:
        """A segment; of the one known already, only what is new is parsed."""
        if self._now.segment == path and self._segment_holds():
            return self._now, ""
        self._forget()
        file = os.open(path, os.O_RDONLY)
        try:
            found, problem = read_segment(path)
            if not problem and os.fstat(file).st_ino == found.inode:
                self._file, self._now = file, found
                return found, ""
        finally:
            if self._file is None:
                os.close(file)
        return found, problem or f"another {path.name} took the place of one"

    def _open_rows(self, now: Contents, since: int, last: int) -> pa.Table | None:
        """The events that are not sealed, after one position and up to another."""
        if not now.events:
            return None
        opens = now.events[0].first
        at = bisect_right(now.events, max(since + 1, opens), key=_first_of) - 1
        begins = now.events[at].first
        batches = [stamped(one, now.schema) for one in now.events[at:]] if at else self._all_open(now)
        skipped = max(since + 1 - begins, 0)
        return pa.Table.from_batches(batches).slice(skipped, max(last + 1 - begins - skipped, 0))

    def _all_open(self, now: Contents) -> list[pa.RecordBatch]:
        """All that is open; what was made of it before is kept."""
        self._batches += [stamped(one, now.schema) for one in now.events[self._made :]]
        self._made = len(now.events)
        if len(self._batches) > MOST_CHUNKS:
            self._batches = pa.Table.from_batches(self._batches).combine_chunks().to_batches()
        return self._batches

    def _forget(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self._now = None, Contents()
        self._batches, self._made = [], 0


def _first_of(one: Frame) -> int:
    return one.first
