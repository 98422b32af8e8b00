"""The embedded log: a folder per source, written by one process at a time, read by any number.

An append is one frame at the end of the open segment, and one `fdatasync`. When the segment is large or old, its
events are written as Parquet, which anybody can read, and a new segment begins.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.clock import Clock, duration, micros_of
from gnomon.contracts.log import KNOWN, NO_OFFSETS, OFFSET, PARTITION, POSITION, Appended
from gnomon.contracts.plugins import Context, check_options
from gnomon.errors import BackendError, ConfigError, ConflictError, RequestError, listing
from gnomon.log.folder import Contents, Sealed, contents, parquet_name, segment_name, segment_start
from gnomon.log.framing import frame, frames
from gnomon.plan.questions import LogPrefix

try:
    import fcntl
except ModuleNotFoundError:  # where there are no such locks, one process at a time is up to the user
    fcntl = None  # type: ignore[assignment]

__all__ = ["EmbeddedLog", "EmbeddedLogs"]

SEAL_BYTES = 8 << 20
SEAL_AGE = "1h"
WAIT = "10s"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LOCK, SCRATCH = "lock", ".scratch"
_sync = getattr(os, "fdatasync", os.fsync)


class EmbeddedLogs:
    """Logs in folders, one for each source.

    Args:
        options: `path`, the folder of the folders; `seal_bytes` and `seal_age`, how large and how old (by the clock, at
            an append) a segment gets before it is sealed; `wait`, how long a writer waits for another.
        context: the repo; a relative path starts at its folder.

    Raises:
        ConfigError: an option is unknown or unusable.
    """

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        check_options("log", options, ("path", "seal_bytes", "seal_age", "wait"))
        self._folder = context.repo_path.absolute() / str(options.get("path", ".gnomon/log"))
        self._clock = context.clock
        self._limits = {
            "seal_bytes": _whole(options.get("seal_bytes", SEAL_BYTES)),
            "seal_age": _micros("seal_age", options.get("seal_age", SEAL_AGE)),
            "wait": _micros("wait", options.get("wait", WAIT)),
        }
        self._logs: dict[str, EmbeddedLog] = {}

    def log(self, source: str) -> EmbeddedLog:
        """The log of a source; its folder is made by the first append."""
        made = EmbeddedLog(self._folder / source, self._clock, **self._limits)
        return self._logs.setdefault(source, made)

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
    """

    def __init__(self, folder: Path, clock: Clock, *, seal_bytes: int, seal_age: int, wait: int) -> None:
        self._folder, self._clock, self._wait = folder, clock, wait
        self._seal_bytes, self._seal_age = seal_bytes, seal_age
        self._seal_from = 0
        self._thread = threading.Lock()
        self._handle: int | None = None
        self._now = Contents()

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
        with _failing(self._folder):
            found = contents(self._folder)
            last = found.position if until is None else min(until, found.position)
            sealed = [one for one in found.sealed if one.last > since and one.first <= last]
            tail = found.tail()
            schemas = [pq.read_schema(one.path).remove_metadata() for one in sealed]
            schemas += [] if tail is None else [tail.schema]
            schema = pa.unify_schemas(schemas, promote_options="permissive") if schemas else _STAMPS
        return pa.RecordBatchReader.from_batches(schema, self._batches(sealed, tail, since, last, schema))

    def prefix(self, until: int | None = None) -> LogPrefix:
        """The events up to a position, or all: sealed files, and a table of the rest."""
        with _failing(self._folder):
            found = contents(self._folder)
            last = found.position if until is None else min(until, found.position)
            tail = found.tail()
        if tail is not None:
            tail = tail.filter(pc.less_equal(tail[POSITION], last))
        files = tuple(str(one.path) for one in found.sealed if one.first <= last)
        return LogPrefix(files=files, tail=tail if tail is not None and len(tail) else None, position=last)

    def position(self) -> int:
        """The position of the last event; 0 where there is none."""
        with _failing(self._folder):
            return contents(self._folder).position

    def offsets(self) -> dict[str, int]:
        """The greatest offset of each producer."""
        with _failing(self._folder):
            return contents(self._folder).offsets

    def seal(self) -> None:
        """Write the events of the open segment as Parquet, and begin the next."""
        with self._writing():
            now = self._caught_up()
            if now.events:
                self._begun(now.schema)

    def close(self) -> None:
        """Release files; the log opens them again if it is used again."""
        with self._thread:
            self._forget()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer, of this process and of all others."""
        with self._thread, _failing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._wait_for(handle)
                yield
            except BaseException:
                self._forget()
                raise
            finally:
                os.close(handle)

    def _wait_for(self, handle: int) -> None:
        deadline = time.monotonic() + self._wait / 1e6
        while fcntl:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise ConflictError(
                        f"somebody else has been writing to the log in {self._folder} for {self._wait / 1e6:g} s.",
                        hint="try again; if it goes on, look which process it is, or raise log: wait.",
                    ) from None
                time.sleep(0.002)

    def _caught_up(self) -> Contents:
        """What the log holds now, others' appends included, and nothing torn at its end."""
        now = self._now
        if self._handle is None or now.segment is None or not _is(now.segment, now.inode, now.end):
            self._forget()
            now = self._now = contents(self._folder)
            if now.segment is not None:
                self._open(now.segment)
                if now.torn:
                    self._cut()
            elif now.sealed:
                self._begun(now.schema)
        return now

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
        for old in self._folder.glob("*.segment"):
            if old != path:
                old.unlink()
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

    def _batches(
        self, sealed: list[Sealed], tail: pa.Table | None, since: int, last: int, schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        def wanted(batch: Any) -> Iterator[pa.RecordBatch]:
            at = batch[POSITION]
            kept = batch.filter(pc.and_(pc.greater(at, since), pc.less_equal(at, last)))
            table = kept if isinstance(kept, pa.Table) else pa.Table.from_batches([kept])
            for name in schema.names:
                if name not in table.column_names:
                    table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
            yield from table.select(schema.names).cast(schema).to_batches()

        with _failing(self._folder):
            for one in sealed:
                with pq.ParquetFile(one.path) as file:
                    for batch in file.iter_batches():
                        yield from wanted(batch)
            if tail is not None:
                yield from wanted(tail)


_ORIGIN = ((PARTITION, pa.string()), (OFFSET, pa.int64()))
_STAMPS = pa.schema([(POSITION, pa.int64()), (KNOWN, pa.timestamp("us", "UTC"))])


@contextmanager
def _failing(folder: Path) -> Iterator[None]:
    """Say in gnomon's words what the system says."""
    try:
        yield
    except OSError as wrong:  # Arrow's errors about files are of that kind, too
        full = wrong.errno in NO_ROOM
        raise BackendError(
            f"the log in {folder} cannot be used: {'the disk is full' if full else wrong}.",
            instead="Nothing of what was being appended is in it." if full else None,
            hint="make room, then push again." if full else "is the folder there, readable and writable?",
            path=str(folder),
        ) from wrong
    except pa.ArrowException as wrong:
        raise BackendError(
            f"the log in {folder} cannot be read.", instead=str(wrong), hint="put its files back from a copy."
        ) from wrong


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


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"log: seal_bytes is {value!r}.", hint="write a whole number of bytes from 1.")
    return value


def _micros(name: str, value: Any) -> int:
    try:
        found = micros_of(duration(value))
    except ValueError as wrong:
        raise ConfigError(f"log: {name}: {wrong}.", hint="write a duration such as '10s', '1h'.") from None
    return found
