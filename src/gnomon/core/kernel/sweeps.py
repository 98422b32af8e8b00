"""Which sweep makes which aggregation's values, and vectors, element by element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.core.aggregations import FUNCTIONS, Function
from gnomon.core.aggregations.vectors import Vector
from gnomon.core.columns import as_numpy
from gnomon.core.kernel.columns import Column, Values, Yes, arrow_of
from gnomon.core.kernel.distinct import approximately, distinct
from gnomon.core.kernel.extremes import extreme
from gnomon.core.kernel.frequencies import frequent, histogram, percentile
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.ordered import ordered
from gnomon.core.kernel.own import own
from gnomon.core.kernel.spread import spread
from gnomon.core.kernel.summing import counted, meant, summed
from gnomon.types import Array, FeatureType

__all__ = ["SWEEPS", "sweep"]

SWEEPS: Mapping[str, Callable[[Any, Lane], list[Values]]] = {
    "count": counted,
    "sum": summed,
    "mean": meant,
    "variance": spread,
    "stddev": spread,
    "min": extreme,
    "max": extreme,
    "first": ordered,
    "last": ordered,
    "first_n": ordered,
    "last_n": ordered,
    "last_distinct_n": ordered,
    "count_distinct": distinct,
    "approx_count_distinct": approximately,
    "approx_percentile": percentile,
    "histogram": histogram,
    "top_k": frequent,
    "mode": frequent,
    "custom": own,
}
"""Function → its sweep."""

assert SWEEPS.keys() == FUNCTIONS.keys()


def sweep(function: Function, lane: Lane) -> list[Values]:
    """The values of a function at every row of a lane's spine, one answer per window of the lane.

    Args:
        function: the function with its arguments.
        lane: the events.
    """
    if isinstance(function, Vector):
        return _by_element(function, lane)
    return SWEEPS[function.name](function, lane)


def _by_element(function: Vector, lane: Lane) -> list[Values]:
    dtype = lane.values.dtype
    assert isinstance(dtype, Array)
    flat, length = lane.values.array.flatten(), function.length
    found = []
    for element in range(length):
        array = flat.take(pa.array(np.arange(element, len(flat), length)))
        found.append(sweep(function.inner, _of_element(lane, array, dtype.element)))
    output = function.inner.output(dtype.element)
    return [
        _together([values[place] for values in found], output, counts > 0) for place, counts in enumerate(lane.counts)
    ]


def _of_element(lane: Lane, array: pa.Array, dtype: FeatureType) -> Lane:
    """The lane of one element of the vectors, without those in which it is null."""
    there: Yes = as_numpy(array.is_valid())
    main = len(lane.main)
    return lane.parted(there[:main], there[main:]).holding(Column(array.drop_null(), dtype))


def _together(elements: list[Values], dtype: FeatureType, there: Yes) -> Values:
    """Vectors of the elements' values, of those rows that have any."""
    rows, length = len(there), len(elements)
    columns = pa.concat_arrays([arrow_of(one, dtype) for one in elements])
    invalid = np.zeros(rows, np.bool_)
    for one in elements:
        if one.invalid is not None:
            invalid |= one.invalid
    there = there & ~invalid
    by_row = (np.arange(rows)[there][:, None] + np.arange(length) * rows).ravel()
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(there * length, out=offsets[1:])
    flat = columns.take(pa.array(by_row, pa.int64()))
    data = pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(~there))
    return Values(data, None, invalid if invalid.any() else None)
