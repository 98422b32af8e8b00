"""What came with a request as a text of the served-row log: JSON that people can read, and that gives back every value.

Values are those of the declared types, whatever they were given as. What JSON has no form for is a text: decimals,
instants, bytes (in base64), and numbers that are none or infinite. Which it is, the type says.

>>> from gnomon.types import Bytes, Decimal, Float64, UnixTimestamp
>>> dtypes = {"paid": Decimal(9, 2), "when": UnixTimestamp, "odd": Float64, "raw": Bytes}
>>> columns = [[decimal.Decimal("1.50")], [0], [float("inf")], [bytes([255])]]
>>> texts = written(dtypes, columns)
>>> texts
['{"paid": "1.50", "when": "1970-01-01T00:00:00Z", "odd": "Infinity", "raw": "/w=="}']
>>> read(dtypes, texts) == dict(zip(dtypes, columns))
True
"""

from __future__ import annotations

import base64
import decimal
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gnomon.clock import from_micros, instant_text, to_micros
from gnomon.types import Array, Bytes, Decimal, FeatureType, Float32, Float64, UnixTimestamp

__all__ = ["read", "written"]

_WORDS = {math.inf: "Infinity", -math.inf: "-Infinity"}

Form = Callable[[Any], Any]


def written(dtypes: Mapping[str, FeatureType], columns: Sequence[Sequence[Any]]) -> list[str]:
    """A text for each row.

    Args:
        dtypes: the values' types, by name.
        columns: a list of values for each of them, as columns hold them: instants as µs.
    """
    names = list(dtypes)
    forms = [list(map(_writer(dtype), column)) for dtype, column in zip(dtypes.values(), columns, strict=True)]
    return [
        json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False)
        for row in zip(*forms, strict=True)
    ]


def read(dtypes: Mapping[str, FeatureType], texts: Sequence[str | None]) -> dict[str, list[Any]]:
    """The inverse of `written`; values that a text does not have are null."""
    rows = [{} if text is None else json.loads(text) for text in texts]
    readers = {name: _reader(dtype) for name, dtype in dtypes.items()}
    return {name: [reader(row.get(name)) for row in rows] for name, reader in readers.items()}


def _writer(dtype: FeatureType) -> Form:
    return _each(dtype, _WRITERS, lambda value: str(value))


def _reader(dtype: FeatureType) -> Form:
    return _each(dtype, _READERS, lambda value: decimal.Decimal(value))


def _each(dtype: FeatureType, forms: Mapping[FeatureType, Form], of_decimal: Form) -> Form:
    """What turns the values of a type into another form, null into null."""
    if isinstance(dtype, Array):
        one = _each(dtype.element, forms, of_decimal)
        return lambda values: None if values is None else [one(value) for value in values]
    turn = of_decimal if isinstance(dtype, Decimal) else forms.get(dtype)
    return _same if turn is None else lambda value: None if value is None else turn(value)


def _same(value: Any) -> Any:
    return value


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else _WORDS.get(value, "NaN")


def _instant(micros: int) -> str | int:
    """As a text; as µs outside the years that have one."""
    try:
        from_micros(micros)
    except OverflowError:
        return micros
    return instant_text(micros)


_WRITERS: Mapping[FeatureType, Form] = {
    Float32: _number,
    Float64: _number,
    UnixTimestamp: _instant,
    Bytes: lambda value: base64.b64encode(value).decode(),
}
_READERS: Mapping[FeatureType, Form] = {
    Float32: float,
    Float64: float,
    UnixTimestamp: to_micros,
    Bytes: base64.b64decode,
}
