"""Reading sealed files: the parts that hold the positions wanted, in the columns that all of them have together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.contracts.log import KNOWN, POSITION
from gnomon.log.failing import failing
from gnomon.log.folder import INSTANT, MOST_LOOKS, Sealed
from gnomon.log.watch import Between, Watch

__all__ = ["again", "conformed", "read"]

STAMPS = pa.schema([(POSITION, pa.int64()), (KNOWN, INSTANT)])


def read(watch: Watch, since: int, until: int | None, folder: Path) -> pa.RecordBatchReader:
    """The events after one position, up to another or to the end.

    Args:
        watch: the log's folder, looked at.
        since: events after this position.
        until: events up to this position; None for all.
        folder: the log's folder, for errors.
    """
    found, schema = again(lambda: _with_schema(watch, since, until))

    def batches() -> Iterator[pa.RecordBatch]:
        with failing(folder):
            yield from _batches(watch, found, since, schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with a schema's columns, nulls where it has none of that name."""
    if table.schema.equals(schema):
        return table
    for name in schema.names:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
    return table.select(schema.names).cast(schema)


def _with_schema(watch: Watch, since: int, until: int | None) -> tuple[Between, pa.Schema]:
    found = watch.between(since, until)
    schemas = [pq.read_schema(one.path).remove_metadata() for one in found.sealed]
    schemas += [] if found.rows is None else [found.rows.schema]
    if len(schemas) == 1:
        return found, schemas[0]
    return found, pa.unify_schemas(schemas, promote_options="permissive") if schemas else STAMPS


def again(look: Callable[[], Any]) -> Any:
    """What a look gives; where a file it names is gone by then, what a further one does."""
    for _ in range(MOST_LOOKS):
        try:
            return look()
        except FileNotFoundError:
            continue
    return look()


def _batches(watch: Watch, found: Between, since: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    sealed, at = list(found.sealed), since
    last = min(found.last, sealed[-1].last) if sealed else since
    while sealed:
        file = _opened(sealed)
        if file is None:  # merged, or written again
            sealed = list(again(partial(_openable, watch, at, last)))
            continue
        with file:
            for batch in _wanted(file, at, last):
                yield from conformed(pa.Table.from_batches([batch]), schema).to_batches()
        at = sealed.pop(0).last
    if found.rows is not None:
        yield from conformed(found.rows, schema).to_batches()


def _opened(sealed: Sequence[Sealed]) -> Any:
    try:
        return pq.ParquetFile(sealed[0].path)
    except FileNotFoundError:
        return None


def _openable(watch: Watch, at: int, last: int) -> tuple[Sealed, ...]:
    sealed = watch.between(at, last).sealed
    if sealed:
        sealed[0].path.stat()
    return sealed


def _wanted(file: Any, since: int, last: int) -> Iterator[pa.RecordBatch]:
    """A file's events after one position and up to another; what lies outside of them is not read."""
    groups = [at for at in range(file.num_row_groups) if _overlaps(file.metadata.row_group(at), since, last)]
    for batch in file.iter_batches(row_groups=groups):
        at = batch[POSITION]
        kept = pc.and_(pc.greater(at, since), pc.less_equal(at, last))
        yield batch if pc.all(kept).as_py() else batch.filter(kept)


def _overlaps(group: Any, since: int, last: int) -> bool:
    found = group.column(0).statistics
    return found is None or not found.has_min_max or (found.max > since and found.min <= last)
