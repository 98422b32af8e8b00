"""How values of each type stand in JSON, as Feast has them.

Numbers, texts and truth values are themselves; NaN and the infinities are texts, as JSON has no such numbers; bytes are
base64, decimals texts with all their digits. An instant is its seconds since 1970, with a fraction where it has one.

>>> from gnomon.types import Array, Bytes, Float64, UnixTimestamp
>>> writer(Float64)([0.5, float("nan"), None])
b'[0.5,"NaN",null]'
>>> writer(UnixTimestamp)([1_577_836_800_000_000, 250_000]), writer(Bytes)([b"abc"])
(b'[1577836800,0.25]', b'["YWJj"]')
>>> writer(Array(Float64))([[1.0, float("-inf")], None])
b'[[1.0,"-Infinity"],null]'
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from math import isfinite
from typing import Any

from orjson import dumps

from gnomon.core.casting import cast_key
from gnomon.types import Array, Bytes, Decimal, FeatureType, Float32, Float64, Int32, Int64, String, UnixTimestamp

__all__ = ["key_writer", "native", "spelling", "writer"]

Writer = Callable[[list[Any]], bytes]
"""A column of values as a JSON array."""

FLOATS = (Float32, Float64)
SECOND = 1_000_000


def writer(dtype: FeatureType) -> Writer:
    """Writes columns of a type."""
    if dtype in FLOATS:
        return _floats
    if isinstance(dtype, Array) and dtype.element in FLOATS:
        return _vectors
    spelt = spelling(dtype)
    if spelt is None:
        return dumps
    return lambda values: dumps([None if one is None else spelt(one) for one in values])


def key_writer(name: str, dtype: FeatureType) -> Writer:
    """Writes columns of join keys: as they were given, or cast to their type where they were given in another."""
    usual: set[type] = {int} if dtype in (Int32, Int64) else {str} if dtype == String else set()
    spelt = spelling(dtype)

    def write(values: list[Any]) -> bytes:
        if set(map(type, values)) <= usual:
            return dumps(values)
        cast = [cast_key(value, dtype, name) for value in values]
        return dumps(cast if spelt is None else [None if one is None else spelt(one) for one in cast])

    return write


def spelling(dtype: FeatureType) -> Callable[[Any], Any] | None:
    """How a value that is not null is put so that JSON has it; None for as it is."""
    if isinstance(dtype, Array):
        element = spelling(dtype.element)
        return None if element is None else lambda values: [None if one is None else element(one) for one in values]
    if dtype in FLOATS:
        return _number
    if dtype == Bytes:
        return _base64
    if dtype == UnixTimestamp:
        return _seconds
    return str if isinstance(dtype, Decimal) else None


def native(dtype: FeatureType) -> Callable[[Any], Any] | None:
    """The same for a form that has numbers which are none, and bytes."""
    if isinstance(dtype, Array):
        element = native(dtype.element)
        return None if element is None else lambda values: [None if one is None else element(one) for one in values]
    return None if dtype in FLOATS or dtype == Bytes else spelling(dtype)


def _floats(values: list[Any]) -> bytes:
    text = dumps(values)
    if b"null" not in text:  # orjson makes null of all numbers that JSON has not
        return text
    return dumps([None if one is None else _number(one) for one in values])


def _vectors(values: list[Any]) -> bytes:
    text = dumps(values)
    if b"null" not in text:
        return text
    return dumps([None if one is None else [None if x is None else _number(x) for x in one] for one in values])


def _number(value: float) -> float | str:
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _seconds(micros: int) -> int | float:
    return micros / SECOND if micros % SECOND else micros // SECOND
