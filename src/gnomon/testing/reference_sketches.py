"""The oracle of the aggregations that approximate, from the formulas in `docs/time.md`, in exact arithmetic.

>>> from gnomon.types import Float64, Int64
>>> approx_percentile([1.0, 2.0, 3.0, 4.0, 1000.0], Float64, q=0.5)          # the middle of [3, 3.03125)
3.015625
>>> approx_count_distinct(list(range(1_000)), Int64)
997
"""

from __future__ import annotations

import decimal
import hashlib
import math
import struct
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from gnomon.types import Bytes, Decimal, FeatureType, Float32, Float64, String

__all__ = ["approx_count_distinct", "approx_percentile", "estimate", "hash_of"]

_PRECISE = decimal.Context(prec=60)


def approx_percentile(
    values: Sequence[Any], dtype: FeatureType, q: float, relative_error: float = 0.01
) -> float | None:
    """The middle of the bucket that holds the value of the wanted rank; None of no values."""
    if not values:
        return None
    floats = sorted(float(value) for value in values if value == value)
    rank = max(1, math.ceil(q * len(values)))  # nearest rank, counted from 1; q·n as floats multiply
    if rank > len(floats):
        return math.nan  # NaN is greater than all
    return _middle(floats[rank - 1], _parts(relative_error))


def _parts(relative_error: float) -> int:
    """Log2 of how many parts a power of two is cut into: 2 or more, so that half a part is no wider than the error."""
    bits = 1
    while 0.5 ** (bits + 1) > relative_error:
        bits += 1
    return bits


def _middle(value: float, bits: int) -> float:
    """The middle of a float's bucket; 0 and ±inf, and what is in 0's bucket, are themselves, or 0."""
    if math.isinf(value):
        return value
    _, exponent = math.frexp(value)  # |value| lies in [2^(exponent − 1), 2^exponent)
    width = Fraction(2) ** (max(exponent - 1, -1022) - bits)  # below 2^-1022 all buckets are as wide as at it
    bucket = math.floor(abs(Fraction(value)) / width)
    return math.copysign(float((bucket + Fraction(1, 2)) * width), value) if bucket else 0.0


def approx_count_distinct(values: Sequence[Any], dtype: FeatureType, precision: int = 12) -> int:
    """The estimate by HyperLogLog (Ertl, arXiv 1702.01284, algorithm 6), rounded to a whole number."""
    registers = [0] * 2**precision
    for value in values:
        bits = f"{hash_of(value, dtype):064b}"
        place, rest = int(bits[:precision], 2), bits[precision:]
        zeros = len(rest) - len(rest.lstrip("0"))
        registers[place] = max(registers[place], zeros + 1)
    return estimate(Counter(registers), precision)


def estimate(holding: Counter[int], precision: int) -> int:
    """From how many of the m registers hold each number: α m² / (m σ(C₀/m) + Σ Cₖ 2⁻ᵏ + m τ(1 − C₍q₊₁₎/m) 2⁻ᵠ)."""
    m, q = 2**precision, 64 - precision
    if holding[0] == m:
        return 0
    with decimal.localcontext(_PRECISE):
        middle = sum(decimal.Decimal(holding[k]) / 2**k for k in range(1, q + 1))
        full = m * _tau(decimal.Decimal(m - holding[q + 1]) / m) / 2**q
        bottom = m * _sigma(decimal.Decimal(holding[0]) / m) + middle + full
        return int((m * m / (2 * decimal.Decimal(2).ln() * bottom)).to_integral_value(decimal.ROUND_HALF_EVEN))


def _sigma(x: decimal.Decimal) -> decimal.Decimal:
    """σ(x) = x + Σ x^(2^k) 2^(k−1), k from 1; the terms soon vanish."""
    return x + sum((x ** (2**k) * 2 ** (k - 1) for k in range(1, 30)), decimal.Decimal(0))


def _tau(x: decimal.Decimal) -> decimal.Decimal:
    """τ(x) = (1 − x − Σ (1 − x^(2^−k))² 2^−k) / 3, k from 1; 0 for x = 0."""
    if not x:
        return x
    terms = ((1 - x ** (decimal.Decimal(2) ** -k)) ** 2 / 2**k for k in range(1, 60))
    return (1 - x - sum(terms, decimal.Decimal(0))) / 3


def hash_of(value: Any, dtype: FeatureType) -> int:
    """64 bits of a value: of BLAKE2b for texts, bytes and decimals, of SplitMix64's finisher for all else."""
    if dtype == String:
        value = value.encode("utf-8")
    if isinstance(dtype, Decimal):
        value = int(Fraction(value) * 10**dtype.scale).to_bytes(16, "little", signed=True)
    if dtype in (String, Bytes) or isinstance(dtype, Decimal):
        (word,) = struct.unpack("<Q", hashlib.blake2b(value, digest_size=8).digest())
        return int(word)
    if dtype in (Float32, Float64):
        (word,) = struct.unpack("<Q", struct.pack("<d", math.nan if value != value else value + 0.0))
    else:
        (word,) = struct.unpack("<Q", struct.pack("<q", value))
    return _mixed(int(word))


def _mixed(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)
