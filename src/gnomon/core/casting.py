"""Casting join keys without loss: "7" and 7.0 become 7, and what would lose anything is an error that names it.

One value at a time (`cast_key`) or a column at once (`cast_keys`). Where Arrow has no cast that is exactly ours, the
column's distinct values go through `cast_key`, so the two agree by construction.

>>> from gnomon.types import Int64
>>> cast_key("7", Int64), cast_key(7.0, Int64), cast_key(None, Int64)
(7, 7, None)
>>> cast_key(7.5, Int64, "user_id")
Traceback (most recent call last):
    ...
gnomon.errors.RequestError: join key 'user_id': 7.5 is no Int64 without loss.
Hint: pass a value that Int64 holds exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal as PythonDecimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.clock import MAX_MICROS, MIN_MICROS, to_micros
from gnomon.errors import RequestError
from gnomon.types import Bool, Bytes, FeatureType, Int32, Int64, String, UnixTimestamp, to_arrow

__all__ = ["cast_key", "cast_keys", "is_null"]

_UTC = r"^(?:[1-9]\d{3}|0[1-9]\d\d|00[1-9]\d|000[1-9])-\d\d-\d\d[T ][0-2]\d:[0-5]\d:[0-5]\d(?:\.\d{6}|\.\d{3})?Z$"
"""Texts of instants that Arrow reads as `to_micros` does."""
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")


def cast_key(value: Any, dtype: FeatureType, name: str = "key") -> Any:
    """A value as the Python value of a join key's type; None where it is null (None, NaN, NaT, NA).

    Args:
        value: what the caller gave; numpy and pandas scalars are fine.
        dtype: one of `types.KEY_TYPES`; instants become int µs, a naive one is UTC.
        name: the join key's name, for the error.

    Raises:
        RequestError: the cast would lose something, or makes no sense.
    """
    if is_null(value):
        return None
    try:
        return _CASTS[dtype](value)
    except (_LossyError, ValueError, ArithmeticError, RequestError):
        raise _error(value, dtype, name) from None


def cast_keys(column: pa.ChunkedArray, dtype: FeatureType, name: str = "key") -> pa.ChunkedArray:
    """A column cast as `cast_key` casts each value, to the type's Arrow type; NaN and NaT become null.

    Args:
        column: an Arrow column of any type.
        dtype: one of `types.KEY_TYPES`.
        name: the join key's name, for the error.

    Raises:
        RequestError: as `cast_key`, naming the first bad row, counted from 0, and its value.
    """
    try:
        return _cast(column, dtype, name)
    except (pa.ArrowException, OverflowError) as wrong:  # an instant that Python has not, a type Arrow only carries
        raise RequestError(
            f"join key {name!r} holds {column.type}, of which some value is no {dtype} without loss.",
            instead=str(wrong).partition("\n")[0],
            hint=f"make the column {dtype}.",
            column=name,
        ) from wrong


def _cast(column: pa.ChunkedArray, dtype: FeatureType, name: str) -> pa.ChunkedArray:
    target, kind = to_arrow(dtype), column.type
    if kind == target:
        return column
    if pa.types.is_null(kind):
        return pa.chunked_array([pa.nulls(len(column), target)])
    if pa.types.is_integer(kind) and dtype in (Int32, Int64):
        fits = _within(column, dtype)
        return column.cast(target) if fits else _by_distinct(column, dtype, name)
    if pa.types.is_floating(kind) and dtype in (Int32, Int64):
        return _floats(column.cast(pa.float64()), dtype, name)
    if pa.types.is_timestamp(kind) and dtype == UnixTimestamp:
        return _instants(column, name)
    if dtype == String and (pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        return column.cast(target)
    if dtype == Bytes and (pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)):
        return column.cast(target)
    if dtype == UnixTimestamp and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return _plain_instants(column) or _by_distinct(column, dtype, name)
    return _by_distinct(column, dtype, name)


def is_null(value: Any) -> bool:
    """Whether a value stands for nothing: None, NaN, NaT, NA."""
    if value is None or type(value).__name__ == "NAType":
        return True
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except (TypeError, ValueError, ArithmeticError):
        return False


class _LossyError(Exception):
    """A value that its type cannot hold."""


def _error(value: Any, dtype: FeatureType, name: str, row: int | None = None) -> RequestError:
    where = f"join key {name!r}" + ("" if row is None else f", row {row}")
    shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "…"
    return RequestError(
        f"{where}: {shown} is no {dtype} without loss.",
        hint=f"pass a value that {dtype} holds exactly.",
        join_key=name,
        value=value,
        dtype=dtype,
        row=row,
    )


def _integer(bits: int) -> Callable[[Any], int]:
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)

    def cast(value: Any) -> int:
        if isinstance(value, (bool, np.bool_)):
            raise _LossyError
        if isinstance(value, (int, np.integer)):
            whole = int(value)
        elif isinstance(value, (float, np.floating, PythonDecimal)):
            whole = int(value)
            if whole != value:
                raise _LossyError
        elif isinstance(value, str) and _WHOLE.fullmatch(value):
            whole = int(value)
        else:
            raise _LossyError
        if not low <= whole < high:
            raise _LossyError
        return whole

    return cast


def _text(value: Any) -> str:
    if isinstance(value, str):
        value.encode()  # half a surrogate pair has no UTF-8
        return str(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return str(int(value))
    raise _LossyError


def _bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise _LossyError


def _truth(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise _LossyError


def _instant(value: Any) -> int:
    if isinstance(value, np.datetime64):
        value = int(value.astype("datetime64[us]").astype(np.int64))
    elif isinstance(value, np.integer):
        value = int(value)
    elif not isinstance(value, (int, str, date)):
        raise _LossyError
    micros = to_micros(value)
    if not MIN_MICROS <= micros <= MAX_MICROS:
        raise _LossyError
    return micros


_CASTS: dict[FeatureType, Callable[[Any], Any]] = {
    Bool: _truth,
    Int32: _integer(32),
    Int64: _integer(64),
    String: _text,
    Bytes: _bytes,
    UnixTimestamp: _instant,
}


def _within(column: pa.ChunkedArray, dtype: FeatureType) -> bool:
    bits = 31 if dtype == Int32 else 63
    ends = pc.min_max(column).as_py()
    return ends["min"] is None or (-(1 << bits) <= ends["min"] and ends["max"] < 1 << bits)


def _floats(column: pa.ChunkedArray, dtype: FeatureType, name: str) -> pa.ChunkedArray:
    values = column.to_numpy()  # nulls become NaN, which is null here anyway
    limit = 2.0 ** (31 if dtype == Int32 else 63)
    null = np.isnan(values)
    bad = ~(null | ((np.trunc(values) == values) & (values >= -limit) & (values < limit)))
    if bad.any():
        row = int(bad.argmax())
        raise _error(float(values[row]), dtype, name, row)
    whole = np.where(null, 0.0, values).astype(np.int64)
    return pa.chunked_array([pa.array(whole, mask=null)]).cast(to_arrow(dtype))


def _instants(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    target = to_arrow(UnixTimestamp)
    if column.type.unit == "us":
        return column.cast(pa.int64()).cast(target)
    if column.type.unit != "ns":
        scale = 1_000_000 if column.type.unit == "s" else 1_000
        try:
            return pc.multiply_checked(column.cast(pa.int64()), pa.scalar(scale, pa.int64())).cast(target)
        except pa.ArrowInvalid:
            raise RequestError(
                f"join key {name!r}: an instant lies outside what int64 µs can hold.", join_key=name
            ) from None
    chunks = [
        pa.array(
            np.floor_divide(chunk.cast(pa.int64()).fill_null(0).to_numpy(), 1000),
            mask=chunk.is_null().to_numpy(zero_copy_only=False),
        )
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, pa.int64()).cast(target)


def _plain_instants(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Texts as most producers write instants, at once; None where there is any other."""
    if not pc.all(pc.match_substring_regex(column, _UTC)).as_py():
        return None
    try:
        return column.cast(to_arrow(UnixTimestamp))
    except pa.ArrowInvalid:  # a day that no calendar has
        return None


def _by_distinct(column: pa.ChunkedArray, dtype: FeatureType, name: str) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind):  # Arrow finds no distinct lists or structs
        return _one_by_one(column, dtype, name)
    if not pa.types.is_dictionary(column.type):
        column = column.combine_chunks().dictionary_encode()
        column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    column = column.unify_dictionaries()
    if not column.num_chunks:
        return pa.chunked_array([], to_arrow(dtype))
    codes = pa.chunked_array([chunk.indices for chunk in column.chunks])
    cast: list[Any] = []
    wrong: dict[int, Any] = {}
    for code, value in enumerate(column.chunk(0).dictionary.to_pylist()):
        try:
            cast.append(cast_key(value, dtype, name))
        except RequestError:
            cast.append(None)
            wrong[code] = value
    if wrong:
        _refuse(codes, wrong, dtype, name)
    return pa.chunked_array([pa.array(cast, to_arrow(dtype)).take(codes.combine_chunks())])


def _one_by_one(column: pa.ChunkedArray, dtype: FeatureType, name: str) -> pa.ChunkedArray:
    cast = []
    for row, value in enumerate(column.to_pylist()):
        try:
            cast.append(cast_key(value, dtype, name))
        except RequestError:
            raise _error(value, dtype, name, row) from None
    return pa.chunked_array([pa.array(cast, to_arrow(dtype))])


def _refuse(codes: pa.ChunkedArray, wrong: dict[int, Any], dtype: FeatureType, name: str) -> None:
    """Raise for the first row with a wrong value; a dictionary may hold values that no row has."""
    for row, code in enumerate(codes.to_pylist()):
        if code in wrong:
            raise _error(wrong[code], dtype, name, row)
