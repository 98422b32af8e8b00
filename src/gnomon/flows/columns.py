"""Some columns of one file of a source, a part at a time, by the names that views use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.contracts.engine import Engine
from gnomon.definitions.sources import FileSource
from gnomon.errors import SourceError

__all__ = ["rows_of_file"]


def rows_of_file(engine: Engine, source: FileSource, path: str, names: Sequence[str]) -> Iterator[pa.Table]:
    """A file's rows, in those of some columns that it has; a column may stand in the path, as `country=de`.

    Args:
        engine: reads CSV files.
        source: the source.
        path: one of its files.
        names: the columns.

    Raises:
        SourceError: the file cannot be read.
    """
    original = {new: old for old, new in source.field_mapping.items()}
    wanted = {original.get(name, name): name for name in names}
    in_path = dict(part.split("=", 1) for part in Path(path).parent.parts if "=" in part)
    for rows in _parts(engine, source, path, list(wanted)):
        for name in wanted:
            if name not in rows.column_names and name in in_path:
                rows = rows.append_column(name, pa.array([unquote(in_path[name])] * len(rows), pa.string()))
        there = [name for name in wanted if name in rows.column_names]
        yield rows.select(there).rename_columns([wanted[name] for name in there])


def _parts(engine: Engine, source: FileSource, path: str, names: Sequence[str]) -> Iterator[pa.Table]:
    if source.file_format == "csv":
        yield engine.table(path)
        return
    try:
        with pq.ParquetFile(path) as file:
            there = [name for name in names if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=there):
                yield pa.Table.from_batches([batch]) if there else pa.table({"": pa.nulls(len(batch))})
    except (OSError, pa.ArrowException) as wrong:
        raise SourceError(
            f"source {source.name!r}: {path} cannot be read.", instead=str(wrong), hint="is it a Parquet file?"
        ) from wrong
