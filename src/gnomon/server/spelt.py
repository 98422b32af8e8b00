r"""Values that JSON has no word for, read back from the texts that answers have for them, by their declared types.

Bytes are base64, NaN and the infinities are `"NaN"`, `"Infinity"` and `"-Infinity"`, and a decimal, which may stand
where a float does, is a text of its digits. A text that is no number stays as it is, for others to refuse.

>>> from gnomon.types import Array, Bytes, Float64
>>> read_columns({"k": ["AP8=", None], "x": ["NaN", 1.5], "s": ["NaN"]}, {"k": Bytes, "x": Float64})
{'k': [b'\x00\xff', None], 'x': [nan, 1.5], 's': ['NaN']}
>>> read_columns({"v": [["-Infinity", 1.0]]}, {"v": Array(Float64)})
{'v': [[-inf, 1.0]]}
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gnomon.definitions.catalog import Catalog
from gnomon.definitions.sources import PushSource
from gnomon.errors import RequestError
from gnomon.plan.references import Features, reference_of, resolve
from gnomon.types import Array, Bytes, FeatureType, Float32, Float64

__all__ = ["asked_types", "given_types", "pushed_types", "read_columns", "read_keys", "read_rows", "reader"]

Read = Callable[[Any], Any]
Types = Mapping[str, FeatureType]
_NUMBER = re.compile(r"NaN|-?Infinity|-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]+)?")
"""Floats that JSON has not, and decimals as Python writes them."""


def asked_types(catalog: Catalog, features: Features) -> dict[str, FeatureType]:
    """The types of what comes with a question: of its join keys, and of what on-demand views take from the request.

    Raises:
        RequestError: the question cannot be understood.
    """
    meaning = resolve(catalog, features)
    keys = {
        column: field.dtype
        for part in meaning.views
        for column, field in zip(part.columns, part.view.entity_columns, strict=True)
    }
    return keys | {one.name: one.dtype for one in meaning.given}


def given_types(catalog: Catalog, features: Features) -> dict[str, FeatureType]:
    """The types of what on-demand views take from the request alone.

    Raises:
        RequestError: the question cannot be understood.
    """
    return {one.name: one.dtype for one in resolve(catalog, features).given}


def pushed_types(catalog: Catalog, source: str) -> dict[str, FeatureType]:
    """The types of a push source's columns; none where there is no such source, which others say."""
    found = catalog.sources.get(source)
    return {one.name: one.dtype for one in found.schema} if isinstance(found, PushSource) else {}


def read_keys(catalog: Catalog, feature: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """An entity's join keys with their texts read, for a question about one feature.

    Raises:
        RequestError: the question cannot be understood.
    """
    (read,) = read_rows([dict(keys)], asked_types(catalog, [reference_of(catalog, feature)]))
    return read


def read_columns(columns: Mapping[str, list[Any]], types: Types) -> dict[str, list[Any]]:
    """Columns with their texts read; those of which nothing is to be read are given as they are.

    Raises:
        RequestError: a text that should be bytes is no base64.
    """
    reads = _readers(types)
    return {name: list(map(reads[name], column)) if name in reads else column for name, column in columns.items()}


def read_rows(rows: list[dict[str, Any]], types: Types) -> list[dict[str, Any]]:
    """The same for rows."""
    reads = _readers(types)
    return [{name: reads[name](one) if name in reads else one for name, one in row.items()} for row in rows]


def reader(dtype: FeatureType, name: str) -> Read | None:
    """What reads the texts of a type; None where there are none.

    Args:
        dtype: the type.
        name: the column, for errors.
    """
    if isinstance(dtype, Array):
        element = reader(dtype.element, name)
        return None if element is None else lambda value: _elements(value, element)
    if dtype in (Float32, Float64):
        return _number
    return partial(_bytes, name) if dtype == Bytes else None


def _readers(types: Types) -> dict[str, Read]:
    return {name: found for name, dtype in types.items() if (found := reader(dtype, name)) is not None}


def _elements(value: Any, read: Read) -> Any:
    return list(map(read, value)) if isinstance(value, list) else value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def _bytes(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise RequestError(
            f"{name!r} is {value!r:.80}, and it takes Bytes.", hint="in JSON, bytes are a text in base64."
        ) from None
