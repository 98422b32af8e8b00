"""A file source as SQL: which files it has, and a SELECT that gives its rows in the plan's canonical columns."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from gnomon import types
from gnomon.clock import micros_of
from gnomon.contracts.engine import SourceFile
from gnomon.definitions.entities import Field
from gnomon.definitions.sources import FileSource
from gnomon.definitions.views import FeatureView
from gnomon.errors import SourceError, listing, nearest_hint
from gnomon.types import Array, Decimal, FeatureType

__all__ = ["literal", "quoted", "reader", "rows_query", "source_files"]

ENDINGS = {"parquet": (".parquet", ".pq", ".parq"), "csv": (".csv", ".csv.gz", ".tsv")}
NOTHING: Mapping[str, str] = {}
SQL_TYPES = {
    "Bool": "BOOLEAN",
    "Int32": "INTEGER",
    "Int64": "BIGINT",
    "Float32": "FLOAT",
    "Float64": "DOUBLE",
    "String": "VARCHAR",
    "Bytes": "BLOB",
    "UnixTimestamp": "TIMESTAMPTZ",
}


def source_files(source: FileSource, repo_path: Path) -> tuple[SourceFile, ...]:
    """The files a source consists of right now, ordered by path; hidden ones and those starting with `_` are skipped.

    Raises:
        SourceError: there are none.
    """
    path = repo_path / Path(source.path).expanduser()
    endings = ENDINGS[source.file_format]
    if path.is_dir():
        found: Iterable[Path] = (one for one in path.rglob("*") if one.name.lower().endswith(endings))
        found = (one for one in found if not any(part[0] in "._" for part in one.relative_to(path).parts))
    elif glob.has_magic(str(path)) and not path.exists():
        found = map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    else:
        found = [path]
    files = sorted(one for one in found if one.is_file())
    if not files:
        raise SourceError(
            f"source {source.name!r}: there is no {source.file_format} file at {path}.",
            instead=_neighbours(path),
            hint="relative paths start at the repo's folder; a folder is searched for files ending in "
            f"{' or '.join(endings)}.",
            source=source.name,
            path=str(path),
        )
    return tuple(_stamp(one) for one in files)


def reader(source: FileSource, paths: Sequence[str], *, as_text: bool = False, places: bool = False) -> str:
    """The table function that reads these files.

    Args:
        source: the source.
        paths: the files.
        as_text: leave the values of CSV files as they are written, for the view's types to read: what DuckDB guesses
            of a column depends on which rows and files there are.
        places: say of each row in which file it is, and which row of it, from 0: `__file`, `__row`.
    """
    if places:
        return _with_places(source, paths)
    return _table_function(source, paths, as_text, "")


def _with_places(source: FileSource, paths: Sequence[str]) -> str:
    """The table of the rows and their places."""
    table = _table_function(source, paths, True, ", filename = '__file'")
    if source.file_format == "parquet":
        return f"(select *, file_row_number as __row from {table})"
    # Numbered as they are read, file after file: DuckDB does that in order, and in one thread.
    numbered = f"select *, row_number() over () as __n from {table}"
    return f"(select * exclude (__n), __n - min(__n) over (partition by __file) as __row from ({numbered}))"


def _table_function(source: FileSource, paths: Sequence[str], as_text: bool, more: str) -> str:
    listed = f"[{', '.join(map(literal, paths))}]"
    hive = ", hive_partitioning = true" if any("=" in part for part in Path(paths[0]).parent.parts) else ""
    by_name = ", union_by_name = true" if len(paths) > 1 else ""
    if source.file_format == "csv":
        # Other formats DuckDB would guess from the rows there are, and guess differently when there are more.
        guess = ", all_varchar = true" if as_text else ", dateformat = 'iso', timestampformat = 'iso'"
        return f"read_csv({listed}, sample_size = -1{guess}{hive}{by_name}{more})"
    return f"read_parquet({listed}{hive}{by_name}{more})"


def rows_query(
    view: FeatureView,
    source: FileSource,
    columns: Mapping[str, str],
    table: str,
    *,
    since: int | None = None,
    until: int | None = None,
    happened: int | None = None,
    more: Mapping[str, str] = NOTHING,
    dtypes: Mapping[str, FeatureType] | None = None,
) -> str:
    """A SELECT that gives a view's rows as k0 … kn, e, w (µs), f0 … fm, with every value of its declared type.

    The f are a row view's features, or the columns that a windowed view's aggregations look at.

    The bounds are hints: whole parts of a file that lie outside are never read, rows outside may still be given.

    Args:
        view: the view, with schema and key types resolved.
        source: says which columns are the times.
        columns: column of the source, after its field mapping → DuckDB's name of its type.
        table: what to read them from.
        since: rows that neither happened nor became known after this instant (µs) are not needed.
        until: rows that happened after this instant (µs) are not needed.
        happened: rows that happened before this instant (µs) are not needed.
        more: further columns of the source: name in the answer → column.
        dtypes: the types these are given; the others are as they are.

    Raises:
        SourceError: the source lacks a column.
    """
    original = {new: old for old, new in source.field_mapping.items()}

    def column(name: str) -> str:
        if name not in columns:
            raise missing_column(source, name, columns)
        return quoted(original.get(name, name))

    key_types = {field.name: field.dtype for field in view.entity_columns}
    event = micros(column(source.timestamp_field), columns[source.timestamp_field])
    delay = 0 if source.delay is None else micros_of(source.delay)
    known, created = f"{event} + {delay}", None
    if source.created_timestamp_column:
        created = micros(column(source.created_timestamp_column), columns[source.created_timestamp_column])
        known = f"coalesce({created}, {known})"
    keys = [
        f"{cast_key(column(key), columns[key], key_types[key])} as k{place}" for place, key in enumerate(view.join_keys)
    ]
    features = [
        f"{cast(column(field.name), columns[field.name], field.dtype)} as f{place}"
        for place, field in enumerate(columns_of(view))
    ]
    given = dtypes or {}
    others = [
        f"{cast(column(name), columns[name], given[name]) if name in given else column(name)} as {quoted(new)}"
        for new, name in more.items()
    ]
    terms = ", ".join([f"{event} as e", f"{known} as w", *keys, *features, *others])
    there = f"{column(source.timestamp_field)} is not null" + ("" if until is None else f" and {event} <= {until}")
    there += "" if happened is None else f" and {event} >= {happened}"
    ranges = [""] if since is None else _newer(event, created, since, max(delay, 0))
    return " union all ".join(f"select {terms} from {table} where {there}{one}" for one in ranges)


def columns_of(view: FeatureView) -> tuple[Field, ...]:
    """What is read of a view's source besides keys and times: its features, or what its aggregations look at."""
    return view.inputs if view.aggregations else view.schema


def _newer(event: str, created: str | None, since: int, delay: int) -> list[str]:
    """Conditions, one per SELECT, that together let pass what happened or became known after an instant.

    DuckDB skips the row groups of a file by conditions on one column, not by `or` over two; hence two SELECTs.
    """
    happened = f" and {event} > {since - delay}"
    if created is None:
        return [happened]
    return [f" and {created} > {since}", f"{happened} and ({created} is null or {created} <= {since})"]


def micros(term: str, sql_type: str) -> str:
    """A timestamp, date or text term as µs since the epoch, floored; without a zone it is UTC."""
    if sql_type.endswith("_NS"):
        nanos = f"epoch_ns({term}::TIMESTAMP_NS)"
        return f"(({nanos} - ((({nanos} % 1000) + 1000) % 1000)) // 1000)"
    return f"epoch_us({term}::TIMESTAMPTZ)" if sql_type == "VARCHAR" else f"epoch_us({term})"


def check_types(view: FeatureView, source: FileSource, found: Mapping[str, pa.DataType]) -> None:
    """Refuse a source whose columns no longer have the types they were registered with, before any value is cast.

    Raises:
        SourceError: a value could change on its way to the declared type.
    """
    keys = {field.name for field in view.entity_columns}
    for field in (*view.entity_columns, *columns_of(view)):
        kind = found.get(field.name)
        there = None if kind is None else types.from_arrow(kind)
        if kind is None or pa.types.is_null(kind) or (source.file_format == "csv" and there == types.String):
            continue
        if there and (types.fits_key if field.name in keys else types.fits)(there, field.dtype):
            continue
        raise SourceError(
            f"source {source.name!r}: column {field.name!r} is {there or kind} now, and view {view.id!r} was "
            f"registered with {field.dtype}.",
            instead="A cast could change values without a word, so nothing was read.",
            hint="mend the file that differs, or change the definition and apply it.",
            source=source.name,
            column=field.name,
        )


def cast(term: str, sql_type: str, dtype: FeatureType) -> str:
    """A source column as a value of its declared type."""
    if dtype == types.UnixTimestamp:
        return f"make_timestamp({micros(term, sql_type)})::TIMESTAMPTZ"
    if isinstance(dtype, Array) and dtype.element == types.UnixTimestamp:
        return f"list_transform({term}, lambda __one: {cast('__one', sql_type.removesuffix('[]'), dtype.element)})"
    if sql_type == "VARCHAR" and dtype in (types.Int32, types.Int64):
        complaint = f"error(concat('the text ', {term}, ' is no {dtype}'))"
        digits = f"regexp_full_match(trim({term}), '[+-]?[0-9]+')"
        return f"case when {term} is null or {digits} then cast({term} as {sql_type_of(dtype)}) else {complaint} end"
    return f"cast({term} as {sql_type_of(dtype)})"


def cast_key(term: str, sql_type: str, dtype: FeatureType) -> str:
    """A source column as a join key of its declared type: without loss, or the query fails; NaN is no key."""
    plain = cast(term, sql_type, dtype)
    complaint = f"error(concat('the join key ', {term}, ' does not fit {dtype} without loss'))"
    if dtype in (types.Int32, types.Int64):
        if sql_type in ("FLOAT", "DOUBLE"):
            whole = f"case when {term} = trunc({term}) and isfinite({term}) then {plain} else {complaint} end"
            return f"case when not isnan({term}) then {whole} end"
        if sql_type.startswith("DECIMAL"):
            return f"case when {term} is null or {term} = trunc({term}) then {plain} else {complaint} end"
        if sql_type == "VARCHAR":
            number = f"try_cast({term} as DOUBLE)"
            whole = f"{number} = trunc({number}) and abs({number}) < 9007199254740992"
            return f"case when {whole} and contains({term}, '.') then cast({number} as BIGINT) else {plain} end"
    return plain


def sql_type_of(dtype: FeatureType) -> str:
    """DuckDB's name for a type."""
    if isinstance(dtype, Decimal):
        return f"DECIMAL({dtype.precision}, {dtype.scale})"
    return f"{sql_type_of(dtype.element)}[]" if isinstance(dtype, Array) else SQL_TYPES[dtype.name]


def missing_column(source: FileSource, name: str, columns: Iterable[str]) -> SourceError:
    """The error for a column that is not there."""
    known = list(columns)
    return SourceError(
        f"source {source.name!r} has no column {name!r}.",
        instead=f"It has: {listing(known)}.",
        hint=nearest_hint(name, known, otherwise="check the definition, or rename columns by field_mapping."),
        source=source.name,
        column=name,
    )


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _stamp(path: Path) -> SourceFile:
    stat = path.stat()
    return SourceFile(str(path.absolute()), stat.st_size, max(stat.st_mtime_ns, stat.st_ctime_ns))


def _neighbours(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    while not folder.is_dir():
        folder = folder.parent
    names = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
    return f"{folder} holds: {listing(names, limit=8)}."
