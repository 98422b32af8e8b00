"""The served-row log: what is logged, how it reads, and that history gives every row of it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal as PythonDecimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    LoggingConfig,
    PushSource,
    Window,
    agg,
)
from gnomon.clock import ManualClock, to_micros
from gnomon.config import Backend, RepoConfig
from gnomon.plan.known_through import KnownThrough
from gnomon.types import Array, Decimal, Float64, Int64, String, UnixTimestamp

NOON = to_micros("2024-01-01T12:00:00Z")
HOUR = 3_600_000_000
INSTANT = pa.timestamp("us", "UTC")
FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp), Field("id", String)]
user = Entity(name="user_id", value_type=Int64)
pays = PushSource(name="pays", schema=FIELDS, event_id="id")
files = FileSource(path="profiles", timestamp_field="at")
spend = FeatureView(
    name="spend",
    entities=[user],
    source=pays,
    aggregations=[
        agg.count(over="1d"),
        agg.sum("amount", over=["1d", Window(None)]),
        agg.last_n("amount", n=2, over="1d"),
    ],
)
latest = FeatureView(name="latest", entities=[user], source=pays, schema=[Field("amount", Float64)], ttl="2h")
profile = FeatureView(
    name="profile",
    entities=[user],
    source=files,
    schema=[Field("name", String), Field("limit", Decimal(10, 2)), Field("seen", Array(UnixTimestamp))],
)
ALL = LoggingConfig()


def model(*views: Any, rate: float = 1.0, **more: Any) -> FeatureService:
    return FeatureService(name="model", features=[*views], logging_config=LoggingConfig(sample_rate=rate), **more)


def events(*rows: tuple[int, float, int, str]) -> pa.Table:
    users, amounts, at, ids = zip(*rows, strict=True)
    instants = pa.array([NOON + one for one in at], pa.int64()).cast(INSTANT)
    return pa.table({"user_id": users, "amount": amounts, "at": instants, "id": ids})


def profiles(folder: Path, name: str, *rows: tuple[int, str | None, int]) -> None:
    (folder / "profiles").mkdir(exist_ok=True)
    at = pa.array([NOON + one[2] for one in rows], pa.int64()).cast(INSTANT)
    columns = {
        "user_id": [one[0] for one in rows],
        "name": pa.array([one[1] for one in rows], pa.string()),
        "limit": pa.array([PythonDecimal(one[0]) for one in rows], pa.decimal128(10, 2)),
        "seen": pa.array([[NOON, None]] * len(rows), pa.list_(INSTANT)),
        "at": at,
    }
    pq.write_table(pa.table(columns), folder / "profiles" / name)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture(params=["memory", "lmdb"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., FeatureStore]]:
    profiles(tmp_path, "a.parquet", (1, "Ada", -HOUR), (2, None, -HOUR))
    made: list[FeatureStore] = []

    def store(*services: FeatureService) -> FeatureStore:
        config = RepoConfig(project="p", repo_path=tmp_path, online_store=Backend(request.param))
        made.append(FeatureStore(tmp_path, config=config, clock=clock))
        made[-1].apply(list(services))
        return made[-1]

    yield store
    for one in made:
        one.close()


def test_a_row_says_all_of_its_answer(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(model(spend, latest[["amount"]].with_name("now"), profile))
    store.materialize_incremental()
    store.push("pays", events((1, 0.1, -3, "a"), (1, 0.2, -2, "b"), (2, 1.0, -4 * HOUR, "c")))
    clock.set(NOON + 5)
    asked = [{"user_id": "1"}, {"user_id": 2}, {"user_id": 3}, {"user_id": None}]
    response = store.get_online_features("model", asked, request_id="r-1", model_id="fraud:7", prediction_id="p-1")
    assert response.request_id == "r-1"
    table = store.served("model")
    assert table.schema.names[:6] == [
        "request_id",
        "model_id",
        "prediction_id",
        "event_timestamp",
        "user_id",
        "request_data",
    ]
    assert table["user_id"].to_pylist() == [1, 2, 3, None]
    assert table["event_timestamp"].cast(pa.int64()).to_pylist() == [response.at] * 4
    assert set(table["request_id"].to_pylist()) == {"r-1"}
    assert set(table["model_id"].to_pylist()) == {"fraud:7"}
    assert set(table["prediction_id"].to_pylist()) == {"p-1"}
    assert set(table["registry_version"].to_pylist()) == {1}
    arrow, statuses, instants = response.to_arrow(), response.statuses, response.event_timestamps
    for name in statuses:
        assert table[name].combine_chunks().equals(arrow[name].combine_chunks()), name
        assert table[f"{name}__status"].to_pylist() == [str(one) for one in statuses[name]]
        assert table[f"{name}__ts"].to_pylist() == instants[name]
    assert [KnownThrough.parse(one).views.keys() for one in table["known_through"].to_pylist()] == [
        {"spend@1", "latest@1", "profile@1"}
    ] * 4
    told = json.loads(table["views"][0].as_py())
    assert [(one["view"], one["keys"]) for one in told] == [
        ("spend@1", {"user_id": "user_id"}),
        ("latest@1", {"user_id": "user_id"}),
        ("profile@1", {"user_id": "user_id"}),
    ]
    report = store.verify_log("model")
    assert (report.compared, report.agreed) == (4 * 8, 4 * 8)
