"""Lineage: of a definition, from columns to services; of a value, from its events to the feature."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, agg
from gnomon.clock import ManualClock, from_micros
from gnomon.errors import RequestError, UnknownFeature
from gnomon.types import Float64, Int64, String, UnixTimestamp

STAMP = pa.timestamp("us", "UTC")


def payments(*rows: tuple[int, str, float, int]) -> pa.Table:
    users, shops, amounts, times = zip(*rows, strict=True)
    at = pa.array(times, pa.int64()).cast(STAMP)
    return pa.table({"user_id": users, "shop": shops, "amount": amounts, "at": at})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    pq.write_table(payments((7, "<b>", 1.0, 10), (7, "b", 2.0, 20)), tmp_path / "old.parquet")
    source = PushSource(
        name="payments",
        schema=[Field("user_id", Int64), Field("shop", String), Field("amount", Float64), Field("at", UnixTimestamp)],
        batch_source=FileSource(path="old.parquet", timestamp_field="at", delay="0s"),
        cutover=from_micros(25),
        timestamp_field="at",
    )
    user, shop = Entity(name="user_id", value_type=Int64), Entity(name="shop", value_type=String)
    spend = FeatureView(
        name="spend",
        entities=[user],
        source=source,
        aggregations=[agg.sum("amount", over="1s", where="shop <> 'x'", name="total"), agg.count(over="1s")],
    )
    pair = FeatureView(name="pair", entities=[user, shop], source=source, schema=[Field("amount", Float64)])
    services = [
        FeatureService(name="fraud", features=[spend[["total"]]], owner="risk"),
        FeatureService(name="churn", features=[spend, pair]),
        FeatureService(name="other", features=[pair]),
    ]
    with FeatureStore(tmp_path, clock=ManualClock(40)) as made:
        made.apply(services)
        made.push("payments", payments((7, "c", 4.0, 30)))
        yield made


def test_of_a_definition_from_columns_to_services(store: FeatureStore) -> None:
    assert str(store.get_lineage("spend:total")).splitlines() == [
        "source old.parquet → source payments",
        "source payments → column amount (value) → aggregation sum('amount') where shop <> 'x' over 1s",
        "source payments → column shop (where) → aggregation sum('amount') where shop <> 'x' over 1s",
        "source payments → column at (event time) → aggregation sum('amount') where shop <> 'x' over 1s",
        "source payments → column user_id (key) → aggregation sum('amount') where shop <> 'x' over 1s",
        "aggregation sum('amount') where shop <> 'x' over 1s → feature spend@1:total",
        "feature spend@1:total → service churn",
        "feature spend@1:total → service fraud",
    ]
    assert str(store.get_lineage("pair:amount")).splitlines() == [
        "source old.parquet → source payments",
        "source payments → column amount (value) → feature pair@1:amount",
        "source payments → column at (event time) → feature pair@1:amount",
        "source payments → column user_id (key) → feature pair@1:amount",
        "source payments → column shop (key) → feature pair@1:amount",
        "feature pair@1:amount → service churn",
        "feature pair@1:amount → service other",
    ]


def test_of_a_value_from_its_events_to_the_feature(store: FeatureStore) -> None:
    graph = store.get_lineage(feature="spend__total", entity_id=7, timestamp=from_micros(41))
    assert str(graph).splitlines() == [
        "event old.parquet row 0, 1970-01-01T00:00:00.000010Z, amount 1.0, shop <b> → source old.parquet",
        "event old.parquet row 1, 1970-01-01T00:00:00.000020Z, amount 2.0, shop b → source old.parquet",
        "event position 1, 1970-01-01T00:00:00.000030Z, amount 4.0, shop c → source payments",
        "source old.parquet → source payments",
        "source payments → view spend@1",
        "view spend@1 → feature spend@1:total = 7.0 (PRESENT)",
    ]
    assert "shop &lt;b&gt;" in graph._repr_html_()
    told = json.loads(json.dumps(graph.to_dict()))
    feature = told["nodes"][-1]
    assert (feature["kind"], feature["value"], feature["entity"]) == ("feature", 7.0, {"user_id": 7})
    assert feature["agrees"]
    ids = [node["id"] for node in told["nodes"]]
    assert len(set(ids)) == len(ids)
    assert {edge[end] for edge in told["edges"] for end in ("from", "to")} <= set(ids)


def test_with_hindsight_or_without(store: FeatureStore) -> None:
    (value,) = (
        node.facts["value"]
        for node in store.get_lineage("spend:total", 7, from_micros(41), as_known="through:spend@1=e15").nodes
        if node.kind == "feature"
    )
    assert value == 1.0


def test_a_row_views_value_comes_from_one_row(store: FeatureStore) -> None:
    graph = store.get_lineage("pair:amount", {"user_id": 7, "shop": "b"})
    assert [node.kind for node in graph.nodes] == ["event", "source", "source", "view", "feature"]


def test_bad_questions(store: FeatureStore) -> None:
    with pytest.raises(RequestError, match="timestamp= without entity_id="):
        store.get_lineage("spend:total", timestamp=from_micros(1))
    with pytest.raises(RequestError, match="view 'pair' has 2 join keys"):
        store.get_lineage("pair:amount", 7)
    with pytest.raises(UnknownFeature):
        store.get_lineage("pair:amounts")
