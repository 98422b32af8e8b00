"""What users' functions are given: values of columns in one Python form, for tables and single rows alike.

| type | in Python |
|---|---|
| Bool, String, Bytes | bool, str, bytes |
| Int32, Int64 | int |
| Float32, Float64 | float; of a Float32 exactly its value |
| Decimal | `decimal.Decimal` with the type's scale |
| UnixTimestamp | an aware UTC datetime |
| Array | a list of these |

Null is None everywhere.

>>> from gnomon.types import UnixTimestamp
>>> presenter(UnixTimestamp)(0).isoformat()
'1970-01-01T00:00:00+00:00'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gnomon.clock import from_micros
from gnomon.types import Array, FeatureType, UnixTimestamp

__all__ = ["Unshown", "presenter"]


class Unshown(Exception):  # noqa: N818 - a signal
    """A value that Python has no form for: an instant outside the years 1 to 9999."""


def presenter(dtype: FeatureType) -> Callable[[Any], Any] | None:
    """What makes a column's value one that functions are given; None where it is the same, as for None."""
    if dtype == UnixTimestamp:
        return _instant
    if isinstance(dtype, Array):
        return _array(presenter(dtype.element))
    return None


def _instant(micros: Any) -> Any:
    if micros is None:
        return None
    try:
        return from_micros(micros)
    except OverflowError:
        raise Unshown(f"the instant {micros} µs lies outside the years 1 to 9999, which datetime cannot hold") from None


def _array(each: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    def shown(values: Any) -> Any:
        # A list of its own: a function that changes it must change nobody else's.
        if values is None:
            return None
        return list(values) if each is None else [each(one) for one in values]

    return shown
