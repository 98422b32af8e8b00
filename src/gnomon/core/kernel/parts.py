"""Parts: a question cut by its keys into pieces that fit into memory, answered one by one and put back in order.

Events come as a stream of batches. Each batch is split by key, and what belongs to a part is kept, in memory or,
beyond a limit, in a file of the part's own; so each event is written once, and memory is bounded by the largest part.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.core.columns import as_numpy
from gnomon.core.kernel.columns import Ints, Values, arrow_of
from gnomon.types import FeatureType, to_arrow

__all__ = ["BYTES_HELD", "Answers", "Parts", "each"]

ROWS_GATHERED = 1 << 22
BYTES_HELD = 3 << 27


class Parts:
    """Events split by key.

    Args:
        count: how many parts.
        folder: makes a new folder for files; it goes with `close`.
        held: parts that together take more bytes go to files.
        gathered: so many events are gathered before they are split: pieces then are large enough to write.
    """

    def __init__(
        self, count: int, folder: Callable[[], Path], *, held: int = BYTES_HELD, gathered: int = ROWS_GATHERED
    ) -> None:
        self._count, self._new_folder, self._most, self._gathered = count, folder, held, gathered
        self._folder: Path | None = None
        self._kept: list[list[pa.RecordBatch]] = [[] for _ in range(count)]
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}
        self._files: dict[int, Any] = {}
        self._bytes = 0
        self.rows = [0] * count
        """How many events each part has."""

    def take(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Split batches, whose first column `c` numbers the keys."""
        held: list[pa.RecordBatch] = []
        rows = 0
        for batch in batches:
            held.append(batch)
            rows += len(batch)
            if rows >= self._gathered:
                self._split(held)
                held, rows = [], 0
        if held:
            self._split(held)
        for writer in self._writers.values():
            writer.close()
        for file in self._files.values():
            file.close()

    def read(self, part: int) -> pa.Table | None:
        """The events of a part, those in a file left there; None where there are none. A part is read once."""
        kept, self._kept[part] = self._kept[part], []
        tables = [pa.Table.from_batches(kept)] if kept else []
        if part in self._files:
            assert self._folder is not None
            with pa.memory_map(str(self._folder / str(part))) as source:
                tables.insert(0, pa.ipc.open_stream(source).read_all())
        return pa.concat_tables(tables) if tables else None

    def close(self) -> None:
        """Forget all events, and remove the files."""
        self._kept = []
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _split(self, held: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(held).combine_chunks()
        if self._count == 1:
            self._keep(0, table.to_batches()[0])
            return
        part = as_numpy(table["c"].chunk(0)) % self._count
        order = np.argsort(part.astype(np.uint16), kind="stable")
        bounds = np.searchsorted(part[order], np.arange(self._count + 1))
        batch = table.take(pa.array(order)).combine_chunks().to_batches()[0]
        for place in range(self._count):
            begin, end = int(bounds[place]), int(bounds[place + 1])
            if end > begin:
                self._keep(place, batch.slice(begin, end - begin))

    def _keep(self, part: int, batch: pa.RecordBatch) -> None:
        self.rows[part] += len(batch)
        if self._bytes + batch.nbytes <= self._most:
            self._bytes += batch.nbytes
            self._kept[part].append(batch)
            return
        if self._folder is None:
            self._folder = self._new_folder()
        if part not in self._writers:
            self._files[part] = pa.OSFile(str(self._folder / str(part)), "wb")
            self._writers[part] = pa.ipc.new_stream(self._files[part], batch.schema)
        self._writers[part].write_batch(batch)


class Answers:
    """The columns of an answer: filled part by part in an order of their own, read in the order of the spine.

    Args:
        names: (name, type) of each column.
        order: the rows of the spine in the order in which they are filled; those left out have no values.
        rows: how many rows the spine has.
        folder: makes a new folder for columns too large for memory; it goes with `close`.
        held: columns that together take more bytes go to files.
    """

    def __init__(
        self,
        names: Sequence[tuple[str, FeatureType]],
        order: Ints,
        rows: int,
        folder: Callable[[], Path],
        *,
        held: int = BYTES_HELD,
    ) -> None:
        self._names, self._order, self._rows, self._new_folder = names, order, rows, folder
        self._folder: Path | None = None
        self._large = 9 * len(order) * len(names) > held
        self._numbers: dict[int, tuple[Any, Any]] = {}
        self._arrays: dict[int, list[tuple[int, pa.Array]]] = {}
        self._lock = threading.Lock()
        self.invalid: list[tuple[str, int]] = []
        """(feature, row) of values that their type could not hold; one per feature and part."""

    def put(self, column: int, begin: int, values: Values) -> None:
        """The values of a column from a place of the order on."""
        if values.invalid is not None and values.invalid.any():
            at = begin + int(np.flatnonzero(values.invalid)[0])
            self.invalid.append((self._names[column][0], int(self._order[at])))
        if isinstance(values.data, pa.Array):
            with self._lock:
                self._arrays.setdefault(column, []).append((begin, values.data))
            return
        with self._lock:
            if column not in self._numbers:
                dtypes = values.data.dtype, np.dtype(np.bool_)
                self._numbers[column] = (
                    self._made(f"{column}.values", dtypes[0]),
                    self._made(f"{column}.valid", dtypes[1]),
                )
        data, valid = self._numbers[column]
        data[begin : begin + len(values.data)] = values.data
        valid[begin : begin + len(values.data)] = True if values.valid is None else values.valid

    def batches(self, size: int) -> Iterator[pa.RecordBatch]:
        """All rows, in the order of the spine, in batches of a size."""
        schema = pa.schema([(name, to_arrow(dtype)) for name, dtype in self._names])
        place = np.full(self._rows, -1)
        place[self._order] = np.arange(len(self._order))
        arrays = {column: self._whole(column) for column in range(len(self._names)) if column not in self._numbers}
        for begin in range(0, self._rows, size):
            at = place[begin : begin + size]
            absent = at < 0
            at, missing = (np.where(absent, 0, at), absent) if absent.any() else (at, None)
            columns = [
                self._values(column, at, missing) if column in self._numbers else _taken(arrays[column], at, missing)
                for column in range(len(self._names))
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def close(self) -> None:
        """Remove the files."""
        self._numbers, self._arrays = {}, {}
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _values(self, column: int, at: Ints, missing: Any) -> pa.Array:
        data, valid = (kept[at] for kept in self._numbers[column])
        if missing is not None:
            valid &= ~missing
        return arrow_of(Values(data, None if valid.all() else valid), self._names[column][1])

    def _whole(self, column: int) -> pa.Array:
        """A column of no numbers, in the order in which it was filled."""
        kind = to_arrow(self._names[column][1])
        pieces = sorted(self._arrays.get(column, []), key=lambda one: one[0])
        filled = pa.chunked_array([array.cast(kind) for _, array in pieces], kind).combine_chunks()
        return filled if len(filled) else pa.nulls(1, kind)

    def _made(self, name: str, dtype: Any) -> Any:
        if not self._large:
            return np.zeros(len(self._order), dtype)
        if self._folder is None:
            self._folder = self._new_folder()
        return np.memmap(self._folder / name, dtype, "w+", shape=(len(self._order),))


def _taken(array: pa.Array, at: Ints, missing: Any) -> pa.Array:
    return array.take(pa.array(at, mask=missing))


def each(threads: int, work: Any, items: Iterable[Any], stop: threading.Event) -> None:
    """Do some work for every item, in a few threads; the first error is raised when what runs has ended.

    Args:
        threads: how many.
        work: is called with an item.
        items: the items.
        stop: is set when an error, or Ctrl-C, ends the work: what runs looks at it and ends, too.
    """
    if threads == 1:
        for item in items:
            work(item)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        for _ in pool.map(work, items):
            pass
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
