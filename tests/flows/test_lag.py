"""Lag: exact quantiles of known time − event time, and a delay for files that do not say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource
from gnomon.clock import ManualClock
from gnomon.errors import NotRegistered
from gnomon.flows.lag import SHARES, lag_text, round_delay
from gnomon.types import Float64, Int64, UnixTimestamp

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)]
SECOND = 1_000_000


def view(source: object, name: str = "latest") -> FeatureView:
    return FeatureView(name=name, entities=[Entity(name="user_id")], source=source, schema=[Field("amount", Float64)])


def files(path: Path, lags: list[int | None], **arguments: object) -> FileSource:
    """A file whose rows were known so many µs after they happened."""
    known = [None if lag is None else NOON + timedelta(microseconds=lag) for lag in lags]
    columns = {"user_id": [1] * len(lags), "amount": [1.0] * len(lags), "at": [NOON] * len(lags)}
    table = pa.table({**columns, "created": pa.array(known, pa.timestamp("us", "UTC"))})
    pq.write_table(table, path)
    return FileSource(path=str(path), name=path.stem, timestamp_field="at", **arguments)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    with FeatureStore(tmp_path, clock=ManualClock(NOON)) as store:
        yield store


def push(store: FeatureStore, *lags: int) -> None:
    """Events that are known so many µs after they happened: the store stamps the i-th i µs after noon."""
    rows = {"user_id": [1] * len(lags), "amount": [1.0] * len(lags)}
    at = [NOON + timedelta(microseconds=place - lag) for place, lag in enumerate(lags)]
    store.push("payments", {**rows, "at": at})


def test_of_a_log_sealed_or_not(store: FeatureStore) -> None:
    store.apply(view(PushSource(name="payments", schema=FIELDS)))
    (empty,) = store.source_lag()
    assert (empty.events, empty.p50, empty.longest, empty.negative) == (0, None, None, 0.0)
    push(store, *(number * SECOND for number in range(-100, 900)))
    store.logs.log("payments").seal()
    (found,) = store.source_lag("payments")
    assert (found.kind, found.events, found.negative) == ("log", 1000, 0.1)
    assert [found.p50, found.p90, found.p99, found.p999, found.longest] == [
        number * SECOND for number in (399, 799, 889, 898, 899)
    ]
    assert str(found) == (
        "payments (log): 1000 events, known after: p50 6m39s, p90 13m19s, p99 14m49s, p999 14m58s, longest 14m59s; "
        "10.00% dated after they were known."
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(lags=st.lists(st.none() | st.integers(-(10**12), 10**13), min_size=1, max_size=60))
def test_of_files_against_a_sorted_list(tmp_path_factory: pytest.TempPathFactory, lags: list[int | None]) -> None:
    folder = tmp_path_factory.mktemp("repo")
    with FeatureStore(folder, clock=ManualClock(NOON)) as store:
        store.apply(view(files(folder / "rows.parquet", lags, created_timestamp_column="created")))
        (found,) = store.source_lag()
    known = sorted(lag for lag in lags if lag is not None)
    assert found.events == len(known)
    quantiles = [known[max(math.ceil(share * len(known)) - 1, 0)] if known else None for share in SHARES]
    assert [found.p50, found.p90, found.p99, found.p999] == quantiles
    assert found.longest == (known[-1] if known else None)
    assert found.negative * max(len(known), 1) == pytest.approx(sum(lag < 0 for lag in known))
    assert found.note == (f"{len(lags) - len(known)} rows have no known time." if len(known) < len(lags) else "")


def test_of_csv_files_with_other_names(store: FeatureStore) -> None:
    table = pa.table({"user_id": [1], "amount": [1.0], "at": [NOON], "made": [NOON + timedelta(hours=1)]})
    pa_csv.write_csv(table, store.repo_path / "rows.csv")
    mapping = {"made": "created"}
    source = FileSource(
        path="rows.csv", timestamp_field="at", created_timestamp_column="created", field_mapping=mapping
    )
    store.apply(view(source))
    assert store.source_lag("rows.csv")[0].longest == 3_600 * SECOND


def test_files_that_do_not_say_get_no_figures(store: FeatureStore) -> None:
    store.apply(view(files(store.repo_path / "rows.parquet", [1])))
    (found,) = store.source_lag()
    assert (found.kind, found.events, found.p50, found.delay) == ("files", 0, None, "")
    assert "carry no known times, and it has no delay. Name a created_timestamp_column; or push" in found.note
    store.apply(view(files(store.repo_path / "late.parquet", [1], delay="2h"), "late"))
    (found,) = store.source_lag("late")
    assert found.note == "Its rows carry no known times; its delay says 2h."


def test_a_delay_for_files_beside_a_log(store: FeatureStore) -> None:
    beside = files(store.repo_path / "old.parquet", [1])
    store.apply(view(PushSource(name="payments", schema=FIELDS, batch_source=beside, cutover=NOON)))
    nothing, _ = store.source_lag()
    assert nothing.source == "old"
    assert nothing.delay == ""
    push(store, *[10 * SECOND] * 10)
    _, few = store.source_lag("payments")
    assert few.delay == "10s"
    assert "longest, of only 10 events" in few.note
    push(store, *[700 * SECOND] * 4_000, *[900_000 * SECOND] * 3)
    old, log = store.source_lag()
    assert (old.delay, log.source) == ("15m", "payments")
    assert "delay='15m' would do: the lag of 'payments' is 11m40s (p99.9), rounded up" in old.note
    assert store.source_lag("old") == [old]


def test_an_unknown_source(store: FeatureStore) -> None:
    with pytest.raises(NotRegistered, match="no data source named 'x'"):
        store.source_lag("x")


@given(lag=st.integers(-(10**15), 10**15))
def test_a_proposed_delay_is_no_shorter_than_the_lag(lag: int) -> None:
    from gnomon.clock import duration, micros_of

    proposed = micros_of(duration(round_delay(lag)))
    assert proposed >= max(lag, 0)
    assert proposed <= max(4 * lag, SECOND, 30 * 86_400 * SECOND if lag > 14 * 86_400 * SECOND else 0)
    assert lag_text(lag).startswith("-") == (lag < 0)
