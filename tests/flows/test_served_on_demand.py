"""On-demand features in the served-row log: what came with the request is kept, and history gives them again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gnomon import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    LoggingConfig,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
    agg,
    on_demand_feature_view,
)
from gnomon.clock import ManualClock, to_micros
from gnomon.config import SERVED, Backend, RepoConfig
from gnomon.types import Float64, Int64, UnixTimestamp

NOON, HOUR = to_micros("2024-01-01T12:00:00Z"), 3_600_000_000
PAYS = PushSource(name="pays", schema=[Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)])
USER = Entity(name="user_id", value_type=Int64)
SPEND = FeatureView(
    name="spend", entities=[USER], source=PAYS, aggregations=[agg.mean("amount", over="1d"), agg.count(over="1d")]
)
LATEST = FeatureView(name="latest", entities=[USER], source=PAYS, schema=[Field("amount", Float64, default=-1.0)])
TX = RequestSource(name="tx", schema=[Field("paid", Float64), Field("when", UnixTimestamp)])


@on_demand_feature_view(sources=[SPEND, TX], schema=[Field("ratio", Float64), Field("hour", Int64)], mode="python")
def ratio(amount_mean_1d: Any, paid: Any, when: Any) -> Any:
    return {"ratio": paid / amount_mean_1d if amount_mean_1d else None, "hour": when.hour}


@on_demand_feature_view(sources=[LATEST, TX], schema=[Field("root", Float64)], mode="python")
def root(amount: Any, paid: Any) -> Any:
    return paid / (amount - 0.25)  # raises where the last payment was one of 0.25


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[FeatureStore]:
    config = RepoConfig(project="p", repo_path=tmp_path, online_store=Backend("memory"))
    with FeatureStore(tmp_path, config=config, clock=clock) as made:
        features = [SPEND[["count_1d"]], LATEST, ratio, root]
        made.apply(FeatureService(name="model", features=features, logging_config=LoggingConfig()))
        made.materialize_incremental()
        for number in range(8):
            clock.set(NOON + number * HOUR)
            at = pa.array([NOON + number * HOUR - 5], pa.int64()).cast(pa.timestamp("us", "UTC"))
            made.push("pays", {"user_id": [number % 3], "amount": [number / 4], "at": at})
            clock.set(NOON + number * HOUR + 1)
            asked = [{"user_id": one, "paid": number / 8, "when": "2024-01-01T05:00:00Z"} for one in range(3)]
            made.get_online_features("model", asked)
        yield made


def test_what_came_with_the_request_is_kept(store: FeatureStore) -> None:
    table = store.served("model")
    assert json.loads(table["request_data"][-1].as_py()) == {"paid": 0.875, "when": "2024-01-01T05:00:00Z"}
    assert table["hour"].to_pylist() == [5] * 24
    assert table["amount"].to_pylist()[:3] == [0.0, -1.0, -1.0]
    assert table["amount__status"].to_pylist()[:3] == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]
    assert "INVALID" in table["root__status"].to_pylist()
    told = json.loads(table["views"][0].as_py())
    assert [one["view"] for one in told if one.get("computed")] == ["ratio@1", "root@1"]


def test_history_gives_them_again(store: FeatureStore) -> None:
    report = store.verify_log("model")
    assert (report.compared, report.causes) == (24 * 5, {}), str(report)
    assert {one.view: one.compared for one in report.views} == {
        "latest@1": 24,
        "ratio@1": 48,
        "root@1": 24,
        "spend@1": 24,
    }
    assert store.verify_log("model", sample=5).compared == 25


@pytest.mark.parametrize("column", ["ratio", "amount"])
def test_one_that_is_another_is_found(store: FeatureStore, tmp_path: Path, column: str) -> None:
    store.recorder.flush()
    (log,) = store.log_status(served=True)
    store._served_logs().log(log).seal()
    (path,) = (tmp_path / SERVED / log).glob("*.parquet")
    table = pq.read_table(path)
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, table.schema.field(place), pc.add(table.column(place), 1.0)), path)
    causes = store.verify_log("model").causes
    assert set(causes) == {"disagreement"}
    present = table[f"{column}__status"].to_pylist().count("PRESENT")
    assert causes["disagreement"] == present


def test_a_function_that_changed_is_asked_as_it_was(store: FeatureStore) -> None:
    store.recorder.flush()
    store.apply(FeatureService(name="model", features=[SPEND, LATEST], logging_config=LoggingConfig()))
    report = store.verify_log("model")
    assert report.causes == {}
    assert report.compared == 24 * 5


def test_defaults_are_what_history_gives_too(tmp_path: Path, clock: ManualClock) -> None:
    """A default is served where a function raises, or gives nothing; its status says which."""
    schema = [Field("less", Float64, default=9.5), Field("none", Float64, default=2.5), Field("bare", Float64)]

    @on_demand_feature_view(sources=[SPEND, TX], schema=schema, mode="python")
    def odd(amount_mean_1d: Any, paid: Any) -> Any:
        return {"less": 1 / paid, "none": None if paid else 1.0, "bare": 1 / paid}

    @on_demand_feature_view(sources=[odd], schema=[Field("twice", Float64)], mode="python")
    def after(less: Any) -> Any:
        return {"twice": less * 2}

    expressed = OnDemandFeatureView(
        name="expressed",
        sources=[TX],
        schema=[Field("half", Float64, default=-1.0)],
        mode="sql",
        expressions={"half": "paid / 2"},
    )
    config = RepoConfig(project="p", repo_path=tmp_path, online_store=Backend("memory"))
    with FeatureStore(tmp_path, config=config, clock=clock) as store:
        features = [LATEST, odd, after, expressed]
        store.apply(FeatureService(name="model", features=features, logging_config=LoggingConfig()))
        for paid in (0.0, 4.0, None):
            answer = store.get_online_features(
                "model", [{"user_id": 1, "paid": paid, "when": None}], known_through=True
            )
            assert store.verify(answer).causes == {}
        table = store.served("model")
        assert table["less"].to_pylist() == [9.5, 0.25, 9.5]
        assert table["less__status"].to_pylist() == ["INVALID", "PRESENT", "INVALID"]
        assert table["none__status"].to_pylist() == ["INVALID", "NULL_VALUE", "INVALID"]
        assert table["twice"].to_pylist() == [19.0, 0.5, 19.0]
        assert table["half__status"].to_pylist() == ["PRESENT", "PRESENT", "NULL_VALUE"]
        report = store.verify_log("model")
        assert (report.compared, report.causes) == (3 * 6, {}), str(report)


@pytest.mark.parametrize(
    ("column", "other"), [("root__status", "PRESENT"), ("filled__status", "NULL_VALUE"), ("filled", 1.0)]
)
def test_a_status_or_a_default_that_is_another_is_found(
    tmp_path: Path, clock: ManualClock, column: str, other: Any
) -> None:
    @on_demand_feature_view(sources=[TX], schema=[Field("root", Float64), Field("filled", Float64, default=9.5)])
    def one(paid: Any) -> Any:
        return {"root": 1 / paid, "filled": 1 / paid}

    config = RepoConfig(project="p", repo_path=tmp_path, online_store=Backend("memory"))
    with FeatureStore(tmp_path, config=config, clock=clock) as store:
        store.apply(FeatureService(name="model", features=[one], logging_config=LoggingConfig()))
        store.get_online_features("model", [{"paid": 0.0}])
        store.recorder.flush()
        (log,) = store.log_status(served=True)
        store._served_logs().log(log).seal()
        (path,) = (tmp_path / SERVED / log).glob("*.parquet")
        table = pq.read_table(path)
        place = table.column_names.index(column)
        kind = table.schema.field(place)
        pq.write_table(table.set_column(place, kind, pa.array([other], kind.type)), path)
        assert store.verify_log("model").causes == {"disagreement": 1}
