"""One JSON form, and a fingerprint that changes exactly when values may."""

from __future__ import annotations

import dataclasses
import json
import pickle
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon import (
    AvroFormat,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    JsonFormat,
    KafkaSource,
    LoggingConfig,
    OnDemandFeatureView,
    ProtoFormat,
    PushSource,
    RedisStreamSource,
    RequestSource,
    Window,
    agg,
)
from gnomon.core.functions import Code
from gnomon.definitions.aggregations import Aggregation
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.codec import CLASSES, decode, encode, fingerprint
from gnomon.definitions.views import Projection
from gnomon.errors import DefinitionError
from gnomon.testing.strategies import definitions
from gnomon.types import Bool, Float64, Int32, Int64, String, UnixTimestamp


def refuse(kind: str, name: str) -> Any:
    raise AssertionError(f"nothing here refers to {kind} {name}")


@given(definitions())
def test_documents_are_json_and_come_back_as_they_were(catalog: Catalog) -> None:
    written = json.dumps(catalog.documents())
    back = Catalog.from_documents(json.loads(written))
    assert back == catalog
    assert back.documents() == catalog.documents()
    assert [hash(one) for one in back.definitions.values()] == [hash(one) for one in catalog.definitions.values()]


@given(definitions(), st.randoms(use_true_random=False))
def test_documents_may_come_in_any_order(catalog: Catalog, random: Any) -> None:
    documents = catalog.documents()
    random.shuffle(documents)
    assert Catalog.from_documents(documents) == catalog


@given(definitions())
def test_definitions_cross_processes(catalog: Catalog) -> None:
    assert pickle.loads(pickle.dumps(catalog)) == catalog


@given(definitions())
def test_a_replaced_copy_without_changes_is_the_same(catalog: Catalog) -> None:
    for one in catalog.definitions.values():
        assert dataclasses.replace(one) == one


SOURCE = FileSource(
    path="users.parquet",
    timestamp_field="ts",
    created_timestamp_column="created",
    delay=timedelta(hours=1),
    event_id="id",
    operation="op",
    name="users",
    file_format="parquet",
    field_mapping={"a": "b"},
)
OLDER = FileSource(path="older.parquet", timestamp_field="at")
EVENT = (Field("at", UnixTimestamp), Field("since", UnixTimestamp), Field("id", String), Field("op", String))
PUSHED = PushSource(
    name="clicks",
    schema=EVENT,
    timestamp_field="at",
    event_id="id",
    operation="op",
    batch_source=OLDER,
    cutover="2024-01-01",
)
TOPIC = KafkaSource(
    **{one.name: getattr(PUSHED, one.name) for one in dataclasses.fields(PUSHED)},
    kafka_bootstrap_servers="k1:9092",
    topic="clicks",
)
STREAM = RedisStreamSource(
    **{one.name: getattr(PUSHED, one.name) for one in dataclasses.fields(PUSHED)}, stream="clicks"
)
USER = Entity(name="user", join_keys=("user_id",))
VIEW = FeatureView(
    name="profile",
    source=SOURCE,
    entities=(USER,),
    schema=(Field("user_id", Int64), Field("age", Int64), Field("city", String)),
    ttl=timedelta(days=1),
    version=2,
)
DECLINED = agg.sum("amount", over=["24h", Window("1h", hop="5m", offset="7d")], where="declined")
TOP = agg.top_k("city", 3, over="7d", name="cities")
SPEND = FeatureView(
    name="spend",
    source=SOURCE,
    entities=(USER,),
    aggregations=(DECLINED, TOP),
    inputs=(Field("amount", Int32), Field("declined", Bool), Field("city", String)),
)
REQUEST = RequestSource(name="payment", schema=(Field("amount", Float64),))


def doubled(amount: float) -> float:
    return amount * 2


ON_DEMAND = OnDemandFeatureView(
    name="doubled", sources=(REQUEST, VIEW), schema=(Field("twice", Float64),), function=doubled, version=2
)
EXPRESSION = OnDemandFeatureView(
    name="expressed",
    sources=(REQUEST,),
    schema=(Field("twice", Float64),),
    mode="sql",
    expressions={"twice": "amount * 2"},
)
PROJECTION = Projection(view=VIEW, features=("age",), name="from", join_key_map={"user_id": "sender"})
SERVICE = FeatureService(name="model", features=(PROJECTION,))

ABOUT: dict[str, Any] = {"description": "other words", "owner": "another team", "tags": {"team": "b"}}
OF_PUSHED: dict[str, Any] = {
    "name": "taps",
    "schema": (*EVENT, Field("more", Int64)),
    "timestamp_field": "since",
    "event_id": "op",
    "operation": "",
    "batch_source": dataclasses.replace(OLDER, delay=timedelta(0)),
    "cutover": "",
    **ABOUT,
}
READING: dict[str, Any] = {"message_format": AvroFormat("{}"), "field_mapping": {"who": "id"}, "group": "g"}
CHANGED: dict[type[Any], tuple[Any, dict[str, Any]]] = {
    Entity: (USER, {"name": "customer", "join_keys": ("id",), "value_type": Int32, **ABOUT}),
    FileSource: (
        SOURCE,
        {
            "path": "other.parquet",
            "timestamp_field": "at",
            "created_timestamp_column": "",
            "delay": timedelta(0),
            "event_id": "number",
            "operation": "",
            "name": "people",
            "file_format": "csv",
            "field_mapping": {"a": "c"},
            **ABOUT,
        },
    ),
    PushSource: (PUSHED, OF_PUSHED),
    KafkaSource: (
        TOPIC,
        {
            **OF_PUSHED,
            **READING,
            "kafka_bootstrap_servers": "k2:9092",
            "topic": "taps",
            "dead_letter_topic": "dead",
        },
    ),
    RedisStreamSource: (
        STREAM,
        {**OF_PUSHED, **READING, "url": "redis://r2:6379", "stream": "taps", "field": "event"},
    ),
    JsonFormat: (JsonFormat(), {"instants": "ms", "schema_json": "{}"}),
    AvroFormat: (AvroFormat("{}"), {"schema_json": "[]", "skip_bytes": 5}),
    ProtoFormat: (ProtoFormat("a_pb2.A"), {"class_path": "a_pb2.B", "skip_bytes": 6}),
    Field: (
        VIEW.schema[0],
        {"name": "years", "dtype": Float64, "default": 1, **{k: ABOUT[k] for k in ("description", "tags")}},
    ),
    FeatureView: (
        VIEW,
        {
            "name": "person",
            "source": dataclasses.replace(SOURCE, path="other.parquet"),
            "entities": (dataclasses.replace(USER, name="customer"),),
            "schema": tuple(reversed(VIEW.schema)),
            "entity_columns": (Field("user_id", String),),
            "aggregations": (TOP, DECLINED),
            "inputs": (Field("amount", Int64), *SPEND.inputs[1:]),
            "ttl": None,
            "online": False,
            "version": 3,
            **ABOUT,
        },
    ),
    Projection: (
        PROJECTION,
        {
            "view": dataclasses.replace(VIEW, version=3),
            "features": ("city",),
            "name": "to",
            "join_key_map": {"user_id": "receiver"},
        },
    ),
    RequestSource: (REQUEST, {"name": "other", "schema": (Field("amount", Int64),), **ABOUT}),
    OnDemandFeatureView: (
        ON_DEMAND,
        {
            "name": "other",
            "sources": (REQUEST,),
            "schema": (Field("twice", Int64),),
            "mode": "numpy",
            "code": dataclasses.replace(ON_DEMAND.code, hash="other"),
            "expressions": {"twice": "amount * 3"},
            "singleton": True,
            "version": 3,
            **ABOUT,
        },
    ),
    Code: (ON_DEMAND.code, {"place": "other:f", "hash": "other", "text": "def f(): ...", "parameters": ("mean",)}),
    FeatureService: (
        SERVICE,
        {"name": "other", "features": (VIEW,), "logging_config": LoggingConfig(sample_rate=0.5), **ABOUT},
    ),
    LoggingConfig: (LoggingConfig(), {"sample_rate": 0.1, "retain": "90d"}),
    Aggregation: (
        DECLINED,
        {
            "function": "mean",
            "column": "fee",
            "over": (Window("24h"),),
            "where": "not declined",
            "name": "lost",
            "arguments": {"length": 2},
            "default": 0,
        },
    ),
    Window: (
        Window("1h", hop="5m", offset="7d"),
        {"size": "2h", "hop": None, "offset": None, "closed": "right", "tumbling": True},
    ),
}
WINDOWED = {"aggregations", "inputs"}
"""Fields of a view that a row view has not."""


def before_and_changes(cls: type[Any], name: str) -> tuple[Any, dict[str, Any]]:
    """A definition, and what its fields could be instead."""
    before, changes = CHANGED[cls]
    if cls is Window and name == "tumbling":
        return Window("1h"), changes
    if cls is OnDemandFeatureView and name == "expressions":
        return EXPRESSION, changes
    return SPEND if cls is FeatureView and name in WINDOWED else before, changes


FIELDS = [(cls, one) for cls in CLASSES.values() for one in dataclasses.fields(cls)]


@pytest.mark.parametrize(("cls", "one"), FIELDS, ids=lambda one: getattr(one, "__name__", None) or one.name)
def test_a_field_is_in_the_fingerprint_unless_it_only_describes(cls: type[Any], one: dataclasses.Field[Any]) -> None:
    before, changes = before_and_changes(cls, one.name)
    assert one.name in changes, f"say above what another {cls.__name__}.{one.name} could be"
    after = dataclasses.replace(before, **{one.name: changes[one.name]})
    assert after != before
    assert (fingerprint(after) == fingerprint(before)) is bool(one.metadata.get("describes"))


def within(part: Any) -> dict[str, Any]:
    """The given part inside everything that may hold one."""
    if isinstance(part, Entity):
        return {"view": dataclasses.replace(VIEW, entities=(part,))}
    if isinstance(part, (FileSource, PushSource)):
        return {"view": dataclasses.replace(VIEW, source=part)}
    if isinstance(part, Field):
        return {"view": dataclasses.replace(VIEW, schema=(part,))}
    if isinstance(part, RequestSource):
        return {"view": dataclasses.replace(ON_DEMAND, sources=(part, VIEW), code=ON_DEMAND.code)}
    if isinstance(part, (FeatureView, OnDemandFeatureView)):
        return {"service": FeatureService(name="model", features=(part,))}
    if isinstance(part, Aggregation):
        return {"view": dataclasses.replace(SPEND, aggregations=(part,), inputs=(), schema=())}
    if isinstance(part, Window):
        return {"aggregation": dataclasses.replace(DECLINED, over=(part,))}
    return {"service": FeatureService(name="model", features=(part,))} if isinstance(part, Projection) else {}


@pytest.mark.parametrize(("cls", "one"), FIELDS, ids=lambda one: getattr(one, "__name__", None) or one.name)
def test_what_a_part_does_to_a_whole(cls: type[Any], one: dataclasses.Field[Any]) -> None:
    before, changes = before_and_changes(cls, one.name)
    if (cls, one.name) == (Entity, "join_keys"):
        before, changes = dataclasses.replace(before, join_keys=("user_id",)), {"join_keys": ("user_id", "tenant")}
    if (cls, one.name) == (Entity, "value_type"):
        changes = {"value_type": Int64}  # what the view declares
    after = dataclasses.replace(before, **{one.name: changes[one.name]})
    for (_, old), (_, new) in zip(within(before).items(), within(after).items(), strict=True):
        assert (fingerprint(old) == fingerprint(new)) is bool(one.metadata.get("describes"))


@given(definitions())
def test_fingerprints_do_not_hang_on_who_computes_them(catalog: Catalog) -> None:
    back = Catalog.from_documents(json.loads(json.dumps(catalog.documents())))
    for key, one in catalog.definitions.items():
        assert fingerprint(back.definitions[key]) == fingerprint(one)
        assert len(fingerprint(one)) == 32


def test_a_fingerprint_stays_the_same_from_release_to_release() -> None:
    # It decides whether answers stored by an older gnomon still stand: change it only with a migration.
    entity = Entity(name="user", join_keys=["user_id"], value_type=Bool, description="not in it")
    assert fingerprint(entity) == "0ed8d956337f00543adcc0677e3ab73c"


def test_a_document_leaves_defaults_out_and_refers_by_name() -> None:
    assert encode(SERVICE) == {
        "kind": "FeatureService",
        "name": "model",
        "features": [
            {
                "kind": "Projection",
                "view": {"ref": "FeatureView", "name": "profile@2"},
                "features": ["age"],
                "name": "from",
                "join_key_map": {"user_id": "sender"},
            }
        ],
    }


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"kind": "Nothing", "name": "x"}, "'Nothing'"),
        ({"name": "x"}, "None"),
        ({"kind": "Entity", "name": "user", "colour": "red"}, "Entity 'user' has an unknown field 'colour'"),
        ({"kind": "Entity"}, "Entity None lacks 'name'"),
        ({"kind": "FeatureView", "name": "profile"}, "FeatureView 'profile' lacks 'source'"),
        ({"kind": "Entity", "name": "user", "value_type": "Int63"}, "entity 'user': 'Int63' is no type"),
        ({"kind": "FileSource", "path": "a", "delay": "soon"}, "'soon' is no duration"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_document_that_is_none_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        decode(document, refuse)
    with pytest.raises(DefinitionError, match=said):
        Catalog.from_documents([document])


def test_a_reference_to_nothing_is_refused() -> None:
    with pytest.raises(DefinitionError, match="feature view 'profile' refers to data source 'users'"):
        Catalog.from_documents([encode(VIEW), encode(USER)])
