"""Many rows packed at once: Arrow columns into one numpy record array, and that into bytes.

A batch has a column per column of the layout and the int64 columns `__event` and `__known` (µs). Columns of fixed
width cost a copy each; a string, bytes or array column costs a slice per row.

>>> import pyarrow as pa
>>> from gnomon.types import Int64
>>> layout = Layout([("age", Int64)])
>>> batch = pa.record_batch({"age": [41, None], EVENT: pa.array([1, 2]), KNOWN: pa.array([1, 2])})
>>> [layout.values(row) for row in pack(layout, batch)]
[[41], [None]]
"""

from __future__ import annotations

from operator import add
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.core.cells import ARRAY_HEAD, cell_of
from gnomon.core.columns import as_numpy, without_nulls
from gnomon.core.rows import Layout
from gnomon.types import Array, Bytes, Decimal, FeatureType, String, UnixTimestamp, to_arrow

__all__ = ["EVENT", "KNOWN", "pack", "slots"]

EVENT, KNOWN = "__event", "__known"


def pack(layout: Layout, batch: pa.RecordBatch) -> list[bytes]:
    """Every row of a batch as bytes, the same that `Layout.pack` gives.

    Args:
        layout: the columns wanted.
        batch: has them all, in any order, and `__event` and `__known`, int64 µs without nulls.
    """
    table = np.zeros(batch.num_rows, layout.dtype)
    table["head"] = np.void(layout.head)
    table["instants"][:, 0], table["instants"][:, 1] = as_numpy(batch.column(EVENT)), as_numpy(batch.column(KNOWN))
    tails: list[list[bytes]] = []
    ends = np.zeros(batch.num_rows, np.int64)
    for place, (name, dtype) in enumerate(layout.fields):
        column = _as(batch.column(name), to_arrow(dtype))
        valid = None if not column.null_count else as_numpy(column.is_valid())
        table["present"][:, place >> 3] |= np.uint8(1 << (place & 7)) * (True if valid is None else valid)
        if layout.cells[place].variable:
            tail = _arrays(column, valid, dtype) if isinstance(dtype, Array) else _texts(column, valid)
            tails.append(tail)
            ends += np.fromiter(map(len, tail), np.int64, len(tail))
            table[f"c{place}"] = ends
        else:
            table[f"c{place}"] = slots(column, dtype)
    rows: list[bytes] = table.view(f"V{layout.dtype.itemsize}").tolist()
    if len(tails) == 1:
        return list(map(add, rows, tails[0]))
    return list(map(b"".join, zip(rows, *tails, strict=True))) if tails else rows


def _as(column: Any, arrow: pa.DataType) -> Any:
    return column if column.type == arrow else column.cast(arrow)


def slots(column: Any, dtype: FeatureType) -> Any:
    """The values of a fixed-width column as numpy: nulls are 0 and NaN has one form, so equal rows are equal bytes."""
    if isinstance(dtype, Decimal):
        return _decimals(column, dtype)
    if dtype == UnixTimestamp:
        column = column.cast(pa.int64())
    values = as_numpy(without_nulls(column))
    if values.dtype.kind == "f" and (strange := np.isnan(values)).any():
        return np.where(strange, values.dtype.type(np.nan), values)
    return values


def _decimals(column: Any, dtype: Decimal) -> Any:
    words = np.frombuffer(column.buffers()[1] or b"", "<i8")[2 * column.offset : 2 * (column.offset + len(column))]
    words = words.reshape(-1, 2)
    if column.null_count:
        words = words * as_numpy(column.is_valid())[:, None]
    # Up to 18 digits the low word is the whole number, sign included.
    return words[:, 0] if dtype.precision <= 18 else np.ascontiguousarray(words).view("V16")[:, 0]


def _bounds(column: Any, valid: Any) -> tuple[Any, Any]:
    """Where each value starts and ends among its column's bytes or elements; nulls have no length."""
    if not len(column):
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    offsets = np.frombuffer(column.buffers()[1], "<i4")[column.offset : column.offset + len(column) + 1]
    starts, ends = offsets[:-1], offsets[1:]
    return starts, ends if valid is None else np.where(valid, ends, starts)


def _texts(column: Any, valid: Any) -> list[bytes]:
    starts, ends = _bounds(column, valid)
    return _pieces(column.buffers()[2], starts, ends)


def _pieces(buffer: Any, starts: Any, ends: Any) -> list[bytes]:
    if buffer is None or not len(starts):
        return [b""] * len(starts)
    first, last = int(starts[0]), int(ends.max())
    data = buffer.slice(first, max(last - first, 0)).to_pybytes()
    return [data[a:b] for a, b in zip((starts - first).tolist(), (ends - first).tolist(), strict=True)]


def _arrays(column: Any, valid: Any, dtype: Array) -> list[bytes]:
    element = dtype.element
    starts, ends = _bounds(column, valid)
    if not len(starts):
        return []
    first, last = int(starts[0]), int(ends.max())
    inner = column.values.slice(first, max(last - first, 0))
    if inner.null_count or element in (String, Bytes):
        return _arrays_one_by_one(column, dtype)
    fixed = np.ascontiguousarray(slots(inner, element))
    lengths = (ends - starts).tolist()
    heads = {length: ARRAY_HEAD.pack(length, 0) for length in set(lengths)}
    if valid is not None:
        lengths = [length if here else None for length, here in zip(lengths, valid.tolist(), strict=True)]
        heads[None] = b""
    width, base = fixed.dtype.itemsize, first
    data = fixed.tobytes()
    spans = zip(lengths, ((starts - base) * width).tolist(), ((ends - base) * width).tolist(), strict=True)
    return [heads[length] + data[a:b] for length, a, b in spans]


def _arrays_one_by_one(column: Any, dtype: Array) -> list[bytes]:
    if dtype.element == UnixTimestamp:
        column = column.cast(pa.list_(pa.int64()))
    put = cell_of(dtype).put
    assert put is not None
    return [b"" if one is None else put(one) for one in column.to_pylist()]
