"""Where a view's rows come from: files, or a log with files beside it; either way one SELECT gives them.

Of a log the engine reads a prefix, taken once for the whole question: its sealed files and a table of the rest. Its
known times are the log's stamps. What of a batch source is in the log, too, is left out here, before any question is
asked of the rows (`docs/time.md`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa

from gnomon.clock import to_micros
from gnomon.contracts.log import KNOWN, POSITION
from gnomon.definitions.sources import FileSource, PushSource
from gnomon.definitions.views import FeatureView
from gnomon.engines.duckdb.scan import NOTHING, check_types, literal, reader, rows_query
from gnomon.plan.events import FILE, PLACES, ROW
from gnomon.plan.questions import LogPrefix, Through
from gnomon.types import FeatureType, arrow_schema

__all__ = ["Beside", "Files", "LogEvents", "Origin", "log_table"]


class Origin(Protocol):
    """A view's rows."""

    def rows(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        happened: int | None = None,
        more: Mapping[str, str] = NOTHING,
        places: bool = False,
    ) -> str:
        """A SELECT that gives the rows as k0 … kn, e, w (µs), f0 … fm; its arguments are those of `rows_query`.

        With `places`, it gives the columns `places`, too.
        """
        ...

    @property
    def places(self) -> tuple[str, ...]:
        """The columns that say where a row is: `__file`, `__row`, `__position`, and what else a log says of events."""
        ...

    def most_rows(self, bytes_a_row: int) -> int:
        """A number of rows found without reading them: not exceeded where a row of text takes so many bytes."""
        ...


class Files:
    """Rows in files.

    Args:
        con: the question's database.
        view: the view.
        source: the view's source, or the batch source of it.
        paths: the files.
        dtypes: types of further columns, where they are declared.
        through: which of the rows count, where not all do.
    """

    places = PLACES

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        view: FeatureView,
        source: FileSource,
        paths: Sequence[str],
        dtypes: Mapping[str, FeatureType] | None = None,
        through: Through | None = None,
    ) -> None:
        self._con, self._view, self._source, self._paths = con, view, source, paths
        self._through = through or Through()
        self._dtypes = dtypes or {}
        self._table = reader(source, paths, as_text=True)
        self.columns = _columns(con, view, source, self._table)

    def rows(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        happened: int | None = None,
        more: Mapping[str, str] = NOTHING,
        places: bool = False,
    ) -> str:
        """A SELECT that gives the rows."""
        end, known = self._through.end, self._through.known
        until = min((one for one in (until, end) if one is not None), default=None)
        bounds = {"since": since, "until": until, "happened": happened}
        table, columns, more = self._placed(more) if places else (self._table, self.columns, more)
        query = rows_query(self._view, self._source, columns, table, more=more, dtypes=self._dtypes, **bounds)
        if places:
            query = f"select *, null::BIGINT as {POSITION} from ({query})"
        return _within(query, {"e": end, "w": known})

    def most_rows(self, bytes_a_row: int) -> int:
        """By the sizes of CSV files, by what Parquet files say."""
        if self._source.file_format == "csv":
            return sum(Path(path).stat().st_size for path in self._paths) // bytes_a_row
        return _rows_in(self._con, self._paths)

    def _placed(self, more: Mapping[str, str]) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
        """The table with each row's place, its columns, and the further columns wanted of it."""
        table = reader(self._source, self._paths, as_text=True, places=True)
        if "file_row_number" in map(str.lower, self.columns):  # which DuckDB would give in place of its own
            table = f"(select * replace (null::BIGINT as {ROW}) from {table})"
        return table, {**self.columns, FILE: "VARCHAR", ROW: "BIGINT"}, {**more, FILE: FILE, ROW: ROW}


class LogEvents:
    """Events of a log.

    Args:
        con: the question's database.
        view: the view.
        source: its source.
        prefix: what of the log counts.
        name: a name that no other table of the database has.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, view: FeatureView, source: PushSource, prefix: LogPrefix, name: str
    ) -> None:
        self._con, self._view, self._prefix = con, view, prefix
        self._dtypes = {one.name: one.dtype for one in source.schema}
        self._source, self._table = log_table(con, source, prefix, name)
        self._columns = _columns(con, view, self._source, self._table)
        self._told = sorted(name for name in self._columns if name.startswith("__") and name not in (POSITION, KNOWN))

    @property
    def places(self) -> tuple[str, ...]:
        """The columns that say where an event is, and what else the log says of it."""
        return (*PLACES, *self._told)

    def rows(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        happened: int | None = None,
        more: Mapping[str, str] = NOTHING,
        places: bool = False,
    ) -> str:
        """A SELECT that gives the rows."""
        bounds = {"since": since, "until": until, "happened": happened}
        if places:
            more = {**more, POSITION: POSITION, **{name: name for name in self._told}}
        query = rows_query(
            self._view, self._source, self._columns, self._table, more=more, dtypes=self._dtypes, **bounds
        )
        return f"select *, null::VARCHAR as {FILE}, null::BIGINT as {ROW} from ({query})" if places else query

    def most_rows(self, bytes_a_row: int) -> int:
        """Positions count rows."""
        return self._prefix.position


def log_table(
    con: duckdb.DuckDBPyConnection, source: PushSource, prefix: LogPrefix, name: str
) -> tuple[FileSource, str]:
    """A log's events as a source, and what DuckDB reads them from.

    Args:
        con: a connection; the events that are in no file are shown to it.
        source: the log's source.
        prefix: what of the log counts.
        name: a name that no other table of the database has.
    """
    shown = FileSource(
        path="log",
        name=source.name,
        timestamp_field=source.timestamp_field,
        created_timestamp_column=KNOWN,
        event_id=source.event_id,
        operation=source.operation,
    )
    # Older events may lack columns declared since; an empty table has them all.
    columns = arrow_schema((one.name, one.dtype) for one in source.schema)
    declared = pa.schema([(POSITION, pa.int64()), (KNOWN, pa.timestamp("us", "UTC")), *columns])
    parts = [declared.empty_table()] if prefix.tail is None else [declared.empty_table(), prefix.tail]
    tables = [f"{name}_{place}" for place in range(len(parts))]
    for table, part in zip(tables, parts, strict=True):
        con.register(table, part)
    if prefix.files:
        tables.append(f"read_parquet([{', '.join(map(literal, prefix.files))}], union_by_name = true)")
    united = " union all by name ".join(f"select * from {table}" for table in tables)
    return shown, f"(select * from ({united}) where {POSITION} <= {prefix.position})"


class Beside:
    """Events of a log, and rows of files beside it that are not in it.

    Args:
        source: the view's source.
        log: the events.
        files: the rows.
        keys: how many join keys the view has.
    """

    def __init__(self, source: PushSource, log: LogEvents, files: Files, keys: int) -> None:
        self._source, self._log, self._files = source, log, files
        self._keys = [f"k{place}" for place in range(keys)]
        self.places = log.places

    def rows(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        happened: int | None = None,
        more: Mapping[str, str] = NOTHING,
        places: bool = False,
    ) -> str:
        """A SELECT that gives the rows."""
        bounds = {"since": since, "until": until, "happened": happened}
        there = {
            new: name for new, name in more.items() if name in self._files.columns or name != self._source.operation
        }
        if not self._source.event_id:
            files = self._before(self._files.rows(more=there, places=places, **bounds))
            log = self._from_then_on(self._log.rows(more=more, places=places, **bounds))
            return f"{files} union all by name {log}"
        told = {"__id": self._source.event_id}
        files = self._before(self._files.rows(more={**there, **told}, places=places, **bounds))
        log = self._from_then_on(self._log.rows(more=more, places=places, **bounds))
        return f"select p.* exclude (__id) from ({files}) p {self._not_in_log(told)} union all by name {log}"

    def most_rows(self, bytes_a_row: int) -> int:
        """As many as both have."""
        return self._log.most_rows(bytes_a_row) + self._files.most_rows(bytes_a_row)

    def _not_in_log(self, told: Mapping[str, str]) -> str:
        """Keeps the rows p that were known before the log had an event of their keys and id."""
        keys = ", ".join([*self._keys, "__id"])
        events = self._from_then_on(self._log.rows(more=told))
        first = f"select {keys}, min(w) as __first from ({events}) group by {keys}"
        same = " and ".join(f"p.{key} = l.{key}" for key in [*self._keys, "__id"])
        return f"left join ({first}) l on {same} where (l.__first is null or p.w < l.__first)"

    def _before(self, rows: str) -> str:
        cutover = self._source.cutover
        return f"select * from ({rows}) where e < {to_micros(cutover)}" if cutover else f"select * from ({rows})"

    def _from_then_on(self, rows: str) -> str:
        cutover = self._source.cutover
        return f"select * from ({rows}) where e >= {to_micros(cutover)}" if cutover else f"select * from ({rows})"


def _columns(con: duckdb.DuckDBPyConnection, view: FeatureView, source: FileSource, table: str) -> dict[str, str]:
    """The columns of a table and DuckDB's names of their types, which must fit what was registered."""
    found = con.sql(f"select * from {table} limit 0")
    names = [source.field_mapping.get(name, name) for name in found.columns]
    check_types(view, source, dict(zip(names, found.to_arrow_table().schema.types, strict=True)))
    return dict(zip(names, map(str, found.types), strict=True))


def _within(rows: str, bounds: Mapping[str, int | None]) -> str:
    """The rows of which no term is greater than its bound."""
    said = [f"{term} <= {bound}" for term, bound in bounds.items() if bound is not None]
    return f"select * from ({rows}) where {' and '.join(said)}" if said else rows


def _rows_in(con: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> int:
    listed = ", ".join(map(literal, paths))
    return int(con.sql(f"select sum(num_rows) from parquet_file_metadata([{listed}])").fetchall()[0][0])
