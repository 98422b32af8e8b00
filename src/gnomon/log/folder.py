"""A log's folder: sealed Parquet files, and one open segment after them.

    00000000000000000001-00000000000000120000.parquet       sealed: events 1 to 120,000
    00000000000000120001.segment                            open: the events after these

A file appears whole, under the positions it holds, and is never changed; a segment only grows, until its events are
sealed and the next one takes its place. In between both may be there: what is sealed counts. So a reader that takes the
names, and then the segment, has a prefix of the log, or sees that it has to look again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.contracts.log import KNOWN, POSITION
from gnomon.core.columns import of_integers
from gnomon.errors import BackendError, NewerFormat
from gnomon.log.framing import Frame, frame, frames, is_broken_inside

__all__ = ["FORMAT", "Contents", "Sealed", "contents", "parquet_name", "segment_name", "segment_start"]

FORMAT = 1
SEALED = re.compile(r"(\d{20})-(\d{20})\.parquet")
SEGMENT = re.compile(r"(\d{20})\.segment")
MOST_LOOKS = 100
"""A folder that still fits nothing when it was looked at so often is broken, not just changing."""
INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed file and the positions of its first and last event."""

    path: Path
    first: int
    last: int


@dataclass(slots=True)
class Contents:
    """What a log holds at one moment.

    Args:
        sealed: the sealed files, in order.
        segment: the open segment; None where there is none, or its events are all sealed.
        inode: tells whether the segment is still the same file.
        end: how many of the segment's bytes are whole.
        torn: whether there is more in the segment than that.
        schema: of the segment's events.
        events: the segment's frames that hold events.
        position: the position of the last event.
        known: the known time of the last event; None where there never was one.
        offsets: the greatest offset of each producer.
    """

    sealed: tuple[Sealed, ...] = ()
    segment: Path | None = None
    inode: int = 0
    end: int = 0
    torn: bool = False
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
        return pa.Table.from_batches([_stamped(one, self.schema) for one in self.events])


def contents(folder: Path) -> Contents:
    """What a log holds: whatever a writer does meanwhile, a prefix of it.

    Raises:
        BackendError: a file is gone from the middle, or broken.
        OSError: the folder cannot be read.
    """
    problem = ""
    for _ in range(MOST_LOOKS):
        try:
            found, problem = _looked(folder)
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


def parquet_name(first: int, last: int) -> str:
    """The name of the sealed file with these positions."""
    return f"{first:020}-{last:020}.parquet"


def _looked(folder: Path) -> tuple[Contents, str]:
    """One look, and what does not fit in what was seen."""
    names = sorted(one.name for one in folder.iterdir())
    sealed = tuple(
        Sealed(folder / name, int(match[1]), int(match[2])) for name in names if (match := SEALED.fullmatch(name))
    )
    last = 0
    for one in sealed:
        if one.first != last + 1:
            return Contents(), f"no file holds the events from position {last + 1} to {one.first - 1}"
        last = one.last
    segments = [folder / name for name in names if SEGMENT.fullmatch(name)]
    if not segments:
        return Contents(sealed=sealed, position=last), f"no segment follows position {last}" if last else ""
    found, problem = _read(segments[-1])
    begins = int(segments[-1].stem)
    found.sealed = sealed
    if not problem and begins > last + 1:
        problem = f"no file holds the events from position {last + 1} to {begins - 1}"
    if not problem and begins <= last:  # sealed, but the next segment is not there yet
        problem = "" if found.position == last else f"{sealed[-1].path.name} and {segments[-1].name} do not fit"
        found.events, found.segment = [], None
    return found, problem


def _read(path: Path) -> tuple[Contents, str]:
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
    end = start.end
    for one in whole:
        found.take(one)
        end = one.end
    found.end, found.torn = end, end < len(data)
    broken = found.torn and is_broken_inside(data, end)
    return found, f"{path.name} is damaged at byte {end}, and whole events follow" if broken else ""


def _stamped(one: Frame, schema: Any) -> pa.RecordBatch:
    """A frame's events, with their positions and known times in front."""
    batch = pa.ipc.read_record_batch(pa.py_buffer(one.message), schema)
    count = np.arange(len(batch), dtype=np.int64)
    columns = [of_integers(one.first + count), of_integers(one.known + count).cast(INSTANT), *batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=[POSITION, KNOWN, *schema.names])
