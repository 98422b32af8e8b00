"""Writing sealed files from sealed files: whole under a scratch name first, then in place, and durable in each step.

The file says in its metadata when it was written, by the log's clock: those that it stands for may go some time later;
and when events were last erased from what it holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.log.folder import Sealed

__all__ = ["SCRATCH", "erased_at", "place", "plain", "rows_of", "sync_folder", "write", "written_at"]

SCRATCH = ".upkeep"
WRITTEN, ERASED = b"gnomon.written", b"gnomon.erased"
ROWS = 131_072
"""How many rows a row group has at least, but for the last: readers skip whole ones, and hold one at a time."""


def plain(schema: pa.Schema) -> pa.Schema:
    """A schema without what a file says beside names and types."""
    return pa.schema([field.remove_metadata() for field in schema])


def rows_of(files: Iterable[Sealed]) -> Iterator[pa.Table]:
    """The rows of files, in order, some at a time."""
    for one in files:
        with pq.ParquetFile(one.path) as file:
            for batch in file.iter_batches():
                yield pa.Table.from_batches([batch])


def write(path: Path, schema: pa.Schema, rows: Iterable[pa.Table], now: int, erased: int | None = None) -> None:
    """Make a sealed file that appears whole.

    Args:
        path: the file.
        schema: its columns.
        rows: its rows, in these columns.
        now: when it is written, µs.
        erased: when events were last erased from what it holds, µs; None for never.
    """
    scratch = path.parent / SCRATCH
    told = {WRITTEN: str(now)} | ({} if erased is None else {ERASED: str(erased)})
    described = schema.with_metadata(told)
    with pq.ParquetWriter(scratch, described, compression="zstd") as writer:
        for table in _in_groups(rows):
            writer.write_table(table, row_group_size=max(len(table), 1))
    _put(scratch, path)


def place(path: Path, data: bytes) -> None:
    """Make a small file that appears whole."""
    scratch = path.parent / SCRATCH
    scratch.write_bytes(data)
    _put(scratch, path)


def written_at(path: Path) -> int | None:
    """When a file was written from others, µs; None for one that was not."""
    return _told(pq.read_schema(path), WRITTEN)


def erased_at(schema: pa.Schema) -> int | None:
    """When events were last erased from a file, µs, by its schema; None for never."""
    return _told(schema, ERASED)


def sync_folder(folder: Path) -> None:
    """Make durable which names there are."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _told(schema: pa.Schema, what: bytes) -> int | None:
    told = (schema.metadata or {}).get(what)
    return None if told is None else int(told)


def _put(scratch: Path, path: Path) -> None:
    with scratch.open("rb") as file:
        os.fsync(file.fileno())
    scratch.rename(path)
    sync_folder(path.parent)


def _in_groups(rows: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for table in rows:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
