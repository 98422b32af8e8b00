"""The spine: the rows asked, in whatever form the caller has them.

The caller's own columns are kept as they came; a narrow table of join keys and instants is cut out for the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import chain
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.clock import to_micros
from gnomon.contracts.engine import Engine
from gnomon.core.casting import cast_keys, is_null
from gnomon.errors import RequestError, listing, nearest_hint
from gnomon.plan.questions import TrainingQuestion
from gnomon.types import FeatureType

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INSTANT_COLUMN", "Spine", "as_column", "narrowed", "read_spine"]

INSTANT_COLUMN = "event_timestamp"

# What Arrow raises for values it has no one type for: mixed, complex, beyond 64 bits, half a surrogate pair.
_UNHELD = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeEncodeError)


@dataclass(frozen=True, slots=True)
class Spine:
    """The rows asked.

    Args:
        columns: the caller's columns by name, each an Arrow array, in their order; those Arrow cannot hold are None.
        rows: how many rows there are.
        frame: the pandas frame it came as, if it did.
    """

    columns: Mapping[str, pa.ChunkedArray | None]
    rows: int
    frame: pd.DataFrame | None = None

    def column(self, name: str, purpose: str) -> pa.ChunkedArray:
        """One column.

        Raises:
            RequestError: it is not there, or holds what Arrow cannot.
        """
        if name not in self.columns:
            raise RequestError(
                f"the spine has no column {name!r}, {purpose}.",
                instead=f"It has: {listing(self.columns)}.",
                hint=nearest_hint(name, self.columns, otherwise="add the column, or rename the one that holds it."),
                column=name,
            )
        column = self.columns[name]
        if column is None:
            raise RequestError(
                f"the spine's column {name!r}, {purpose}, holds values Arrow has no one type for.",
                hint="give it one type: df[column].astype('int64'), say; or leave it out, or ask for to_df().",
                column=name,
            )
        return column

    def table(self) -> pa.Table:
        """The caller's columns as an Arrow table.

        Raises:
            RequestError: Arrow cannot hold one of them.
        """
        names = list(self.columns)
        return pa.table([self.column(name, "asked for as Arrow") for name in names], names=names)


def read_spine(given: Any, engine: Engine) -> Spine:
    """The rows asked: a pandas, Polars or Arrow table, a dict of columns, a list of dicts, a Parquet path or a query.

    Raises:
        RequestError: it is none of these, or names a column twice.
    """
    if isinstance(given, (str, PathLike)):
        return _from_arrow(engine.table(fspath(given)))
    if isinstance(given, Mapping):
        return _from_columns(given)
    if isinstance(given, list) and all(isinstance(row, Mapping) for row in given):
        return _from_columns({name: [row.get(name) for row in given] for name in dict.fromkeys(chain(*given))})
    if isinstance(given, (pa.Table, pa.RecordBatch)):
        return _from_arrow(pa.table(given))
    kind = type(given).__module__.partition(".")[0]
    if kind == "pandas" and hasattr(given, "columns"):
        return _from_pandas(given)
    if kind == "polars" and hasattr(given, "lazy"):
        return _from_arrow(getattr(given, "collect", lambda: given)().to_arrow())
    if hasattr(given, "__arrow_c_stream__"):
        return _from_arrow(pa.table(given))
    raise RequestError(
        f"{type(given).__name__} is no spine.",
        hint="pass a pandas, Polars or Arrow table, a dict of columns, a list of dicts, a Parquet path or a SELECT.",
    )


def narrowed(spine: Spine, question: TrainingQuestion) -> tuple[pa.Table, TrainingQuestion]:
    """The engine's share of a spine: join keys of their declared types as k0 …, and instants in µs.

    Returns:
        The narrow table, and the question asked of its columns.

    Raises:
        RequestError: a column is missing, an instant is null or none, a key does not fit its type.
    """
    made: dict[tuple[str, FeatureType], str] = {}
    columns: dict[str, pa.ChunkedArray] = {}
    views = []
    for part in question.views:
        names = []
        for column, field in zip(part.columns, part.view.entity_columns, strict=True):
            wanted = column, field.dtype
            if wanted not in made:
                made[wanted] = f"k{len(made)}"
                given = spine.column(column, f"a join key of view {part.view.name!r}")
                columns[made[wanted]] = cast_keys(given, field.dtype, column)
            names.append(made[wanted])
        views.append(replace(part, columns=tuple(names)))
    columns["t"] = instants(spine.column(question.instant, "the instant of each row"), question.instant)
    return pa.table(columns), replace(question, views=tuple(views), instant="t")


def instants(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A column of instants as int64 µs UTC: naive is UTC, any other zone is converted, nanoseconds are floored.

    Raises:
        RequestError: an instant is null, or the column holds no instants.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if column.null_count:
        first = pc.index(column.is_null(), True).as_py()
        raise RequestError(
            f"the spine's {name!r} is null in {column.null_count} of {len(column)} rows, first in row {first}.",
            hint="every row asked needs its instant: drop those rows, or fill the instants in.",
            column=name,
            row=first,
        )
    if pa.types.is_timestamp(kind):
        return _floored(column)
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(pa.int64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.chunked_array([pa.array([_parsed(text, name) for text in column.to_pylist()], pa.int64())])
    if len(column) == 0:
        return pa.chunked_array([pa.array([], pa.int64())])
    raise RequestError(
        f"the spine's {name!r} holds {kind}, not instants.",
        hint="make it timestamps: pd.to_datetime(df[column], unit='s', utc=True) for seconds since 1970.",
        column=name,
    )


def _floored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    unit = column.type.unit
    if unit == "ns":
        nanos = column.cast(pa.int64())
        down = pc.and_(pc.less(nanos, 0), pc.not_equal(pc.multiply(pc.divide(nanos, 1000), 1000), nanos))
        return pc.subtract(pc.divide(nanos, 1000), down.cast(pa.int64()))
    return column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())


def _parsed(text: str, name: str) -> int:
    try:
        return to_micros(text)
    except RequestError as wrong:
        raise RequestError(
            f"the spine's {name!r}: {wrong.what}",
            hint="write ISO-8601 texts such as '2024-01-31T12:00:00Z', or make the column timestamps.",
            column=name,
        ) from None


def _from_arrow(table: pa.Table) -> Spine:
    return Spine(dict(_once(table.column_names, table.columns)), len(table))


def _from_columns(given: Mapping[Any, Any]) -> Spine:
    columns = {str(name): _column(str(name), values) for name, values in given.items()}
    lengths = {name: len(values) for name, values in given.items()}
    if len(set(lengths.values())) > 1:
        raise RequestError("the spine's columns have different lengths.", instead=f"Lengths: {lengths}.")
    return Spine(columns, next(iter(lengths.values()), 0))


def _from_pandas(frame: pd.DataFrame) -> Spine:
    names = [str(name) for name in frame.columns]
    columns = dict(_once(names, (_series(frame.iloc[:, place]) for place in range(len(names)))))
    return Spine(columns, len(frame), frame=frame)


def _column(name: str, values: Any) -> pa.ChunkedArray | None:
    """One column of a dict: a list, or an array of Arrow, numpy, pandas or Polars."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise RequestError(
            f"the spine's column {name!r} is {values!r}.",
            hint="a dict of columns holds one list per column.",
            column=name,
        )
    if hasattr(values, "dtype") and hasattr(values, "iloc"):
        return _series(values)
    if hasattr(values, "to_arrow"):
        values = values.to_arrow()
    if isinstance(values, pa.ChunkedArray):
        return values
    return pa.chunked_array([values]) if isinstance(values, pa.Array) else as_column(list(values))


def _series(series: Any) -> pa.ChunkedArray | None:
    if series.dtype == object:
        return as_column([None if is_null(value) else value for value in series.tolist()])
    try:
        found = pa.Array.from_pandas(series)
    except _UNHELD:
        return None
    return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


def as_column(values: list[Any]) -> pa.ChunkedArray | None:
    """Python values as Arrow; instants of several zones, or with and without one, meet in UTC."""
    values = [None if type(value).__name__ in ("NaTType", "NAType") else value for value in values]
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, (date, datetime)) for value in there):
        zones = {getattr(value, "tzinfo", None) for value in there}
        if len(zones) > 1 or not all(isinstance(value, datetime) for value in there):
            micros = [None if value is None else to_micros(value) for value in values]
            return pa.chunked_array([pa.array(micros, pa.timestamp("us", "UTC"))])
    try:
        return pa.chunked_array([pa.array(values)])
    except _UNHELD:
        return None


def _once(names: list[str], columns: Any) -> Any:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"the spine has two columns {twice!r}.", hint="rename one of them.", column=twice)
    return zip(names, columns, strict=True)
