"""From when to when a file's events are: by what Parquet says of a column; where it does not, by its values.

>>> joined([(3, 5), None, (1, 4)])
(1, 5)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.contracts.log import Span
from gnomon.log.folder import INSTANT

__all__ = ["joined", "span_in", "span_of"]


def joined(spans: Iterable[Span | None]) -> Span | None:
    """The span from the first to the last instant of several; None where there is none."""
    found = [one for one in spans if one is not None]
    return (min(first for first, _ in found), max(last for _, last in found)) if found else None


def span_of(path: Path, column: str) -> Span | None:
    """The first and the last instant in a file's column; None where there is none, or no such column."""
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if column not in names:
            return None
        at = names.index(column)
        groups = [file.metadata.row_group(number).column(at) for number in range(file.num_row_groups)]
        if file.schema_arrow.field(at).type != INSTANT or not all(map(_is_told, groups)):
            return span_in(file.read(columns=[column]), column)
        return joined((one.statistics.min_raw, one.statistics.max_raw) for one in groups)


def span_in(rows: pa.Table, column: str) -> Span | None:
    """The first and the last instant in a table's column; None where there is none, or no such column."""
    if column not in rows.column_names or not pa.types.is_timestamp(rows.schema.field(column).type):
        return None
    found = pc.min_max(rows[column].cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())).as_py()
    return None if found["min"] is None else (found["min"], found["max"])


def _is_told(column: Any) -> bool:
    return column.statistics is not None and column.statistics.has_min_max
