"""Which rows are about one entity, whatever types their columns have.

>>> rows = pa.table({"user_id": ["7", "8", None], "amount": [1.0, 2.0, 3.0]})
>>> about(rows, {"user_id": 7}).to_pylist()
[True, False, False]
>>> about(rows, {"user_id": 7, "shop": "x"}).to_pylist()
[False, False, False]
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.core.casting import cast_key
from gnomon.errors import RequestError
from gnomon.types import KEY_TYPES, Bool, Bytes, FeatureType, Int64, String, UnixTimestamp, from_arrow, to_arrow

__all__ = ["about"]


def about(rows: pa.Table, entity: Mapping[str, Any]) -> pa.ChunkedArray:
    """Whether each row has all of an entity's values; one whose columns cannot hold them has not.

    A row has a value if one of the two can be cast to the other's type without loss.

    Args:
        rows: the rows.
        entity: column → value, none null.
    """
    found = np.full(len(rows), all(name in rows.column_names for name in entity))
    for name, value in entity.items() if found.any() else ():
        found &= pc.fill_null(_has(rows[name], value), False).to_numpy()
    return pa.chunked_array([pa.array(found)])


def _has(column: pa.ChunkedArray, value: Any) -> pa.ChunkedArray:
    dtype = from_arrow(column.type)
    if dtype in KEY_TYPES and column.type == to_arrow(dtype):
        return pc.equal(column, _as_scalar(value, dtype)) if _fits(value, dtype) else _nowhere(column)
    return _has_one_of(column, value)


def _has_one_of(column: pa.ChunkedArray, value: Any) -> pa.ChunkedArray:
    """By its distinct values, each cast to the value's own type."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    if pa.types.is_nested(column.type) or pa.types.is_null(column.type):
        return _nowhere(column)
    distinct, dtype = pc.unique(column), _type_of(value)
    wanted = cast_key(value, dtype)
    same = [_fits(one, dtype) and cast_key(one, dtype) == wanted for one in distinct.to_pylist()]
    return pc.is_in(column, distinct.filter(pa.array(same, pa.bool_())), skip_nulls=True)


def _nowhere(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.and_(pc.is_null(column), False)


def _fits(value: Any, dtype: FeatureType) -> bool:
    try:
        return cast_key(value, dtype) is not None
    except RequestError:
        return False


def _as_scalar(value: Any, dtype: FeatureType) -> pa.Scalar:
    known = cast_key(value, dtype)
    if dtype == UnixTimestamp:
        return pa.scalar(known, pa.int64()).cast(to_arrow(dtype))
    return pa.scalar(known, to_arrow(dtype))


def _type_of(value: Any) -> FeatureType:
    kinds = ((bool, Bool), (int, Int64), (bytes, Bytes), (datetime, UnixTimestamp))
    return next((dtype for kind, dtype in kinds if isinstance(value, kind)), String)
