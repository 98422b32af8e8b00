"""How types meet: one common type for all that is compared or chosen among, and exact bounds for arithmetic.

Integers and decimals are *exact*: `Int64` is at most 19 digits, `Decimal(p, s)` at most p, and results get as many as
they can need; more than 38 is an error, never a rounded or failing query. An exact number that meets a float becomes
the nearest Float64, in Python and in DuckDB alike. A number written out takes the type of what it meets.

>>> from gnomon.types import Bool, Decimal, Float32, Int32, Int64
>>> together(Int32, Int64), together(Int64, Decimal(10, 2)), together(Int64, Float32), together(Int64, Bool)
(Int64, Decimal(21, 2), Float64, None)
>>> total(Int64, Int64), product(Int64, Decimal(10, 2))
(Decimal(20, 0), Decimal(29, 2))
"""

from __future__ import annotations

import struct
from decimal import Decimal as PythonDecimal

from gnomon.types import Decimal, FeatureType, Float32, Float64, Int32, Int64

__all__ = [
    "FLOATS",
    "INTEGERS",
    "digits_of",
    "holds",
    "integer",
    "is_exact",
    "natural",
    "product",
    "remainder",
    "rounded",
    "together",
    "total",
]

INTEGERS = (Int32, Int64)
FLOATS = (Float32, Float64)
MOST = 38
"""Digits of the widest exact number that DuckDB has."""


def digits_of(dtype: FeatureType) -> tuple[int, int]:
    """Digits before and after the point of an exact type."""
    if isinstance(dtype, Decimal):
        return dtype.precision - dtype.scale, dtype.scale
    return (10 if dtype == Int32 else 19), 0


def is_exact(dtype: FeatureType) -> bool:
    """Whether a type's values are integers or decimals."""
    return dtype in INTEGERS or isinstance(dtype, Decimal)


def together(left: FeatureType, right: FeatureType) -> FeatureType | None:
    """The type in which two types compare; None where they do not, or where it would need more than 38 digits."""
    if left == right:
        return left
    if left in INTEGERS and right in INTEGERS:
        return Int64
    if is_exact(left) and is_exact(right):
        (a, b), (c, d) = digits_of(left), digits_of(right)
        return _decimal(max(a, c), max(b, d))
    return Float64 if all(is_exact(one) or one in FLOATS for one in (left, right)) else None


def holds(declared: FeatureType, found: FeatureType) -> bool:
    """Whether values of a type can be declared as another: the same ones, or floats nearest to them.

    >>> holds(Int64, Decimal(20, 0)), holds(Int64, Decimal(20, 2)), holds(Float32, Int64), holds(Int64, Float64)
    (True, False, True, False)
    """
    if declared == found:
        return True
    if declared in FLOATS:
        return is_exact(found) or found in FLOATS
    return is_exact(declared) and is_exact(found) and digits_of(declared)[1] >= digits_of(found)[1]


def total(left: FeatureType, right: FeatureType) -> FeatureType | None:
    """The type of a sum or difference of exact numbers; None where it would need more than 38 digits."""
    (a, b), (c, d) = digits_of(left), digits_of(right)
    return _decimal(max(a, c) + 1, max(b, d))


def product(left: FeatureType, right: FeatureType) -> FeatureType | None:
    """The type of a product of exact numbers; None where it would need more than 38 digits."""
    (a, b), (c, d) = digits_of(left), digits_of(right)
    return _decimal(a + c, b + d)


def remainder(left: FeatureType, right: FeatureType) -> FeatureType | None:
    """The type of a remainder of whole numbers; None where one is not whole."""
    (a, b), (c, d) = digits_of(left), digits_of(right)
    return _decimal(min(a, c), 0) if b == d == 0 else None


def natural(value: PythonDecimal) -> FeatureType | None:
    """The narrowest exact type of a number written out; None where it has more than 38 digits."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    return _decimal(max(len(digits) + exponent, 0), max(-exponent, 0))


def integer(value: PythonDecimal) -> FeatureType | None:
    """The narrowest integer type of a number written out; None where there is none."""
    if value != value.to_integral_value() or not -(2**63) <= value < 2**63:
        return None
    return Int32 if -(2**31) <= value < 2**31 else Int64


def rounded(value: PythonDecimal, dtype: FeatureType) -> float | None:
    """The value of a float type nearest to a number; None beyond its range."""
    try:
        nearest = float(value)
        return struct.unpack("<f", struct.pack("<f", nearest))[0] if dtype == Float32 else _finite(nearest)
    except OverflowError:
        return None


def _finite(value: float) -> float | None:
    return value if abs(value) != float("inf") else None


def _decimal(before: int, after: int) -> FeatureType | None:
    return Decimal(max(before + after, 1), after) if before + after <= MOST else None
