"""Erasing an entity: it is as if it had never been, in every place, and that it went is written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, Window, agg
from gnomon.clock import ManualClock, to_micros
from gnomon.config import Backend, RepoConfig
from gnomon.errors import BackendError, NotRegistered, RequestError
from gnomon.flows.erasures import Erasures
from gnomon.flows.reproduce import SourceChangedWarning
from gnomon.types import Float64, Int64, String, UnixTimestamp

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
FIELDS = [Field("user", String), Field("shop", Int64), Field("amount", Float64), Field("at", UnixTimestamp)]
PAYMENTS = PushSource(name="payments", schema=FIELDS)
USER, SHOP = Entity(name="user"), Entity(name="shop")
SPEND = FeatureView(
    name="spend",
    entities=[USER],
    source=PAYMENTS,
    aggregations=[agg.count(over=Window(None)), agg.sum("amount", over="1d")],
)
AT_SHOP = FeatureView(
    name="at_shop", entities=[USER, SHOP], source=PAYMENTS, aggregations=[agg.sum("amount", over="1d", name="here")]
)
NEEDLE = "unmistakable-user"


def event(user: Any, shop: Any = 1, amount: float = 1.0) -> dict[str, Any]:
    return {"user": user, "shop": shop, "amount": amount, "at": NOON - timedelta(hours=1)}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


def opened(folder: Path, clock: ManualClock, online: str = "memory") -> FeatureStore:
    options = {"path": ".gnomon/online"} if online == "lmdb" else {}
    config = RepoConfig(project="p", repo_path=folder, online_store=Backend(online, options))
    return FeatureStore(folder, config=config, clock=clock)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[FeatureStore]:
    with opened(tmp_path, clock) as store:
        store.apply([SPEND, AT_SHOP])
        yield store


def asked(store: FeatureStore, *users: str) -> list[dict[str, Any]]:
    rows = {"user": list(users), "shop": [1] * len(users), "event_timestamp": [NOON + timedelta(hours=1)] * len(users)}
    features = ["spend:count_lifetime", "spend:amount_sum_1d", "at_shop:here"]
    return store.get_historical_features(rows, features).to_arrow().drop_columns("event_timestamp").to_pylist()


def places_of(folder: Path, needle: str) -> list[str]:
    """The files in which a text stands, plain or in a column of a Parquet file."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".parquet":
                data += repr(pq.read_table(path).to_pydict()).encode() + str(pq.read_metadata(path)).encode()
            if needle.encode() in data:
                found.append(str(path.relative_to(folder)))
    return found


def test_afterwards_it_is_as_if_it_had_never_been(store: FeatureStore, tmp_path: Path) -> None:
    for seal in (True, False):
        store.push("payments", [event(NEEDLE), event("b", amount=2.0), event(NEEDLE, 2), event(NEEDLE, None)])
        if seal:
            store.logs.log("payments").seal()
    assert len(places_of(tmp_path, NEEDLE)) == 4
    before = asked(store, "b")
    report = store.erase({"user": NEEDLE})
    assert report.removed == {
        "log payments": 4,
        "rejected payments": 2,
        "online spend@1": 1,
        "online at_shop@1": 2,
    }
    assert report.events == 4
    assert places_of(tmp_path, NEEDLE) == []
    assert asked(store, "b") == before
    gone, never = asked(store, NEEDLE, "nobody")
    assert {**gone, "user": ""} == {**never, "user": ""}
    assert store.logs.log("payments").position() == 6
    assert store.push("payments", [event("c")]).first == 7
    assert list((tmp_path / ".gnomon" / "rejected" / "payments").glob("*.parquet")) == []


def test_rows_that_have_all_the_keys_named_go(store: FeatureStore) -> None:
    store.push("payments", [event("a", 1), event("a", 2), event("b", 1)])
    assert store.erase({"user": "a", "shop": "2"}).events == 1
    assert store.erase({"shop": 1}).events == 2


def test_only_from_the_sources_named(store: FeatureStore) -> None:
    other = PushSource(name="visits", schema=FIELDS)
    store.apply(FeatureView(name="visit", entities=[USER], source=other, aggregations=[agg.count(over="1d")]))
    for name in ("payments", "visits"):
        store.push(name, [event("a")])
    assert store.erase({"user": "a"}, sources=["visits"]).removed == {"online visit@1": 1, "log visits": 1}
    assert store.erase({"user": "a"}, sources="visits").removed == {}
    assert store.erase({"user": "a"}).removed == {"online at_shop@1": 1, "online spend@1": 1, "log payments": 1}
    with pytest.raises(NotRegistered, match="no data source named 'visit'"):
        store.erase({"user": "a"}, sources=["visit"])


def test_a_log_whose_source_is_registered_no_more_is_not_forgotten(store: FeatureStore) -> None:
    other = PushSource(name="visits", schema=FIELDS)
    store.apply(FeatureView(name="visit", entities=[USER], source=other, aggregations=[agg.count(over="1d")]))
    store.push("visits", [event("a")])
    store.apply([SPEND, AT_SHOP], prune=True)
    assert "visits" not in store.catalog().sources
    assert store.erase({"user": "a"}).removed == {"log visits": 1}


def test_rejected_rows_stay_that_are_others(store: FeatureStore, tmp_path: Path) -> None:
    import pandas as pd

    rows = [event("a", None), event("b", None), event(None), event("a", None)]
    frame = pd.DataFrame(rows).astype({"user": "category"})
    kept = store.push("payments", frame).rejected_file
    assert store.erase({"user": "a"}).removed == {"rejected payments": 2}
    assert [row["user"] for row in pq.read_table(kept).to_pylist()] == ["b", None]
    assert b'"a"' not in Path(kept).read_bytes()
    Path(kept).write_bytes(b"broken")
    with pytest.raises(BackendError, match=r"the rejected rows in .* cannot be erased"):
        store.erase({"user": "a"})
    assert [one.done is None for one in store.erasures()] == [False, True]


def profiles(path: Path, *users: Any) -> None:
    count = len(users)
    pq.write_table(
        pa.table({"who": list(users), "shop": list(range(count)), "age": [30] * count, "ts": [NOON] * count}), path
    )


@pytest.mark.parametrize("online", ["memory", "lmdb", "sqlite"])
def test_rows_online_go_and_files_that_are_the_users_own_are_told(
    tmp_path: Path, clock: ManualClock, online: str
) -> None:
    (tmp_path / "profiles").mkdir()
    profiles(tmp_path / "profiles" / "a.parquet", 1, 7, 7)
    profiles(tmp_path / "profiles" / "b.parquet", 1, 2, 3)
    profiles(tmp_path / "profiles" / "c.parquet", 7.0, 2.0, 3.0)
    source = FileSource(path="profiles", name="people", timestamp_field="ts", field_mapping={"who": "user_id"})
    user = Entity(name="user_id", value_type=Int64)
    schema = [Field("age", Int64)]
    profile = FeatureView(name="profile", entities=[user], source=source, schema=schema)
    in_shop = FeatureView(name="in_shop", entities=[user, SHOP], source=source, schema=schema)
    by_shop = FeatureView(name="by_shop", entities=[SHOP], source=source, schema=schema)
    with opened(tmp_path, clock, online) as store:
        store.apply([profile, in_shop, by_shop])
        store.materialize(None, NOON)
        report = store.erase({"user_id": "7"})
        assert report.removed == {"online in_shop@1": 3, "online profile@1": 1}
        assert [(one.source, Path(one.path).name, one.rows) for one in report.left] == [
            ("people", "a.parquet", 2),
            ("people", "c.parquet", 1),
        ]
        assert "Rows of it are still in files of yours" in str(report)
        found = store.get_online_features(["profile:age"], {"user_id": [7, 1]}).to_dict(include_statuses=True)
        assert found["age__status"] == ["NOT_FOUND", "PRESENT"]
        found = store.get_online_features(["in_shop:age"], {"user_id": [7, 3], "shop": [1, 2]}).to_dict()
        assert found["age"] == [None, 30]
        assert store.get_online_features(["by_shop:age"], {"shop": [1]}).to_dict()["age"] == [30]
        assert store.erase({"user_id": 7}).removed == {}


def test_files_of_every_kind_are_looked_into(store: FeatureStore, tmp_path: Path) -> None:
    for country in ("de", "f%20r"):
        folder = tmp_path / "rows" / f"user={country}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"amount": [1.0, 2.0], "at": [NOON] * 2}), folder / "part.parquet")
    pa_csv.write_csv(pa.table({"user": ["de", "x", "de"], "amount": [1.0] * 3, "at": [NOON] * 3}), tmp_path / "r.csv")
    store.apply(
        [
            FeatureView(name=name, entities=[USER], source=source, schema=[Field("amount", Float64)])
            for name, source in {
                "one": FileSource(path="rows", name="folders", timestamp_field="at"),
                "two": FileSource(path="r.csv", timestamp_field="at"),
            }.items()
        ]
    )
    assert [(one.source, one.rows) for one in store.erase({"user": "de"}).left] == [("folders", 2), ("r.csv", 3 - 1)]
    assert [one.source for one in store.erase({"user": "f r"}).left] == ["folders"]
    (tmp_path / "r.csv").unlink()
    assert store.erase({"user": "de"}).notes[0].startswith("source 'r.csv' could not be looked into: ")


def test_tables_online_of_views_that_are_registered_no_more_are_told(tmp_path: Path, clock: ManualClock) -> None:
    profiles(tmp_path / "a.parquet", 7)
    source = FileSource(path="a.parquet", timestamp_field="ts")
    with opened(tmp_path, clock) as store:
        store.apply(FeatureView(name="old", entities=["who"], source=source, schema=[Field("age", Int64)]))
        store.materialize(None, NOON)
        store.apply([SPEND, AT_SHOP], prune=True)
        assert store.erase({"user": "x"}).notes == (
            "online tables of views that are registered no more were not looked into: old@1.",
        )


@pytest.mark.parametrize(
    ("entity", "wrong"),
    [
        ({}, "{} is no entity"),
        ("user=7", "'user=7' is no entity"),
        ({"usr": 1}, "'usr' is no join key of a registered view"),
        ({"amount": 1.0}, "'amount' is no join key"),
        ({"user": None}, "'user' is null"),
        ({"shop": 1.5}, "join key 'shop': 1.5 is no Int64 without loss"),
    ],
)
def test_what_is_no_entity(store: FeatureStore, entity: Any, wrong: str) -> None:
    with pytest.raises(RequestError, match=wrong.replace("{}", r"\{\}")):
        store.erase(entity)
    assert store.erasures() == []


def test_it_is_written_down_without_the_key(store: FeatureStore, clock: ManualClock, tmp_path: Path) -> None:
    store.push("payments", [event(NEEDLE), event("b")])
    report = store.erase({"user": NEEDLE})
    clock.advance("1h")
    store.erase({"user": NEEDLE, "shop": 1}, ["payments"])
    store.erase({"user": NEEDLE})
    one, two, three = store.erasures()
    assert (one.id, one.done, one.join_keys, one.sources) == (report.id, to_micros(NOON), ("user",), ())
    assert (two.join_keys, two.sources, two.begun) == (("shop", "user"), ("payments",), to_micros(NOON) + 3_600_000_000)
    assert one.removed["log payments"] == 1
    assert one.by
    assert one.key == three.key != two.key
    assert places_of(tmp_path, NEEDLE) == []
    assert (tmp_path / ".gnomon" / "erasures.salt").stat().st_mode & 0o077 == 0


def test_a_key_has_another_hash_in_another_project(tmp_path: Path) -> None:
    keys = {
        (folder, value): Erasures(tmp_path / folder / "erasures").begin({"user": value}, (), 0, "me").key
        for folder in ("a", "b")
        for value in (7, "7", 8)
    }
    assert keys["a", 7] == keys["a", "7"]
    assert len(set(keys.values())) == 4


def test_one_that_was_interrupted_is_seen_and_completed(
    store: FeatureStore, clock: ManualClock, tmp_path: Path
) -> None:
    store.push("payments", [event("a"), event("b")])
    store.logs.log("payments").seal()
    scratch = tmp_path / ".gnomon" / "log" / "payments" / ".upkeep"
    scratch.mkdir()  # so that the log cannot be written
    with pytest.raises(BackendError):
        store.erase({"user": "a"})
    (begun,) = store.erasures()
    assert begun.done is None
    scratch.rmdir()
    lines = tmp_path / ".gnomon" / "erasures.jsonl"
    lines.write_bytes(lines.read_bytes() + b'{"id": "to')  # as a killed process leaves it
    clock.advance("1h")
    assert store.erase({"user": "b"}).events == 1
    assert [one.done is None for one in store.erasures()] == [True, False]
    report = store.erase({"user": "a"})
    assert (report.id, report.events) == (begun.id, 1)
    assert [one.begun for one in store.erasures()] == [to_micros(NOON), to_micros(NOON) + 3_600_000_000]
    assert all(one.done for one in store.erasures())
    assert all(json.loads(line) for line in lines.read_bytes().split(b"\n") if not line.endswith(b'"to') and line)


def test_erasing_from_all_sources_completes_what_was_begun_for_one(tmp_path: Path) -> None:
    record = Erasures(tmp_path / "erasures")
    record.begin({"user": 1}, ["a"], 1, "me")
    record.begin({"user": 2}, ["a"], 2, "me")
    part = record.begin({"user": 1}, ["b"], 3, "me")
    record.end(part, 4)
    assert [one.done for one in record.all()] == [None, None, 4]
    record.end(record.begin({"user": 1}, [], 5, "me"), 6)
    assert [one.done for one in record.all()] == [6, None, 4, 6]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    users=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    seals=st.sets(st.integers(0, 19)),
    merged=st.booleans(),
    erased=st.integers(0, 3),
)
def test_training_is_what_it_is_without_the_entity(
    tmp_path_factory: pytest.TempPathFactory, users: list[int], seals: set[int], merged: bool, erased: int
) -> None:
    """Two stores: one in which its events were erased, one in which there never were any."""
    features = ["spend:count_lifetime", "spend:amount_sum_1d", "at_shop:here"]
    rows = {"user": list("0123"), "shop": [0] * 4, "event_timestamp": [NOON + timedelta(hours=1)] * 4}
    answers = []
    for with_it in (True, False):
        folder = tmp_path_factory.mktemp("repo")
        with opened(folder, ManualClock(NOON)) as store:
            store.apply([SPEND, AT_SHOP])
            for place, user in enumerate(users):
                if with_it or user != erased:
                    store.push("payments", [event(str(user), place % 2, 2.0**place)])
                if place in seals:
                    store.logs.log("payments").seal()
            if merged:
                store.merge_log()
            if with_it:
                assert store.erase({"user": str(erased)}).events == users.count(erased)
            asked = [store.get_historical_features(rows, features, as_known=as_known) for as_known in ("now", "then")]
            answers.append([one.to_arrow().to_pylist() for one in asked])
    assert answers[0] == answers[1]


def test_a_training_set_that_is_made_again_says_that_events_went(store: FeatureStore, clock: ManualClock) -> None:
    store.push("payments", [event("a"), event("b")])
    rows = {"user": ["a", "b"], "event_timestamp": [NOON] * 2}
    made = store.get_historical_features(rows, ["spend:count_lifetime"]).to_arrow()
    store.erase({"user": "nobody"})
    assert store.reproduce(made).to_arrow() == made
    clock.advance("1h")
    store.erase({"user": "a"})
    store.merge_log()
    with pytest.warns(SourceChangedWarning, match="trimmed or erased since, from the log of payments"):
        again = store.reproduce(made)
    assert again.to_arrow()["count_lifetime"].to_pylist() == [0, 1]


def test_a_question_asked_before_is_answered_after(store: FeatureStore) -> None:
    store.push("payments", [event("a"), event("b")])
    with closing(store.logs.log("payments")) as log:
        log.seal()
    rows = {"user": ["a", "b"], "event_timestamp": [NOON] * 2}
    lazily = store.get_historical_features(rows, ["spend:count_lifetime"])
    store.erase({"user": "a"})
    assert lazily.to_arrow()["count_lifetime"].to_pylist() == [0, 1]
