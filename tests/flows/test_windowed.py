"""Windowed views in whole questions: beside others, under other names, and made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop import day, profile

from gnomon import Entity, FeatureService, FeatureStore, FeatureView, FileSource, Window, agg
from gnomon.clock import ManualClock
from gnomon.flows.reproduce import SourceChangedWarning

AS_KNOWN = ["now", "then", day(12)]


def payments(*rows: tuple) -> pa.Table:
    """(payment, user, day it happened, day it was known, amount, shop, operation) as a source's table."""
    ids, users, happened, known, amounts, shops, operations = zip(*rows, strict=True)
    stamp = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "payment": pa.array(ids, pa.string()),
            "user_id": pa.array(users, pa.int64()),
            "at": pa.array([day(one) for one in happened], stamp),
            "loaded": pa.array([day(one) for one in known], stamp),
            "amount": pa.array(amounts, pa.float64()),
            "shop": pa.array(shops, pa.string()),
            "what": pa.array(operations, pa.string()),
        }
    )


PAYMENTS = payments(
    ("p1", 1, 2, 2, 10.0, "bike", None),
    ("p2", 1, 9, 9, 5.0, "coffee", None),
    ("p2", 1, 9, 13, 50.0, "coffee", "upsert"),  # corrected later
    ("p3", 1, 11, 14, 7.0, "coffee", None),  # late
    ("p4", 2, 10, 10, 3.0, "books", None),
    ("p4", 2, 10, 12, None, None, "delete"),
    ("p5", 3, 14, 14, None, "bike", None),
)

source = FileSource(
    name="payments",
    path="payments",
    timestamp_field="at",
    created_timestamp_column="loaded",
    event_id="payment",
    operation="what",
)
spend = FeatureView(
    name="spend",
    entities=profile.entities,
    source=source,
    aggregations=[
        agg.sum("amount", over=["3d", "30d"]),
        agg.count(over="30d", where="shop = 'coffee'", name="coffees"),
        agg.last("shop", over=Window("7d", offset="1d")),
    ],
)
shops = FeatureView(  # the same events by another key, and each row a payment of its own
    name="shops",
    entities=[Entity(name="shop")],
    source=FileSource(name="rows", path="payments", timestamp_field="at", created_timestamp_column="loaded"),
    aggregations=[agg.count(over=Window(None)), agg.count_distinct("user_id", over="30d")],
)
partner = spend.with_name("partner").with_join_key_map({"user_id": "partner_id"})
everything = FeatureService(name="everything", features=[profile[["age"]], spend, shops, partner[["amount_sum_30d"]]])

ASKED = {
    "user_id": [1, 1, 2, 3, None, 9],
    "partner_id": [2, 2, 1, None, 1, 1],
    "shop": ["coffee", "bike", "books", None, "coffee", "nowhere"],
    "event_timestamp": [day(12), day(15), day(11), day(15), day(15), day(15)],
}


@pytest.fixture
def store(store: FeatureStore, repo: Path) -> FeatureStore:
    (repo / "payments").mkdir()
    pq.write_table(PAYMENTS, repo / "payments" / "a.parquet")
    store.apply([everything])
    return store


def columns(store: FeatureStore, features: Any, asked: dict[str, list], **how: Any) -> dict[str, list]:
    found = store.get_historical_features(asked, features, full_feature_names=True, **how).to_arrow()
    return {name: found[name].to_pylist() for name in found.column_names if "__" in name}


@pytest.mark.parametrize("as_known", AS_KNOWN, ids=str)
def test_each_view_answers_for_itself(store: FeatureStore, as_known: Any) -> None:
    together = columns(store, everything, ASKED, as_known=as_known)
    assert list(together) == [
        "profile__age",
        *(f"spend__{name}" for name in spend.feature_names),
        *(f"shops__{name}" for name in shops.feature_names),
        "partner__amount_sum_30d",
    ]
    alone: dict[str, list] = {}
    for view in (profile[["age"]], spend, shops):
        alone |= columns(store, [f"{view.name}:{name}" for name in view.feature_names], ASKED, as_known=as_known)
    of_partners = {"user_id": ASKED["partner_id"], "event_timestamp": ASKED["event_timestamp"]}
    found = columns(store, ["spend:amount_sum_30d"], of_partners, as_known=as_known)
    assert together == {**alone, "partner__amount_sum_30d": found["spend__amount_sum_30d"]}


def test_the_answers_are_what_one_counts_by_hand(store: FeatureStore) -> None:
    now, then, at_12 = (columns(store, everything, ASKED, as_known=one) for one in AS_KNOWN)
    assert now["spend__amount_sum_30d"] == [67.0, 67.0, None, None, None, None]
    assert then["spend__amount_sum_30d"] == [15.0, 67.0, 3.0, None, None, None]
    assert at_12["spend__amount_sum_30d"] == [15.0, 15.0, None, None, None, None]
    assert then["spend__coffees"] == [1, 2, 0, 0, None, 0]
    assert then["partner__amount_sum_30d"] == [None, None, 15.0, None, 67.0, 67.0]
    assert now["shops__count_lifetime"] == [3, 2, 1, None, 3, 0]
    assert now["shops__user_id_count_distinct_30d"] == [1, 2, 1, None, 1, 0]


def test_features_come_in_the_order_asked(store: FeatureStore) -> None:
    asked = ["spend:coffees", "shops:count_lifetime", "profile:age", "spend:amount_sum_3d"]
    assert list(columns(store, asked, ASKED)) == [name.replace(":", "__") for name in asked]


@pytest.mark.parametrize("as_known", AS_KNOWN, ids=str)
@pytest.mark.parametrize("over_time", [False, True])
def test_a_set_is_made_again_after_all_has_moved_on(
    store: FeatureStore, repo: Path, clock: ManualClock, as_known: Any, over_time: bool
) -> None:
    if over_time:
        spine: dict[str, Any] = {"entities": {"user_id": [1, 2, 3]}, "start_date": day(1), "end_date": day(16)}
        first = store.get_historical_features(features=["spend:coffees", "profile:age"], as_known=as_known, **spine)
    else:
        first = store.get_historical_features(ASKED, everything, as_known=as_known, full_feature_names=True)
    path, made = first.persist(repo / "set.parquet"), first.to_arrow()
    assert [Path(file[0]).name for file in first.metadata["files"]["payments"]] == ["a.parquet"]

    clock.set(day(25))
    more = payments(("p1", 1, 2, 3, 999.0, "bike", "upsert"), ("p9", 2, 10, 10, 8.0, "coffee", None))
    pq.write_table(more, repo / "payments" / "b.parquet")
    sums, _, last = spend.aggregations
    store.apply([replace(spend, aggregations=[sums, agg.count(over="1d", name="coffees"), last])])
    for again in (store.reproduce(path), store.reproduce(made)):
        assert again.to_arrow().to_pydict() == made.to_pydict()
        assert again.metadata["files"] == first.metadata["files"]


def test_a_changed_file_of_events_is_reported(store: FeatureStore, repo: Path) -> None:
    made = store.get_historical_features(ASKED, ["spend:coffees"]).to_arrow()
    pq.write_table(PAYMENTS.slice(0, 2), repo / "payments" / "a.parquet")
    with pytest.warns(SourceChangedWarning, match=r"source changed: .*a\.parquet"):
        again = store.reproduce(made)
    assert again.to_arrow()["coffees"].to_pylist() == [1, 1, 0, 0, None, 0]


def test_windowed_views_are_loaded_as_row_views_are(store: FeatureStore) -> None:
    report = store.materialize_incremental()
    assert [one.view for one in report.views] == ["profile@1", "shops@1", "spend@1"]
    assert [one.rows for one in store.materialize_incremental().views if one.view != "profile@1"] == [0, 0]
    assert [one.view for one in store.materialize_incremental(feature_views=["spend"]).views] == ["spend@1"]


def test_a_changed_windowed_view_asks_for_a_reload(store: FeatureStore) -> None:
    changed = store.apply([replace(spend, aggregations=(agg.sum("amount", over="30d"), agg.count(over="3d")))])
    assert (changed.affected, changed.reload) == (("spend@1",), ("spend@1",))
    assert "Answers of spend@1 will differ from those given so far." in str(changed)
    assert store.apply([replace(profile, ttl="1d")]).reload == ("profile@1",)
