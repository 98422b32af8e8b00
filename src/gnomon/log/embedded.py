"""The embedded log: a folder per source, written by one process at a time, read by any number.

An append is one frame at the end of the open segment, and one `fdatasync`. When the segment is large or old, its
events are written as Parquet, which anybody can read, and a new segment begins.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.clock import Clock, duration, micros_of
from gnomon.contracts.log import NO_OFFSETS, OFFSET, PARTITION, Appended, Erased, LogStatus, Merged, Trimmed
from gnomon.contracts.plugins import Context, check_options
from gnomon.errors import ConfigError, ConflictError, RequestError, listing
from gnomon.log.failing import failing
from gnomon.log.folder import Contents, Sealed, contents, parquet_name, segment_name, segment_start
from gnomon.log.framing import frame, frames
from gnomon.log.locks import holding
from gnomon.log.merging import Limits
from gnomon.log.names import Names
from gnomon.log.reading import read
from gnomon.log.upkeep import Upkeep
from gnomon.log.watch import Watch
from gnomon.plan.questions import LogPrefix

__all__ = ["EmbeddedLog", "EmbeddedLogs"]

SEAL_BYTES = 8 << 20
SEAL_AGE = "1h"
WAIT = "10s"
MERGE_BYTES = 128 << 20
MERGE_EVENTS = 5_000_000
MERGE_GRACE = "1d"
OPTIONS = ("path", "seal_bytes", "seal_age", "wait", "merge_bytes", "merge_events", "merge_grace")
LOCK, SCRATCH = "lock", ".scratch"
_sync = getattr(os, "fdatasync", os.fsync)


class EmbeddedLogs:
    """Logs in folders, one for each source.

    Args:
        options: `path`, the folder of the folders; `seal_bytes` and `seal_age`, how large and how old (by the clock, at
            an append) a segment gets before it is sealed; `wait`, how long a writer waits for another; `merge_bytes`
            and `merge_events`, how large files get that are merged; `merge_grace`, how long those stay that were.
        context: the repo; a relative path starts at its folder.

    Raises:
        ConfigError: an option is unknown or unusable.
    """

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        check_options("log", options, OPTIONS)
        self._folder = context.repo_path.absolute() / str(options.get("path", ".gnomon/log"))
        self._clock = context.clock
        self._limits = {
            "seal_bytes": _whole("seal_bytes", options.get("seal_bytes", SEAL_BYTES)),
            "seal_age": _micros("seal_age", options.get("seal_age", SEAL_AGE)),
            "wait": _micros("wait", options.get("wait", WAIT)),
        }
        self._merging = Limits(
            bytes=_whole("merge_bytes", options.get("merge_bytes", MERGE_BYTES)),
            events=_whole("merge_events", options.get("merge_events", MERGE_EVENTS)),
            grace=_micros("merge_grace", options.get("merge_grace", MERGE_GRACE)),
        )
        self._logs: dict[str, EmbeddedLog] = {}

    def log(self, source: str) -> EmbeddedLog:
        """The log of a source; its folder is made by the first append."""
        made = EmbeddedLog(self._folder / source, self._clock, **self._limits, merging=self._merging)
        return self._logs.setdefault(source, made)

    def names(self) -> list[str]:
        """The sources that have a log, registered still or not, ordered."""
        with failing(self._folder):
            there = self._folder.iterdir() if self._folder.exists() else ()
            return sorted(one.name for one in there if one.is_dir())

    def close(self) -> None:
        """Close all of them."""
        for log in self._logs.values():
            log.close()
        self._logs.clear()


class EmbeddedLog:
    """One source's events in one folder.

    Args:
        folder: the folder, made by the first append.
        clock: gives the known times.
        seal_bytes: how many bytes a segment gets before it is sealed.
        seal_age: how old its first event gets, µs.
        wait: how long to wait for another writer, µs.
        merging: how large files get that are merged.
    """

    def __init__(
        self, folder: Path, clock: Clock, *, seal_bytes: int, seal_age: int, wait: int, merging: Limits
    ) -> None:
        self._folder, self._clock, self._wait = folder, clock, wait
        self._seal_bytes, self._seal_age = seal_bytes, seal_age
        self._seal_from = 0
        self._thread = threading.Lock()
        self._handle: int | None = None
        self._now = Contents()
        self._names, self._watch = Names(folder), Watch(folder)
        self._upkeep = Upkeep(folder=folder, clock=clock, wait=wait, limits=merging)

    def append(
        self, batch: pa.Table, offsets: Mapping[str, int] = NO_OFFSETS, after: Mapping[str, int] | None = None
    ) -> Appended:
        """Stamp events and make them durable, all or none, together with their offsets."""
        with self._writing():
            now = self._caught_up()
            if after is not None:
                _check_after(after, now.offsets, self._folder)
            elif offsets and _is_known(offsets, now.offsets, self._folder):
                return Appended(first=now.position + 1, last=now.position, known=now.known or 0, duplicate=True)
            first, known = now.position + 1, self._next_stamp()
            if not len(batch) and not offsets:
                return Appended(first=first, last=first - 1, known=known)
            if now.schema is None or not now.schema.equals(batch.schema):
                now = self._begun(batch.schema)
            notes = {"rows": len(batch), "offsets": dict(offsets)}
            self._write(frame(first, known, notes, _message(batch)), now)
            self._seal_if_due()
            return Appended(first=first, last=first + len(batch) - 1, known=known)

    def read(self, since: int = 0, until: int | None = None) -> pa.RecordBatchReader:
        """The events after one position, up to another or to the end, in order, as they are when it is called."""
        with failing(self._folder):
            return read(self._watch, since, until, self._folder)

    def prefix(self, until: int | None = None) -> LogPrefix:
        """The events up to a position, or all: sealed files, and a table of the rest."""
        with failing(self._folder):
            found = self._watch.between(0, until)
        files = tuple(str(one.path) for one in found.sealed)
        return LogPrefix(files=files, tail=found.rows if found.rows else None, position=found.last)

    def position(self) -> int:
        """The position of the last event; 0 where there is none."""
        with failing(self._folder):
            return self._watch.position()

    def offsets(self) -> dict[str, int]:
        """The greatest offset of each producer."""
        with failing(self._folder):
            return self._watch.offsets()

    def seal(self) -> None:
        """Write the events of the open segment as Parquet, and begin the next."""
        with self._writing():
            now = self._caught_up()
            if now.events:
                self._begun(now.schema)
            if (scratch := self._folder / SCRATCH).is_file():  # a killed writer may have left events in it
                scratch.unlink()

    def status(self, happened: str = "") -> LogStatus:
        """How much there is, and from when to when."""
        return self._upkeep.status(happened)

    def merge(self) -> Merged:
        """Put small files together into larger ones, every event as it was, at its position."""
        return self._upkeep.merge()

    def trim(self, before: int, happened: str) -> Trimmed:
        """Let the oldest events go, as far as all of them happened and were known before an instant."""
        return self._upkeep.trim(before, happened)

    def erase(self, entity: Mapping[str, Any]) -> Erased:
        """Let all events of one entity go, up to the newest."""
        if not self._folder.exists():
            return Erased()
        self.seal()
        return self._upkeep.erase(entity)

    def close(self) -> None:
        """Release files; the log opens them again if it is used again."""
        with self._thread:
            self._forget()
        self._watch.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer, of this process and of all others."""
        with self._thread, failing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with holding(self._folder / LOCK, self._wait, "writing to"):
                try:
                    yield
                except BaseException:
                    self._forget()
                    raise

    def _caught_up(self) -> Contents:
        """What the log holds now, others' appends included, and nothing torn at its end."""
        now = self._now
        if not self._is_current():
            self._forget()
            now = self._now = contents(self._folder)
            if now.segment is not None:
                self._open(now.segment)
                self._drop_all_segments_but(now.segment)
                if now.torn:
                    self._cut()
            elif now.schema is not None:
                self._begun(now.schema)
        return now

    def _is_current(self) -> bool:
        """Whether nobody wrote to the segment since, nor began the next."""
        now = self._now
        if self._handle is None or now.segment is None or not _is(now.segment, now.inode, now.end):
            return False
        if self._names.hold():
            return True
        with self._names.looking():
            return [*self._folder.glob("*.segment")] == [now.segment]

    def _next_stamp(self) -> int:
        now, last = self._clock.now(), self._now.known
        return now if last is None else max(now, last + 1)

    def _begun(self, schema: Any) -> Contents:
        """The log with an open segment for events of this schema; what was in the last one is sealed."""
        _check_columns(schema)
        now = self._now
        if now.events:
            now = self._sealed_file()
        path = self._folder / segment_name(now.position + 1)
        self._place(path, segment_start(schema, now.position, now.known, now.offsets))
        self._drop_all_segments_but(path)
        self._forget()
        self._open(path)
        now.segment, now.schema, now.events, now.torn = path, schema.remove_metadata(), [], False
        stat = path.stat()
        now.inode, now.end = stat.st_ino, stat.st_size
        self._now, self._seal_from = now, 0
        return now

    def _write(self, data: bytes, now: Contents) -> None:
        """Put a frame behind the last one, durably; whatever fails, nothing of it stays."""
        assert self._handle is not None
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._handle, data[written:] if written else data, now.end + written)
            _sync(self._handle)
        except BaseException:
            self._cut()
            raise
        now.take(next(frames(data)))
        now.end += len(data)

    def _cut(self) -> None:
        """Take away what stands behind the last whole frame."""
        assert self._handle is not None
        os.ftruncate(self._handle, self._now.end)
        os.fsync(self._handle)
        self._now.torn = False

    def _seal_if_due(self) -> None:
        now = self._now
        large = now.end >= max(self._seal_bytes, self._seal_from)
        if large or (now.events and self._clock.now() - now.events[0].known >= self._seal_age):
            try:
                self._begun(now.schema)
            except OSError:  # the events are safe where they are; sealing is tried again when there are more
                self._seal_from = now.end + self._seal_bytes
                self._forget()

    def _sealed_file(self) -> Contents:
        """Write the segment's events as Parquet."""
        now, table = self._now, self._now.tail()
        first = now.events[0].first
        path = self._folder / parquet_name(first, now.position)
        scratch = self._folder / SCRATCH
        pq.write_table(table, scratch, compression="zstd")
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.rename(path)
        self._sync_folder()
        return Contents(
            sealed=(*now.sealed, Sealed(path, first, now.position)),
            schema=now.schema,
            position=now.position,
            known=now.known,
            offsets=dict(now.offsets),
        )

    def _place(self, path: Path, data: bytes) -> None:
        """Make a file that appears whole."""
        scratch = self._folder / SCRATCH
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(path)
        self._sync_folder()

    def _drop_all_segments_but(self, path: Path) -> None:
        """What others held is sealed; a writer that was killed may have left them."""
        for old in self._folder.glob("*.segment"):
            if old != path:
                old.unlink()

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _open(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR)

    def _forget(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._now = None, Contents()


_ORIGIN = ((PARTITION, pa.string()), (OFFSET, pa.int64()))


def _is(path: Path, inode: int, size: int) -> bool:
    """Whether a file is the one that was opened, and nobody wrote to it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return (found.st_ino, found.st_size) == (inode, size)


def _is_known(offsets: Mapping[str, int], there: Mapping[str, int], folder: Path) -> bool:
    """Whether a batch with these offsets is in the log."""
    known = [producer for producer, offset in offsets.items() if producer in there and offset <= there[producer]]
    if known and len(known) < len(offsets):
        raise ConflictError(
            f"the log in {folder} has a part of this batch: that of {listing(sorted(known))}.",
            instead=f"Its offsets: {dict(sorted(there.items()))}.",
            hint="send the rest alone; a producer goes on after the offset that the log has.",
        )
    return bool(known)


def _check_after(after: Mapping[str, int], there: Mapping[str, int], folder: Path) -> None:
    """Refuse a batch whose writer is mistaken about what the log holds."""
    if wrong := sorted(producer for producer, offset in after.items() if there.get(producer, -1) != offset):
        first = wrong[0]
        raise ConflictError(
            f"the log in {folder} has {first!r} up to {there.get(first, -1)}, and not up to {after[first]}.",
            instead="Somebody else has appended its events meanwhile.",
            hint="leave out what is there, and go on behind it.",
            offsets=dict(there),
        )


def _check_columns(schema: Any) -> None:
    """Refuse columns that would not come back."""
    for one in schema:
        reserved = one.name.startswith("__") and (one.name, one.type) not in _ORIGIN
        if reserved or "dictionary<" in str(one.type):
            raise RequestError(
                f"a log cannot hold the column {one.name!r} ({one.type}).",
                hint="rename columns that begin with two underscores, and cast dictionaries to their values.",
            )


def _message(batch: pa.Table) -> pa.Buffer:
    """The events as one Arrow message."""
    whole = batch.combine_chunks().to_batches()
    if len(whole) > 1:
        raise RequestError(
            f"{len(batch)} events are too much for one append: a column has more than 2 GiB.", hint="append fewer."
        )
    made = whole[0] if whole else pa.RecordBatch.from_pylist([], batch.schema)
    return made.serialize()


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"log: {name} is {value!r}.", hint="write a whole number from 1.")
    return value


def _micros(name: str, value: Any) -> int:
    try:
        found = micros_of(duration(value))
    except ValueError as wrong:
        raise ConfigError(f"log: {name}: {wrong}.", hint="write a duration such as '10s', '1h'.") from None
    return found
