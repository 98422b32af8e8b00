"""Rows that become events: each is right, or there is a reason why it is not. Pushing and streams check them alike.

A row is right if every value fits its column's declared type without loss, event time and join keys are there, and
vectors have the length that the views on them say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.core.casting import cast_keys
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.entities import Field
from gnomon.definitions.sources import PushSource
from gnomon.errors import RequestError
from gnomon.flows.spine import as_column
from gnomon.plan.windowed import lengths_of
from gnomon.types import (
    Array,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
    arrow_schema,
    fits,
    fits_key,
    from_arrow,
    to_arrow,
)

__all__ = ["Lengths", "Pieces", "checked", "checked_pieces", "join_keys", "vector_lengths"]

FLOATED = 1 << 53
"""Whole numbers below this are floats without loss."""
MIXED = "a list of truths and other things"
OPERATIONS = ("upsert", "delete")
Cast = Callable[[pa.ChunkedArray], pa.ChunkedArray]
Pieces = Mapping[str, Sequence[pa.ChunkedArray | list[Any]]]
"""Columns in pieces, each of Arrow or of Python values of whatever types."""
Lengths = Sequence[tuple[str, int]]


def join_keys(catalog: Catalog, source: PushSource) -> dict[str, Field]:
    """The join keys, with their types, of the views that stand on a source."""
    views = [view for view in catalog.views.values() if view.source == source]
    return {one.name: one for view in views for one in view.entity_columns}


def vector_lengths(catalog: Catalog, source: PushSource) -> Lengths:
    """The columns of vectors that views on a source aggregate element by element, and how many elements they have."""
    views = [view for view in catalog.views.values() if view.source == source]
    return tuple(dict.fromkeys(pair for view in views for pair in lengths_of(view).items()))


def checked(
    columns: Mapping[str, pa.ChunkedArray | None],
    rows: int,
    source: PushSource,
    keys: Mapping[str, Field],
    lengths: Lengths = (),
) -> tuple[pa.Table, dict[int, str]]:
    """The rows that are right, in the source's columns; and of the others, by number, what is wrong.

    Args:
        columns: the rows' columns; one that holds values Arrow has no one type for is None, one that is not there null.
        rows: how many there are.
        source: the source.
        keys: the join keys of views on it.
        lengths: of columns of vectors, how many elements they have.

    Raises:
        RequestError: a whole column is of a type none of whose values fits.
    """
    reasons: dict[int, str] = {}
    made = []
    for one in source.schema:
        column = columns.get(one.name, pa.chunked_array([pa.nulls(rows)]))
        if column is None:
            raise RequestError(
                f"column {one.name!r} holds values Arrow has no one type for.", hint=f"make all of them {one.dtype}."
            )
        cast = _cast_of(column.type, one, is_key=one.name in keys)
        column = pa.chunked_array(column) if not isinstance(column, pa.ChunkedArray) else column
        made.append(_cast_rows(column, cast, one, 0, reasons))
    return _right(made, source, keys, lengths, reasons)


def checked_pieces(
    columns: Pieces,
    rows: int,
    source: PushSource,
    keys: Mapping[str, Field],
    failed: Mapping[int, str],
    lengths: Lengths = (),
) -> tuple[pa.Table, dict[int, str]]:
    """The same of columns whose values may be of any types: what does not fit is held against its row alone.

    Args:
        columns: the rows' columns.
        rows: how many there are.
        source: the source.
        keys: the join keys of views on it.
        failed: rows that are not right to begin with, and why.
        lengths: of columns of vectors, how many elements they have.
    """
    reasons = dict(failed)
    made = []
    for one in source.schema:
        at, parts = 0, []
        for piece in columns.get(one.name) or [pa.chunked_array([pa.nulls(rows)])]:
            parts.append(_cast_piece(piece, one, one.name in keys, at, reasons))
            at += len(piece)
        chunks = [chunk for part in parts for chunk in part.chunks]
        made.append(pa.chunked_array(chunks, to_arrow(one.dtype)))
    return _right(made, source, keys, lengths, reasons)


def _right(
    columns: Iterable[pa.ChunkedArray],
    source: PushSource,
    keys: Mapping[str, Field],
    lengths: Lengths,
    reasons: dict[int, str],
) -> tuple[pa.Table, dict[int, str]]:
    schema = arrow_schema((one.name, one.dtype) for one in source.schema)
    table = pa.table(list(columns), schema=schema)
    _note_missing(table, [source.timestamp_field, *(name for name in keys if name in table.column_names)], reasons)
    _note_operations(table, source, reasons)
    _note_lengths(table, lengths, reasons)
    if reasons:
        right = np.ones(len(table), bool)
        right[list(reasons)] = False
        table = table.filter(pa.array(right))
    return table, reasons


def _cast_piece(
    values: pa.ChunkedArray | list[Any], field: Field, is_key: bool, at: int, reasons: dict[int, str]
) -> pa.ChunkedArray:
    """A piece of a column cast; where its types are too many for one cast, by halving."""
    if isinstance(values, list):
        if field.dtype in (Float32, Float64):
            values = [float(one) if type(one) is int and -FLOATED < one < FLOATED else one for one in values]
        kinds = {_kind(one) for one in values} - {NoneType}
        if len(kinds) > 1:
            return _cast_by_kind(values, kinds, field, is_key, at, reasons)
    column = values if isinstance(values, pa.ChunkedArray) else as_column(values)
    if column is not None and not (isinstance(values, list) and MIXED in kinds):
        try:
            return _cast_rows(column, _cast_of(column.type, field, is_key=is_key), field, at, reasons)
        except RequestError:
            pass
    if len(values) == 1:
        (value,) = values.to_pylist() if isinstance(values, pa.ChunkedArray) else values
        if value is not None:
            reasons.setdefault(at, _misfit(field, value))
        return pa.chunked_array([pa.nulls(1, to_arrow(field.dtype))])
    half = len(values) // 2
    parts = [
        _cast_piece(values[:half], field, is_key, at, reasons),
        _cast_piece(values[half:], field, is_key, at + half, reasons),
    ]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], to_arrow(field.dtype))


def _cast_by_kind(
    values: list[Any], kinds: set[Any], field: Field, is_key: bool, at: int, reasons: dict[int, str]
) -> pa.ChunkedArray:
    """Python values cast, each kind by itself: Arrow would make a 1 of True beside a 2."""
    casts, order = [], []
    for kind in kinds:
        places = [place for place, one in enumerate(values) if _kind(one) == kind]
        wrong: dict[int, str] = {}
        casts.append(_cast_piece([values[place] for place in places], field, is_key, 0, wrong))
        for row, reason in wrong.items():
            reasons.setdefault(at + places[row], reason)
        order += places
    whole = pa.chunked_array([chunk for cast in casts for chunk in cast.chunks], to_arrow(field.dtype))
    back = np.full(len(values), -1, np.int64)
    back[order] = np.arange(len(order))
    return whole.take(pa.array(back, mask=back < 0))


def _kind(value: Any) -> Any:
    """What of Python values can be one Arrow column."""
    if not isinstance(value, list):
        return type(value)
    kinds = {type(one) for one in value} - {NoneType}
    return MIXED if bool in kinds and len(kinds) > 1 else list


def _misfit(field: Field, value: Any) -> str:
    shown = repr(value)
    return f"{field.name!r}: {shown if len(shown) <= 80 else shown[:79] + '…'} is no {field.dtype} without loss"


def _cast_of(kind: pa.DataType, field: Field, *, is_key: bool) -> Cast:
    """How a column becomes one of its declared type, where one of its type can.

    Raises:
        RequestError: no value of that type can be one of the declared type.
    """
    target, found = to_arrow(field.dtype), from_arrow(kind)
    if pa.types.is_null(kind) or (isinstance(field.dtype, Array) and _is_list_of_nothing(kind)):
        return lambda column: column.cast(target)
    whole = field.dtype in (Int32, Int64)
    if found is None or not (
        fits(found, field.dtype)
        or (is_key and fits_key(found, field.dtype))
        or (whole and found in (Float32, Float64))  # pandas keeps whole numbers with nulls among them so
        or (field.dtype == UnixTimestamp and found == String)  # JSON has no instants
    ):
        raise RequestError(
            f"column {field.name!r} is {found or kind}, and the source declares {field.dtype}.",
            hint=f"make its values {field.dtype}, or change the source's schema and apply it.",
            column=field.name,
        )
    if whole or is_key or field.dtype == UnixTimestamp:
        return lambda column: cast_keys(column, field.dtype, field.name)
    if isinstance(field.dtype, Decimal) and found in (Int32, Int64):
        wide = pa.decimal128(38, field.dtype.scale)  # Arrow asks for room for the largest number, whatever is there
        return lambda column: column.cast(wide).cast(target)
    # A float is what a number is rounded to: that is what declaring one says.
    safe = field.dtype not in (Float32, Float64)
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return lambda column: column.cast(plain).cast(target, safe=safe)


def _is_list_of_nothing(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_null(kind.value_type))


def _cast_rows(column: pa.ChunkedArray, cast: Cast, field: Field, at: int, reasons: dict[int, str]) -> pa.ChunkedArray:
    """A column cast; values that cannot be are null, and noted. They are found by halving."""
    try:
        return cast(column)
    except (RequestError, pa.ArrowException):
        if not len(column):
            return pa.chunked_array([pa.nulls(0, to_arrow(field.dtype))])
        if len(column) == 1:
            if column[0].is_valid:
                reasons.setdefault(at, _misfit(field, column[0].as_py()))
            return pa.chunked_array([pa.nulls(1, to_arrow(field.dtype))])
    half = len(column) // 2
    parts = [
        _cast_rows(column.slice(0, half), cast, field, at, reasons),
        _cast_rows(column.slice(half), cast, field, at + half, reasons),
    ]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], to_arrow(field.dtype))


def _note_missing(table: pa.Table, needed: list[str], reasons: dict[int, str]) -> None:
    for name in needed:
        for row in _rows_where(pc.is_null(table[name])):
            reasons.setdefault(row, f"{name!r} is null")


def _note_operations(table: pa.Table, source: PushSource, reasons: dict[int, str]) -> None:
    """An operation is one of two, and a delete says of what."""
    if not source.operation:
        return
    said = table[source.operation]
    unknown = pc.invert(pc.is_in(said, pa.array([*OPERATIONS, None], pa.string())))
    for row in _rows_where(unknown):
        reasons.setdefault(row, f"{source.operation!r}: {said[row].as_py()!r} is neither 'upsert' nor 'delete'")
    nothing = pc.and_(pc.equal(said, "delete"), pc.is_null(table[source.event_id]))
    for row in _rows_where(pc.fill_null(nothing, False)):
        reasons.setdefault(row, f"a delete, and {source.event_id!r} is null")


def _note_lengths(table: pa.Table, lengths: Lengths, reasons: dict[int, str]) -> None:
    for name, length in lengths:
        found = pc.list_value_length(table[name])
        for row in _rows_where(pc.fill_null(pc.not_equal(found, length), False)):
            count = found[row].as_py()
            reasons.setdefault(row, f"{name!r}: a vector of {count} elements, and a view on it says length={length}")


def _rows_where(mask: pa.ChunkedArray) -> list[int]:
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found
