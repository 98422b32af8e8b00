"""Keeping logs: status, merging, and trimming no more than the views can spare."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, Window, agg
from gnomon.clock import ManualClock, micros_of, to_micros
from gnomon.config import Backend, RepoConfig
from gnomon.errors import BackendError, ConfigError, NotRegistered, RequestError
from gnomon.flows.keep import reach_of
from gnomon.types import Float64, Int64, String, UnixTimestamp

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp), Field("id", String)]
PAYMENTS = PushSource(name="payments", schema=FIELDS, event_id="id")
USER = Entity(name="user_id")


def days(number: float) -> datetime:
    return NOON + timedelta(days=number)


def windowed(*windows: Any, name: str = "spend", source: PushSource = PAYMENTS) -> FeatureView:
    return FeatureView(
        name=name, entities=[USER], source=source, aggregations=[agg.sum("amount", over=list(windows), name="s")]
    )


def latest(ttl: str | None) -> FeatureView:
    return FeatureView(name="latest", entities=[USER], source=PAYMENTS, schema=[Field("amount", Float64)], ttl=ttl)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[FeatureStore]:
    config = RepoConfig(
        project="p",
        repo_path=tmp_path,
        online_store=Backend("memory"),
        log=Backend("embedded", {"path": ".gnomon/log", "merge_grace": "0s"}),
        log_retain=timedelta(days=30),
    )
    with FeatureStore(tmp_path, config=config, clock=clock) as store:
        yield store


def push_a_day(store: FeatureStore, clock: ManualClock, *numbers: int) -> None:
    for number in numbers:
        clock.set(days(number))
        store.push("payments", [{"user_id": 1, "amount": 1.0, "at": days(number), "id": None}], offsets={"p": number})
        store.logs.log("payments").seal()


def sums(store: FeatureStore, *instants: datetime) -> list[float | None]:
    rows = {"user_id": [1] * len(instants), "event_timestamp": list(instants)}
    return store.get_historical_features(rows, ["spend:s_7d"]).to_arrow()["s_7d"].to_pylist()


def test_what_logs_hold(store: FeatureStore, clock: ManualClock, tmp_path: Path) -> None:
    store.apply(windowed("7d", "1d"))
    assert store.log_status()["payments"].events == 0
    push_a_day(store, clock, 0, 1)
    found = store.log_status("payments")["payments"]
    assert (found.events, found.files, found.begins, found.position) == (2, 2, 1, 2)
    assert found.happened == found.known == (to_micros(days(0)), to_micros(days(1)))
    (tmp_path / ".gnomon" / "log" / "forgotten").mkdir()
    assert list(store.log_status()) == ["forgotten", "payments"]
    with pytest.raises(NotRegistered, match="no push source named 'payment'"):
        store.log_status("payment")


def test_merging_changes_no_answer(store: FeatureStore, clock: ManualClock) -> None:
    store.apply(windowed("7d", "1d"))
    push_a_day(store, clock, *range(10))
    asked = {"user_id": [1], "event_timestamp": [days(10)]}
    lazily = store.get_historical_features(asked, ["spend:s_7d"])
    done = store.merge_log()["payments"]
    assert (done.files, done.into, done.removed) == (10, 1, 10)
    assert sums(store, days(3.5), days(10)) == [4.0, 7.0]
    assert lazily.to_arrow()["s_7d"].to_pylist() == [7.0]


def test_old_events_go_and_answers_within_reach_stay(store: FeatureStore, clock: ManualClock) -> None:
    store.apply(windowed("7d", "1d"))
    push_a_day(store, clock, *range(0, 60, 3))
    clock.set(days(60))
    before = sums(store, days(45), days(60))
    asked = {"user_id": [1], "event_timestamp": [days(45)]}
    lazily = store.get_historical_features(asked, ["spend:s_7d"])
    (report,) = store.trim_log()
    assert (report.events, report.begins) == (10, 11)
    assert str(report).startswith(
        "payments: 10 events from before 2024-01-31T12:00:00Z are gone; the log begins at pos"
    )
    assert sums(store, days(45), days(60)) == before
    assert sums(store, days(8)) == [None]
    assert lazily.to_arrow()["s_7d"].to_pylist() == before[:1]
    assert store.trim_log()[0].events == 0
    again = store.push("payments", {"user_id": [1], "amount": [1.0], "at": [days(57)], "id": [""]}, offsets={"p": 57})
    assert again.duplicate
    assert store.log_status()["payments"].events == 10


def test_an_event_that_came_late_keeps_its_file(store: FeatureStore, clock: ManualClock) -> None:
    store.apply(windowed("7d", "1d"))
    clock.set(days(50))
    store.push("payments", [{"user_id": 1, "amount": 1.0, "at": days(1), "id": None}])
    store.logs.log("payments").seal()
    clock.set(days(60))
    assert store.trim_log()[0].events == 0
    clock.set(days(81))
    assert store.trim_log()[0].events == 1


@pytest.mark.parametrize(
    ("view", "days_back"),
    [
        (windowed("7d", "1d"), 7),
        (windowed(Window("30d", hop="1d")), 31),
        (windowed(Window("2d", kind="tumbling", offset="10d")), 14),
        (windowed("1d", Window(None)), None),
        (latest("90d"), 90),
        (latest(None), None),
    ],
)
def test_reach(view: FeatureView, days_back: int | None) -> None:
    assert reach_of(view) == (None if days_back is None else micros_of(timedelta(days=days_back)))


def test_what_a_window_needs_is_not_retained_too_shortly(store: FeatureStore, clock: ManualClock) -> None:
    store.apply([windowed("7d", "1d"), windowed("90d", name="long")])
    push_a_day(store, clock, 0, 100)
    with pytest.raises(
        ConfigError, match=r"log: retain is 30d, and view 'long@1' needs the events of the last 90d"
    ) as no:
        store.trim_log()
    assert "retain them for 90d at least" in str(no.value)
    with pytest.raises(ConfigError):
        store.trim_log(force=True)
    with pytest.raises(RequestError, match="view 'long@1' needs the events of the last 90d, that is since 2024-01-11"):
        store.trim_log("payments", before=days(10.1), force=True)
    assert store.trim_log("payments", before=days(10))[0].events == 1


def test_a_view_that_may_need_anything_is_passed_over_only_by_force(store: FeatureStore, clock: ManualClock) -> None:
    store.apply([windowed("7d", Window(None))])
    push_a_day(store, clock, 0, 100)
    refused = "view 'spend@1' has a lifetime window: it may need any event of 'payments', however old."
    with pytest.raises(RequestError, match=refused):
        store.trim_log("payments")
    (report,) = store.trim_log()
    assert (report.events, report.notes) == (0, (f"left alone: {refused}",))
    assert store.trim_log(force=True)[0].events == 1
    store.apply([latest(None)])
    with pytest.raises(RequestError, match="view 'latest@1' has no ttl"):
        store.trim_log("payments", before=days(0), force=False)


def test_what_has_to_be_said(tmp_path: Path, store: FeatureStore) -> None:
    store.apply(windowed("7d"))
    with pytest.raises(NotRegistered, match="no push source named 'payment'"):
        store.trim_log("payment")
    with pytest.raises(RequestError, match="before= needs a source"):
        store.trim_log(before=days(0))
    with (
        FeatureStore(tmp_path, config=RepoConfig(project="p", repo_path=tmp_path)) as other,
        pytest.raises(RequestError, match="nothing says how old events have to be"),
    ):
        other.trim_log()


def test_rows_of_files_that_a_trimmed_event_stood_for_are_told(store: FeatureStore, clock: ManualClock) -> None:
    rows = {"user_id": [1], "amount": [5.0], "at": [days(0)], "id": ["a"]}
    import pyarrow as pa

    pq.write_table(pa.table(rows), store.repo_path / "old.parquet")
    old = FileSource(path="old.parquet", name="old", timestamp_field="at", event_id="id", delay="1d")
    source = PushSource(name="payments", schema=FIELDS, event_id="id", batch_source=old)
    store.apply(windowed("7d", source=source))
    push_a_day(store, clock, 0, 100)
    (report,) = store.trim_log()
    assert report.notes == ("rows of 'old' whose events are gone from the log count again, as they stand there.",)


def test_a_log_that_lost_a_file_is_not_trimmed(store: FeatureStore, clock: ManualClock) -> None:
    store.apply(windowed("7d"))
    push_a_day(store, clock, 0, 1, 100)
    Path(store.logs.log("payments").prefix().files[1]).unlink()
    with pytest.raises(BackendError, match="no file holds the events from position 2 to 2"):
        store.trim_log()
