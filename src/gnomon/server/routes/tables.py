"""Tables on the wire: rows that came as Arrow or Parquet, read with care; training sets that leave piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.errors import RequestError
from gnomon.server.problems import HttpError

__all__ = ["ARROW", "PARQUET", "Pieces", "held", "read_table", "too_many"]

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"

_BROKEN = (pa.ArrowException, OSError, ValueError, KeyError, NotImplementedError)


def read_table(body: bytes, media_type: str, most: int) -> pa.Table:
    """The table in a body.

    It is looked at in full: offsets that lead nowhere would else be followed.

    Args:
        body: the body.
        media_type: what it is, `ARROW` or `PARQUET`.
        most: it may have so many rows.

    Raises:
        RequestError: it is none.
        HttpError: 413, it has more rows.
    """
    try:
        table = _of_parquet(body, most) if media_type == PARQUET else _of_arrow(body, most)
        table.validate(full=True)
    except _BROKEN as wrong:
        raise RequestError(
            f"the body is no {'Parquet file' if media_type == PARQUET else 'Arrow stream'}.",
            instead=str(wrong).partition("\n")[0][:200],
            hint="write it with pyarrow: pa.ipc.new_stream(…), or pq.write_table(…).",
        ) from wrong
    return table


@contextmanager
def held(what: str) -> Iterator[None]:
    """Arrow has more types than others, and of each more values: what these cannot hold is an error of the caller's.

    Args:
        what: what is to hold the caller's values.

    Raises:
        RequestError: it cannot.
    """
    try:
        yield
    except (pa.ArrowException, OverflowError) as wrong:
        raise RequestError(
            f"a column cannot be {what}.",
            instead=str(wrong).partition("\n")[0][:200],
            hint="leave the column out, give it another type, or ask for another form.",
        ) from wrong


def too_many(rows: int, most: int) -> HttpError:
    """The error of a question about more rows than may be asked."""
    return HttpError(
        413,
        f"{rows:,} rows are asked, and {most:,} may be.",
        hint="ask in parts, raise `feature_server: batch_rows` in feature_store.yaml, or ask where the repo is.",
    )


def _of_arrow(body: bytes, most: int) -> pa.Table:
    batches, rows = [], 0
    with pa.ipc.open_stream(pa.BufferReader(body)) as reader:
        for batch in reader:
            rows += len(batch)
            if rows > most:
                raise too_many(rows, most)
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


def _of_parquet(body: bytes, most: int) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(body))
    if (rows := file.metadata.num_rows) > most:
        raise too_many(rows, most)
    return file.read()


class Pieces:
    """A stream of batches as pieces of bytes; one thread at a time asks for the next.

    Args:
        reader: the batches.
        media_type: what the bytes are, `ARROW` or `PARQUET`.
    """

    def __init__(self, reader: pa.RecordBatchReader, media_type: str) -> None:
        self._pieces: Iterator[bytes] | None = _written(reader, media_type)
        self._lock = threading.Lock()

    def next(self) -> bytes | None:
        """The next piece; None after the last."""
        with self._lock:
            return None if self._pieces is None else next(self._pieces, None)

    def close(self) -> None:
        """Let go of what is read from."""
        with self._lock:
            self._pieces = None


def _written(reader: pa.RecordBatchReader, media_type: str) -> Iterator[bytes]:
    sink = _Sink()
    with held(media_type):
        writer: Any = (
            pq.ParquetWriter(sink, reader.schema) if media_type == PARQUET else pa.ipc.new_stream(sink, reader.schema)
        )
    for batch in reader:
        with held(media_type):
            writer.write_batch(batch)
        if piece := sink.taken():
            yield piece
    writer.close()
    yield sink.taken()


class _Sink:
    """Takes bytes until they are taken from it."""

    closed = False

    def __init__(self) -> None:
        self._bytes, self._taken = bytearray(), 0

    def write(self, some: Any) -> int:
        self._bytes += memoryview(some)
        return len(some)

    def tell(self) -> int:
        return self._taken + len(self._bytes)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """What is left is taken afterwards."""

    def taken(self) -> bytes:
        taken, self._bytes = bytes(self._bytes), bytearray()
        self._taken += len(taken)
        return taken
