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
from hypothesis import given, settings
from hypothesis import strategies as st

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
from gnomon.config import SERVED, Backend, RepoConfig
from gnomon.errors import NotRegistered, RequestError
from gnomon.plan.known_through import KnownThrough
from gnomon.types import Array, Decimal, Float64, Int64, String, UnixTimestamp

NOON = to_micros("2024-01-01T12:00:00Z")
HOUR = 3_600_000_000
INSTANT = pa.timestamp("us", "UTC")
FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp), Field("id", String)]
user = Entity(name="user_id", value_type=Int64)
pays = PushSource(name="pays", schema=FIELDS, event_id="id")
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
    source=FileSource(path="profiles", timestamp_field="at", created_timestamp_column="created"),
    schema=[Field("name", String), Field("limit", Decimal(10, 2)), Field("seen", Array(UnixTimestamp))],
)
ALL = LoggingConfig()
KEYS = st.integers(0, 2)


def model(*views: Any, rate: float = 1.0, **more: Any) -> FeatureService:
    return FeatureService(name="model", features=[*views], logging_config=LoggingConfig(sample_rate=rate), **more)


def events(*rows: tuple[int, float, int, str]) -> pa.Table:
    users, amounts, at, ids = zip(*rows, strict=True)
    instants = pa.array([NOON + one for one in at], pa.int64()).cast(INSTANT)
    return pa.table({"user_id": users, "amount": amounts, "at": instants, "id": ids})


def profiles(folder: Path, name: str, *rows: tuple[int, str | None, int], known: int | None = None) -> None:
    (folder / "profiles").mkdir(exist_ok=True)
    at = pa.array([NOON + one[2] for one in rows], pa.int64()).cast(INSTANT)
    columns = {
        "user_id": [one[0] for one in rows],
        "name": pa.array([one[1] for one in rows], pa.string()),
        "limit": pa.array([PythonDecimal(one[0]) for one in rows], pa.decimal128(10, 2)),
        "seen": pa.array([[NOON, None]] * len(rows), pa.list_(INSTANT)),
        "at": at,
        "created": at if known is None else pa.array([known] * len(rows), pa.int64()).cast(INSTANT),
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


def test_what_is_not_asked_to_be_logged_is_not(make: Callable[..., FeatureStore], tmp_path: Path) -> None:
    store = make(FeatureService(name="quiet", features=[spend]), model(latest))
    store.push("pays", events((1, 0.1, -3, "a")))
    assert store.get_online_features("quiet", [{"user_id": 1}], request_id="r").request_id is None
    assert store.get_online_features(["latest:amount"], [{"user_id": 1}], request_id="r").request_id is None
    assert store.served_stats() == {}
    assert not (tmp_path / SERVED).exists()
    assert (store.served("quiet").num_rows, store.served("model").num_rows) == (0, 0)
    assert store.verify_log("model").compared == 0
    with pytest.raises(NotRegistered, match="no feature service named 'modle'"):
        store.served("modle")


@pytest.mark.parametrize("name", ["request_id", "model_id", "prediction_id"])
def test_ids_are_texts(make: Callable[..., FeatureStore], name: str) -> None:
    store = make(model(latest))
    with pytest.raises(RequestError, match=f"{name} is 7"):
        store.get_online_features("model", [{"user_id": 1}], **{name: 7})
    store.get_online_features("model", [{"user_id": 1}], **{name: "7"})
    assert store.served("model")[name].to_pylist() == ["7"]


def test_a_service_object_counts_by_its_name(make: Callable[..., FeatureStore]) -> None:
    store = make(service := model(latest))
    response = store.get_online_features(service, {"user_id": [1, 2]})
    assert response.request_id is not None
    assert set(store.served("model")["request_id"].to_pylist()) == {response.request_id}
    assert store.get_online_features(service, {"user_id": []}).request_id is not None
    assert store.served("model").num_rows == 2


def test_columns_are_called_alike_however_they_were_asked(make: Callable[..., FeatureStore]) -> None:
    store = make(
        model(latest),
        FeatureService(name="both", features=[latest.with_name("a"), latest.with_name("b")], logging_config=ALL),
    )
    for full in (False, True):
        store.get_online_features("model", [{"user_id": 1}], full_feature_names=full)
    assert len(store.log_status("model", served=True)) == 1
    assert "amount" in store.served("model").column_names
    store.get_online_features("both", [{"user_id": 1}], full_feature_names=True)
    assert {"a__amount", "b__amount__status"} <= {*store.served("both").column_names}
    assert store.verify_log("both").agreed == 2


def test_rows_come_in_the_order_of_their_instants(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(model(latest))
    for number in (3, 1, 2, 5):
        clock.set(NOON + number * HOUR)
        store.get_online_features("model", [{"user_id": number}])
    assert store.served("model")["user_id"].to_pylist() == [1, 2, 3, 5]
    some = store.served("model", start=NOON + 2 * HOUR, end="2024-01-01T17:00:00Z")
    assert some["user_id"].to_pylist() == [2, 3]
    assert sum(len(batch) for batch in store.served_batches("model", end=NOON + 2 * HOUR)) == 1
    assert store.verify_log("model", start=NOON + 2 * HOUR, end=NOON + 3 * HOUR).compared == 1
    assert store.verify_log("model", sample=3, seed=1).compared == 3
    assert store.verify_log("model", sample=30).compared == 4


def test_a_service_that_changed(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(model(latest))
    store.push("pays", events((1, 0.5, -3, "a")))
    clock.set(NOON + HOUR)
    store.get_online_features("model", [{"user_id": 1}])
    longer = FeatureView(name="latest", entities=[user], source=pays, schema=[Field("amount", Float64)], ttl="3m")
    store.apply(model(longer, spend))
    store.materialize_incremental()
    clock.set(NOON + 2 * HOUR)
    store.get_online_features("model", [{"user_id": 1}])
    table = store.served("model")
    assert table["amount"].to_pylist() == [0.5, None]
    assert table["amount__status"].to_pylist() == ["PRESENT", "OUTSIDE_MAX_AGE"]
    assert table["count_1d"].to_pylist() == [None, 1]
    assert table["registry_version"].to_pylist() == [1, 2]
    assert len(store.log_status("model", served=True)) == 2
    report = store.verify_log("model")
    assert (report.compared, report.agreed) == (6, 6)


def test_a_column_that_changed_its_type(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    text = FeatureView(name="text", entities=[user], source=pays, aggregations=[agg.last("id", over="1d", name="same")])
    number = FeatureView(
        name="number", entities=[user], source=pays, aggregations=[agg.last("amount", over="1d", name="same")]
    )
    store = make(model(text))
    store.get_online_features("model", [{"user_id": 1}])
    store.apply([model(number)])
    clock.set(NOON + HOUR)
    store.get_online_features("model", [{"user_id": 2}])
    with pytest.raises(RequestError, match="cannot be one table: same changed in type") as refused:
        store.served("model")
    assert "gnomon log status --served" in str(refused.value)
    logs = list(store.log_status("model", served=True))
    assert [store.served(one)["user_id"].to_pylist() for one in logs] == [[1], [2]]
    assert store.verify_log("model").agreed == 2


def test_rows_become_a_training_set(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(model(spend[["count_1d"]], latest), FeatureService(name="next", features=[spend]))
    for number in range(4):
        clock.set(NOON + number * HOUR)
        store.push("pays", events((number % 2, number / 4, number * HOUR - 1, f"{number}")))
        store.get_online_features("model", [{"user_id": number % 2}], prediction_id=f"p{number}")
    labels = pa.table({"prediction_id": ["p3", "p1"], "fraud": [True, False]})
    rows = store.served("model").join(labels, "prediction_id", join_type="inner").sort_by("event_timestamp")
    assert rows.select(["amount", "count_1d", "fraud"]).to_pylist() == [
        {"amount": 0.25, "count_1d": 1, "fraud": False},
        {"amount": 0.75, "count_1d": 2, "fraud": True},
    ]
    spine = rows.select(["user_id", "event_timestamp", "fraud"])
    again = store.get_historical_features(spine, "next", as_known="then").to_arrow()
    assert again["count_1d"].to_pylist() == rows["count_1d"].to_pylist()
    assert again["fraud"].to_pylist() == [False, True]
    token = KnownThrough.parse(rows["known_through"][1].as_py())
    one = store.get_historical_features(spine.slice(1), "model", as_known=token).to_arrow()
    assert one["amount"].to_pylist() == [0.75]


def test_rows_are_verified_after_all_that_happens_later(
    make: Callable[..., FeatureStore], clock: ManualClock, tmp_path: Path
) -> None:
    store = make(model(spend, latest, profile))
    store.get_online_features("model", [{"user_id": 1}])
    clock.set(NOON + 1)
    store.materialize_incremental()
    for number in range(12):
        now = NOON + number * HOUR + 2
        clock.set(now)
        to = "offline" if number % 4 == 3 else "online_and_offline"
        store.push("pays", events((number % 3, number / 8, number * HOUR - 5, f"{number % 5}")), to=to)
        store.get_online_features("model", [{"user_id": one} for one in range(3)])
        profiles(tmp_path, f"{number}.parquet", (number % 3, f"name {number}", number * HOUR - 1), known=now + 1)
        clock.set(now + 1)
        store.get_online_features("model", [{"user_id": one} for one in range(3)])
        clock.set(now + 2)
        if number % 3 == 0:
            store.materialize_incremental(feature_views=["profile"])
    clock.set(NOON + 20 * HOUR)
    store.materialize(None, NOON + 20 * HOUR, replace=True)
    report = store.verify_log("model")
    assert (report.compared, report.causes) == ((1 + 72) * 8, {"not loaded": 4}), str(report)
    assert report.lagging > 20


def test_rows_that_landed_later_and_do_not_say_so(
    make: Callable[..., FeatureStore], clock: ManualClock, tmp_path: Path
) -> None:
    source = FileSource(path="profiles", timestamp_field="at")
    store = make(model(FeatureView(name="profile", entities=[user], source=source, schema=[Field("name", String)])))
    clock.set(NOON + 1)
    store.materialize_incremental()
    clock.set(NOON + 2)
    store.get_online_features("model", [{"user_id": 1}, {"user_id": 3}])
    profiles(tmp_path, "late.parquet", (3, "Cid", -HOUR))
    clock.set(NOON + 3)
    store.materialize_incremental()
    assert store.verify_log("model").causes == {"source changed": 1}


def test_a_history_that_was_changed_is_found(
    make: Callable[..., FeatureStore], clock: ManualClock, tmp_path: Path
) -> None:
    store = make(model(spend, latest))
    store.push("pays", events((1, 0.5, -3, "a"), (2, 0.25, -2, "b")))
    clock.set(NOON + HOUR)
    store.get_online_features("model", [{"user_id": 1}, {"user_id": 2}])
    assert store.verify_log("model").disagreements == 0
    store.logs.log("pays").seal()
    store.close()
    (path,) = (tmp_path / ".gnomon/log/pays").glob("*.parquet")
    table = pq.read_table(path)
    place = table.column_names.index("amount")
    pq.write_table(table.set_column(place, "amount", pa.array([0.5, 0.26])), path)
    report = store.verify_log("model")
    assert report.causes == {"disagreement": 4}
    one = report.differences[0]
    assert (one.entity, one.cause) == ({"user_id": 2}, "disagreement")
    assert one.known_through.startswith("through:")


def test_events_that_are_gone_are_a_cause(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(model(spend))
    store.push("pays", events((1, 0.5, -3, "a")))
    clock.set(NOON + HOUR)
    store.get_online_features("model", [{"user_id": 1}])
    store.logs.log("pays").seal()
    clock.set(NOON + 100 * HOUR)
    store.trim_log("pays", before=NOON + 50 * HOUR, force=True)
    assert store.verify_log("model").causes == {"events gone": 4}


def test_a_view_looked_up_twice(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    payer = latest.with_name("payer").with_join_key_map({"user_id": "from_id"})
    payee = spend.with_name("payee").with_join_key_map({"user_id": "to_id"})
    other = spend.with_name("other").with_join_key_map({"user_id": "from_id"})
    store = make(model(payer, payee, other))
    for number in range(6):
        clock.set(NOON + number * HOUR)
        store.push("pays", events((number % 3, number / 8, number * HOUR - 5, f"{number}")))
        store.get_online_features("model", [{"from_id": 0, "to_id": number % 3}], full_feature_names=True)
    row = store.served("model").slice(5).to_pylist()[0]
    assert len(row["known_through"].split(" ")) == 2
    assert (row["payee__count_1d"], row["other__count_1d"], row["payer__amount"]) == (2, 2, None)
    report = store.verify_log("model")
    assert (report.compared, report.agreed) == (6 * 9, 6 * 9)
    assert {one.view: one.entities for one in report.views} == {"latest@1": 6, "spend@1": 12}


def test_a_view_of_nobody(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    world = FeatureView(name="world", entities=[], source=pays, aggregations=[agg.count(over="1d")])
    store = make(model(world))
    store.push("pays", events((1, 0.5, -3, "a"), (2, 0.5, -3, "b")))
    clock.set(NOON + HOUR)
    store.get_online_features("model", [{}, {}])
    assert store.served("model")["count_1d"].to_pylist() == [2, 2]
    assert store.verify_log("model").agreed == 2


def test_a_project_that_was_torn_down_has_no_definitions(make: Callable[..., FeatureStore]) -> None:
    store = make(model(latest))
    store.get_online_features("model", [{"user_id": 1}])
    store.served("model")
    store.teardown()
    store.apply(model(FeatureView(name="latest", entities=[user], source=pays, schema=[Field("id", String)])))
    with pytest.raises(RequestError, match="no version of the registry has all of these"):
        store.verify_log("model")


STEPS = st.lists(
    st.tuples(st.sampled_from(["push", "offline", "file", "load", "again", "flush", "seal", "ask", "ask"]), KEYS),
    min_size=1,
    max_size=25,
)


@settings(max_examples=max(10, settings.default.max_examples // 10), deadline=None)
@given(steps=STEPS, full=st.booleans())
def test_whatever_happens_all_that_was_served_is_what_history_gives(
    steps: list[tuple[str, int]], full: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Events, corrections among them, files that land late, loads and requests, in any order."""
    folder, clock = tmp_path_factory.mktemp("repo"), ManualClock(NOON)
    profiles(folder, "a.parquet", (1, "Ada", -HOUR))
    config = RepoConfig(project="p", repo_path=folder, online_store=Backend("memory"))
    with FeatureStore(folder, config=config, clock=clock) as store:
        store.apply(model(spend, latest, profile))
        store.materialize_incremental()
        for number, (step, key) in enumerate(steps, 1):
            now = NOON + number * HOUR // 4
            clock.set(now)
            at = now - NOON - key * HOUR // 3
            if step in ("push", "offline"):
                to = "offline" if step == "offline" else "online_and_offline"
                store.push("pays", events((key, number / 8, at, f"{number % 4}")), to=to)
            elif step == "file":
                profiles(folder, f"{number}.parquet", (key, f"name {number}", at), known=now)
            elif step == "load":
                store.materialize_incremental()
            elif step == "again":
                store.materialize(None, now, replace=True)
            elif step == "flush":
                store.recorder.flush()
            elif step == "seal":
                store.logs.log("pays").seal()
            else:
                asked = [{"user_id": key}, {"user_id": (key + 1) % 3}]
                store.get_online_features("model", asked, full_feature_names=full)
        report = store.verify_log("model")
        assert (report.compared, report.causes) == (16 * sum(step == "ask" for step, _ in steps), {}), str(report)
