"""`approx_percentile`: a value's rank by logarithmic buckets with whole counts, within a stated relative error.

Every power of two is cut into 2^b equal parts, two at least, and a value's bucket is its sign and the first bits of its
float: no logarithm is taken, so every machine agrees. A bucket's middle is off by at most 2^-(b+1) of a value in it.
(The idea is DDSketch's, Masson, Rim & Lee, VLDB 2019, with the linear interpolation of its fast mapping.)
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gnomon.core.aggregations.base import Event, Function, is_number
from gnomon.core.aggregations.states import read, written
from gnomon.errors import DefinitionError
from gnomon.types import FeatureType, Float64

__all__ = ["ApproxPercentile", "bucket_of", "middle_of", "rank_of"]

State = Mapping[int, int]
"""Bucket → how many values are in it."""


@dataclass(frozen=True, slots=True)
class ApproxPercentile(Function):
    """The least value that at least a share q of the values do not exceed, within a relative error.

    NaN is greater than all. A whole number or a decimal counts as the float next to it.

    Args:
        q: the share, from 0 to 1: 0.5 is the median.
        relative_error: how far off the result may be, from 0.00001 to 0.5, of values from 2^-1022 on.

    >>> median, state = ApproxPercentile(q=0.5), ApproxPercentile(q=0.5).empty()
    >>> for value in (1.0, 2.0, 3.0, 4.0, 1000.0):
    ...     state = median.add(state, (0, 0, value), Float64)
    >>> abs(median.result(state, Float64) - 3.0) <= 0.03
    True
    """

    name: ClassVar[str] = "approx_percentile"
    q: float
    relative_error: float = 0.01

    def __post_init__(self) -> None:
        _check(self.name, "q", self.q, 0.0, 1.0)
        _check(self.name, "relative_error", self.relative_error, 1e-5, 0.5)
        for name in ("q", "relative_error"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def word(self) -> str:
        """`approx_p99`; a share that is no whole percentage has its point written `_`."""
        return f"approx_p{self.q * 100:.10g}".replace(".", "_")

    @property
    def dropped(self) -> int:
        """How many of a float's last bits its bucket does not tell."""
        # frexp, not log2: no rounding near a power of two. One bit at least is told, which tells NaN from infinity.
        return 52 - max(1, -math.frexp(self.relative_error)[1])

    def output(self, dtype: FeatureType) -> FeatureType:
        """Float64."""
        if not is_number(dtype):
            raise self.unfit(dtype)
        return Float64

    def empty(self) -> State:
        """Nothing in any bucket."""
        return {}

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """One more in its bucket."""
        return self.merge(state, {bucket_of(float(event[2]), self.dropped): 1})

    def of(self, events: Iterable[Event], dtype: FeatureType) -> State:
        """Their buckets."""
        return Counter(bucket_of(float(one[2]), self.dropped) for one in events)

    def merge(self, left: State, right: State) -> State:
        """Bucket by bucket."""
        return {bucket: left.get(bucket, 0) + right.get(bucket, 0) for bucket in {*left, *right}}

    def result(self, state: State, dtype: FeatureType) -> float | None:
        """The middle of the bucket in which the rank falls."""
        wanted = rank_of(self.q, sum(state.values()))
        for bucket in sorted(state):
            wanted -= state[bucket]
            if wanted <= 0:
                return middle_of(bucket, self.dropped)
        return None

    def to_bytes(self, state: State) -> bytes:
        """Buckets and counts."""
        return written(tuple(state.items()))

    def from_bytes(self, raw: bytes) -> State:
        """Buckets and counts again."""
        return dict(read(raw))


def bucket_of(value: float, dropped: int) -> int:
    """A value's bucket; the order of buckets is that of values, zero's is 0."""
    if value != value:
        value = math.nan
    bits: int = struct.unpack("<q", struct.pack("<d", abs(value)))[0]
    bucket = bits >> dropped
    return -bucket if value < 0 else bucket


def middle_of(bucket: int, dropped: int) -> float:
    """The value that stands for a bucket: its middle, but 0, ±inf and NaN for themselves."""
    bits = abs(bucket) << dropped
    (low,) = struct.unpack("<d", struct.pack("<q", bits))
    if not math.isfinite(low) or not bucket:
        return math.copysign(low, bucket) if low == low else math.nan
    (middle,) = struct.unpack("<d", struct.pack("<q", bits + (1 << dropped >> 1)))
    return math.copysign(middle, bucket)


def rank_of(q: float, count: int) -> int:
    """Which of so many ordered values is wanted, counted from 1."""
    return max(1, math.ceil(q * count))


def _check(name: str, argument: str, value: Any, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise DefinitionError(f"{name}: {argument} is {value!r}.", hint=f"{argument} is from {least:g} to {most:g}.")
