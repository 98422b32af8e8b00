"""Types and values of them, leaning to the edges: what compares oddly, rounds, overflows or looks like nothing."""

from __future__ import annotations

import decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st

from gnomon.types import KEY_TYPES, SCALARS, Array, Decimal, FeatureType

__all__ = ["feature_types", "instants", "key_types", "values"]

_DIGITS = decimal.Context(prec=38)
_FLOATS = [float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 1.0, -1.0]
_FLOAT64_EDGES = [5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, float(2**53), float(2**53 + 2)]
_FLOAT32_EDGES = [1.401298464324817e-45, -1.401298464324817e-45, 1.1754943508222875e-38, 3.4028234663852886e38]
# Shorter than what they start, NUL inside, look-alikes that are not equal, and a pair whose order differs between
# UTF-8 (U+FFFD first) and UTF-16 (U+1D11E first).
_STRINGS = [
    "",
    "a",
    "A",
    "ab",
    "a\0b",
    "\0",
    " ",
    "null",
    "NaN",
    "ä",
    "a\u0308",
    "\ufffd",
    "\U0001d11e",
    "x" * 300,
    "'\"\\",
]
_BYTES = [b"", b"\0", b"\0\0", b"a", b"\x7f", b"\x80", b"\xff", b"\xff" * 300]

_ANCHORS = [
    0,  # the epoch
    -1,
    -1_000_001,  # before it: flooring is not truncating
    999_999,
    1_000_000,
    -3_600_000_000,
    951_782_400_000_000,  # 2000-02-29
    1_711_846_800_000_000,  # 2024-03-31 01:00 UTC: Berlin's clocks go forward
    1_729_987_200_000_000,  # 2024-10-27 00:00 UTC: Berlin reads 02:00, for the first time
    1_729_990_800_000_000,  # 2024-10-27 01:00 UTC: and for the second
    -5_364_662_400_000_000,  # 1800-01-01
    4_102_444_800_000_000,  # 2100-01-01
]


@cache  # making a strategy costs more than drawing from it
def feature_types(*, arrays: bool = True) -> st.SearchStrategy[FeatureType]:
    """Every type a feature can have, decimals of all precisions and arrays included."""
    decimals = st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: Decimal(p, s)))
    scalars: st.SearchStrategy[FeatureType] = st.one_of(st.sampled_from(list(SCALARS.values())), decimals)
    return st.one_of(scalars, scalars.map(Array)) if arrays else scalars


@cache
def key_types() -> st.SearchStrategy[FeatureType]:
    """The types a join key can have."""
    return st.sampled_from(KEY_TYPES)


@cache
def instants() -> st.SearchStrategy[int]:
    """Instants in µs from 1799 to 2100, at and around those where arithmetic on times goes wrong."""
    return st.one_of(
        st.sampled_from(_ANCHORS),
        st.builds(int.__add__, st.sampled_from(_ANCHORS), st.sampled_from([-1, 1, -1_000, 1_000, 1_000_000])),
        st.integers(_ANCHORS[-2], _ANCHORS[-1]),
    )


@cache
def values(dtype: FeatureType, *, nulls: bool = True) -> st.SearchStrategy[Any]:
    """Values of a type as the oracle has them: timestamps as int µs, decimals as `decimal.Decimal`, arrays as tuples.

    Args:
        dtype: the type.
        nulls: whether None is among them; in arrays it always is.
    """
    strategy = _present(dtype)
    return st.one_of(st.none(), strategy) if nulls else strategy


def _present(dtype: FeatureType) -> st.SearchStrategy[Any]:
    if isinstance(dtype, Array):
        return st.lists(values(dtype.element), max_size=3).map(tuple)
    if isinstance(dtype, Decimal):
        return _decimals(dtype)
    return {
        "Bool": st.booleans(),
        "Int32": _integers(32),
        "Int64": _integers(64),
        "Float32": st.one_of(st.sampled_from(_FLOATS + _FLOAT32_EDGES), st.floats(width=32)),
        "Float64": st.one_of(st.sampled_from(_FLOATS + _FLOAT64_EDGES), st.floats()),
        "String": st.one_of(st.sampled_from(_STRINGS), st.text(st.characters(codec="utf-8"), max_size=4)),
        "Bytes": st.one_of(st.sampled_from(_BYTES), st.binary(max_size=4)),
        "UnixTimestamp": instants(),
    }[dtype.name]


def _integers(bits: int) -> st.SearchStrategy[int]:
    least, greatest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    edges = [0, 1, -1, least, least + 1, greatest, greatest - 1]
    if bits == 64:
        edges += [2**53, 2**53 + 1, -(2**53) - 1]  # neighbours that a float would make one
    return st.one_of(st.sampled_from(edges), st.integers(least, greatest))


def _decimals(dtype: Decimal) -> st.SearchStrategy[decimal.Decimal]:
    greatest = 10**dtype.precision - 1
    unscaled = st.one_of(st.sampled_from([0, 1, -1, greatest, -greatest]), st.integers(-greatest, greatest))
    return unscaled.map(lambda digits: _DIGITS.scaleb(decimal.Decimal(digits), -dtype.scale))
