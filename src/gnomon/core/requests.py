"""Values that come with a request, as values of their declared types: by the same rules one by one and by the column.

A number is taken where it is one of the type: whole numbers as they are, any number as a float (the nearest one), whole
numbers and decimals as decimals, if they fit. Instants may be datetimes, dates, ISO texts or µs. NaN and NaT are null
here, as pandas has no other null for such columns.

>>> from gnomon.types import Float64, Int64
>>> cast_request(7, Float64), cast_request(float("nan"), Float64), cast_request(7.0, Int64)
(7.0, None, 7)
"""

from __future__ import annotations

import decimal
import json
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.clock import to_micros
from gnomon.core.casting import is_null
from gnomon.core.columns import as_python
from gnomon.core.outputs import Misfit, caster
from gnomon.errors import RequestError
from gnomon.types import Array, Decimal, FeatureType, Float32, Float64, String, UnixTimestamp, from_arrow, to_arrow

__all__ = ["cast_request", "cast_requests", "from_text", "request_caster"]


def cast_request(value: Any, dtype: FeatureType) -> Any:
    """One value as a column's value of a type; None for null.

    Raises:
        Misfit: it is none.
    """
    return request_caster(dtype)(value)


def from_text(text: str, dtype: FeatureType) -> Any:
    """A value from a text, as on a command line: numbers, truth values and arrays as JSON has them; empty for null.

    A text that says none is given back as it is, for `cast_request` to refuse.

    >>> from gnomon.types import Bool, Float64
    >>> from_text("12.5", Float64), from_text("true", Bool), from_text("much", Float64)
    (12.5, True, 'much')
    """
    if dtype in (String, UnixTimestamp) or isinstance(dtype, Decimal):
        return text
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def request_caster(dtype: FeatureType) -> Callable[[Any], Any]:
    """What casts single values to a type."""
    cast, exact = caster(dtype), _exact(dtype)

    def one(value: Any) -> Any:
        if type(value) is exact and value == value:
            return cast(value)
        return None if is_null(value) else cast(_read(value, dtype))

    return one


def cast_requests(column: pa.ChunkedArray, dtype: FeatureType) -> pa.Array:
    """A column as one of a type's Arrow type.

    Raises:
        Misfit: a value is none of the type; its second argument is the row.
    """
    target = to_arrow(dtype)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), target)
    if column.type == target and not isinstance(dtype, (Array, Decimal)):
        return _without_nan(_whole(column)) if dtype in (Float32, Float64) else _whole(column)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    values = _values(column.cast(kind) if kind is not column.type else column)
    cast, made = request_caster(dtype), []
    for row, value in enumerate(values):
        try:
            made.append(cast(value))
        except Misfit as wrong:
            raise Misfit(str(wrong), row) from None
    return pa.array(made, target)


def _exact(dtype: FeatureType) -> type | None:
    """The Python type whose values need no reading."""
    return {"Float64": float, "Float32": float, "Int64": int, "Int32": int, "String": str, "Bool": bool}.get(dtype.name)


def _read(value: Any, dtype: FeatureType) -> Any:
    """What callers may write for a value, as what a function may give for it."""
    if dtype == UnixTimestamp and _may_be_an_instant(value):
        try:
            return np.datetime64(to_micros(value), "us")
        except RequestError:
            raise Misfit(f"{value!r:.80} is no {dtype}") from None
    if isinstance(dtype, Decimal):
        return _decimal(value, dtype)
    if isinstance(dtype, Array) and isinstance(value, (list, tuple, np.ndarray)):
        return [_read(one, dtype.element) for one in value]
    return value


def _may_be_an_instant(value: Any) -> bool:
    """Whether a value is none yet, and may say one: a text, µs, or a date, which is its midnight."""
    return type(value) is date or (isinstance(value, (str, int)) and not isinstance(value, bool))


def _decimal(value: Any, dtype: Decimal) -> Any:
    """A decimal, also as a text; none with more digits after the point than the type has."""
    if isinstance(value, str):
        try:
            value = decimal.Decimal(value)
        except decimal.InvalidOperation:
            raise Misfit(f"{value!r:.80} is no {dtype}") from None
    if isinstance(value, decimal.Decimal) and value.is_finite():
        exponent = value.normalize(decimal.Context(prec=100)).as_tuple().exponent
        if isinstance(exponent, int) and -exponent > dtype.scale:
            raise Misfit(f"{value!r:.80} is no {dtype}")
    return value


def _whole(column: pa.ChunkedArray) -> pa.Array:
    made = column.combine_chunks()
    return made if isinstance(made, pa.Array) else pa.concat_arrays(made.chunks)


def _without_nan(column: pa.Array) -> pa.Array:
    odd = pc.is_nan(column)
    return pc.if_else(odd, pa.scalar(None, column.type), column) if pc.any(odd).as_py() else column


def _values(column: pa.ChunkedArray) -> Sequence[Any]:
    """A column's values; instants of any unit as µs, floored."""
    kind = column.type
    if pa.types.is_timestamp(kind) and from_arrow(kind) == UnixTimestamp:
        return [None if one is None else np.datetime64(one, kind.unit) for one in column.cast(pa.int64()).to_pylist()]
    return as_python(column)
