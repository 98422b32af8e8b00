"""`approx_count_distinct`: how many different values, within a percent or two, in a few kilobytes.

HyperLogLog: each value is hashed; p bits of the hash choose a register, which keeps the longest run of leading zeros
that the other bits showed, plus one. Registers merge by maximum, so order and splits cannot show. The estimate is a
function of how many registers hold which number. (Flajolet, Fusy, Gandouet & Meunier 2007; the estimator is Ertl's,
arXiv 1702.01284, algorithm 6.)
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from gnomon.core.aggregations.base import FLOATS, Event, Function, is_scalar
from gnomon.core.aggregations.states import canonical, read, written
from gnomon.core.exact import in_units
from gnomon.errors import DefinitionError
from gnomon.types import Bytes, Decimal, FeatureType, Int64, String

__all__ = ["ApproxCountDistinct", "estimate", "hash_of", "sigma", "tau"]

WORD = 2**64 - 1

State = Mapping[int, int]
"""Register → the number it holds; those that hold 0 are left out."""


@dataclass(frozen=True, slots=True)
class ApproxCountDistinct(Function):
    """The number of different values, approximately: the relative standard error is 1.04 / √2^precision.

    Args:
        precision: 4 to 16; 12 is 1.6 %.

    >>> from gnomon.types import Int64
    >>> distinct, state = ApproxCountDistinct(), ApproxCountDistinct().empty()
    >>> for value in range(1_000):
    ...     state = distinct.add(state, (0, 0, value), Int64)
    >>> abs(distinct.result(state, Int64) - 1_000) < 50
    True
    """

    name: ClassVar[str] = "approx_count_distinct"
    takes: ClassVar[str] = "values of any type that is no array"
    default: ClassVar[int] = 0
    precision: int = 12

    def __post_init__(self) -> None:
        if type(self.precision) is not int or not 4 <= self.precision <= 16:
            raise DefinitionError(
                f"{self.name}: precision is {self.precision!r}.", hint="precision is a whole number from 4 to 16."
            )

    def output(self, dtype: FeatureType) -> FeatureType:
        """Int64."""
        if not is_scalar(dtype):
            raise self.unfit(dtype)
        return Int64

    def empty(self) -> State:
        """All registers zero."""
        return {}

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """Its register raised, if it is lower."""
        return self.merge(state, dict([register(hash_of(event[2], dtype), self.precision)]))

    def of(self, events: Iterable[Event], dtype: FeatureType) -> State:
        """Each register raised by the values that fall on it."""
        found: dict[int, int] = {}
        for value in {one[2] for one in events}:
            place, number = register(hash_of(value, dtype), self.precision)
            found[place] = max(found.get(place, 0), number)
        return found

    def merge(self, left: State, right: State) -> State:
        """The greater of each register."""
        return {place: max(left.get(place, 0), right.get(place, 0)) for place in {*left, *right}}

    def result(self, state: State, dtype: FeatureType) -> int:
        """The estimate, to the nearest whole number."""
        counts = [0] * (66 - self.precision)
        counts[0] = (1 << self.precision) - len(state)
        for number in state.values():
            counts[number] += 1
        nearest: int = round(estimate(counts, self.precision))
        return nearest

    def to_bytes(self, state: State) -> bytes:
        """The registers."""
        return written(tuple(state.items()))

    def from_bytes(self, raw: bytes) -> State:
        """The registers again."""
        return dict(read(raw))


def register(hashed: int, precision: int) -> tuple[int, int]:
    """The register a hash falls on, and the number it brings: 1 to 65 − precision."""
    rest = hashed << precision & WORD
    return hashed >> (64 - precision), min(64 - rest.bit_length(), 64 - precision) + 1


def hash_of(value: Any, dtype: FeatureType) -> int:
    """64 bits that are the same wherever and whenever the value is met."""
    if dtype == String:
        return _digest(value.encode())
    if dtype == Bytes:
        return _digest(value)
    if isinstance(dtype, Decimal):
        return _digest(in_units(value, dtype).to_bytes(16, "little", signed=True))
    if dtype in FLOATS:
        value = struct.unpack("<q", struct.pack("<d", canonical(float(value))))[0]
    return mixed(int(value) & WORD)


def mixed(word: int) -> int:
    """The finisher of SplitMix64 (Steele, Lea & Flood 2014): one to one, and every bit depends on every bit."""
    word = (word + 0x9E3779B97F4A7C15) & WORD
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


def estimate(counts: Any, precision: int) -> Any:
    """The number of different values from how many registers hold 0, 1, … 65 − precision.

    Args:
        counts: for each number, how many registers hold it: an int, or an array of them, one per question.
        precision: log2 of the number of registers.
    """
    size, most = 1 << precision, 65 - precision
    z = size * _looked_up(tau, size, size - counts[most])
    for number in range(most - 1, 0, -1):
        z = 0.5 * (z + counts[number])
    z = z + size * _looked_up(sigma, size, counts[0])
    return size * (size / (2.0 * math.log(2.0))) / z


def _looked_up(function: Any, size: int, count: Any) -> Any:
    """function(count / size) for a count, or an array of counts."""
    if isinstance(count, int):
        return function(count / size)
    return _table(function, size)[count]


@cache
def _table(function: Any, size: int) -> Any:
    import numpy as np

    return np.array([function(count / size) for count in range(size + 1)])


def sigma(x: float) -> float:
    """X + Σ x^(2^k) 2^(k−1): what the registers that are still zero weigh."""
    if x == 1.0:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        before = z
        x *= x
        z += x * y
        y += y
    return z


def tau(x: float) -> float:
    """What the registers that are full weigh."""
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1.0 - x, -1.0
    while z != before:
        before = z
        x = math.sqrt(x)
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
    return z / 3.0


def _digest(raw: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")
