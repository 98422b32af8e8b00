"""A log's folder: sealed Parquet files, and one open segment after them.

    00000000000000000001-00000000000000120000.parquet       sealed: events 1 to 120,000
    00000000000000000001-00000000000000120000.1.parquet     the same, written again without events that were erased
    00000000000000120001.segment                            open: the events after these
    00000000000000080001.begin                              what came before this position was trimmed

A file appears whole, under the positions it holds, and is never changed; a segment only grows, until its events are
sealed and the next one takes its place. In between both may be there: what is sealed counts. So a reader that takes the
names, and then the segment, has a prefix of the log, or sees that it has to look again.

Sealed files may be merged into one with all their positions, and written again without some of their events. Then, too,
both are there for a while: a file whose positions another one has, too, does not count (`standing`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.contracts.log import KNOWN, POSITION
from gnomon.core.columns import of_integers
from gnomon.errors import BackendError, NewerFormat
from gnomon.log.framing import HEADER, Frame, frame, frames, is_broken_inside

__all__ = [
    "FORMAT",
    "INSTANT",
    "MOST_LOOKS",
    "Contents",
    "Sealed",
    "begin_name",
    "begins",
    "contents",
    "looked",
    "parquet_name",
    "read_segment",
    "sealed_in",
    "segment_name",
    "segment_start",
    "stamped",
    "standing",
]

FORMAT = 1
SEALED = re.compile(r"(\d{20})-(\d{20})(?:\.(\d+))?\.parquet")
SEGMENT = re.compile(r"(\d{20})\.segment")
BEGIN = re.compile(r"(\d{20})\.begin")
MOST_LOOKS = 100
"""A folder that still fits nothing when it was looked at so often is broken, not just changing."""
INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed file and the positions of its first and last event.

    Args:
        path: the file.
        first: its first position; events may have been erased, that one among them.
        last: its last position.
        writing: how often these positions were written again.
    """

    path: Path
    first: int
    last: int
    writing: int = 0


@dataclass(slots=True)
class Contents:
    """What a log holds at one moment.

    Args:
        sealed: the sealed files that count, in order.
        begins: the first position that was not trimmed.
        segment: the open segment; None where there is none, or its events are all sealed.
        inode: tells whether the segment is still the same file.
        end: how many of the segment's bytes are whole.
        torn: whether there is more in the segment than that.
        mark: how the segment's last whole frame begins.
        marked: where that is.
        schema: of the segment's events.
        events: the segment's frames that hold events.
        position: the position of the last event.
        known: the known time of the last event; None where there never was one.
        offsets: the greatest offset of each producer.
    """

    sealed: tuple[Sealed, ...] = ()
    begins: int = 1
    segment: Path | None = None
    inode: int = 0
    end: int = 0
    torn: bool = False
    mark: bytes = b""
    marked: int = 0
    schema: pa.Schema | None = None
    events: list[Frame] = field(default_factory=list)
    position: int = 0
    known: int | None = None
    offsets: dict[str, int] = field(default_factory=dict)

    def take(self, one: Frame) -> None:
        """Count a frame that follows in the segment."""
        self.offsets |= one.notes["offsets"]
        if rows := one.notes["rows"]:
            self.events.append(one)
            self.position, self.known = one.first + rows - 1, one.known + rows - 1

    def tail(self) -> pa.Table | None:
        """The segment's events, with their positions and known times; None where there are none."""
        if not self.events:
            return None
        return pa.Table.from_batches([stamped(one, self.schema) for one in self.events])


Reading = Callable[[Path], tuple[Contents, str]]
"""What is in a segment, and what is wrong with it."""


def contents(folder: Path) -> Contents:
    """What a log holds: whatever a writer does meanwhile, a prefix of it.

    Raises:
        BackendError: a file is gone from the middle, or broken.
        OSError: the folder cannot be read.
    """
    return looked(folder, read_segment)


def looked(folder: Path, read: Reading) -> Contents:
    """The same, with segments read in one's own way."""
    problem = ""
    for _ in range(MOST_LOOKS):
        try:
            found, problem = _looked(folder, read)
        except FileNotFoundError:
            if not folder.exists():
                return Contents()
            continue  # sealed just now
        if not problem:
            return found
    raise BackendError(
        f"the log in {folder} is broken: {problem}.",
        instead="Events that were in it cannot be read, so none are.",
        hint="put its files back from a copy.",
        path=str(folder),
    )


def segment_start(schema: pa.Schema, position: int, known: int | None, offsets: Mapping[str, int]) -> bytes:
    """How a segment begins: the schema of its events, and all that a writer has to know of the log before it."""
    notes = {"format": FORMAT, "offsets": dict(offsets), "known": known}
    return frame(position + 1, known or 0, notes, schema.remove_metadata().serialize())


def segment_name(first: int) -> str:
    """The name of the segment whose first event has this position."""
    return f"{first:020}.segment"


def parquet_name(first: int, last: int, writing: int = 0) -> str:
    """The name of the sealed file with these positions, written again so often."""
    return f"{first:020}-{last:020}{f'.{writing}' if writing else ''}.parquet"


def begin_name(first: int) -> str:
    """The name of the mark that says that the log begins with this position."""
    return f"{first:020}.begin"


def begins(names: Iterable[str]) -> int:
    """The first position that was not trimmed, by the names in a folder."""
    return max((int(match[1]) for name in names if (match := BEGIN.fullmatch(name))), default=1)


def sealed_in(folder: Path, names: Iterable[str]) -> list[Sealed]:
    """All sealed files among these names, those that do not count included."""
    return [
        Sealed(folder / name, int(match[1]), int(match[2]), int(match[3] or 0))
        for name in names
        if (match := SEALED.fullmatch(name))
    ]


def standing(sealed: Iterable[Sealed], first: int) -> tuple[tuple[Sealed, ...], str]:
    """The files that count, in order, and what does not fit.

    Of files with the same positions the one written last counts; one that lies within a larger one, or before the
    position that the log begins with, does not.

    >>> def named(*ranges): return [Sealed(Path(), *one) for one in ranges]
    >>> [(one.first, one.last) for one in standing(named((1, 2), (3, 4), (1, 4), (5, 6)), 1)[0]]
    [(1, 4), (5, 6)]
    >>> standing(named((1, 2), (4, 4)), 1)[1]
    'no file holds the events from position 3 to 3'
    """
    found: list[Sealed] = []
    last = first - 1
    for one in sorted(sealed, key=lambda one: (one.first, -one.last, -one.writing)):
        if one.last <= last:
            continue
        if one.first > last + 1:
            return (), f"no file holds the events from position {last + 1} to {one.first - 1}"
        if one.first <= last:
            return (), f"{one.path.name} has positions that another file has, too, and further ones"
        found.append(one)
        last = one.last
    return tuple(found), ""


def _looked(folder: Path, read: Reading) -> tuple[Contents, str]:
    """One look, and what does not fit in what was seen."""
    names = sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted, and there may be many
    first = begins(names)
    sealed, problem = standing(sealed_in(folder, names), first)
    if problem:
        return Contents(), problem
    last = sealed[-1].last if sealed else first - 1
    segments = [folder / name for name in names if SEGMENT.fullmatch(name)]
    if not segments:
        problem = f"no segment follows position {last}" if last else ""
        return Contents(sealed=sealed, begins=first, position=last), problem
    found, problem = read(segments[-1])
    opens = int(segments[-1].stem)
    found.sealed, found.begins = sealed, first
    if not problem and opens > last + 1:
        problem = f"no file holds the events from position {last + 1} to {opens - 1}"
    if not problem and opens <= last:  # sealed, but the next segment is not there yet
        problem = "" if found.position == last else f"the sealed files up to {last} and {segments[-1].name} do not fit"
        found.events, found.segment = [], None
    return found, problem


def read_segment(path: Path) -> tuple[Contents, str]:
    """What is in a segment, and what is wrong with it."""
    with path.open("rb") as file:
        inode = os.fstat(file.fileno()).st_ino
        data = file.read()
    whole = frames(data)
    start = next(whole, None)
    if start is None:
        return Contents(), f"{path.name} does not begin as a segment does"
    if start.notes["format"] > FORMAT:
        raise NewerFormat(path=str(path), found=start.notes["format"], supported=FORMAT)
    found = Contents(
        segment=path,
        inode=inode,
        schema=pa.ipc.read_schema(pa.py_buffer(start.message)),
        position=start.first - 1,
        known=start.notes["known"],
        offsets=dict(start.notes["offsets"]),
    )
    end, last = start.end, 0
    for one in whole:
        found.take(one)
        end, last = one.end, end
    found.end, found.torn = end, end < len(data)
    found.mark, found.marked = data[last : last + HEADER.size], last
    broken = found.torn and is_broken_inside(data, end)
    return found, f"{path.name} is damaged at byte {end}, and whole events follow" if broken else ""


def stamped(one: Frame, schema: Any) -> pa.RecordBatch:
    """A frame's events, with their positions and known times in front."""
    batch = pa.ipc.read_record_batch(pa.py_buffer(one.message), schema)
    count = np.arange(len(batch), dtype=np.int64)
    columns = [of_integers(one.first + count), of_integers(one.known + count).cast(INSTANT), *batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=[POSITION, KNOWN, *schema.names])
