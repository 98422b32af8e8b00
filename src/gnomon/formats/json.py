"""JSON: all messages in one go where they are as they should be; where one is not, it is found, and read by itself.

Messages are put on lines of their own and read by Arrow straight into the wanted types. Each begins with `{` and ends
with `}`, and there are as many rows as messages: then row n is message n, since a message that were two rows would need
another that is none.

>>> from gnomon.definitions.formats import JsonFormat
>>> from gnomon.types import Int64
>>> made = JsonDecoder(JsonFormat(), {"a": Int64}).decode([b'{"a": 1, "b": 2}', b'{"a": 3', b'{}'])
>>> made.columns["a"], made.failed, made.unknown
([[1, None, None]], {1: "no JSON: Expecting ',' delimiter: line 1 column 8 (char 7)"}, ['b'])
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal as PythonDecimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from gnomon.contracts.formats import Decoded, Fields
from gnomon.definitions.formats import JsonFormat
from gnomon.types import (
    Array,
    Bytes,
    Decimal,
    FeatureType,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
    to_arrow,
)

__all__ = ["JsonDecoder"]

FEW = 256
"""So many messages are read one by one, once there is one among them that cannot be read with the others."""
EMPTY = "a message without anything in it"
SCALES = {"s": 1_000_000, "ms": 1_000, "us": 1}
OPEN, CLOSE = b"{}"
# How Arrow's reader says that it cannot, and that a text is not UTF-8.
_UNREAD = (pa.ArrowException, UnicodeDecodeError, OverflowError)


class JsonDecoder:
    """Reads JSON objects.

    Args:
        format: what numbers mean as instants.
        fields: field → the type wanted.
    """

    def __init__(self, format: JsonFormat, fields: Fields) -> None:  # noqa: A002
        self._fields = dict(fields)
        self._scale = SCALES.get(format.instants)
        read = [(name, _read_as(dtype, self._scale is not None)) for name, dtype in fields.items()]
        self._schema = pa.schema(read)
        self._parse = pa_json.ParseOptions(explicit_schema=self._schema, unexpected_field_behavior="ignore")

    def decode(self, payloads: Sequence[bytes]) -> Decoded:
        """The messages' fields."""
        failed = {row: EMPTY for row, payload in enumerate(payloads) if not payload}
        if failed:
            payloads = [payload or b"{}" for payload in payloads]
        parts = list(self._parts(payloads, 0, failed))
        columns = {name: [part[name] for part in parts] for name in self._fields}
        return Decoded(columns, failed, self._unknown(payloads[:1]))

    def _parts(self, payloads: Sequence[bytes], first: int, failed: dict[int, str]) -> Iterator[Mapping[str, Any]]:
        """Messages in pieces that can be read; `first` is the number of the first message."""
        try:
            yield self._at_once(payloads)
        except _UNREAD:
            if len(payloads) <= FEW:
                yield self._one_by_one(payloads, first, failed)
            else:
                half = len(payloads) // 2
                yield from self._parts(payloads[:half], first, failed)
                yield from self._parts(payloads[half:], first + half, failed)

    def _at_once(self, payloads: Sequence[bytes]) -> dict[str, pa.ChunkedArray]:
        if not payloads:
            return {one.name: pa.chunked_array([], one.type) for one in self._schema}
        lines = b"\n".join(payloads)
        lines.decode()  # Arrow takes whatever bytes a text has
        _check_objects(lines, payloads)
        options = pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
        table = pa_json.read_json(pa.BufferReader(lines), read_options=options, parse_options=self._parse)
        if len(table) != len(payloads):
            raise pa.ArrowInvalid("a message is not one object")
        return {name: self._instants(name, table[name]) for name in self._fields}

    def _instants(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        if self._fields[name] != UnixTimestamp or not self._scale:
            return column
        micros = pc.multiply_checked(column, pa.scalar(self._scale, pa.int64()))
        return micros.cast(to_arrow(UnixTimestamp))

    def _one_by_one(self, payloads: Sequence[bytes], first: int, failed: dict[int, str]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {name: [] for name in self._fields}
        for row, payload in enumerate(payloads, first):
            read = {}
            try:
                read = json.loads(payload)
            except (ValueError, RecursionError) as wrong:
                failed[row] = f"no JSON: {wrong}"
            if not isinstance(read, dict):
                read, failed[row] = {}, "no JSON object"
            for name, values in columns.items():
                values.append(self._meant(self._fields[name], read.get(name)))
        return columns

    def _meant(self, dtype: FeatureType, value: Any) -> Any:
        """A value as JSON has it, as what its type has it for: JSON lacks instants and decimals."""
        if isinstance(dtype, Decimal) and isinstance(value, (str, float)):
            try:
                return PythonDecimal(str(value))
            except ArithmeticError:
                return value
        if dtype == UnixTimestamp and self._scale and isinstance(value, (int, float)) and not isinstance(value, bool):
            micros = value * self._scale
            return np.datetime64(int(micros), "us") if micros == micros // 1 and abs(micros) < 2**63 else value
        return value

    def _unknown(self, payloads: Sequence[bytes]) -> list[str]:
        for payload in payloads:
            try:
                return [name for name in json.loads(payload) if name not in self._fields]
            except (ValueError, TypeError, RecursionError):
                pass
        return []


def _read_as(dtype: FeatureType, numbers: bool) -> pa.DataType:
    """What Arrow reads a field as: the wanted type, or a wider one that the caller's casts and checks start from."""
    if isinstance(dtype, Array):
        return pa.list_(_read_as(dtype.element, False))
    if dtype == UnixTimestamp:
        return pa.int64() if numbers else pa.string()
    wider = {Int32: pa.int64(), Int64: pa.int64(), Float32: pa.float64(), Float64: pa.float64()}
    return pa.string() if dtype in (Bytes, String) else wider.get(dtype) or to_arrow(dtype)


def _check_objects(lines: bytes, payloads: Sequence[bytes]) -> None:
    """Each message begins and ends as an object does."""
    lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
    if not lengths.all():
        raise pa.ArrowInvalid("a message is empty")
    text = np.frombuffer(lines, np.uint8)
    ends = np.cumsum(lengths + 1) - 2
    if (text[ends] != CLOSE).any() or (text[ends - lengths + 1] != OPEN).any():
        raise pa.ArrowInvalid("a message is no object")
