"""A packed row: one version of one entity's features as bytes that are read in place, without parsing.

    format u8 · flags u8 · schema id u32 · event time i64 · known time i64 · presence bits · slots · tail

All little-endian. The schema id names the `Layout`, the ordered names and types of the columns; a store keeps each
layout it was given rows of, so that rows outlive a change of the view.

>>> from gnomon.types import Int64, String
>>> layout = Layout([("age", Int64), ("city", String)])
>>> row = layout.pack(event=10, known=12, values=[41, None])
>>> instants(row), layout.values(row)
((10, 12), [41, None])
"""

from __future__ import annotations

import functools
import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from gnomon.clock import MIN_MICROS
from gnomon.core.cells import Cell, bitmap, cell_of
from gnomon.errors import NewerFormat
from gnomon.types import FeatureType, parse

__all__ = ["ROW", "Layout", "Reading", "instants", "schema_of"]

ROW = 1
"""The format of a packed row; read together with the flags, which are all zero today."""
STAIRCASE = 2
"""The format of several rows of one entity, of which all but the first wait for their time."""

HEAD = struct.Struct("<HIqq")
FEW = 8
"""From so many rows on, numpy's overhead is earned back."""

_FIRST_SLOT = 5  # after format, schema id, event time, known time, presence bits


class Layout:
    """The columns of a packed row, in order.

    Args:
        fields: (name, type) of each column.

    Attributes:
        fields: the same, as a tuple.
        id: a u32 that is the same for the same names and types in the same order, on every machine.
    """

    def __init__(self, fields: Iterable[tuple[str, FeatureType]]) -> None:
        self.fields = tuple(fields)
        self.names = tuple(name for name, _ in self.fields)
        self.dtypes = tuple(dtype for _, dtype in self.fields)
        self.id = int.from_bytes(hashlib.blake2b(self.to_json().encode(), digest_size=4).digest(), "little")
        self.cells: tuple[Cell, ...] = tuple(cell_of(dtype) for dtype in self.dtypes)
        self.mask_bytes = (len(self.fields) + 7) // 8
        self.full = bitmap([True] * len(self.fields))
        codes = "".join(cell.code for cell in self.cells)
        self.struct = struct.Struct(f"{HEAD.format}{self.mask_bytes}s{codes}")
        self.head = struct.pack("<HI", ROW, self.id)
        self.dtype = np.dtype(
            [("head", "V6"), ("instants", "<i8", (2,)), ("present", "u1", (self.mask_bytes,))]
            + [(f"c{place}", cell.numpy) for place, cell in enumerate(self.cells)]
        )
        self.variable = tuple(place for place, cell in enumerate(self.cells) if cell.variable)
        self._before = dict(zip(self.variable, (None, *self.variable), strict=False))
        self.blank = self.pack(MIN_MICROS, MIN_MICROS, [None] * len(self.fields))

    def __repr__(self) -> str:
        return f"Layout({', '.join(f'{name} {dtype}' for name, dtype in self.fields)})"

    def to_json(self) -> str:
        """The layout as text: `[["age", "Int64"], …]`."""
        return json.dumps([[name, str(dtype)] for name, dtype in self.fields], ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Layout:
        """The layout that `to_json` wrote."""
        return cls((name, parse(dtype)) for name, dtype in json.loads(text))

    def pack(self, event: int, known: int, values: Sequence[Any]) -> bytes:
        """One row as bytes; for many at once there is `gnomon.core.packing.pack`.

        Args:
            event: event time, µs.
            known: known time, µs.
            values: a value per column, None for null; instants as µs or datetimes.
        """
        slots: list[Any] = []
        tail = b""
        for cell, value in zip(self.cells, values, strict=True):
            kept = value if value is None or cell.put is None else cell.put(value)
            if cell.variable:
                tail += kept or b""
                slots.append(len(tail))
            else:
                slots.append(kept if kept is not None else b"" if cell.code == "16s" else 0)
        present = bitmap([value is not None for value in values])
        return self.struct.pack(ROW, self.id, event, known, present, *slots) + tail

    def values(self, row: bytes) -> list[Any]:
        """All values of one row, in order; instants as µs."""
        slots = self.struct.unpack_from(row)
        return [self._value(row, slots, place) for place in range(len(self.fields))]

    def adapt(self, row: bytes, older: Layout) -> bytes:
        """A row written under another layout as one of this: columns match by name and type, the rest is null."""
        had = dict(zip(older.fields, older.values(row), strict=True))
        return self.pack(*instants(row), [had.get(one) for one in self.fields])

    def reading(self, places: Sequence[int]) -> Reading:
        """A reader of some of the columns, prepared once and used for many requests."""
        return Reading(self, tuple(places))

    def _value(self, row: bytes, slots: tuple[Any, ...], place: int) -> Any:
        if not slots[_FIRST_SLOT - 1][place >> 3] >> (place & 7) & 1:
            return None
        cell, value = self.cells[place], slots[_FIRST_SLOT + place]
        if cell.variable:
            before = self._before[place]
            start = 0 if before is None else slots[_FIRST_SLOT + before]
            value = row[self.struct.size + start : self.struct.size + value]
        return value if cell.take is None else cell.take(value)


class Reading:
    """Some columns of many rows at once.

    Args:
        layout: the rows' layout.
        places: which columns, by place.
    """

    def __init__(self, layout: Layout, places: tuple[int, ...]) -> None:
        self.layout, self.places = layout, places
        self._plain = not any(layout.cells[place].take or layout.cells[place].variable for place in places)
        self._names = [f"c{place}" for place in places]
        self._pick = _picker(tuple(_FIRST_SLOT + place for place in places))

    def columns(self, rows: Sequence[bytes], now: int) -> tuple[list[list[Any]], list[int]] | None:
        """(a list of values per column, the event times), or None if a row is not one of this layout usable by now.

        Args:
            rows: packed rows.
            now: the instant asked, µs.
        """
        return self._few(rows, now) if len(rows) < FEW else self._many(rows, now)

    def _few(self, rows: Sequence[bytes], now: int) -> tuple[list[list[Any]], list[int]] | None:
        layout, unpack, size = self.layout, self.layout.struct.unpack_from, self.layout.struct.size
        schema, full, plain, value_of = layout.id, layout.full, self._plain, layout._value
        picked: list[Sequence[Any]] = []
        events: list[int] = []
        for row in rows:
            if len(row) < size:
                return None
            slots = unpack(row)
            if slots[0] != ROW or slots[1] != schema or slots[2] > now or slots[3] > now:
                return None
            events.append(slots[2])
            if plain and slots[4] == full:
                picked.append(self._pick(slots))
            else:
                picked.append([value_of(row, slots, place) for place in self.places])
        if len(rows) == 1:
            return [[value] for value in picked[0]], events
        return [[row[place] for row in picked] for place in range(len(self.places))], events

    def _many(self, rows: Sequence[bytes], now: int) -> tuple[list[list[Any]], list[int]] | None:
        layout, size = self.layout, self.layout.struct.size
        fixed = b"".join([row[:size] for row in rows] if layout.variable else rows)
        if len(fixed) != size * len(rows):
            return None
        table = np.frombuffer(fixed, layout.dtype)
        # A row of another length starts where it should and shifts only what follows: its own header gives it away.
        if table["head"].tobytes() != layout.head * len(rows):
            return None
        both = table["instants"]
        if both.max() > now:
            return None
        if table["present"].tobytes() != layout.full * len(rows):
            columns = [self._column(rows, table, place, False) for place in self.places]
        elif self._plain:
            columns = [table[name].tolist() for name in self._names]
        else:
            columns = [self._column(rows, table, place, True) for place in self.places]
        return columns, both[:, 0].tolist()

    def _column(self, rows: Sequence[bytes], table: Any, place: int, whole: bool) -> list[Any]:
        layout, cell = self.layout, self.layout.cells[place]
        values: list[Any] = table[f"c{place}"].tolist()
        if cell.variable:
            before, base = layout._before[place], layout.struct.size
            starts = [0] * len(rows) if before is None else table[f"c{before}"].tolist()
            values = [row[base + a : base + b] for row, a, b in zip(rows, starts, values, strict=True)]
        if whole:
            return values if cell.take is None else [cell.take(one) for one in values]
        present = (table["present"][:, place >> 3] >> (place & 7) & 1).tolist()
        take: Callable[[Any], Any] = cell.take or _same
        return [take(one) if here else None for one, here in zip(values, present, strict=True)]


def instants(row: bytes) -> tuple[int, int]:
    """A row's (event time, known time), µs."""
    _, _, event, known = HEAD.unpack_from(row)
    return event, known


def schema_of(row: bytes) -> int:
    """The id of the layout a row was written under.

    Raises:
        NewerFormat: this gnomon does not know the row's format.
    """
    form, schema, _, _ = HEAD.unpack_from(row)
    if form != ROW:
        raise NewerFormat(path="a row of the online store", found=form, supported=ROW)
    found: int = schema
    return found


@functools.lru_cache(maxsize=1024)
def _picker(places: tuple[int, ...]) -> Callable[[tuple[Any, ...]], Sequence[Any]]:
    if len(places) == 1:
        return itemgetter(slice(places[0], places[0] + 1))
    return itemgetter(*places) if places else lambda _: ()


def _same(value: Any) -> Any:
    return value
