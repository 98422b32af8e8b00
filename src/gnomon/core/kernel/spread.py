"""Sweeps of `variance` and `stddev`: a pair of doubles decides nearly every rounding, whole numbers the rest.

D = n·Σx² − (Σx)² is worked out in double-double from exact sums, to some 100 bits of n·Σx². Where what is left after
the subtraction does not settle which float is nearest, the row is finished in Python's whole numbers. (Two-sum and
two-product are Knuth's and Dekker's; the double-double steps are those of Hida, Li & Bailey 2001.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from gnomon.core.aggregations.base import FLOATS
from gnomon.core.aggregations.spread import Stddev, Variance, fraction
from gnomon.core.exact import UNITS_IN_ONE, divided, in_units, units_in_one
from gnomon.core.kernel import limbs
from gnomon.core.kernel.columns import Floats, Values, Yes
from gnomon.core.kernel.entries import Span
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.limbs import Limbs
from gnomon.core.kernel.summing import Sums, sums_of, totals_of, units_of_decimals
from gnomon.types import Decimal

__all__ = ["spread"]

Pair = tuple[Floats, Floats]
"""A double-double: a float, and what is left, less than half a last bit of it."""

SMALLEST, GREATEST = 2.0**-400, 2.0**400
"""Between these, squares and what is left of them are exact pairs of floats."""
WHOLE = 2**53
FINE = UNITS_IN_ONE
ERROR = 2.0**-96
"""More than what double-double steps lose, relative to n·Σx²."""


def spread(function: Variance, lane: Lane) -> list[Values]:
    """Variances, or their roots."""
    found = []
    for place, sums in enumerate(sums_of(lane)):
        name = "variance", function.population, place
        variances = lane.shared(name, partial(_variances, function, lane, place))
        least = 1 if function.population else 2
        data = np.sqrt(variances) if isinstance(function, Stddev) else variances
        found.append(Values(data, sums.counts >= least))
    return found


def _variances(function: Variance, lane: Lane, place: int) -> Floats:
    sums, squares = sums_of(lane)[place], _squares(lane)[place]
    if isinstance(squares, Limbs):
        assert sums.limbs is not None
        found = _by_pairs(function, lane, lane.spans[place], sums, squares)
    else:
        found = _by_totals(function, lane, sums, squares)
    return found if sums.special is None else np.where(sums.special == 0, found, np.nan)


def _squares(lane: Lane) -> Sequence[Limbs] | Sequence[list[int]]:
    """Per window Σx², in limbs, or in squared units where those do not suit."""
    return lane.shared("squares", lambda: _sums_of_squares(lane))


def _sums_of_squares(lane: Lane) -> Sequence[Limbs] | Sequence[list[int]]:
    values = lane.values
    if isinstance(values.dtype, Decimal):
        return totals_of(lane, [one**2 for one in units_of_decimals(values.array)])
    numbers = values.numbers
    finite = np.where(np.isfinite(numbers), numbers, 0.0) if values.dtype in FLOATS else numbers
    size = np.abs(finite.astype(np.float64))
    tame = values.dtype in FLOATS or not len(finite) or (finite.max() <= WHOLE and finite.min() >= -WHOLE)
    if tame and not ((size > GREATEST) | ((size < SMALLEST) & (size > 0))).any():
        return limbs.over_windows(lane, limbs.of_floats(_exact_product(finite.astype(np.float64)), len(finite)))
    return totals_of(lane, [in_units(one, values.dtype) ** 2 for one in finite.tolist()])


def _by_totals(function: Variance, lane: Lane, sums: Sums, squares: Sequence[int]) -> Floats:
    """Row by row in Python's whole numbers."""
    units = units_in_one(lane.values.dtype)
    rows = range(len(squares))
    totals = sums.totals or [in_units_of(sums.limbs, row, units if units == FINE else 1) for row in rows]
    return np.array(
        [_finished(function, sums.counts[row], totals[row], squares[row], units) for row in rows], np.float64
    )


def _by_pairs(function: Variance, lane: Lane, span: Span, sums: Sums, squares: Limbs) -> Floats:
    """In double-double where that settles the rounding."""
    assert sums.limbs is not None
    count = sums.counts.astype(np.float64)
    divisor = np.maximum(count * (count if function.population else count - 1), 1)
    first, second = _product(_pair_of(squares), count), _square(_pair_of(sums.limbs))
    variance, left = _quotient(_difference(first, second), divisor)
    error = ERROR * (first[0] / divisor + variance)
    last_bit = np.spacing(np.abs(variance))
    doubt = np.minimum(np.abs(np.abs(left) - last_bit / 2), np.abs(np.abs(left) - last_bit / 4)) <= error
    doubt |= (variance <= 0) | (error >= last_bit / 8)
    zero = _constant(lane, span)
    found = np.where(zero, 0.0, variance)
    for row in np.flatnonzero(doubt & ~zero & (sums.counts > (0 if function.population else 1))).tolist():
        total, square = in_units_of(sums.limbs, row, FINE), in_units_of(squares, row, FINE * FINE)
        found[row] = _finished(function, sums.counts[row], total, square, FINE)
    return found


def _finished(function: Variance, count: np.int64, total: int, square: int, units: int) -> float:
    """The variance by whole numbers; where it is null, whatever stands there."""
    least = 1 if function.population else 2
    if count < least:
        return 0.0
    return divided(*fraction(int(count), total, square, units, population=function.population))


def in_units_of(sums: Limbs | None, row: int, units: int) -> int:
    """One sum as a whole number of units, of which so many, a power of two, are 1."""
    assert sums is not None
    shift = units.bit_length() - 1
    return sum(int(part[row]) << (exponent + shift) for part, exponent in zip(sums.parts, sums.exponents, strict=True))


def _constant(lane: Lane, span: Span) -> Yes:
    """Whether all values of each row are surely equal, which one look at neighbours tells."""
    order = lane.values.order[: len(lane.main)]
    changes = np.zeros(len(order) + 2, np.int64)
    np.cumsum(order[1:] != order[:-1], out=changes[2 : len(order) + 1])
    changes[-1] = changes[-2]
    alike: Yes = changes[span.right] == changes[np.minimum(span.left + 1, span.right)]
    return alike if not len(span.extra) else alike & (lane.extras_added(span, None) == 0)


def _exact_product(x: Floats) -> list[Floats]:
    """x² as a float and what it lacks, exactly."""
    high = x * x
    return [high, _lacking(x, x, high)]


def _lacking(x: Floats, y: Floats, product: Floats) -> Floats:
    """What a rounded product lacks (Dekker, with Veltkamp's splitting)."""
    x_high, y_high = _upper(x), _upper(y)
    x_low, y_low = x - x_high, y - y_high
    return x_low * y_low - (((product - x_high * y_high) - x_low * y_high) - x_high * y_low)


def _upper(x: Floats) -> Floats:
    """The upper half of a float's bits."""
    scaled = x * 134217729.0  # 2^27 + 1
    return scaled - (scaled - x)


def _two_sum(x: Floats, y: Floats) -> Pair:
    total = x + y
    of_y = total - x
    return total, (x - (total - of_y)) + (y - of_y)


def _tidy(high: Floats, low: Floats) -> Pair:
    total = high + low
    return total, low - (total - high)


def _pair_of(sums: Limbs) -> Pair:
    """Sums in double-double: digit by digit from the top, none of which takes away from another."""
    digits, negative = limbs.digits(sums)
    terms = [
        np.ldexp((digits[0] >> 32).astype(np.float64), sums.exponents[0] + 32),
        np.ldexp((digits[0] & 0xFFFFFFFF).astype(np.float64), sums.exponents[0]),
        *(
            np.ldexp(digit.astype(np.float64), exponent)
            for digit, exponent in zip(digits[1:], sums.exponents[1:], strict=True)
        ),
    ]
    high, low = terms[0], np.zeros_like(terms[0])
    for term in terms[1:]:
        high, more = _two_sum(high, term)
        high, low = _tidy(high, low + more)
    sign = np.where(negative, -1.0, 1.0)
    return high * sign, low * sign


def _product(pair: Pair, number: Floats) -> Pair:
    high = pair[0] * number
    return _tidy(high, _lacking(pair[0], number, high) + pair[1] * number)


def _square(pair: Pair) -> Pair:
    high = pair[0] * pair[0]
    return _tidy(high, _lacking(pair[0], pair[0], high) + 2.0 * pair[0] * pair[1])


def _difference(one: Pair, two: Pair) -> Pair:
    high, low = _two_sum(one[0], -two[0])
    return _tidy(high, low + (one[1] - two[1]))


def _quotient(pair: Pair, divisor: Floats) -> Pair:
    first = pair[0] / divisor
    back = first * divisor
    rest = ((pair[0] - back) - _lacking(first, divisor, back)) + pair[1]
    return _tidy(first, rest / divisor)
