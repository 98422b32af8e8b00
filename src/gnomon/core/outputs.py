"""What a user's function gives, as values of the types that its definition says; the same for tables and single rows.

Values become what columns hold: instants are µs, decimals have their type's scale, there is one NaN. What is no value
of the type, or more than it can hold, is a `Misfit`.

>>> from gnomon.types import Int64
>>> caster(Int64)(7.0), caster(Int64)(None)
(7, None)
>>> caster(Int64)(7.5)
Traceback (most recent call last):
    ...
gnomon.core.outputs.Misfit: 7.5 is no Int64
"""

from __future__ import annotations

import decimal
import math
import struct
from collections.abc import Callable
from datetime import datetime
from typing import Any

from gnomon.clock import MAX_MICROS, MIN_MICROS, to_micros
from gnomon.types import Array, Bool, Bytes, Decimal, FeatureType, Float32, Float64, Int32, Int64, String, UnixTimestamp

__all__ = ["Caster", "Misfit", "caster"]

Caster = Callable[[Any], Any]
"""Gives a column's value for one of a function's, None for null."""

EXACT = decimal.Context(prec=80)
_SINGLE = struct.Struct("<f")


class Misfit(Exception):  # noqa: N818 - a signal between a caster and who asked for it
    """A value is none of its type."""


def caster(dtype: FeatureType) -> Caster:
    """What casts values to a type."""
    if isinstance(dtype, Array):
        return _array(dtype)
    if isinstance(dtype, Decimal):
        return _decimal(dtype)
    return _CASTERS[dtype]


def _plain(value: Any) -> Any:
    """A value of numpy's as one of Python's own; others as they are."""
    if type(value).__module__ == "numpy" and not hasattr(value, "__len__"):
        return value.item()
    return value


def _misfit(value: Any, dtype: FeatureType) -> Misfit:
    return Misfit(f"{value!r:.80} is no {dtype}")


def _float(value: Any) -> Any:
    if type(value) is float:
        return value if value == value else math.nan
    if value is None:
        return None
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, decimal.Decimal)):
        raise _misfit(value, Float64)
    try:
        made = float(value)
    except (OverflowError, ValueError):
        raise _misfit(value, Float64) from None
    return made if made == made else math.nan


def _single(value: Any) -> Any:
    made = _float(value)
    if made is None or made != made or made in (math.inf, -math.inf):
        return made
    try:
        return _SINGLE.unpack(_SINGLE.pack(made))[0]
    except OverflowError:
        raise _misfit(value, Float32) from None


def _integer(dtype: FeatureType, bits: int) -> Caster:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def cast(value: Any) -> Any:
        if type(value) is int:
            if low <= value <= high:
                return value
            raise _misfit(value, dtype)
        if value is None:
            return None
        value = _plain(value)
        if isinstance(value, (int, float, decimal.Decimal)) and not isinstance(value, bool) and math.isfinite(value):
            whole = int(value)
            if whole == value and low <= whole <= high:
                return whole
        raise _misfit(value, dtype)

    return cast


def _truth(value: Any) -> Any:
    if value is None or value is True or value is False:
        return value
    value = _plain(value)
    if isinstance(value, bool):
        return value
    raise _misfit(value, Bool)


def _text(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _misfit(value, String)
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair has no UTF-8
        raise _misfit(value, String) from None
    return str(value)


def _bytes(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise _misfit(value, Bytes)


def _instant(value: Any) -> Any:
    if value is None:
        return None
    if value != value:  # NaT, of numpy or of pandas
        return None
    if type(value).__name__ == "datetime64":
        micros = int(value.astype("datetime64[us]").astype("int64"))
    elif isinstance(value, datetime):
        micros = to_micros(value)
    else:
        raise _misfit(value, UnixTimestamp)
    if MIN_MICROS < micros <= MAX_MICROS:
        return micros
    raise _misfit(value, UnixTimestamp)


def _decimal(dtype: Decimal) -> Caster:
    unit, most = decimal.Decimal(1).scaleb(-dtype.scale), dtype.precision

    def cast(value: Any) -> Any:
        if value is None:
            return None
        value = _plain(value)
        if isinstance(value, bool) or not isinstance(value, (decimal.Decimal, int)):
            raise _misfit(value, dtype)
        try:
            made = decimal.Decimal(value).quantize(unit, rounding=decimal.ROUND_HALF_EVEN, context=EXACT)
        except decimal.InvalidOperation:
            raise _misfit(value, dtype) from None
        if not made.is_finite() or len(made.as_tuple().digits) > most:
            raise _misfit(value, dtype)
        return made if made else abs(made)  # zero has no sign in a column

    return cast


def _array(dtype: Array) -> Caster:
    each = caster(dtype.element)

    def cast(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) and getattr(value, "ndim", None) != 1:
            raise _misfit(value, dtype)
        try:
            return [each(one) for one in value]
        except Misfit:
            raise _misfit(value, dtype) from None

    return cast


_CASTERS: dict[FeatureType, Caster] = {
    Bool: _truth,
    Int32: _integer(Int32, 32),
    Int64: _integer(Int64, 64),
    Float32: _single,
    Float64: _float,
    String: _text,
    Bytes: _bytes,
    UnixTimestamp: _instant,
}
