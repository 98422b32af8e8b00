"""Columns of values as the kernel sees them: an int64 per value that orders and tells values apart, and the way back.

Whole numbers, truth values and instants are their own int64. A float is the int64 of its bits, turned so that it orders
as floats do. Everything else is the rank of its value among those of the column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.core.columns import as_numpy, without_nulls
from gnomon.core.ordering import sort_key
from gnomon.types import Array, Bool, FeatureType, Float32, Float64, Int32, Int64, UnixTimestamp, to_arrow

__all__ = ["Column", "Floats", "Ints", "Values", "Yes", "arrow_of", "bits_of", "float_order", "floats_of_order"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Yes = npt.NDArray[np.bool_]

WHOLE = (Bool, Int32, Int64, UnixTimestamp)
REAL = (Float32, Float64)
NUMPY = {"Bool": np.bool_, "Int32": np.int32, "Int64": np.int64, "Float32": np.float32, "Float64": np.float64}

SIGNLESS = np.int64(2**63 - 1)


@dataclass(slots=True)
class Values:
    """What a sweep gives for one window: a value per row, and which of them are there.

    Args:
        data: numbers as a numpy array; anything else as an Arrow array with its own nulls.
        valid: which rows have a value; None for all.
        invalid: which rows have none because their type cannot hold it; None for none.
    """

    data: npt.NDArray[Any] | pa.Array
    valid: Yes | None = None
    invalid: Yes | None = None


@dataclass(eq=False)
class Column:
    """Values of one type, none of them null.

    Args:
        array: the values, in the type's Arrow form.
        dtype: their type.
    """

    array: pa.Array
    dtype: FeatureType
    _ranked: tuple[Ints, pa.Array] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.array)

    def take(self, places: Ints) -> Column:
        """The values at some places."""
        index = pa.array(places) if len(places) else pa.array([], pa.int64())
        taken = Column(self.array.take(index), self.dtype)
        if "order" in self.__dict__:
            taken.__dict__["order"] = self.order[places]
        if self._ranked is not None:
            taken._ranked = self._ranked[0][places], self._ranked[1]
        return taken

    @cached_property
    def numbers(self) -> Ints | Floats:
        """Whole numbers as int64, floats as float64 in their one form."""
        if self.dtype in REAL:
            found: Floats = as_numpy(self.array).astype(np.float64) + 0.0
            found[found != found] = np.nan
            return found
        array = self.array.cast(pa.int64()) if self.dtype == UnixTimestamp else self.array
        whole: Ints = as_numpy(array).astype(np.int64)
        return whole

    @cached_property
    def order(self) -> Ints:
        """An int64 per value that compares as the values do, and is equal where they are the same one."""
        if self.dtype in WHOLE:
            return self.numbers  # type: ignore[return-value]
        return float_order(self.numbers) if self.dtype in REAL else self.ranked[0]

    @property
    def ranked(self) -> tuple[Ints, pa.Array]:
        """Each value's rank, and the different values in order."""
        if self._ranked is None:
            self._ranked = _ranked(self.array, self.dtype)
        return self._ranked

    def of_order(self, order: Ints, valid: Yes) -> Values:
        """The values that `order` gave these numbers for; where not valid, whatever number stands there."""
        if self.dtype in REAL:
            return Values(floats_of_order(order).astype(NUMPY[self.dtype.name]), valid)
        if self.dtype in WHOLE:
            return Values(order.astype(NUMPY.get(self.dtype.name, np.int64)), valid)
        index = pa.array(np.where(valid, order, 0), mask=~valid) if len(order) else pa.array([], pa.int64())
        return Values(self.ranked[1].take(index) if len(self.ranked[1]) else pa.nulls(len(order), self.array.type))


def float_order(numbers: npt.NDArray[Any]) -> Ints:
    """Floats in their one form as int64 that compare alike; NaN is the greatest."""
    bits = numbers.view(np.int64)
    return bits ^ (bits >> 63 & SIGNLESS)


def floats_of_order(order: Ints) -> Floats:
    """The way back."""
    return (order ^ (order >> 63 & SIGNLESS)).view(np.float64)


def canonical_floats(array: pa.Array) -> pa.Array:
    """An array of floats, or of vectors of them, with 0.0 for −0.0; other arrays as they are."""
    if pa.types.is_list(array.type) and pa.types.is_floating(array.type.value_type):
        array = array if not array.offset else pa.concat_arrays([array])
        inner = canonical_floats(array.values)
        return pa.ListArray.from_arrays(array.offsets, inner, mask=array.is_null() if array.null_count else None)
    if not pa.types.is_floating(array.type):
        return array
    zero = pa.scalar(0.0, array.type)
    return pc.if_else(pc.equal(array, zero), zero, array)


def arrow_of(values: Values, dtype: FeatureType) -> pa.Array:
    """A sweep's values in the type's Arrow form."""
    kind = to_arrow(dtype)
    if isinstance(values.data, pa.Array):
        return values.data if values.data.type == kind else values.data.cast(kind)
    data = np.ascontiguousarray(values.data)
    bits = None if values.valid is None else bits_of(values.valid)
    body = bits_of(data.astype(np.bool_)) if dtype == Bool else pa.py_buffer(data)
    return pa.Array.from_buffers(kind, len(data), [bits, body])


def bits_of(truths: Yes) -> pa.Buffer:
    """Truth values as Arrow keeps them: one bit each."""
    return pa.py_buffer(np.packbits(truths, bitorder="little").tobytes())


def _ranked(array: pa.Array, dtype: FeatureType) -> tuple[Ints, pa.Array]:
    if isinstance(dtype, Array):
        return _ranked_in_python(array, dtype)
    encoded = array.dictionary_encode()
    order = as_numpy(pc.sort_indices(encoded.dictionary)).astype(np.int64)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    codes = as_numpy(without_nulls(encoded.indices)).astype(np.int64)
    return ranks[codes] if len(codes) else codes, encoded.dictionary.take(pa.array(order))


def _ranked_in_python(array: pa.Array, dtype: FeatureType) -> tuple[Ints, pa.Array]:
    """Arrays have no order of Arrow's."""
    key = sort_key(dtype)
    keys = [key(one) for one in array.to_pylist()]
    first: dict[Any, int] = {}
    for place, one in enumerate(keys):
        first.setdefault(one, place)
    ranks = {one: rank for rank, one in enumerate(sorted(first))}
    ranked = np.array([ranks[one] for one in keys], np.int64)
    return ranked, array.take(pa.array([first[one] for one in sorted(first)], pa.int64()))
