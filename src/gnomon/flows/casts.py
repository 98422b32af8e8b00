"""Columns become columns of the declared types; a value that would lose anything does not, and its row is told apart.

A column of Arrow has one type, and one cast. What was read message by message is a list of Python values, each of any
type: those of one type are cast together, for Arrow would make a 1 of True where a 2 stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.core.casting import cast_keys
from gnomon.definitions.entities import Field
from gnomon.errors import RequestError
from gnomon.flows.spine import as_column
from gnomon.types import (
    Array,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
    fits,
    fits_key,
    from_arrow,
    to_arrow,
)

__all__ = ["cast_of", "cast_piece", "cast_rows"]

FLOATED = 1 << 53
"""Whole numbers below this are floats without loss."""
MIXED = "a list of truths and other things"
Cast = Callable[[pa.ChunkedArray], pa.ChunkedArray]


def cast_piece(
    piece: pa.ChunkedArray | list[Any], field: Field, is_key: bool, at: int, reasons: dict[int, str]
) -> pa.ChunkedArray:
    """A piece of a column cast to its declared type; values that cannot be are null, and noted.

    Args:
        piece: the values, of Arrow, or of Python and then of any types.
        field: the column.
        is_key: whether it is a join key.
        at: the row of the first value.
        reasons: row → why it is not right; what is wrong is added, where nothing was before.
    """
    if isinstance(piece, list):
        piece = _floats(piece) if field.dtype in (Float32, Float64) else piece
        kinds = {_kind(one) for one in piece} - {NoneType}
        if len(kinds) > 1:
            return _cast_by_kind(piece, kinds, field, is_key, at, reasons)
        column = None if MIXED in kinds else as_column(piece)
    else:
        column = piece
    if column is not None:
        with suppress(RequestError):
            return cast_rows(column, cast_of(column.type, field, is_key=is_key), field, at, reasons)
    if len(piece) == 1:
        (value,) = piece if isinstance(piece, list) else piece.to_pylist()
        return _refused(value, field, at, reasons)
    half = len(piece) // 2
    parts = [
        cast_piece(piece[:half], field, is_key, at, reasons),
        cast_piece(piece[half:], field, is_key, at + half, reasons),
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
        casts.append(cast_piece([values[place] for place in places], field, is_key, 0, wrong))
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


def _floats(values: list[Any]) -> list[Any]:
    """Values with whole numbers made floats, where that is without loss."""
    return [float(one) if type(one) is int and -FLOATED < one < FLOATED else one for one in values]


def _refused(value: Any, field: Field, at: int, reasons: dict[int, str]) -> pa.ChunkedArray:
    """Nothing in place of a value that cannot be of its column's type; a null is no such value."""
    if value is not None:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:79] + "…"
        reasons.setdefault(at, f"{field.name!r}: {shown} is no {field.dtype} without loss")
    return pa.chunked_array([pa.nulls(1, to_arrow(field.dtype))])


def cast_of(kind: pa.DataType, field: Field, *, is_key: bool) -> Cast:
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


def cast_rows(column: pa.ChunkedArray, cast: Cast, field: Field, at: int, reasons: dict[int, str]) -> pa.ChunkedArray:
    """A column cast; values that cannot be are null, and noted. They are found by halving."""
    try:
        return cast(column)
    except (RequestError, pa.ArrowException):
        if not len(column):
            return pa.chunked_array([pa.nulls(0, to_arrow(field.dtype))])
        if len(column) == 1:
            return _refused(column[0].as_py(), field, at, reasons)
    half = len(column) // 2
    parts = [
        cast_rows(column.slice(0, half), cast, field, at, reasons),
        cast_rows(column.slice(half), cast, field, at + half, reasons),
    ]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], to_arrow(field.dtype))
