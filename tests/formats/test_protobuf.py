"""Protobuf messages of a class that is made as protoc would make it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from payments import of_kafka

from gnomon import Field, ProtoFormat
from gnomon.contracts.streams import Messages
from gnomon.errors import DefinitionError
from gnomon.flows.decoding import Reader
from gnomon.flows.rows import checked_pieces
from gnomon.types import Array, Bool, Float64, Int64, String, UnixTimestamp

pytest.importorskip("google.protobuf")
MODULE = """
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

F = descriptor_pb2.FieldDescriptorProto
file = descriptor_pb2.FileDescriptorProto(name="payments_here.proto", package="shop_here", syntax="proto3")
file.dependency.append("google/protobuf/timestamp.proto")
message = file.message_type.add(name="Payment")
for number, (name, kind) in enumerate([("user_id", F.TYPE_INT64), ("amount", F.TYPE_DOUBLE), ("paid", F.TYPE_BOOL)], 1):
    message.field.add(name=name, number=number, type=kind, label=F.LABEL_OPTIONAL)
message.oneof_decl.add(name="_note")
message.field.add(
    name="note", number=4, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL, proto3_optional=True, oneof_index=0
)
message.field.add(name="tags", number=5, type=F.TYPE_STRING, label=F.LABEL_REPEATED)
message.field.add(
    name="at", number=6, type=F.TYPE_MESSAGE, label=F.LABEL_OPTIONAL, type_name=".google.protobuf.Timestamp"
)
message.field.add(name="more", number=7, type=F.TYPE_INT32, label=F.LABEL_OPTIONAL)
found = descriptor_pool.Default().Add(file) if hasattr(descriptor_pool.Default(), "Add") else None
pool = descriptor_pool.Default()
pool.AddSerializedFile(file.SerializeToString()) if found is None else None
Payment = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop_here.Payment"))
other = 7
"""
FIELDS = [
    Field("user_id", Int64),
    Field("amount", Float64),
    Field("paid", Bool),
    Field("note", String),
    Field("tags", Array(String)),
    Field("at", UnixTimestamp),
    Field("gone", String),
]
AT = datetime(2024, 1, 1, 12, 0, 0, 7, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def payment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("generated")
    (folder / "payments_here_pb2.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    import payments_here_pb2  # type: ignore[import-not-found]

    yield payments_here_pb2.Payment
    sys.path.remove(str(folder))


def read(payloads: list[bytes | None], skip: int = 0) -> tuple[list[dict[str, Any]], dict[int, str], list[str]]:
    made = ProtoFormat("payments_here_pb2.Payment", skip_bytes=skip)
    source = of_kafka("k:1", "pay", schema=FIELDS, event_id="", message_format=made)
    found = Reader(source).read(Messages(partition="p", offsets=range(len(payloads)), payloads=payloads))
    table, reasons = checked_pieces(found.pieces, len(payloads), source, {}, found.failed)
    return table.to_pylist(), dict(sorted(reasons.items())), list(found.unknown)


def test_messages_become_events(payment: Any) -> None:
    one = payment(user_id=7, amount=1.5, paid=True, note="", tags=["a", "b"], more=3)
    one.at.FromDatetime(AT)
    two = payment()
    two.at.FromDatetime(AT)
    rows, reasons, unknown = read([one.SerializeToString(), two.SerializeToString()])
    assert rows == [
        {"user_id": 7, "amount": 1.5, "paid": True, "note": "", "tags": ["a", "b"], "at": AT, "gone": None},
        {"user_id": 0, "amount": 0.0, "paid": False, "note": None, "tags": [], "at": AT, "gone": None},
    ]
    assert (reasons, unknown) == ({}, ["more"])


def test_bytes_in_front_are_left_out(payment: Any) -> None:
    one = payment(user_id=7)
    one.at.FromDatetime(AT)
    rows, reasons, _ = read([bytes(6) + one.SerializeToString()], skip=6)
    assert (rows[0]["user_id"], reasons) == (7, {})


def test_what_is_no_message_is_refused_by_itself(payment: Any) -> None:
    one = payment(user_id=7)
    one.at.FromDatetime(AT)
    good = one.SerializeToString()
    rows, reasons, _ = read([good, b"\xff\xff", None, payment(user_id=1).SerializeToString(), good])
    assert len(rows) == 2
    assert list(reasons) == [1, 2, 3]
    assert reasons[1].startswith("no Payment: ")
    assert reasons[3] == "'at' is null"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("no_such_module_pb2.Payment", "cannot be imported"),
        ("payments_here_pb2.Paymnt", "cannot be imported"),
        ("payments_here_pb2.other", "is no class of messages"),
    ],
)
def test_a_class_that_cannot_be_followed(payment: Any, path: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Reader(of_kafka("k:1", "pay", message_format=ProtoFormat(path)))
