"""Avro messages, written by fastavro."""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from decimal import Decimal as PythonDecimal
from typing import Any

import pytest
from payments import of_kafka

from gnomon import AvroFormat, Field
from gnomon.contracts.streams import Messages
from gnomon.errors import DefinitionError
from gnomon.flows.decoding import Reader
from gnomon.flows.rows import checked_pieces
from gnomon.types import Array, Bytes, Decimal, Int64, String, UnixTimestamp

fastavro = pytest.importorskip("fastavro")
AT = datetime(2024, 1, 1, 12, 0, 0, 1_000, tzinfo=timezone.utc)
SCHEMA = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "user_id", "type": ["null", "long"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "money", "type": {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}},
        {"name": "raw", "type": "bytes"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["cash", "card"]}},
        {"name": "more", "type": "int"},
    ],
}
FIELDS = [
    Field("user_id", Int64),
    Field("at", UnixTimestamp),
    Field("money", Decimal(10, 2)),
    Field("raw", Bytes),
    Field("tags", Array(String)),
    Field("kind", String),
]
ROW = {
    "user_id": 7,
    "at": AT,
    "money": PythonDecimal("12.50"),
    "raw": b"\xff",
    "tags": ["a"],
    "kind": "card",
    "more": 1,
}


def written(row: dict[str, Any]) -> bytes:
    data = io.BytesIO()
    fastavro.schemaless_writer(data, fastavro.parse_schema(SCHEMA), row)
    return data.getvalue()


def read(payloads: list[bytes | None], skip: int = 0) -> tuple[list[dict[str, Any]], dict[int, str], list[str]]:
    made = AvroFormat(json.dumps(SCHEMA), skip_bytes=skip)
    source = of_kafka("k:1", "pay", schema=FIELDS, event_id="", message_format=made)
    found = Reader(source).read(Messages(partition="p", offsets=range(len(payloads)), payloads=payloads))
    table, reasons = checked_pieces(found.pieces, len(payloads), source, {}, found.failed)
    return table.to_pylist(), dict(sorted(reasons.items())), list(found.unknown)


def test_records_become_events() -> None:
    rows, reasons, unknown = read([written(ROW), written({**ROW, "user_id": None})])
    wanted = {name: value for name, value in ROW.items() if name != "more"}
    assert rows == [wanted, {**wanted, "user_id": None}]
    assert (reasons, unknown) == ({}, ["more"])


def test_bytes_in_front_are_left_out() -> None:
    rows, reasons, _ = read([b"\x00\x00\x00\x00\x07" + written(ROW)], skip=5)
    assert (len(rows), reasons) == (1, {})


def test_what_is_no_record_is_refused_by_itself() -> None:
    good = written(ROW)
    rows, reasons, _ = read([good, good[:-2], b"", None, b"\xff" * 40, good + b"x", good])
    assert len(rows) == 2
    assert list(reasons) == [1, 2, 3, 4, 5]
    assert all(reason.startswith("no Avro of that schema: ") for reason in reasons.values())


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "schema_json is no JSON"),
        ('{"type": "record"}', "is no Avro schema"),
        ('{"type": "nothing"}', "is no Avro schema"),
        ('"long"', "is not that of a record"),
    ],
)
def test_a_schema_that_cannot_be_followed(schema: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Reader(of_kafka("k:1", "pay", message_format=AvroFormat(schema)))
