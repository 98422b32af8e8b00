"""Rows that become events: each is right, or there is a reason why it is not. Pushing and streams check them alike.

A row is right if every value fits its column's declared type without loss and event time and join keys are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.definitions.catalog import Catalog
from gnomon.definitions.entities import Field
from gnomon.definitions.sources import PushSource
from gnomon.errors import RequestError
from gnomon.flows.casts import cast_of, cast_piece, cast_rows
from gnomon.types import arrow_schema, to_arrow

__all__ = ["Pieces", "checked", "checked_pieces", "join_keys"]

OPERATIONS = ("upsert", "delete")
Pieces = Mapping[str, Sequence[pa.ChunkedArray | list[Any]]]
"""Columns in pieces, each of Arrow or of Python values of whatever types."""


def join_keys(catalog: Catalog, source: PushSource) -> dict[str, Field]:
    """The join keys, with their types, of the views that stand on a source."""
    views = [view for view in catalog.views.values() if view.source == source]
    return {one.name: one for view in views for one in view.entity_columns}


def checked(
    columns: Mapping[str, pa.ChunkedArray | None], rows: int, source: PushSource, keys: Mapping[str, Field]
) -> tuple[pa.Table, dict[int, str]]:
    """The rows that are right, in the source's columns; and of the others, by number, what is wrong.

    Args:
        columns: the rows' columns; one that holds values Arrow has no one type for is None, one that is not there null.
        rows: how many there are.
        source: the source.
        keys: the join keys of views on it.

    Raises:
        RequestError: a whole column is of a type none of whose values fits.
    """
    reasons: dict[int, str] = {}
    made = []
    for one in source.schema:
        column = columns.get(one.name, pa.chunked_array([pa.nulls(rows)]))
        if column is None:
            raise RequestError(
                f"column {one.name!r} holds values Arrow has no one type for.", hint=f"make all of them {one.dtype}."
            )
        cast = cast_of(column.type, one, is_key=one.name in keys)
        column = pa.chunked_array(column) if not isinstance(column, pa.ChunkedArray) else column
        made.append(cast_rows(column, cast, one, 0, reasons))
    return _right(made, source, keys, reasons)


def checked_pieces(
    columns: Pieces, rows: int, source: PushSource, keys: Mapping[str, Field], failed: Mapping[int, str]
) -> tuple[pa.Table, dict[int, str]]:
    """The same of columns whose values may be of any types: what does not fit is held against its row alone.

    Args:
        columns: the rows' columns.
        rows: how many there are.
        source: the source.
        keys: the join keys of views on it.
        failed: rows that are not right to begin with, and why.
    """
    reasons = dict(failed)
    made = []
    for one in source.schema:
        at, parts = 0, []
        for piece in columns.get(one.name) or [pa.chunked_array([pa.nulls(rows)])]:
            parts.append(cast_piece(piece, one, one.name in keys, at, reasons))
            at += len(piece)
        chunks = [chunk for part in parts for chunk in part.chunks]
        made.append(pa.chunked_array(chunks, to_arrow(one.dtype)))
    return _right(made, source, keys, reasons)


def _right(
    columns: Iterable[pa.ChunkedArray], source: PushSource, keys: Mapping[str, Field], reasons: dict[int, str]
) -> tuple[pa.Table, dict[int, str]]:
    schema = arrow_schema((one.name, one.dtype) for one in source.schema)
    table = pa.table(list(columns), schema=schema)
    _note_missing(table, [source.timestamp_field, *(name for name in keys if name in table.column_names)], reasons)
    _note_operations(table, source, reasons)
    if reasons:
        right = np.ones(len(table), bool)
        right[list(reasons)] = False
        table = table.filter(pa.array(right))
    return table, reasons


def _note_missing(table: pa.Table, needed: list[str], reasons: dict[int, str]) -> None:
    for name in needed:
        for row in _rows_where(pc.is_null(table[name])):
            reasons.setdefault(row, f"{name!r} is null")


def _note_operations(table: pa.Table, source: PushSource, reasons: dict[int, str]) -> None:
    """An operation is one of two, and a delete says of what."""
    if not source.operation:
        return
    said = table[source.operation]
    unknown = pc.invert(pc.is_in(said, pa.array([*OPERATIONS, None], pa.string())))
    for row in _rows_where(unknown):
        reasons.setdefault(row, f"{source.operation!r}: {said[row].as_py()!r} is neither 'upsert' nor 'delete'")
    nothing = pc.and_(pc.equal(said, "delete"), pc.is_null(table[source.event_id]))
    for row in _rows_where(pc.fill_null(nothing, False)):
        reasons.setdefault(row, f"a delete, and {source.event_id!r} is null")


def _rows_where(mask: pa.ChunkedArray) -> list[int]:
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found
