"""Join keys as bytes: one canonical form per key, the same from Python values and from Arrow columns.

A value is first cast to its join key's type without loss ("7" and 7.0 are 7), then written after a tag for its type:
whole numbers big-endian with the sign turned, so that they sort as numbers; texts as they are. Int32 and Int64 share a
tag: a key column that is widened still finds its rows. Keys of several parts give each text its length.

>>> from gnomon.types import Int64, String
>>> encode_key((7,), (Int64,)) == key_encoder(("user_id",), (Int64,))("7")
True
>>> len({encode_key(key, (String, String)) for key in [("a", "bc"), ("ab", "c"), ("abc", "")]})
3
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.core.casting import cast_key
from gnomon.core.columns import as_numpy
from gnomon.errors import RequestError
from gnomon.types import Bool, Bytes, FeatureType, Int32, Int64, String, UnixTimestamp

__all__ = ["ColumnEncoder", "KeyEncoder", "column_encoder", "encode_key", "encode_keys", "key_encoder"]

KeyEncoder = Callable[..., bytes | None]
"""Takes a raw value per join key; gives the key's bytes, or None where a part is null."""

ColumnEncoder = Callable[..., list[bytes | None]]
"""Takes a list of raw values per join key; gives what a `KeyEncoder` gives for each place."""

MANY_KEYS = 16
"""From so many keys on, numpy's overhead is earned back."""

BIAS = 1 << 63
TAGS = {Bool: b"b", Int32: b"i", Int64: b"i", String: b"s", Bytes: b"y", UnixTimestamp: b"t"}
NUMBERS = (Int32, Int64, UnixTimestamp)
MANY = b"m"

_NUMBER = struct.Struct(">cQ")
_LENGTH = struct.Struct(">I")
_NUMBERS = np.dtype([("tag", "S1"), ("value", ">u8")])
_LIMITS = {Int32: 1 << 31, Int64: 1 << 63, UnixTimestamp: 1 << 63}


def encode_key(values: Sequence[Any], dtypes: Sequence[FeatureType]) -> bytes:
    """A key as bytes; different keys of a signature differ in bytes.

    Args:
        values: a value per part, cast already, none null; instants as µs.
        dtypes: the parts' types, all from `types.KEY_TYPES`.
    """
    if len(dtypes) == 1:
        return _whole(values[0], dtypes[0])
    parts = (_part(_whole(value, dtype), dtype) for value, dtype in zip(values, dtypes, strict=True))
    return b"".join((MANY, *parts)) if dtypes else b""


def key_encoder(names: Sequence[str], dtypes: Sequence[FeatureType]) -> KeyEncoder:
    """The function from raw values to key bytes for one signature, prepared once.

    It casts as `cast_key` does, and raises what that raises.

    Args:
        names: the join keys' names, for errors.
        dtypes: their types.
    """
    if len(dtypes) == 1:
        return _single(names[0], dtypes[0])
    singles = [_single(name, dtype) for name, dtype in zip(names, dtypes, strict=True)]
    framed = [dtype in (String, Bytes) for dtype in dtypes]
    length = _LENGTH.pack

    def encode(*values: Any) -> bytes | None:
        key = MANY
        for single, value, with_length in zip(singles, values, framed, strict=True):
            part = single(value)
            if part is None:
                return None
            key += part[:1] + length(len(part) - 1) + part[1:] if with_length else part
        return key

    return encode if dtypes else lambda: b""


def column_encoder(names: Sequence[str], dtypes: Sequence[FeatureType]) -> ColumnEncoder:
    """The same as `key_encoder`, for lists of values.

    Args:
        names: the join keys' names, for errors.
        dtypes: their types; at least one.
    """
    one = key_encoder(names, dtypes)
    if tuple(dtypes) not in ((Int32,), (Int64,)):
        return lambda *columns: list(map(one, *columns))
    low, high = -_LIMITS[dtypes[0]], _LIMITS[dtypes[0]] - 1

    def encode(values: list[Any]) -> list[bytes | None]:
        if len(values) >= MANY_KEYS and set(map(type, values)) == {int} and low <= min(values) and max(values) <= high:
            keys = _numbers(np.array(values, np.int64), dtypes[0])
            return keys.view(f"V{keys.dtype.itemsize}").tolist()  # type: ignore[no-any-return]
        return list(map(one, values))

    return encode


def encode_keys(columns: Sequence[pa.Array | pa.ChunkedArray], dtypes: Sequence[FeatureType]) -> list[bytes]:
    """The keys of many rows, the same bytes as `encode_key` gives row by row.

    Args:
        columns: a column per part, cast by `cast_keys`, without nulls.
        dtypes: the parts' types; at least one.

    Raises:
        RequestError: a column has a null.
    """
    if any(column.null_count for column in columns):
        raise RequestError("a key with a null part has no bytes.", hint="leave rows with null keys out first.")
    if len(columns) == 1:
        return _wholes(_flat(columns[0]), dtypes[0])
    if all(dtype in NUMBERS or dtype == Bool for dtype in dtypes):
        return _all_fixed([_fixed(_flat(column), dtype) for column, dtype in zip(columns, dtypes, strict=True)])
    parts = [
        [_part(one, dtype) for one in _wholes(_flat(column), dtype)]
        for column, dtype in zip(columns, dtypes, strict=True)
    ]
    return [MANY + b"".join(key) for key in zip(*parts, strict=True)]


def _single(name: str, dtype: FeatureType) -> KeyEncoder:
    if dtype in NUMBERS:
        return _number(name, dtype, _LIMITS[dtype], TAGS[dtype])

    def cast(value: Any) -> bytes | None:
        known = cast_key(value, dtype, name)
        return None if known is None else _whole(known, dtype)

    def text(value: Any) -> bytes | None:
        if type(value) is str:
            try:
                return b"s" + value.encode()
            except UnicodeEncodeError:
                pass  # the cast says what is wrong with it
        return cast(value)

    return text if dtype == String else cast


def _number(name: str, dtype: FeatureType, limit: int, tag: bytes) -> KeyEncoder:
    pack, low, high, bias = _NUMBER.pack, -limit, limit, BIAS

    def number(value: Any) -> bytes | None:
        if type(value) is int and low <= value < high:
            return pack(tag, value + bias)
        cast = cast_key(value, dtype, name)
        return None if cast is None else pack(tag, cast + bias)

    return number


def _whole(value: Any, dtype: FeatureType) -> bytes:
    if dtype in NUMBERS:
        return _NUMBER.pack(TAGS[dtype], value + BIAS)
    if dtype == Bool:
        return b"b\x01" if value else b"b\x00"
    text: bytes = value.encode() if dtype == String else value
    return TAGS[dtype] + text


def _part(whole: bytes, dtype: FeatureType) -> bytes:
    if dtype in (String, Bytes):
        return whole[:1] + _LENGTH.pack(len(whole) - 1) + whole[1:]
    return whole


def _flat(column: pa.Array | pa.ChunkedArray) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _wholes(column: Any, dtype: FeatureType) -> list[bytes]:
    if dtype in NUMBERS or dtype == Bool:
        keys = _fixed(column, dtype)
        listed: list[bytes] = keys.view(f"V{keys.dtype.itemsize}").tolist()
        return listed
    if not len(column):
        return []
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, "<i4")[column.offset : column.offset + len(column) + 1].tolist()
    raw, tag = data.to_pybytes() if data is not None else b"", TAGS[dtype]
    return [tag + raw[start:end] for start, end in pairwise(bounds)]


def _fixed(column: Any, dtype: FeatureType) -> Any:
    if dtype != Bool:
        return _numbers(as_numpy(column.cast(pa.int64())), dtype)
    keys = np.empty(len(column), [("tag", "S1"), ("value", "u1")])
    keys["tag"], keys["value"] = TAGS[dtype], as_numpy(column)
    return keys


def _numbers(values: Any, dtype: FeatureType) -> Any:
    keys = np.empty(len(values), _NUMBERS)
    keys["tag"], keys["value"] = TAGS[dtype], values.view("u8") ^ np.uint64(BIAS)
    return keys


def _all_fixed(parts: list[Any]) -> list[bytes]:
    keys = np.empty(len(parts[0]), [("many", "S1")] + [(f"p{place}", part.dtype) for place, part in enumerate(parts)])
    keys["many"] = MANY
    for place, part in enumerate(parts):
        keys[f"p{place}"] = part
    listed: list[bytes] = keys.view(f"V{keys.dtype.itemsize}").tolist()
    return listed
