"""The one order of values and rows that settles ties: null, then −inf … −0.0, 0.0 … +inf, then NaN; arrays by element.

Where two rows of a key have the same event time and known time, the greater one in this order is the answer, so that
every path picks the same row whatever the order it met them in.

>>> from gnomon.types import Float64, String
>>> rows = [(float("nan"), "b"), (None, "z"), (1.5, "a"), (1.5, None)]
>>> [row[0] for row in sorted(rows, key=lambda row: row_key(row, (Float64, String)))]
[None, 1.5, 1.5, nan]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from gnomon.types import Array, FeatureType, Float32, Float64, String

__all__ = ["row_key", "sort_key"]

NULL: tuple[Any, ...] = (0,)


def row_key(values: Sequence[Any], dtypes: Sequence[FeatureType]) -> tuple[Any, ...]:
    """A tuple that compares as rows do, column by column.

    Args:
        values: the row's values in schema order; None for null; instants as µs or as datetimes, but always the same.
        dtypes: their types.
    """
    return tuple(sort_key(dtype)(value) for value, dtype in zip(values, dtypes, strict=True))


def sort_key(dtype: FeatureType) -> Callable[[Any], tuple[Any, ...]]:
    """The function that turns a value of a type into a tuple comparable with those of other values of it.

    >>> from gnomon.types import Int64
    >>> key = sort_key(Array(Int64))
    >>> sorted([[2], [1, 2], [1], None, [None, 9], []], key=key)
    [None, [], [None, 9], [1], [1, 2], [2]]
    """
    if isinstance(dtype, Array):
        element = sort_key(dtype.element)
        return lambda value: NULL if value is None else (1, tuple(element(one) for one in value))
    if dtype in (Float32, Float64):
        return _float_key
    if dtype == String:
        # Python compares code points, which is the order of their UTF-8 bytes; spelled out for clarity's sake.
        return lambda value: NULL if value is None else (1, value.encode())
    return lambda value: NULL if value is None else (1, value)


def _float_key(value: float | None) -> tuple[Any, ...]:
    if value is None:
        return NULL
    # The sign tells −0.0 from 0.0, so that the winner of a tie is known to the bit; NaN has one form.
    return (1, value, math.copysign(1.0, value)) if value == value else (2,)
