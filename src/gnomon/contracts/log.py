"""The log: where pushed events are stamped, in one order, and kept. Arrow in, Arrow out.

Appended is on disk; what is on disk is never changed. Each event gets, once, a **position** (1, 2, 3 …) and a **known
time**, which goes up along the log. A batch's **offsets**, a number per producer, are kept in the same append, so that
a batch that is sent again is recognised. A writer that says where it believes its producers to be appends only if they
are: of two that both take a partition for theirs, one finds out. Readers see a prefix of the log, and never wait for a
writer.

Over the years events may go: the oldest ones (`trim`), and those of one entity (`erase`). What stays keeps its position
and its known time, and neither is ever given again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from gnomon.plan.questions import LogPrefix

__all__ = [
    "KNOWN",
    "NO_OFFSETS",
    "OFFSET",
    "ORIGIN",
    "PARTITION",
    "POSITION",
    "Appended",
    "Erased",
    "Log",
    "LogStatus",
    "Logs",
    "Merged",
    "Span",
    "Trimmed",
]

POSITION = "__position"
"""The column of positions, int64, beside an event's own columns."""
KNOWN = "__known"
"""The column of known times, timestamps in µs UTC, beside an event's own columns."""
PARTITION = "__partition"
"""A column an event may have: the producer it came from, such as `payments/3`, a text."""
OFFSET = "__offset"
"""A column an event may have: its offset among those of that producer, int64."""
ORIGIN = (PARTITION, OFFSET)
"""The columns that a stream's events have beside their own; nothing but an explanation looks at them."""
NO_OFFSETS: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What became of a batch.

    Args:
        first: the position of its first event.
        last: the position of its last event; less than `first` where there is none.
        known: the known time of its first event, µs; each further event has one µs more.
        duplicate: whether it was there before, by its offsets, so that nothing was appended.
    """

    first: int
    last: int
    known: int
    duplicate: bool = False


Span = tuple[int, int]
"""The first and the last of some instants, µs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStatus:
    """What a log holds.

    Args:
        events: how many events.
        bytes: how much room it takes.
        files: in how many sealed files; the newest events are in none.
        begins: the position before which all is trimmed; 1 where nothing is.
        position: the position of the newest event there ever was.
        known: when its first and its last event were known; None where there are none.
        happened: when its events happened, first and last; None where that is not known.
        lessened: when events last went, by trimming or erasing, µs; None where none ever did.
    """

    events: int = 0
    bytes: int = 0
    files: int = 0
    begins: int = 1
    position: int = 0
    known: Span | None = None
    happened: Span | None = None
    lessened: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What merging did.

    Args:
        files: how many files were merged.
        into: into how many.
        removed: how many files were removed that had been merged some time before.
    """

    files: int = 0
    into: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """What trimming did.

    Args:
        events: how many events went.
        files: in how many files.
        begins: the position that the log begins with now.
    """

    events: int = 0
    files: int = 0
    begins: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What erasing did.

    Args:
        events: how many events went.
        files: how many files were written again.
        position: the position up to which events were looked at.
    """

    events: int = 0
    files: int = 0
    position: int = 0


class Log(Protocol):
    """The events of one source. Every method raises `BackendError` when the log cannot be read or written."""

    def append(
        self, batch: pa.Table, offsets: Mapping[str, int] = NO_OFFSETS, after: Mapping[str, int] | None = None
    ) -> Appended:
        """Stamp events and make them durable, all or none, together with their offsets.

        A known time is the clock's now, or one µs after the last where the clock stands still or steps back.

        Args:
            batch: the events; no column begins with two underscores, but for `__partition` and `__offset`.
            offsets: producer → the offset of its last event in the batch. Where all are at or before those in the log,
                the batch was there before and is not appended again.
            after: producer → the offset that the writer believes to be the log's last, -1 for none. Where given, the
                batch is appended if that is so for each of them; else it is an error.

        Raises:
            ConflictError: somebody else is writing for too long; or some offsets are there already, and some are not;
                or the log's are not those of `after`, and then `offsets` on the error are the log's.
        """
        ...

    def read(self, since: int = 0, until: int | None = None) -> pa.RecordBatchReader:
        """The events after one position, up to another or to the end, in order, as they are when it is called.

        Columns `__position` and `__known` come first. Where later events have more columns, earlier ones have nulls.
        """
        ...

    def prefix(self, until: int | None = None) -> LogPrefix:
        """The events up to a position, or all, as an engine reads them: files that stay, and a table of the rest."""
        ...

    def position(self) -> int:
        """The position of the last event; 0 where there is none."""
        ...

    def offsets(self) -> dict[str, int]:
        """The greatest offset of each producer that is in the log: where a producer goes on after a crash."""
        ...

    def seal(self) -> None:
        """Put the newest events into a form that others can read, too, before their number or their age asks for it.

        Raises:
            ConflictError: somebody else is writing for too long.
        """
        ...

    def status(self, happened: str = "") -> LogStatus:
        """How much there is, and from when to when.

        Args:
            happened: the column of event times; left out, these are not told.
        """
        ...

    def merge(self) -> Merged:
        """Put small files together into larger ones, every event as it was, at its position.

        Files that a reader may have taken the names of stay for a while; a later merge removes them. Killed at any
        moment, it leaves the log as readable as before.

        Raises:
            ConflictError: somebody else keeps the log for too long.
        """
        ...

    def trim(self, before: int, happened: str) -> Trimmed:
        """Let the oldest events go, as far as all of them happened and were known before an instant.

        They go by whole files, from the log's beginning on; the newest events are never trimmed, nor are offsets.

        Args:
            before: the instant, µs.
            happened: the column of event times.

        Raises:
            ConflictError: somebody else keeps the log for too long.
        """
        ...

    def erase(self, entity: Mapping[str, Any]) -> Erased:
        """Let all events of one entity go, up to the newest: their bytes are in no file of the log on return.

        Killed at any moment, it leaves each event there or gone; erasing again completes it. A reader that took names
        of files before may find them gone, and has to look again.

        Args:
            entity: column → value; events go that have all of these. Values are cast to their columns' types.

        Raises:
            ConflictError: somebody else writes to the log, or keeps it, for too long.
        """
        ...

    def close(self) -> None:
        """Release files; closing twice is fine."""
        ...


class Logs(Protocol):
    """A project's logs, one for each source."""

    def log(self, source: str) -> Log:
        """The log of a source, by its name; it is empty before the first append, and that makes its place."""
        ...

    def names(self) -> list[str]:
        """The sources that have a log, registered still or not, ordered."""
        ...

    def close(self) -> None:
        """Close all of them; closing twice is fine."""
        ...
