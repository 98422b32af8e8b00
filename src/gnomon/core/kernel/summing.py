"""Sweeps of `count`, `sum` and `mean`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.core.aggregations.base import FLOATS, INVALID, Function
from gnomon.core.exact import Total, as_float
from gnomon.core.kernel import limbs
from gnomon.core.kernel.columns import Floats, Ints, Values, Yes, bits_of
from gnomon.core.kernel.entries import Span
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.limbs import Limbs
from gnomon.types import Decimal, FeatureType, to_arrow

__all__ = ["Sums", "counted", "meant", "summed", "sums_of"]

SHORT = 18
"""Decimals of so many digits are whole numbers of 64 bits."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Per window: how many values, their exact sum, and what among them is no number.

    Args:
        counts: how many.
        limbs: the sum of the finite ones; None where `totals` holds it.
        totals: the sum in whole units, as Python's numbers, for columns that limbs do not suit.
        special: NaN or an infinity where that is the sum, else 0; None where all values are finite.
    """

    counts: Ints
    limbs: Limbs | None
    totals: Sequence[int] | None
    special: Floats | None


def counted(function: Function, lane: Lane) -> list[Values]:
    """How many events."""
    return [Values(counts) for counts in lane.counts]


def summed(function: Function, lane: Lane) -> list[Values]:
    """The sums, of the type that `function` gives for the lane's column."""
    if lane.values.dtype in FLOATS:
        return [Values(as_floats(sums, lane), sums.counts > 0) for sums in sums_of(lane)]
    if isinstance(lane.values.dtype, Decimal):
        output = function.output(lane.values.dtype)
        return [_short(sums, output) if sums.limbs else _in_python(function, lane, sums) for sums in sums_of(lane)]
    return [_whole(sums) for sums in sums_of(lane)]


def meant(function: Function, lane: Lane) -> list[Values]:
    """Sums as floats, divided by the counts."""
    found = []
    for sums in sums_of(lane):
        there = sums.counts > 0
        # The least floats, divided, are −0.0, of which 0.0 is the one form.
        found.append(Values(as_floats(sums, lane) / np.maximum(sums.counts, 1) + 0.0, there))
    return found


def sums_of(lane: Lane) -> list[Sums]:
    """The sums of a lane's values, made once for all aggregations that need them."""
    return lane.shared("sums", lambda: _sums(lane))


def as_floats(sums: Sums, lane: Lane) -> Floats:
    """Each sum rounded once; what stands where there is no value is of no account."""
    dtype = lane.values.dtype
    if sums.totals is not None or isinstance(dtype, Decimal):
        totals = sums.totals if sums.totals is not None else _whole_totals(sums)
        found = np.array([as_float(total, dtype) for total in totals], np.float64)
    else:
        assert sums.limbs is not None
        found = lane.shared(("floats", id(sums)), lambda: limbs.nearest(sums.limbs))  # type: ignore[arg-type]
    return found if sums.special is None else np.where(sums.special == 0, found, sums.special)


def totals_of(lane: Lane, units: Sequence[int]) -> list[list[int]]:
    """Per window, sums of Python's whole numbers: slow, and never too small.

    Args:
        lane: the lane.
        units: one number for each main event, then for each extra.
    """
    main = len(lane.main)
    prefix = [0, *np.cumsum(np.array(units[:main], object)).tolist()] if main else [0]
    return [
        [prefix[right] - prefix[left] + more for left, right, more in zip(span.left, span.right, extra, strict=True)]
        for span in lane.spans
        for extra in [_extra_totals(lane, span, units[main:])]
    ]


def _extra_totals(lane: Lane, span: Span, units: Sequence[int]) -> list[int]:
    steps = [0] * (len(lane.rows) + 1)
    for which, first, last in zip(span.extra.tolist(), span.first.tolist(), span.last.tolist(), strict=True):
        steps[first] += units[which]
        steps[last] -= units[which]
    return np.cumsum(np.array(steps[:-1], object)).tolist() if len(lane.rows) else []


def _sums(lane: Lane) -> list[Sums]:
    values = lane.values
    if isinstance(values.dtype, Decimal) and values.dtype.precision > SHORT:
        return _of_totals(lane, units_of_decimals(values.array), None)
    numbers: Any = words_of_decimals(values.array)[0] if isinstance(values.dtype, Decimal) else values.numbers
    special = None
    if values.dtype in FLOATS:
        finite = np.isfinite(numbers)
        if not finite.all():
            special = _specials(lane, numbers)
            numbers = np.where(finite, numbers, 0.0)
        if float(np.abs(numbers).max(initial=0.0)) > limbs.GREATEST:
            return _of_totals(lane, [Total.of(one, values.dtype)[0] for one in numbers.tolist()], special)
        cut = limbs.of_floats([numbers], len(numbers))
    else:
        cut = limbs.of_whole(numbers, len(numbers))
    every = limbs.over_windows(lane, cut)
    return [
        Sums(counts, sums, None, None if special is None else special[place])
        for place, (counts, sums) in enumerate(zip(lane.counts, every, strict=True))
    ]


def _of_totals(lane: Lane, units: Sequence[int], special: Sequence[Floats] | None) -> list[Sums]:
    return [
        Sums(counts, None, totals, None if special is None else special[place])
        for place, (counts, totals) in enumerate(zip(lane.counts, totals_of(lane, units), strict=True))
    ]


def _specials(lane: Lane, numbers: Floats) -> list[Floats]:
    """Per window: NaN where a NaN counts, or both infinities; an infinity where one does; else 0."""
    kinds = [np.isnan(numbers), numbers == np.inf, numbers == -np.inf]
    found = limbs.over_windows(lane, Limbs(tuple(kind.astype(np.int64) for kind in kinds), (0, 0, 0), 0))
    made = []
    for window in found:
        nan, up, down = (part > 0 for part in window.parts)
        special = np.where(up, np.inf, np.where(down, -np.inf, 0.0))
        made.append(np.where(nan | (up & down), np.nan, special))
    return made


def _whole(sums: Sums) -> Values:
    """Sums of whole numbers as int64, invalid where they are too great."""
    there, (high, low) = sums.counts > 0, _words(sums)
    fits: Yes = (high >= -(2**31)) & (high < 2**31)
    return Values((high << 32) | low, there & fits, None if fits.all() else there & ~fits)


def _short(sums: Sums, dtype: FeatureType) -> Values:
    """Sums of decimals of up to 18 digits, of which no 38 digits are too few."""
    high, low = _words(sums)
    pairs = np.stack([(high << 32) | low, high >> 32], axis=1)
    buffers = [bits_of(sums.counts > 0), pa.py_buffer(pairs)]
    return Values(pa.Array.from_buffers(to_arrow(dtype), len(high), buffers))


def _whole_totals(sums: Sums) -> list[int]:
    high, low = (part.tolist() for part in _words(sums))
    return [(upper << 32) + lower for upper, lower in zip(high, low, strict=True)]


def _words(sums: Sums) -> tuple[Ints, Ints]:
    """Sums of whole numbers as multiples of 2^32 and what is left, from 0 on."""
    assert sums.limbs is not None
    parts = sums.limbs.parts
    high, low = parts if len(parts) == 2 else (np.zeros_like(parts[0]), parts[0])
    return high + (low >> 32), low & 0xFFFFFFFF


def _in_python(function: Function, lane: Lane, sums: Sums) -> Values:
    assert sums.totals is not None
    dtype = lane.values.dtype
    found: list[Any] = [
        function.result((count, Total(total)), dtype)
        for count, total in zip(sums.counts.tolist(), sums.totals, strict=True)
    ]
    invalid = np.array([one is INVALID for one in found], np.bool_)
    kept = [None if one is INVALID else one for one in found]
    return Values(pa.array(kept, to_arrow(function.output(dtype))), None, invalid if invalid.any() else None)


def units_of_decimals(array: pa.Array) -> list[int]:
    """Decimals as whole numbers of their last digit."""
    low, high = words_of_decimals(array)
    return [upper << 64 | lower for upper, lower in zip(high.tolist(), low.view(np.uint64).tolist(), strict=True)]


def words_of_decimals(array: pa.Array) -> tuple[Ints, Ints]:
    """The lower and the upper 64 bits of decimals."""
    if not len(array):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    words = np.frombuffer(array.buffers()[1], np.int64)[2 * array.offset : 2 * (array.offset + len(array))]
    return np.ascontiguousarray(words[0::2]), np.ascontiguousarray(words[1::2])
