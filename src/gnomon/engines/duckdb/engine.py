"""The default engine: DuckDB, in process, over Parquet and CSV files.

Every question gets a database of its own in memory, which goes to disk where `memory_limit` ends and is gone
afterwards: questions never see each other, and threads may ask at the same time.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon import types
from gnomon.contracts.engine import EngineCapabilities, Lags, SourceFile
from gnomon.contracts.plugins import Context, check_options
from gnomon.core.columns import of_integers
from gnomon.core.expressions import TypedExpression
from gnomon.core.kernel.parts import Answers
from gnomon.definitions.sources import FileSource, Source, file_sources
from gnomon.definitions.views import FeatureView
from gnomon.engines.duckdb.events import KEYS, event_schema, events_query, keys_query
from gnomon.engines.duckdb.lags import lags_of
from gnomon.engines.duckdb.origins import Beside, Files, LogEvents, Origin, log_table
from gnomon.engines.duckdb.scan import literal, quoted, reader, source_files
from gnomon.engines.duckdb.spill import Spill
from gnomon.engines.duckdb.windowed import WindowedView
from gnomon.errors import BackendError, RequestError, SourceError
from gnomon.plan.as_of import Step, instants_query, steps
from gnomon.plan.latest import latest_query, latest_steps
from gnomon.plan.questions import (
    EventsQuestion,
    LoadQuestion,
    LogPrefix,
    Through,
    TrainingQuestion,
    ViewQuestion,
)

__all__ = ["DuckDBEngine"]

BATCH_ROWS = 100_000
MOST_ROWS_JOINED = 1_000_000
"""Answers of several views longer than this are set aside in files, not held in memory side by side."""

MOST = 2**63 - 1
"""A log has no position beyond."""

_numbers = count()
"""Of tables that DuckDB is shown: it takes no name with quotes for them."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C be Ctrl-C: DuckDB stops at it, but calls it a RuntimeError."""
    try:
        yield
    except RuntimeError as wrong:
        if str(wrong) == "Query interrupted":
            raise KeyboardInterrupt from wrong
        raise


class _Shared(threading.local):
    """The database that this thread's small questions share for a while; making one takes 15 ms."""

    database: duckdb.DuckDBPyConnection | None = None


class DuckDBEngine:
    """DuckDB over files.

    Args:
        options: `memory_limit` ("4GB"), `threads`, `temp_directory`; each as DuckDB understands it.
        context: the repo; relative paths of sources start at its folder.

    Raises:
        ConfigError: an option is unknown.
        BackendError: DuckDB refuses an option's value.
    """

    capabilities = EngineCapabilities(sql=True, spills=True)

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        check_options("offline_store", options, ("memory_limit", "threads", "temp_directory"))
        self._repo_path = context.repo_path.absolute()
        self._settings = dict(options)
        given = self._settings.pop("temp_directory", tempfile.gettempdir())
        self._spill = Spill(self._repo_path / str(given))
        self._shared = _Shared()
        self._connect().close()

    @_interruptible()
    def schema(self, source: FileSource) -> pa.Schema:
        """The columns of a source, after its field mapping, with their Arrow types."""
        paths = self._paths(source)
        with closing(self._connect()) as con, _reading(source):
            found = con.sql(f"select * from {reader(source, paths)} limit 0").to_arrow_table().schema
        return pa.schema([field.with_name(source.field_mapping.get(field.name, field.name)) for field in found])

    def files(self, source: FileSource) -> tuple[SourceFile, ...]:
        """The files a source consists of right now, ordered by path."""
        return source_files(source, self._repo_path)

    @_interruptible()
    def table(self, query: str) -> pa.Table:
        """The result of a SQL query, or the rows of a Parquet or CSV path."""
        path = self._repo_path / query if len(query) < 4096 and "\n" not in query else None
        is_file = query.lower().endswith((".parquet", ".pq", ".csv", ".csv.gz")) or (path is not None and path.exists())
        sql = literal(str(path)) if is_file else f"({query.strip().rstrip(';')}\n)"
        con = self._connect()
        try:
            con.execute(f"set file_search_path = {literal(str(self._repo_path))}")
            return con.sql(f"select * from {sql}").to_arrow_table()
        except duckdb.Error as wrong:
            raise RequestError(
                f"the spine {query!r} cannot be read.",
                instead=_first_line(wrong),
                hint="pass a table, a path, or one SELECT over files: \"select … from 'orders.parquet'\".",
            ) from wrong
        finally:
            con.close()

    @_interruptible()
    def training_set(self, spine: pa.Table, question: TrainingQuestion) -> pa.RecordBatchReader:
        """The features asked, one row per row of the spine, in its order; the spine's own columns are not in it."""
        con = self._connect()
        of_rows = replace(question, views=tuple(part for part in question.views if not part.view.aggregations))
        folder = self._spill.made() if len(of_rows.views) > 1 and len(spine) > MOST_ROWS_JOINED else None
        windowed: list[Answers] = []
        try:
            with _reading(None):
                self._take_spine(con, spine, question.instant)
            span = _span(spine[question.instant])
            for place, part in enumerate(part for part in question.views if part.view.aggregations):
                windowed.append(self._answer_windowed(con, part, question, f"_w{place}", span))
            for place, part in enumerate(of_rows.views):
                self._answer_view(con, part, question, f"_{place}", span)
                if folder:
                    _set_aside(con, part, f"_{place}", folder)
            with _reading(None):
                found = _read_together(of_rows, folder) if folder else _put_together(con, of_rows)
        except BaseException:
            con.close()
            for answers in windowed:
                answers.close()
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        schema = pa.schema([pa.field(name, types.to_arrow(dtype)) for name, dtype in _answer_types(question)])
        if windowed:
            found = _with_windowed(found if of_rows.views else None, windowed, schema)
        return pa.RecordBatchReader.from_batches(schema, _streamed(con, found, schema))

    @_interruptible()
    def instants(self, keys: pa.Table, question: TrainingQuestion, start: int, end: int) -> pa.Table:
        """The keys' rows repeated for `start` and for every instant in (start, end] at which an answer may change."""
        con = self._connect()
        try:
            con.register("keys_asked", _numbered(keys))
            changes = [f"select __row as r, {start} as t from keys_asked"]
            for part in question.views:
                con.execute(f"create or replace temp table asked as select __row as r{_keys_of(part)} from keys_asked")
                with _reading(part.view.source):
                    if part.view.aggregations:
                        name = f"change{len(changes)}"
                        con.register(name, self._windowed_instants(con, part, question, (start, end)))
                        changes.append(f"select r, t from {name}")
                        continue
                    rows = self._origin_of(con, part, question).rows()
                    found = instants_query(part, question.as_known, rows, start, end)
                    con.execute(f"create temp table change{len(changes)} as {found}")
                changes.append(f"select r, t from change{len(changes)}")
            own = ", ".join(quoted(name) for name in keys.column_names)
            return con.sql(
                f"select {own and own + ', '}t as {quoted(question.instant)} from ({' union '.join(changes)}) "
                "join keys_asked on r = __row order by r, t"
            ).to_arrow_table()
        finally:
            con.close()

    @_interruptible()
    def load(self, question: LoadQuestion) -> pa.RecordBatchReader:
        """The rows to materialize: join keys, `__event`, `__known` (int64 µs), then the view's columns."""
        view = question.view
        # What is new since an instant is little as a rule; a whole load's memory shall be given back after it.
        con = self._connect(shared=question.start is not None)
        fields = [*view.entity_columns, *view.schema]
        named = [(field.name, types.to_arrow(field.dtype)) for field in fields]
        instants = [("__event", pa.int64()), ("__known", pa.int64())]
        schema = pa.schema([*named[: len(view.join_keys)], *instants, *named[len(view.join_keys) :]])
        try:
            with _reading(view.source):
                only = question.files
                files = {} if only is None else {one.name: only for one in file_sources(view.source)}
                rows = self._origin(con, view, files, question.logs).rows(since=question.start, until=question.end)
                _run(con, latest_steps(question, rows))
                batches = con.sql(latest_query(question)).to_arrow_reader(BATCH_ROWS)
        except BaseException:
            con.close()
            raise
        return pa.RecordBatchReader.from_batches(schema, _streamed(con, batches, schema, view.source))

    @_interruptible()
    def events(self, question: EventsQuestion) -> pa.RecordBatchReader:
        """A view's events by join keys, then event time, then known time; those without a key or a time left out."""
        con, source = self._connect(), question.view.source
        through = Through(position=MOST, end=question.end, known=question.known)
        try:
            with _reading(source):
                origin = self._origin(con, question.view, question.files, question.logs, through)
                if question.keys is not None and question.view.join_keys:
                    con.register(KEYS, question.keys)
                batches = con.sql(events_query(question, origin)).to_arrow_reader(BATCH_ROWS)
            schema = event_schema(question, origin, batches.schema)
        except BaseException:
            con.close()
            raise
        return pa.RecordBatchReader.from_batches(schema, _streamed(con, batches, schema, source))

    @_interruptible()
    def lags(self, source: Source, shares: Sequence[float], events: LogPrefix | None = None) -> Lags:
        """How late a source's rows were known: of files with a column of known times, or of a log's events."""
        with closing(self._connect()) as con, _reading(source):
            if isinstance(source, FileSource):
                shown, table = source, reader(source, self._paths(source))
            else:
                shown, table = log_table(con, source, events or LogPrefix(), f"log_{next(_numbers)}")
            found = con.sql(f"select * from {table} limit 0")
            names = [shown.field_mapping.get(name, name) for name in found.columns]
            return lags_of(con, shown, dict(zip(names, map(str, found.types), strict=True)), table, shares)

    @_interruptible()
    def keys(self, question: EventsQuestion, count: int, seed: int) -> pa.Table:
        """So many different keys of a view's rows, drawn at random: the same for a seed."""
        source, fields = question.view.source, question.view.entity_columns
        through = Through(position=MOST, end=question.end, known=question.known)
        with closing(self._connect()) as con, _reading(source):
            origin = self._origin(con, question.view, question.files, question.logs, through)
            found = con.sql(keys_query(question.view, origin, count, seed)).to_arrow_table()
        return pa.table(
            [found[f"k{place}"].cast(types.to_arrow(one.dtype)) for place, one in enumerate(fields)],
            schema=pa.schema([(one.name, types.to_arrow(one.dtype)) for one in fields]),
        )

    def evaluator(self, expressions: Mapping[str, TypedExpression]) -> Callable[[pa.Table], pa.Table]:
        """What computes expressions over tables of their columns: a column for each, in their own types, row by row."""
        con = self._connect()
        terms = ", ".join(f"{one.sql(quoted)} as {quoted(name)}" for name, one in expressions.items())

        @_interruptible()
        def evaluated(table: pa.Table) -> pa.Table:
            con.register("given", _numbered(table))
            found = con.sql(f"select {terms} from given order by __row").to_arrow_table()
            con.unregister("given")
            return found

        return evaluated

    @contextmanager
    def together(self) -> Iterator[None]:
        """Loads of what is new share one database, which is gone afterwards."""
        with closing(self._connect()) as database:
            before, self._shared.database = self._shared.database, database
            try:
                yield
            finally:
                self._shared.database = before

    def relation(self, table: pa.Table, connection: Any = None) -> Any:
        """The table as a DuckDB relation, of the caller's connection or of a new one."""
        return (connection or self._connect()).from_arrow(table)

    def close(self) -> None:
        """Every question's database went with it; what is left is to let go of the place for what does not fit."""
        self._spill.close()

    def _connect(self, *, shared: bool = False) -> duckdb.DuckDBPyConnection:
        """A connection with a database of its own; or, if `shared`, with the one of `together`, if there is one."""
        try:
            database = self._shared.database if shared else None
            con = database.cursor() if database else duckdb.connect(config=self._config())
        except duckdb.Error as wrong:
            raise BackendError(
                f"DuckDB refuses its settings {self._settings}.",
                instead=_first_line(wrong),
                hint="correct memory_limit, threads or temp_directory under offline_store in feature_store.yaml.",
            ) from wrong
        con.execute("set TimeZone = 'UTC'; set preserve_insertion_order = false; set enable_progress_bar = false")
        # DuckDB joins as-of by nested loop where it guesses a small left side, and then may never end.
        con.execute("set asof_loop_join_threshold = 0")
        return con

    def _config(self) -> dict[str, Any]:
        """The settings of a new database, with a folder of its own to spill into: DuckDB makes it and removes it."""
        return {**self._settings, "temp_directory": str(self._spill.new())}

    def _paths(self, source: FileSource) -> list[str]:
        return [file.path for file in self.files(source)]

    def _origin(
        self,
        con: duckdb.DuckDBPyConnection,
        view: FeatureView,
        files: Mapping[str, Sequence[str]],
        logs: Mapping[str, LogPrefix],
        through: Through | None = None,
    ) -> Origin:
        """Where a view's rows come from.

        Args:
            con: the question's database.
            view: the view.
            files: of a source, by name, the only files that count; sources left out count whole.
            logs: of a push source, by name, the events that count.
            through: which of all these rows count, where not all do.
        """
        source = view.source
        if isinstance(source, FileSource):
            return Files(con, view, source, files.get(source.name) or self._paths(source), through=through)
        prefix = logs.get(source.name, LogPrefix())
        if through is not None:
            prefix = replace(prefix, position=min(prefix.position, through.position or 0))
        log = LogEvents(con, view, source, prefix, f"log_{next(_numbers)}")
        if source.batch_source is None:
            return log
        batch = source.batch_source
        dtypes = {one.name: one.dtype for one in source.schema}
        there = Files(con, view, batch, files.get(batch.name) or self._paths(batch), dtypes, through)
        return Beside(source, log, there, len(view.join_keys))

    def _origin_of(self, con: duckdb.DuckDBPyConnection, part: ViewQuestion, question: TrainingQuestion) -> Origin:
        """Where the rows of a view come from that count in a question."""
        return self._origin(con, part.view, question.files, question.logs, question.through.get(part.view.id))

    def _take_spine(self, con: duckdb.DuckDBPyConnection, spine: pa.Table, instant: str) -> None:
        con.register("given", _numbered(spine))
        con.execute(f"create temp table given_rows as select *, {quoted(instant)} as t from given")
        con.unregister("given")

    def _windowed_instants(
        self, con: duckdb.DuckDBPyConnection, part: ViewQuestion, question: TrainingQuestion, span: tuple[int, int]
    ) -> pa.Table:
        """(r, t): the instants at which a windowed view's answers may change."""
        con.execute("drop table if exists keys")
        origin = self._origin_of(con, part, question)
        return WindowedView(con, part, question.as_known, "", span, self._spill.made).instants(origin)

    def _answer_windowed(
        self,
        con: duckdb.DuckDBPyConnection,
        part: ViewQuestion,
        question: TrainingQuestion,
        tag: str,
        span: tuple[int, int],
    ) -> Answers:
        """The answers about one windowed view, by the kernel."""
        con.execute(f"create temp view asked{tag} as select __row as r, t{_keys_of(part)} from given_rows")
        with _reading(part.view.source):
            origin = self._origin_of(con, part, question)
            view = WindowedView(con, part, question.as_known, tag, span, self._spill.made)
            return view.answers(origin, strict=question.strict)

    def _answer_view(
        self,
        con: duckdb.DuckDBPyConnection,
        part: ViewQuestion,
        question: TrainingQuestion,
        tag: str,
        span: tuple[int, int],
    ) -> None:
        """Make link{tag} and found{tag} for one view."""
        con.execute(f"create temp view asked{tag} as select __row as r, t{_keys_of(part)} from given_rows")
        with _reading(part.view.source):
            origin = self._origin_of(con, part, question)
            rows = origin.rows(until=span[1])
            _run(con, steps(part, question.as_known, rows, tag, span, most_rows=origin.most_rows(1)))


def _run(con: duckdb.DuckDBPyConnection, steps: Iterable[Step]) -> None:
    for step in steps:
        if not (step.unless and con.execute(step.unless).fetchall()[0][0]):
            con.execute(step.sql)


def _span(instants: pa.ChunkedArray) -> tuple[int, int]:
    """The least and the greatest instant; an empty spine asks of no time at all."""
    found = pc.min_max(instants)
    return (found["min"].as_py(), found["max"].as_py()) if len(instants) else (0, -1)


def _numbered(table: pa.Table) -> pa.Table:
    return table.append_column("__row", of_integers(np.arange(len(table))))


def _keys_of(part: ViewQuestion) -> str:
    return "".join(f", {quoted(name)} as k{place}" for place, name in enumerate(part.columns))


def _put_together(con: duckdb.DuckDBPyConnection, question: TrainingQuestion) -> Iterable[pa.RecordBatch]:
    """The answer's columns beside each other, in the spine's order."""
    columns: dict[str, str] = {}
    joins: list[str] = []
    for place, part in enumerate(question.views):
        names = part.view.feature_names
        columns |= {name: f"v{place}.f{names.index(feature)}" for feature, name in part.features}
        joins.append(f"left join ({_found(f'_{place}')}) v{place} on v{place}.r = s.__row")
    selected = ", ".join(f"{columns[name]} as {quoted(name)}" for name in question.order if name in columns)
    if not selected:
        return ()
    rows: Iterable[pa.RecordBatch] = con.sql(
        f"select {selected} from given_rows s {' '.join(joins)} order by s.__row"
    ).to_arrow_reader(BATCH_ROWS)
    return rows


def _set_aside(con: duckdb.DuckDBPyConnection, part: ViewQuestion, tag: str, folder: Path) -> None:
    """Write one view's answer to a file, in the spine's order, and forget its tables: large answers go one by one."""
    names = part.view.feature_names
    selected = ", ".join(f"v.f{names.index(feature)} as {quoted(name)}" for feature, name in part.features)
    answer = f"select {selected} from given_rows s left join ({_found(tag)}) v on v.r = s.__row order by s.__row"
    with _reading(None):
        con.execute(f"copy ({answer}) to {literal(str(folder / tag))} (format parquet, compression lz4)")
        for (table,) in con.sql("select table_name from duckdb_tables()").fetchall():
            if table.endswith(tag):
                con.execute(f"drop table {table}")


def _read_together(question: TrainingQuestion, folder: Path) -> Iterator[pa.RecordBatch]:
    """The answers set aside, beside each other; their folder goes with the last row."""
    try:
        files = [pq.ParquetFile(folder / f"_{place}") for place in range(len(question.views))]
        for columns in _in_step([file.iter_batches(BATCH_ROWS) for file in files]):
            names = [name for name in question.order if name in columns]
            yield pa.RecordBatch.from_arrays([columns[name] for name in names], names=names)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_windowed(
    of_rows: Iterable[pa.RecordBatch] | None, windowed: Sequence[Answers], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Answers of windowed views beside those of row views; their files go with the last row."""
    try:
        streams = [answers.batches(BATCH_ROWS) for answers in windowed]
        if of_rows is not None:
            streams.append(iter(of_rows))
        for columns in _in_step(streams):
            yield pa.RecordBatch.from_arrays([columns[name] for name in schema.names], names=schema.names)
    finally:
        for answers in windowed:
            answers.close()


def _in_step(streams: Sequence[Iterator[pa.RecordBatch]]) -> Iterator[dict[str, pa.Array]]:
    """The columns of streams of equally many rows, cut alike."""
    waiting: list[Any] = [next(stream, None) for stream in streams]
    while None not in waiting:
        rows = min(map(len, waiting))
        yield {
            name: column
            for batch in waiting
            for name, column in zip(batch.schema.names, batch.slice(0, rows).columns, strict=True)
        }
        waiting = [
            batch.slice(rows) if len(batch) > rows else next(stream, None)
            for batch, stream in zip(waiting, streams, strict=True)
        ]


def _found(tag: str) -> str:
    return f"select link{tag}.r, f.* exclude (id) from link{tag} join found{tag} f using (id)"


def _answer_types(question: TrainingQuestion) -> Iterator[tuple[str, types.FeatureType]]:
    dtypes = {
        name: field.dtype
        for part in question.views
        for feature, name in part.features
        for field in part.view.schema
        if field.name == feature
    }
    return ((name, dtypes[name]) for name in question.order)


def _streamed(
    con: duckdb.DuckDBPyConnection,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    source: Source | None = None,
) -> Iterator[pa.RecordBatch]:
    """Hand batches on in the canonical Arrow types, and let the database go with the last one."""
    with closing(con), _interruptible(), _reading(source):
        for batch in batches:
            columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


@contextmanager
def _reading(source: Source | None) -> Iterator[None]:
    """Turn DuckDB's errors, and Arrow's that carry them, into errors about the source that is read."""
    try:
        yield
    except duckdb.OutOfMemoryException as wrong:
        raise _out_of_room(wrong) from wrong
    except (duckdb.Error, pa.ArrowException, OSError) as wrong:
        if source is None:
            raise _out_of_room(wrong) from wrong
        raise _unreadable(source, wrong) from wrong


def _unreadable(source: Source, wrong: Exception) -> SourceError:
    return SourceError(
        f"source {source.name!r} cannot be read.",
        instead=_first_line(wrong),
        hint="look at the file named above: is it whole, and has it the columns and types the definitions say?",
        source=source.name,
    )


def _out_of_room(wrong: Exception) -> BackendError:
    return BackendError(
        "DuckDB ran out of memory, or of disk for what does not fit.",
        instead=_first_line(wrong),
        hint="raise memory_limit, or set temp_directory (both under offline_store) to a disk with room.",
    )


def _first_line(wrong: BaseException) -> str:
    return str(wrong).strip().splitlines()[0]
