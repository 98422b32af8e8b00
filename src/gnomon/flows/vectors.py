"""Users' functions that take many rows at once: numpy arrays, or a pandas frame.

What a column looks like hangs on its type alone, never on its values, so that a row's answer does not hang on those it
is computed beside:

| type | numpy | pandas |
|---|---|---|
| Int32, Int64, Bool | masked array | `Int32`, `Int64`, `boolean` |
| Float32, Float64 | masked array | `float32`, `float64`, NaN for null |
| UnixTimestamp | masked array of `datetime64[us]` | `datetime64[us, UTC]` |
| others | array of objects, None for null | `object`, None for null |

Under a mask stands 0. A frame's index says which row is which, in what a function takes and in what it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gnomon.core.casting import is_null
from gnomon.core.functions import Function
from gnomon.core.inputs import presenter
from gnomon.core.outputs import Misfit
from gnomon.errors import MissingExtra
from gnomon.types import Bool, FeatureType, Float32, Float64, Int32, Int64, UnixTimestamp

__all__ = ["frames", "vectors"]

Together = Callable[[Sequence[Sequence[Any]], int], list[list[Any]]]
NUMPY: dict[FeatureType, str] = {
    Bool: "bool",
    Int32: "int32",
    Int64: "int64",
    Float32: "float32",
    Float64: "float64",
    UnixTimestamp: "datetime64[us]",
}
PANDAS: dict[FeatureType, str] = {Bool: "BooleanArray", Int32: "IntegerArray", Int64: "IntegerArray"}


def vectors(
    function: Function, names: Sequence[str], dtypes: Sequence[FeatureType], features: Sequence[str], single: bool
) -> Together:
    """A function of arrays, as one of lists."""

    def together(columns: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
        arrays = [_array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True)]
        with np.errstate(all="ignore"):
            found = function(*arrays)
        if single and not isinstance(found, Mapping):
            return [_listed(found, features[0], count)]
        if not isinstance(found, Mapping):
            raise Misfit(f"its function gives {type(found).__name__}, not a dict of arrays")
        return [_listed(_of(found, feature), feature, count) for feature in features]

    return together


def frames(
    function: Function, names: Sequence[str], dtypes: Sequence[FeatureType], features: Sequence[str], single: bool
) -> Together:
    """A function of a frame, as one of lists.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtra(package="pandas", extra="pandas", purpose="mode='pandas'") from None

    def together(columns: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
        series = {name: _series(column, dtype, pd) for name, column, dtype in zip(names, columns, dtypes, strict=True)}
        found = function(pd.DataFrame(series, index=range(count)))
        if not hasattr(found, "columns"):
            raise Misfit(f"its function gives {type(found).__name__}, not a DataFrame")
        found = _in_order(found, count)
        return [[None if is_null(one) else one for one in _of(found, feature).tolist()] for feature in features]

    return together


def _in_order(found: Any, count: int) -> Any:
    """A frame's rows in the order of those its function was given, as its index has it."""
    if len(found) != count:
        raise Misfit(f"its function gives {len(found)} rows for {count}")
    order = found.index.get_indexer(range(count)) if found.index.is_unique else np.array([-1])
    if (order < 0).any():
        said = f"{found.index.tolist()!r:.80}"
        raise Misfit(f"its function gives a frame with the index {said}, not that of the frame it was given")
    return found if (order == np.arange(count)).all() else found.take(order)


def _of(found: Any, feature: str) -> Any:
    try:
        return found[feature]
    except KeyError:
        raise Misfit(f"its function gives no {feature!r}") from None


def _array(values: Sequence[Any], dtype: FeatureType) -> Any:
    kind = NUMPY.get(dtype)
    if kind is None:
        return _objects(values, dtype)
    mask = np.fromiter((one is None for one in values), np.bool_, len(values))
    filled = [0 if one is None else one for one in values]
    data = np.array(filled, "int64" if dtype == UnixTimestamp else kind)
    return np.ma.MaskedArray(data.view(kind) if dtype == UnixTimestamp else data, mask=mask)


def _series(values: Sequence[Any], dtype: FeatureType, pd: Any) -> Any:
    if dtype in PANDAS:
        masked = _array(values, dtype)
        return getattr(pd.arrays, PANDAS[dtype])(masked.data, masked.mask)
    if dtype in (Float32, Float64):
        return np.array([np.nan if one is None else one for one in values], NUMPY[dtype])
    if dtype == UnixTimestamp:
        nothing = np.iinfo(np.int64).min  # which is NaT
        micros = np.array([nothing if one is None else one for one in values], np.int64)
        return pd.DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC")
    return pd.Series(_objects(values, dtype), dtype=object)  # which else would be `str` where all are texts


def _objects(values: Sequence[Any], dtype: FeatureType) -> Any:
    show = presenter(dtype)
    made = np.empty(len(values), object)
    for place, one in enumerate(values):
        made[place] = one if show is None else show(one)
    return made


def _listed(found: Any, feature: str, count: int) -> list[Any]:
    """An array's values, masked ones as None."""
    if isinstance(found, (list, tuple)):
        found = np.array(found) if found and not isinstance(found[0], (list, tuple)) else _objects(found, Bool)
    if not isinstance(found, np.ndarray) or found.shape[:1] != (count,):
        shape = getattr(found, "shape", type(found).__name__)
        raise Misfit(f"its function gives {shape} for {feature!r}, not an array of {count} values")
    if found.dtype.kind in "mM":
        mask = np.ma.getmaskarray(found)
        return [None if gone else one for one, gone in zip(np.ma.getdata(found), mask, strict=True)]
    values: list[Any] = found.tolist()
    return values
