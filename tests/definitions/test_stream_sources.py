"""Sources with a stream: push sources in all else, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gnomon import (
    AvroFormat,
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    JsonFormat,
    KafkaSource,
    ProtoFormat,
    PushSource,
    RedisStreamSource,
    Window,
    agg,
)
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.codec import fingerprint
from gnomon.errors import DefinitionError
from gnomon.types import Float64, Int64, String, UnixTimestamp

FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp), Field("id", String)]


def kafka(**changes: Any) -> KafkaSource:
    return KafkaSource(
        **{"name": "pay", "schema": FIELDS, "kafka_bootstrap_servers": "k:9092", "topic": "pay", **changes}
    )


def redis(**changes: Any) -> RedisStreamSource:
    return RedisStreamSource(**{"name": "pay", "schema": FIELDS, "stream": "pay", **changes})


MISTAKES: list[tuple[Any, dict[str, Any], str]] = [
    (kafka, {"name": "a b"}, "Kafka source name 'a b' is not usable"),
    (kafka, {"schema": []}, "Kafka source 'pay' has no schema"),
    (kafka, {"kafka_bootstrap_servers": " "}, "has no kafka_bootstrap_servers.*\nHint: write 'host:9092'"),
    (kafka, {"kafka_bootstrap_servers": 9092}, "kafka_bootstrap_servers is 9092"),
    (kafka, {"topic": ""}, "topic is ''"),
    (kafka, {"topic": "a topic"}, "topic is 'a topic'"),
    (kafka, {"dead_letter_topic": "a/b"}, "dead_letter_topic is 'a/b'"),
    (kafka, {"dead_letter_topic": "pay"}, "its dead letters go where they came from"),
    (kafka, {"message_format": "json"}, r"message_format is 'json'.*\nHint: write JsonFormat\(\)"),
    (kafka, {"field_mapping": {"a": "b"}}, "field_mapping gives the column 'b', which its schema has not"),
    (kafka, {"field_mapping": [1]}, "field_mapping is"),
    (kafka, {"batch_source": FileSource(path="a")}, "nothing says which of its rows are in the log"),
    (redis, {"stream": ""}, "Redis source 'pay' has no stream"),
    (redis, {"url": "http://r"}, "its url has the scheme 'http'"),
    (redis, {"url": "redis://:secret@r"}, "its url holds a password.*\nHint: write it in feature_store.yaml"),
    (redis, {"group": 7}, "group is 7"),
    (JsonFormat, {"instants": "ns"}, "instants is 'ns'"),
    (JsonFormat, {"schema_json": 1}, "schema_json is 1"),
    (AvroFormat, {"schema_json": None}, "schema_json is no JSON"),
    (AvroFormat, {"schema_json": "{}", "skip_bytes": -1}, "skip_bytes is -1"),
    (ProtoFormat, {"class_path": "Payment"}, "class_path is 'Payment'"),
    (ProtoFormat, {"class_path": "a_pb2.A", "skip_bytes": True}, "skip_bytes is True"),
]


@pytest.mark.parametrize(("make", "changes", "said"), MISTAKES, ids=[said[:30] for _, _, said in MISTAKES])
def test_a_mistake_is_told_where_it_is_made(make: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        make(**changes)


def test_no_message_shows_a_password() -> None:
    with pytest.raises(DefinitionError) as wrong:
        redis(url="redis://:secret@r")
    assert "secret" not in str(wrong.value)


def test_they_are_push_sources_with_a_place() -> None:
    assert isinstance(kafka(), PushSource)
    assert kafka().timestamp_field == "at"
    assert kafka().message_format == JsonFormat()
    assert (kafka().where, redis().where) == ("Kafka topic pay at k:9092", "Redis stream pay at localhost:6379")
    assert PushSource(name="p", schema=FIELDS).where == "pushed"
    catalog = Catalog.of([FeatureView(name="v", entities=["user_id"], source=kafka())])
    assert list(catalog.sources) == ["pay"]
    assert Catalog.from_documents(catalog.documents()) == catalog


def test_where_a_stream_is_changes_no_value() -> None:
    moved = kafka(kafka_bootstrap_servers="other:9092", topic="paid", message_format=AvroFormat("{}"), group="g")
    assert fingerprint(moved) == fingerprint(kafka())
    assert fingerprint(kafka(event_id="id")) != fingerprint(kafka())
    assert fingerprint(redis(url="redis://r2")) == fingerprint(redis())


def test_a_stream_stands_beside_files_as_pushes_do(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.table({"user_id": [1], "amount": [5.0], "at": pa.array([0], pa.timestamp("us")), "id": ["a"]})
    pq.write_table(rows, tmp_path / "older.parquet")
    older = FileSource(path="older.parquet", timestamp_field="at", event_id="id", delay="0s")
    source = kafka(schema=None, batch_source=older)
    total = agg.sum("amount", over=Window(None))
    view = FeatureView(name="spend", entities=[Entity(name="user_id")], source=source, aggregations=[total])
    with FeatureStore(tmp_path) as store:
        store.apply(view)
        made = store.get_data_source("pay")
        assert isinstance(made, KafkaSource)
        assert [one.name for one in made.schema] == ["user_id", "amount", "at", "id"]
        store.push("pay", {"user_id": [1], "amount": [2.0], "at": ["1970-01-02"], "id": ["b"]})
        asked = {"user_id": [1], "event_timestamp": ["2024-01-01"]}
        answer = store.get_historical_features(asked, ["spend:amount_sum_lifetime"]).to_arrow()
        assert answer["amount_sum_lifetime"].to_pylist() == [7.0]


def test_a_push_source_becomes_a_kafka_source_with_prune(tmp_path: Path) -> None:
    def view(source: PushSource) -> FeatureView:
        return FeatureView(name="v", entities=[Entity(name="user_id")], source=source)

    with FeatureStore(tmp_path) as store:
        store.apply(view(PushSource(name="pay", schema=FIELDS)))
        store.push("pay", {"user_id": [1], "amount": [2.0], "at": ["2024-01-01"], "id": ["b"]})
        with pytest.raises(DefinitionError, match="two sources of different kinds are both called 'pay'"):
            store.apply(view(kafka()))
        store.apply(view(kafka()), prune=True)
        assert store.logs.log("pay").position() == 1
