"""The oracle of aggregations: what is made of some values, by the plainest means Python has.

Fractions for everything that is added, `sorted` for everything that is ordered, `Counter` for everything that is
counted. Nothing here knows of states, batches or floats' bits; the two that approximate are in
`gnomon.testing.reference_sketches`.

>>> from gnomon.types import Float64, String
>>> aggregated("sum", [(10, 10, 0.1), (20, 20, 0.2), (30, 30, 0.3)], Float64, {})
0.6
>>> aggregated("last_n", [(20, 20, "Oslo"), (10, 10, "Rome"), (30, 30, None)], String, {"n": 3})
['Rome', 'Oslo']
"""

from __future__ import annotations

import decimal
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from gnomon.testing.reference import order_key
from gnomon.testing.reference_sketches import approx_count_distinct, approx_percentile
from gnomon.types import Array, Decimal, FeatureType, Float32, Float64

__all__ = ["OutsideRangeError", "aggregated", "canonical"]

Occurrence = tuple[int, int, Any]
"""(event time, known time, value)."""

Values = list[Any]
"""Values that are not null, canonical, ordered by (event time, known time, value)."""


class OutsideRangeError(Exception):
    """The exact result is not one of its type's."""


def aggregated(
    function: str, occurrences: Iterable[Occurrence], dtype: FeatureType, arguments: Mapping[str, Any]
) -> Any:
    """The value that a function makes of a column's values; None for null.

    Args:
        function: its name, as in `gnomon.agg`.
        occurrences: the values, nulls among them, with their times; in any order.
        dtype: the column's type.
        arguments: what the function takes besides; with `length` the values are vectors.

    Raises:
        OutsideRangeError: the exact result does not fit the result's type.
    """
    some = [one for one in occurrences if one[2] is not None]  # nulls are skipped
    in_order = sorted(some, key=lambda one: (one[0], one[1], order_key(one[2], dtype)))
    values = [canonical(value) for _, _, value in in_order]
    arguments = dict(arguments)
    length = arguments.pop("length", None)
    if length is not None:
        return _by_element(_FUNCTIONS[function], values, length, dtype, arguments)
    return canonical(_FUNCTIONS[function](values, dtype, **arguments))


def canonical(value: Any) -> Any:
    """The one form of a value: −0.0 is 0.0, and there is one NaN; within lists, too."""
    if isinstance(value, float):
        return 0.0 if value == 0 else math.nan if math.isnan(value) else value
    return [canonical(one) for one in value] if isinstance(value, (list, tuple)) else value


def _by_element(
    function: Callable[..., Any], vectors: Values, length: int, dtype: FeatureType, arguments: dict[str, Any]
) -> list[Any] | None:
    assert isinstance(dtype, Array)
    if not vectors:
        return None
    assert all(len(vector) == length for vector in vectors)
    columns = [[vector[place] for vector in vectors if vector[place] is not None] for place in range(length)]
    return [canonical(function(column, dtype.element, **arguments)) for column in columns]


def _count(values: Values, dtype: FeatureType) -> int:
    return len(values)


def _sum(values: Values, dtype: FeatureType) -> Any:
    if not values:
        return None
    if dtype in (Float32, Float64):
        return _float_sum(values)
    exact = sum(map(Fraction, values))
    if isinstance(dtype, Decimal):  # Decimal(38, s): 38 digits, s of them after the point
        units = exact * 10**dtype.scale
        if abs(units) >= 10**38:
            raise OutsideRangeError
        return decimal.Decimal(int(units)).scaleb(-dtype.scale, decimal.Context(prec=38))
    if not -(2**63) <= exact < 2**63:
        raise OutsideRangeError
    return int(exact)


def _float_sum(values: Sequence[Any]) -> float:
    """The exact sum rounded once; beyond the range ±inf; a NaN, or +inf with −inf, gives NaN."""
    infinities = {value for value in values if math.isinf(value)}
    if any(math.isnan(value) for value in values) or len(infinities) == 2:
        return math.nan
    return infinities.pop() if infinities else _rounded(sum(map(Fraction, values), Fraction(0)))


def _mean(values: Values, dtype: FeatureType) -> float | None:
    """The exact sum rounded once, divided by the number of values."""
    return _float_sum(values) / len(values) if values else None


def _variance(values: Values, dtype: FeatureType, population: bool = False) -> float | None:
    """The exact mean of the squared deviations from the exact mean, rounded once."""
    divisor = len(values) - (0 if population else 1)
    if divisor < 1:
        return None
    if not all(map(math.isfinite, values)):
        return math.nan
    exact = list(map(Fraction, values))
    middle = sum(exact) / len(exact)
    return _rounded(sum((Fraction((one - middle) ** 2) for one in exact), Fraction(0)) / divisor)


def _stddev(values: Values, dtype: FeatureType, population: bool = False) -> float | None:
    variance = _variance(values, dtype, population)
    return None if variance is None else math.sqrt(variance)


def _min(values: Values, dtype: FeatureType) -> Any:
    return min(_unless_nan(values), key=_order(dtype), default=None)


def _max(values: Values, dtype: FeatureType) -> Any:
    return max(_unless_nan(values), key=_order(dtype), default=None)


def _first(values: Values, dtype: FeatureType) -> Any:
    return values[0] if values else None


def _last(values: Values, dtype: FeatureType) -> Any:
    return values[-1] if values else None


def _first_n(values: Values, dtype: FeatureType, n: int) -> Values | None:
    return values[:n] or None


def _last_n(values: Values, dtype: FeatureType, n: int) -> Values | None:
    return values[-n:] or None


def _last_distinct_n(values: Values, dtype: FeatureType, n: int) -> Values | None:
    """Each different value where it stands last; of these the n latest."""
    keys = list(map(_order(dtype), values))
    return [value for place, value in enumerate(values) if keys[place] not in keys[place + 1 :]][-n:] or None


def _count_distinct(values: Values, dtype: FeatureType) -> int:
    return len(set(map(_order(dtype), values)))


def _top_k(values: Values, dtype: FeatureType, k: int) -> Values | None:
    """Most frequent first; of equally frequent ones the lesser first."""
    by_key = {order_key(value, dtype): value for value in values}
    often = Counter(order_key(value, dtype) for value in values)
    ranking = sorted(often, key=lambda key: (-often[key], key))
    return [by_key[key] for key in ranking][:k] or None


def _mode(values: Values, dtype: FeatureType) -> Any:
    return (_top_k(values, dtype, 1) or [None])[0]


def _histogram(values: Values, dtype: FeatureType, edges: Sequence[float]) -> list[int] | None:
    """With n edges there are n + 1 bins; a value that is an edge belongs above it, NaN to the last bin."""
    if not values:
        return None
    bins = [0] * (len(edges) + 1)
    for value in values:
        bins[len(edges) if math.isnan(value) else sum(edge <= value for edge in edges)] += 1
    return bins


def _unless_nan(values: Values) -> Values:
    """All but the NaNs; if there is nothing else, those."""
    return [one for one in values if one == one] or values


def _order(dtype: FeatureType) -> Callable[[Any], Any]:
    return lambda value: order_key(value, dtype)


def _rounded(exact: Fraction | int) -> float:
    """The nearest float, ties to even; ±inf beyond the range."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "variance": _variance,
    "stddev": _stddev,
    "min": _min,
    "max": _max,
    "first": _first,
    "last": _last,
    "first_n": _first_n,
    "last_n": _last_n,
    "last_distinct_n": _last_distinct_n,
    "count_distinct": _count_distinct,
    "approx_count_distinct": approx_count_distinct,
    "approx_percentile": approx_percentile,
    "histogram": _histogram,
    "top_k": _top_k,
    "mode": _mode,
}
