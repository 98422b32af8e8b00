"""A feature's default: what stands where its value would be null.

A definition holds a default in a form that JSON has, whatever its type; `plain` gives the value that is put into
columns.

>>> from gnomon.types import Array, Decimal, Int64, UnixTimestamp
>>> from datetime import datetime
>>> written(datetime(2024, 1, 31)), written([1, None])
('2024-01-31T00:00:00Z', (1, None))
>>> plain("2024-01-31T00:00:00Z", UnixTimestamp), plain((1, None), Array(Int64)), plain("1.5", Decimal(4, 2))
(1706659200000000, [1, None], Decimal('1.50'))
>>> plain("many", Int64)
Traceback (most recent call last):
    ...
gnomon.errors.DefinitionError: the default 'many' is no Int64.
Hint: give a value that Int64 holds exactly.
"""

from __future__ import annotations

import decimal
import math
from datetime import datetime
from typing import Any

from gnomon.clock import instant_text, to_micros
from gnomon.core.outputs import Misfit, caster
from gnomon.errors import DefinitionError, RequestError
from gnomon.types import Array, Bytes, Decimal, FeatureType, Float32, Float64, UnixTimestamp

__all__ = ["check_default", "plain", "written"]

HEX = "hex:"
_NOT_FINITE = ("nan", "inf", "-inf")


def written(value: Any) -> Any:
    """A value in a form that JSON has; what is no value of any type is left as it is, for `plain` to refuse."""
    if isinstance(value, datetime):
        return instant_text(to_micros(value))
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return HEX + bytes(value).hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    if isinstance(value, (list, tuple)):
        return tuple(map(written, value))
    return value


def plain(default: Any, dtype: FeatureType) -> Any:
    """The value that stands in columns: instants as µs.

    Args:
        default: what `written` gave.
        dtype: the feature's type.

    Raises:
        DefinitionError: the type has no such value.
    """
    try:
        return caster(dtype)(_read(default, dtype))
    except (Misfit, ValueError, ArithmeticError, RequestError):
        raise DefinitionError(
            f"the default {default!r} is no {dtype}.", hint=f"give a value that {dtype} holds exactly."
        ) from None


def check_default(owner: str, default: Any, dtype: FeatureType) -> Any:
    """A default that its author wrote, in the form that is kept; None for none.

    Raises:
        DefinitionError: it is no value of the type, or would be another one there.
    """
    if default is None:
        return None
    form = written(default)
    try:
        value = plain(form, dtype)
    except DefinitionError as wrong:
        raise DefinitionError(f"{owner}: {wrong.what}", hint=wrong.hint) from None
    if isinstance(dtype, Decimal) and value != decimal.Decimal(str(default)):
        raise DefinitionError(
            f"{owner}: the default {default!r} is no {dtype}.", hint=f"give a value that {dtype} holds exactly."
        )
    return form


def _read(default: Any, dtype: FeatureType) -> Any:
    if isinstance(dtype, Array):
        if not isinstance(default, (list, tuple)):
            raise Misfit
        return [_read(one, dtype.element) for one in default]
    if isinstance(default, str):
        if dtype == UnixTimestamp:
            return datetime.fromisoformat(instant_text(to_micros(default)).replace("Z", "+00:00"))
        if isinstance(dtype, Decimal):
            return decimal.Decimal(default)
        if dtype == Bytes and default.startswith(HEX):
            return bytes.fromhex(default.removeprefix(HEX))
        if dtype in (Float32, Float64) and default in _NOT_FINITE:
            return float(default)
    return default
