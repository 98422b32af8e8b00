"""Two columns held against each other, bit by bit: NaN is NaN, −0.0 is not 0.0, null is null and nothing else.

>>> import pyarrow as pa
>>> nan = float("nan")
>>> differing(pa.array([0.0, nan, None, 1.0]), pa.array([-0.0, nan, 1.0, 1.0])).tolist()
[True, False, True, False]
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.core.columns import as_numpy

__all__ = ["Bools", "differing"]

Bools = npt.NDArray[np.bool_]


def differing(left: pa.Array | pa.ChunkedArray, right: pa.Array | pa.ChunkedArray) -> Bools:
    """At which places two columns differ.

    Args:
        left: a column.
        right: another of the same type and length.
    """
    one, other = _flat(left), _flat(right)
    differ: Bools = as_numpy(one.is_null()) != as_numpy(other.is_null())
    both = as_numpy(one.is_valid()) & as_numpy(other.is_valid())
    if pa.types.is_floating(one.type):
        differ |= both & (_bits(one) != _bits(other))
        return differ
    if pa.types.is_nested(one.type):
        places = np.flatnonzero(both).tolist()
        index = pa.array(places, pa.int64())  # of none, too, it has to be a number
        told = zip(places, one.take(index).to_pylist(), other.take(index).to_pylist(), strict=True)
        for place, some, others in told:
            differ[place] = _said(some) != _said(others)
        return differ
    differ |= as_numpy(pc.not_equal(one, other).fill_null(False))
    return differ


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _bits(column: pa.Array) -> Any:
    numbers = as_numpy(column.fill_null(0.0)).copy()
    numbers[np.isnan(numbers)] = np.nan
    return numbers.view(np.int32 if numbers.dtype == np.float32 else np.int64)


def _said(value: Any) -> Any:
    """A value whose equality is that of bits."""
    if isinstance(value, float):
        return b"nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, list):
        return [_said(one) for one in value]
    return {name: _said(one) for name, one in value.items()} if isinstance(value, dict) else value
