"""How late rows were known, by DuckDB: exact quantiles of known time − event time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from gnomon.contracts.engine import Lags
from gnomon.definitions.sources import FileSource
from gnomon.engines.duckdb.scan import micros, missing_column, quoted

__all__ = ["lags_of"]


def lags_of(
    con: duckdb.DuckDBPyConnection,
    source: FileSource,
    columns: Mapping[str, str],
    table: str,
    shares: Sequence[float],
) -> Lags:
    """The lags of a table's rows.

    Args:
        con: a connection.
        source: says which columns are the times.
        columns: column of the source, after its field mapping → DuckDB's name of its type.
        table: what to read them from.
        shares: which quantiles are wanted, each from 0 to 1.

    Raises:
        SourceError: the source lacks a column.
    """
    original = {new: old for old, new in source.field_mapping.items()}

    def instant(name: str) -> str:
        if name not in columns:
            raise missing_column(source, name, columns)
        return micros(quoted(original.get(name, name)), columns[name])

    event, known = instant(source.timestamp_field), instant(source.created_timestamp_column)
    rows, timeless, quantiles, longest, negative = con.sql(
        f"select count(lag), count(*) - count(lag), quantile_disc(lag, {list(shares)}), max(lag), "
        f"count(*) filter (lag < 0) from (select {known} - {event} as lag from {table} where {event} is not null)"
    ).fetchall()[0]
    return Lags(
        rows=rows,
        timeless=timeless,
        quantiles=tuple(quantiles) if rows else (),
        longest=longest,
        negative=int(negative),
    )
