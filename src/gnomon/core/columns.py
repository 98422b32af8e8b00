"""Arrow columns from and to numpy: pyarrow's own ways import pandas where it is installed, which takes 0.3 s.

>>> as_numpy(of_integers(np.arange(3))).tolist()
[0, 1, 2]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.errors import RequestError

__all__ = ["as_numpy", "as_python", "check_lengths", "of_integers", "without_nulls"]


def as_numpy(column: pa.Array) -> Any:
    """A column of numbers or truth values as a numpy array that is not to be written to, numbers uncopied.

    Args:
        column: integers, floats or booleans, without nulls.
    """
    if pa.types.is_boolean(column.type):
        return np.from_dlpack(column.cast(pa.uint8())).view(np.bool_)
    return np.from_dlpack(column)


def as_python(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """A column's values in Python, null as None, instants as int µs, within arrays, too.

    >>> as_python(pa.array([[0], None], pa.list_(pa.timestamp("us", "UTC"))))
    [[0], None]
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_list(kind) and pa.types.is_timestamp(kind.value_type):
        column = column.cast(pa.list_(pa.int64()))
    values: list[Any] = column.to_pylist()
    return values


def of_integers(values: npt.NDArray[np.int64]) -> pa.Array:
    """An int64 column of a contiguous numpy array, uncopied."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def without_nulls(column: pa.Array) -> pa.Array:
    """A column of fixed width with 0, or false, in place of each null."""
    if not column.null_count:
        return column
    zero = pa.Array.from_buffers(column.type, 1, [None, pa.py_buffer(bytes(column.type.bit_width // 8 or 1))])
    return column.fill_null(zero[0])


def check_lengths(name: str, column: pa.Array, length: int) -> None:
    """Vectors that are aggregated element by element have the length that their aggregation says.

    Args:
        name: the column's name.
        column: the vectors; nulls among them do not matter.
        length: how many elements each has.

    Raises:
        RequestError: one has another.
    """
    found = pc.unique(column.value_lengths().drop_null())
    if wrong := [one for one in found.to_pylist() if one != length]:
        raise RequestError(
            f"column {name!r} holds a vector of {wrong[0]} elements, and its aggregation says length={length}.",
            hint="vectors are aggregated element by element: give all of them one length, and say that one.",
            column=name,
        )
