"""Events as a ledger takes them: Arrow columns turned into records, all of a batch at once.

A batch has the int64 columns `__event` and `__known` (µs), the columns that are aggregated, for each condition a
boolean column `where:` and its text, and, where events have versions, `__id` and perhaps `__gone`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnomon.core.cells import cell_of
from gnomon.core.columns import as_numpy, check_lengths, without_nulls
from gnomon.core.ledger import shape as field
from gnomon.core.ledger.records import Records
from gnomon.core.ledger.shape import FLAGS, HAS_ID, REAL, Shape, is_fixed
from gnomon.core.packing import EVENT, KNOWN, slots
from gnomon.types import Bool, FeatureType, Int32, Int64, UnixTimestamp, from_arrow

__all__ = ["GONE", "ID", "Batch", "condition_column", "ids_of"]

ID, GONE = "__id", "__gone"
"""Columns: which event it is a version of, and whether it is a delete."""
Ints = npt.NDArray[np.int64]
NO_NAMES: Mapping[str, str] = {}


def condition_column(text: str) -> str:
    """The name of the column that says whether a condition is true."""
    return f"where:{text}"


class Batch:
    """Events of many entities as records.

    Args:
        shape: what a record holds.
        batch: the events.
        columns: what a column is called in the batch, where that is not its name.

    Raises:
        RequestError: a vector has another length than its aggregation says.
    """

    def __init__(self, shape: Shape, batch: pa.RecordBatch, columns: Mapping[str, str] = NO_NAMES) -> None:
        self._shape = shape
        self.fields: Ints = np.zeros((len(batch), shape.width), np.int64)
        self.fields[:, field.EVENT], self.fields[:, field.KNOWN] = as_numpy(batch[EVENT]), as_numpy(batch[KNOWN])
        flags = self.fields[:, FLAGS]
        self._heaps: list[list[bytes]] = []
        for place, (name, dtype) in enumerate(shape.columns):
            column = batch[columns.get(name, name)]
            if length := shape.lengths.get(name):
                check_lengths(name, column, length)
            self._take_column(place, column, dtype, flags)
        for condition in shape.conditions:
            true = as_numpy(batch[condition_column(condition)].fill_null(False))
            flags |= true * np.int64(shape.condition_flag(condition))
        if shape.versioned:
            flags |= as_numpy(batch[ID].is_valid()) * np.int64(HAS_ID)
            self.fields[:, field.ID] = ids_of(batch[ID])
        self.gone = as_numpy(batch[GONE]) if GONE in batch.schema.names else None

    def sort(self, order: Ints) -> None:
        """Put the events into another order."""
        self.fields = np.ascontiguousarray(self.fields[order])
        places = order.tolist()
        self._heaps = [[heap[place] for place in places] for heap in self._heaps]
        if self.gone is not None:
            self.gone = self.gone[order]

    def commons(self, starts: Ints) -> list[int]:
        """For stretches of events that begin at some places, the flags that all of each have."""
        if not len(starts):
            return []
        found: list[int] = np.bitwise_and.reduceat(self.fields[:, FLAGS], starts).tolist()
        return found

    def records(self, start: int, stop: int, common: int) -> Records:
        """The events from one place to before another, which have these flags in common, as records."""
        fields, shape = self.fields[start:stop], self._shape
        if not self._heaps:
            return Records(shape, fields.tobytes(), b"", common)
        fields, parts, end = fields.copy(), [], 0
        for row in range(stop - start):
            for place, heap in zip(shape.variable, self._heaps, strict=True):
                value = heap[start + row]
                fields[row, place] = end << 32 | len(value)
                parts.append(value)
                end += len(value)
        return Records(shape, fields.tobytes(), b"".join(parts), common)

    def _take_column(self, place: int, column: Any, dtype: FeatureType, flags: Any) -> None:
        shape = self._shape
        at = shape.first_field + place
        there = np.True_ if not column.null_count else as_numpy(column.is_valid())
        flags |= there * np.int64(shape.there_flag(place))
        if not is_fixed(dtype):
            self._heaps.append(_heap(column, dtype))
        elif dtype in REAL:
            numbers = as_numpy(without_nulls(column)).astype(np.float64) + 0.0
            numbers[np.isnan(numbers)] = np.nan
            flags |= np.isfinite(numbers) * np.int64(shape.finite_flag(place))
            self.fields[:, at] = numbers.view(np.int64)
        else:
            self.fields[:, at] = slots(column, dtype)


def ids_of(column: Any) -> Ints:
    """A number per id that tells it from others: a whole number is its own, of anything else a hash of 64 bits."""
    dtype = from_arrow(column.type)
    if dtype in (Bool, Int32, Int64, UnixTimestamp):
        return slots(column, dtype).astype(np.int64)  # type: ignore[no-any-return]
    hashed = {value: _hash(value) for value in column.unique().to_pylist()}
    return np.array([hashed[value] for value in column.to_pylist()], np.int64)


def _hash(value: str | bytes | None) -> int:
    raw = value.encode() if isinstance(value, str) else value or b""
    found: int = struct.unpack("<q", hashlib.blake2b(raw, digest_size=8).digest())[0]
    return found


def _heap(column: Any, dtype: FeatureType) -> list[bytes]:
    cell = cell_of(dtype)
    put: Callable[[Any], bytes] = cell.put or bytes
    values: Sequence[Any] = _as_micros(column).to_pylist()
    return [b"" if value is None else put(value) for value in values]


def _as_micros(column: Any) -> Any:
    """Instants within arrays as whole numbers."""
    if pa.types.is_list(column.type) and pa.types.is_timestamp(column.type.value_type):
        return column.cast(pa.list_(pa.int64()))
    return column
