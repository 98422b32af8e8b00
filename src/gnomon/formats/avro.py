"""Avro, by fastavro: a record a message, written with the schema that the definition has."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from gnomon.contracts.formats import Decoded, Fields
from gnomon.definitions.formats import AvroFormat
from gnomon.errors import DefinitionError, MissingExtra

try:
    import fastavro
    from fastavro.schema import SchemaParseException, UnknownType
except ModuleNotFoundError:
    raise MissingExtra(package="fastavro", extra="avro", purpose="AvroFormat") from None

__all__ = ["AvroDecoder"]


class AvroDecoder:
    """Reads Avro records.

    Args:
        format: the schema.
        fields: field → the type wanted.

    Raises:
        DefinitionError: the schema is none, or not that of a record.
    """

    def __init__(self, format: AvroFormat, fields: Fields) -> None:  # noqa: A002
        schema = json.loads(format.schema_json)
        try:
            self._schema = fastavro.parse_schema(schema)
        except (SchemaParseException, UnknownType, KeyError, TypeError, ValueError) as wrong:
            raise DefinitionError(
                f"AvroFormat: schema_json is no Avro schema: {wrong!r}.", hint="give the writer's."
            ) from wrong
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise DefinitionError("AvroFormat: schema_json is not that of a record.", hint="events have fields.")
        self._skip, self._names = format.skip_bytes, list(fields)
        self._unknown = [one["name"] for one in schema["fields"] if one["name"] not in fields]

    def decode(self, payloads: Sequence[bytes]) -> Decoded:
        """The messages' fields."""
        failed: dict[int, str] = {}
        rows: list[dict[str, Any]] = []
        for row, payload in enumerate(payloads):
            try:
                rows.append(self._read(payload))
            except Exception as wrong:  # fastavro has no family of its own for bytes that are not what they should be
                rows.append({})
                failed[row] = f"no Avro of that schema: {wrong or type(wrong).__name__}"
        return Decoded({name: [[one.get(name) for one in rows]] for name in self._names}, failed, self._unknown)

    def _read(self, payload: bytes) -> dict[str, Any]:
        data = io.BytesIO(payload)
        data.seek(self._skip)
        read: Any = fastavro.schemaless_reader(data, self._schema, None)
        if data.read(1):
            raise ValueError("bytes are left over")
        return dict(read)
