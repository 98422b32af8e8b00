"""Exact sums in plain Python: every number is a whole number of some unit, and whole numbers add without error.

A float is a whole number of 2^-1074, a decimal of its last digit. So a sum does not depend on order, nor on how events
were split, and it is rounded once, at the end. This is the slow form, for single states and odd cases; the kernel's
fast form, for columns, is `gnomon.core.kernel.limbs`.

>>> from gnomon.types import Float64
>>> total = sum(in_units(x, Float64) for x in (1e100, 1.0, -1e100))
>>> as_float(total, Float64)
1.0
"""

from __future__ import annotations

import decimal
import math
from typing import Any

from gnomon.core.cells import EXACT
from gnomon.types import Decimal, FeatureType, Float32, Float64

__all__ = ["UNITS_IN_ONE", "ExactSum", "Total", "as_decimal", "as_float", "divided", "in_units", "units_in_one"]

UNITS_IN_ONE = 1 << 1074


def in_units(value: Any, dtype: FeatureType) -> int:
    """A finite number as a whole number of its type's unit."""
    if dtype in (Float32, Float64):
        numerator, denominator = float(value).as_integer_ratio()
        return numerator * (UNITS_IN_ONE // denominator)
    if isinstance(dtype, Decimal):
        return int(EXACT.scaleb(value, dtype.scale))
    return int(value)


def units_in_one(dtype: FeatureType) -> int:
    """How many units of a type are 1."""
    if dtype in (Float32, Float64):
        return UNITS_IN_ONE
    return int(10**dtype.scale) if isinstance(dtype, Decimal) else 1


def as_float(total: int, dtype: FeatureType) -> float:
    """So many units as the nearest float, ties to even; ±inf beyond its range."""
    return divided(total, units_in_one(dtype))


def as_decimal(total: int, scale: int) -> decimal.Decimal:
    """So many last digits as a decimal."""
    return EXACT.scaleb(decimal.Decimal(total), -scale)


def divided(numerator: int, denominator: int) -> float:
    """The float nearest to a fraction of whole numbers, ties to even; ±inf beyond its range.

    >>> divided(1, 3), divided(-10**400, 1)
    (0.3333333333333333, -inf)
    """
    try:
        return numerator / denominator  # Python divides whole numbers with one rounding
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


class Total(tuple[int, bool, bool, bool]):
    """An exact sum: (units, whether a NaN, +inf, −inf is among the numbers)."""

    __slots__ = ()

    def __new__(cls, units: int = 0, nan: bool = False, up: bool = False, down: bool = False) -> Total:
        """A sum of so many units, and of these values that are no numbers."""
        return super().__new__(cls, (units, nan, up, down))

    @classmethod
    def of(cls, value: Any, dtype: FeatureType) -> Total:
        """One number."""
        if isinstance(value, float) and not math.isfinite(value):
            return cls(0, math.isnan(value), value > 0, value < 0)
        return cls(in_units(value, dtype))

    def plus(self, other: Total) -> Total:
        """Both sums' numbers."""
        return Total(self[0] + other[0], *(one or two for one, two in zip(self[1:], other[1:], strict=True)))

    def special(self) -> float | None:
        """NaN or an infinity, if that is what the sum is."""
        _, nan, up, down = self
        if nan or (up and down):
            return math.nan
        return math.inf if up else -math.inf if down else None

    def as_float(self, dtype: FeatureType) -> float:
        """The sum as a float, rounded once."""
        special = self.special()
        return as_float(self[0], dtype) if special is None else special

    def to_bytes(self) -> bytes:
        """The flags in one byte, then the units."""
        units, *flags = self
        return bytes([sum(flag << place for place, flag in enumerate(flags))]) + whole_to_bytes(units)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Total:
        """What `to_bytes` wrote."""
        flags = (bool(raw[0] >> place & 1) for place in range(3))
        return cls(int.from_bytes(raw[1:], "little", signed=True), *flags)


class ExactSum(Total):
    """An exact sum of floats, whose value no order of adding changes: what an own aggregation adds floats up in.

    >>> ExactSum.of(0.1).plus(ExactSum.of(0.2)).plus(ExactSum.of(0.3)).value
    0.6
    """

    __slots__ = ()

    @classmethod
    def of(cls, value: float, dtype: FeatureType = Float64) -> ExactSum:
        """One number."""
        return cls(*Total.of(float(value), dtype))

    def plus(self, other: Total) -> ExactSum:
        """Both sums' numbers."""
        return ExactSum(*Total.plus(self, other))

    @property
    def value(self) -> float:
        """The sum, rounded once."""
        return self.as_float(Float64)


def whole_to_bytes(number: int) -> bytes:
    """A whole number of any size, little-endian, signed."""
    return number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
