"""Messages of whatever form become columns of the source's names; what cannot be read is told apart, with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.contracts import plugins
from gnomon.contracts.formats import Decoder
from gnomon.contracts.streams import Messages
from gnomon.definitions.formats import JsonFormat
from gnomon.definitions.sources import PushSource
from gnomon.flows.rows import Pieces
from gnomon.types import Bool, Bytes, Decimal, FeatureType, Float32, Float64, Int32, Int64, String, to_arrow

__all__ = ["Columns", "Reader", "payload_of"]

PARSED = (Bool, Bytes, Float32, Float64, Int32, Int64)


@dataclass(frozen=True, slots=True)
class Columns:
    """What messages hold.

    Args:
        pieces: column → its values in pieces.
        failed: number of a message that cannot be read → why.
        unknown: fields that the source has no column for.
    """

    pieces: Pieces
    failed: Mapping[int, str]
    unknown: Sequence[str]


class Reader:
    """Reads a source's messages.

    Args:
        source: the source; a plain push source's messages are JSON.

    Raises:
        DefinitionError: its format cannot be followed.
        MissingExtra: a package for it is not installed.
    """

    def __init__(self, source: PushSource) -> None:
        mapping: Mapping[str, str] = getattr(source, "field_mapping", {})
        message_format = getattr(source, "message_format", JsonFormat())
        self._mapping = dict(mapping)
        named = {column: name for name, column in mapping.items()}
        self._dtypes = {one.name: one.dtype for one in source.schema}
        self._names = {named.get(column, column): column for column in self._dtypes}
        fields = {name: self._dtypes[column] for name, column in self._names.items()}
        self._decoder: Decoder = plugins.find("formats", type(message_format).__name__)(message_format, fields)

    def read(self, messages: Messages) -> Columns:
        """The columns of some messages."""
        if isinstance(messages.payloads, pa.Table):
            return self._of_table(messages.payloads, messages.failed)
        decoded = self._decoder.decode([payload or b"" for payload in messages.payloads])
        pieces = {self._names[name]: columns for name, columns in decoded.columns.items()}
        return Columns(pieces, decoded.failed, decoded.unknown)

    def _of_table(self, table: pa.Table, failed: Mapping[int, str]) -> Columns:
        pieces: dict[str, Sequence[pa.ChunkedArray | list[Any]]] = {}
        for name, column in self._names.items():
            if name in table.column_names:
                pieces[column] = _meant(table[name], self._dtypes[column])
        return Columns(pieces, failed, [name for name in table.column_names if name and name not in self._names])


def _meant(column: pa.ChunkedArray, dtype: FeatureType) -> list[pa.ChunkedArray]:
    """Texts as what their column's type has them for, where they can be that; an empty one is null."""
    if dtype == String or not pa.types.is_string(column.type):
        return [column]
    column = pc.if_else(pc.equal(column, ""), None, column)
    return _parsed(column, to_arrow(dtype)) if dtype in PARSED or isinstance(dtype, Decimal) else [column]


def _parsed(column: pa.ChunkedArray, target: pa.DataType) -> list[pa.ChunkedArray]:
    """Texts cast, in pieces, if some cannot be."""
    try:
        return [column.cast(target)]
    except pa.ArrowException:
        if len(column) == 1:
            return [column]
    half = len(column) // 2
    return _parsed(column.slice(0, half), target) + _parsed(column.slice(half), target)


def payload_of(messages: Messages, row: int) -> bytes | None:
    """A message as it came; a row of a file as text."""
    if isinstance(messages.payloads, pa.Table):
        return repr(messages.payloads.slice(row, 1).to_pylist()[0]).encode()
    return messages.payloads[row]
