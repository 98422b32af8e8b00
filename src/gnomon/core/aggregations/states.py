"""States of values as bytes: JSON, with marks for what JSON lacks. Floats come back to the bit.

>>> read(written((1, 2.5, ("a", b"b"))))
(1, 2.5, ('a', b'b'))
"""

from __future__ import annotations

import decimal
import json
import math
from collections.abc import Callable
from typing import Any

from gnomon.core.exact import ExactSum
from gnomon.core.ordering import sort_key
from gnomon.types import FeatureType

__all__ = ["canonical", "identity", "read", "written"]


def canonical(value: Any) -> Any:
    """The one form of a value: −0.0 is 0.0, and there is one NaN; within arrays, too."""
    if isinstance(value, float):
        return value + 0.0 if value == value else math.nan
    return tuple(map(canonical, value)) if isinstance(value, (list, tuple)) else value


def identity(value: Any, dtype: FeatureType) -> tuple[Any, ...]:
    """What is equal where values are the same one, and compares as they do."""
    return sort_key(dtype)(canonical(value))


def written(state: Any) -> bytes:
    """Tuples of numbers, texts, bytes, decimals, exact sums and tuples, as bytes."""
    return json.dumps(_marked(state), separators=(",", ":")).encode()


def read(raw: bytes) -> Any:
    """What `written` wrote."""
    return _thawed(json.loads(raw))


def _marked(value: Any) -> Any:
    if isinstance(value, ExactSum):  # a tuple, too, and must come back as what it was
        return {"sum": value.to_bytes().hex()}
    if isinstance(value, (tuple, list)):
        return list(map(_marked, value))
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if value is None or isinstance(value, (int, float, str)):
        return value
    raise TypeError(f"{value!r} has no place in a state")


_MARKS: dict[str, Callable[[str], Any]] = {
    "bytes": bytes.fromhex,
    "decimal": decimal.Decimal,
    "sum": lambda text: ExactSum.from_bytes(bytes.fromhex(text)),
}


def _thawed(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_thawed, value))
    if isinstance(value, dict):
        ((mark, text),) = value.items()
        return _MARKS[mark](text)
    return value
