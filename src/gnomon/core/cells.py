"""How one value of each type is kept in a packed row: in a slot of fixed width, or in the row's tail.

Numbers, truth values and instants stand in their slot, little-endian; decimals as their unscaled integer in 8 or 16
bytes. Strings, bytes and arrays stand in the tail, and their slot says where they end.

>>> from gnomon.types import Array, Int64
>>> cell = cell_of(Array(Int64))
>>> cell.take(cell.put([7, None, -1]))
[7, None, -1]
"""

from __future__ import annotations

import decimal
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.clock import to_micros
from gnomon.types import Array, Decimal, FeatureType

__all__ = ["ARRAY_HEAD", "Cell", "bitmap", "cell_of"]

ARRAY_HEAD = struct.Struct("<IB")
"""An array's length, and 1 where a bitmap of the elements that are not null follows."""

# Enough digits for any decimal there is: scaling is then exact.
EXACT = decimal.Context(prec=80)


@dataclass(frozen=True, slots=True)
class Cell:
    """How values of one type are kept.

    Args:
        code: the slot's struct code.
        numpy: the slot's numpy type.
        variable: whether the value is in the tail, its end in the slot.
        put: Python value → slot value, or bytes for the tail; None where it is the same.
        take: the way back; None where it is the same.
    """

    code: str
    numpy: str
    variable: bool = False
    put: Callable[[Any], Any] | None = None
    take: Callable[[Any], Any] | None = None


def cell_of(dtype: FeatureType) -> Cell:
    """How values of a type are kept; instants are taken as int µs."""
    if isinstance(dtype, Array):
        return _array(cell_of(dtype.element))
    if isinstance(dtype, Decimal):
        return _decimal(dtype)
    return _SCALARS[dtype.name]


def bitmap(present: Sequence[bool]) -> bytes:
    """One bit per value, the first in the lowest bit.

    >>> list(bitmap([True, False, True]))
    [5]
    """
    bits = sum(1 << place for place, one in enumerate(present) if one)
    return bits.to_bytes((len(present) + 7) // 8, "little")


def _one_nan(value: float) -> float:
    return value if value == value else math.nan


_SCALARS = {
    "Bool": Cell("?", "?"),
    "Int32": Cell("i", "<i4"),
    "Int64": Cell("q", "<i8"),
    "Float32": Cell("f", "<f4", put=_one_nan),
    "Float64": Cell("d", "<f8", put=_one_nan),
    "UnixTimestamp": Cell("q", "<i8", put=to_micros),
    "String": Cell("I", "<u4", variable=True, put=str.encode, take=bytes.decode),
    "Bytes": Cell("I", "<u4", variable=True, put=bytes, take=bytes),
}


def _decimal(dtype: Decimal) -> Cell:
    scale = dtype.scale

    def put(value: Any) -> int:
        return int(EXACT.scaleb(decimal.Decimal(value), scale))

    def take(unscaled: int) -> decimal.Decimal:
        return EXACT.scaleb(decimal.Decimal(unscaled), -scale)

    if dtype.precision <= 18:
        return Cell("q", "<i8", put=put, take=take)
    return Cell(
        "16s",
        "V16",
        put=lambda value: put(value).to_bytes(16, "little", signed=True),
        take=lambda raw: take(int.from_bytes(raw, "little", signed=True)),
    )


def _array(element: Cell) -> Cell:
    blank: Any = b"" if element.variable or element.code == "16s" else 0

    def put(values: Sequence[Any]) -> bytes:
        present = [one is not None for one in values]
        head = ARRAY_HEAD.pack(len(values), not all(present))
        if not all(present):
            head += bitmap(present)
        filled = values if element.put is None else [blank if one is None else element.put(one) for one in values]
        if element.variable:
            return head + _ends(filled) + b"".join(filled)
        slots = [blank if one is None else one for one in filled]
        return head + struct.pack(f"<{element.code * len(slots)}", *slots)

    def take(raw: bytes) -> list[Any]:
        count, with_nulls = ARRAY_HEAD.unpack_from(raw)
        start, absent = ARRAY_HEAD.size, None
        if with_nulls:
            absent = raw[start : (start := start + (count + 7) // 8)]
        values = _texts(raw, start, count) if element.variable else _slots(raw, start, count)
        taken = values if element.take is None else [element.take(one) for one in values]
        if absent is None:
            return taken
        return [one if absent[place >> 3] >> (place & 7) & 1 else None for place, one in enumerate(taken)]

    def _slots(raw: bytes, start: int, count: int) -> list[Any]:
        code = element.code * count if element.code == "16s" else f"{count}{element.code}"
        return list(struct.unpack_from(f"<{code}", raw, start))

    return Cell("I", "<u4", variable=True, put=put, take=take)


def _ends(texts: Sequence[bytes]) -> bytes:
    ends, end = [], 0
    for text in texts:
        end += len(text)
        ends.append(end)
    return struct.pack(f"<{len(ends)}I", *ends)


def _texts(raw: bytes, start: int, count: int) -> list[bytes]:
    ends = struct.unpack_from(f"<{count}I", raw, start)
    data = start + 4 * count
    return [raw[data + begin : data + end] for begin, end in zip((0, *ends), ends, strict=False)]
