"""States of values as bytes: JSON, with marks for what JSON lacks. Floats come back to the bit.

>>> read(written((1, 2.5, ("a", b"b"))))
(1, 2.5, ('a', b'b'))
"""

from __future__ import annotations

import decimal
import json
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from gnomon.core.exact import ExactSum
from gnomon.core.ordering import sort_key
from gnomon.types import Array, Bool, Bytes, Decimal, FeatureType, Float32, Float64, Int32, Int64, String, UnixTimestamp

__all__ = ["canonical", "identity", "is_of", "read", "written"]


def canonical(value: Any) -> Any:
    """The one form of a value: −0.0 is 0.0, and there is one NaN; within arrays, too."""
    if isinstance(value, float):
        return value + 0.0 if value == value else math.nan
    return tuple(map(canonical, value)) if isinstance(value, (list, tuple)) else value


def identity(value: Any, dtype: FeatureType) -> tuple[Any, ...]:
    """What is equal where values are the same one, and compares as they do."""
    return sort_key(dtype)(canonical(value))


def written(state: Any) -> bytes:
    """Tuples of numbers, texts, bytes, decimals, exact sums and tuples, as bytes."""
    return json.dumps(_marked(state), separators=(",", ":")).encode()


def read(raw: bytes) -> Any:
    """What `written` wrote."""
    return _thawed(json.loads(raw))


def _marked(value: Any) -> Any:
    if isinstance(value, ExactSum):  # a tuple, too, and must come back as what it was
        return {"sum": value.to_bytes().hex()}
    if isinstance(value, (tuple, list)):
        return list(map(_marked, value))
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if value is None or isinstance(value, (int, float, str)):
        return value
    raise TypeError(f"{value!r} has no place in a state")


_MARKS: dict[str, Callable[[str], Any]] = {
    "bytes": bytes.fromhex,
    "decimal": decimal.Decimal,
    "sum": lambda text: ExactSum.from_bytes(bytes.fromhex(text)),
}


def _thawed(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_thawed, value))
    if isinstance(value, dict):
        ((mark, text),) = value.items()
        return _MARKS[mark](text)
    return value


def is_of(value: Any, dtype: FeatureType) -> bool:
    """Whether a value that is not null is one of a type, as the oracle has them."""
    if isinstance(dtype, Array):
        return isinstance(value, (list, tuple)) and all(one is None or is_of(one, dtype.element) for one in value)
    if isinstance(dtype, Decimal):
        return isinstance(value, decimal.Decimal) and value.is_finite() and _has_digits(value, dtype)
    if dtype in (Int32, Int64, UnixTimestamp):
        bits = 32 if dtype == Int32 else 64
        return type(value) is int and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
    kinds: dict[FeatureType, type] = {Bool: bool, Float32: float, Float64: float, String: str, Bytes: bytes}
    return isinstance(value, kinds[dtype])


def _has_digits(value: decimal.Decimal, dtype: Decimal) -> bool:
    units: Fraction = Fraction(value) * 10**dtype.scale
    return units.denominator == 1 and abs(units) < Fraction(10) ** dtype.precision
