"""Pushing: what is right is stamped and read by training; what is not is kept aside, with reasons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal as PythonDecimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, agg
from gnomon.clock import ManualClock, to_micros
from gnomon.errors import DefinitionError, NotRegistered, RequestError
from gnomon.types import Array, Decimal, Float64, Int32, Int64, String, UnixTimestamp

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
FIELDS = [
    Field("user_id", Int64),
    Field("amount", Float64),
    Field("count", Int32),
    Field("at", UnixTimestamp),
    Field("id", String),
    Field("what", String),
]
PAYMENTS = PushSource(name="payments", schema=FIELDS, event_id="id", operation="what")
USER = Entity(name="user_id")
LATEST = FeatureView(name="latest", entities=[USER], source=PAYMENTS, schema=[Field("amount", Float64)])
SPEND = FeatureView(name="spend", entities=[USER], source=PAYMENTS, aggregations=[agg.sum("amount", over="1d")])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[FeatureStore]:
    with FeatureStore(tmp_path, clock=clock) as store:
        store.apply([LATEST, SPEND])
        yield store


def event(**changes: Any) -> dict[str, Any]:
    return {"user_id": 1, "amount": 10.0, "count": 1, "at": NOON, "id": None, **changes}


def hours(number: float) -> datetime:
    return NOON + timedelta(hours=number)


def asked(store: FeatureStore, *instants: datetime, as_known: Any = "then") -> list[tuple[Any, Any]]:
    rows = {"user_id": [1] * len(instants), "event_timestamp": list(instants)}
    table = store.get_historical_features(rows, ["latest:amount", "spend:amount_sum_1d"], as_known=as_known).to_arrow()
    return list(zip(table["amount"].to_pylist(), table["amount_sum_1d"].to_pylist(), strict=True))


def test_what_was_pushed_is_known_from_then_on(store: FeatureStore, clock: ManualClock) -> None:
    report = store.push("payments", [event(), event(amount=5.0, at=hours(-2))])
    assert (report.appended, report.rejected, report.first, report.last) == (2, 0, 1, 2)
    assert report.known == to_micros(NOON)
    assert str(report) == "payments: 2 events appended, positions 1 to 2, known from 2024-01-01T12:00:00Z."
    assert asked(store, hours(-1), hours(1)) == [(None, None), (10.0, 15.0)]
    assert asked(store, hours(-1), hours(1), as_known="now") == [(5.0, 5.0), (10.0, 15.0)]


def test_late_events_corrections_and_deletes(store: FeatureStore, clock: ManualClock) -> None:
    store.push("payments", [event(id="a"), event(id="b", amount=1.0)])
    clock.set(hours(2))
    store.push(PAYMENTS, [event(id="a", amount=20.0), event(amount=100.0, at=hours(-3))])
    clock.set(hours(4))
    store.push("payments", [event(id="a", what="delete")])
    sums = [found for _, found in asked(store, hours(1), hours(3), hours(5))]
    assert sums == [11.0, 121.0, 101.0]
    assert [found for _, found in asked(store, hours(1), as_known=hours(3))] == [121.0]


def test_sealed_and_open_are_one_history(store: FeatureStore) -> None:
    for number in range(4):
        store.push("payments", [event(amount=float(2**number))])
        if number % 2:
            store.logs.log("payments").seal()
    store.push("payments", [event(amount=16.0)])
    assert asked(store, hours(1)) == [(16.0, 31.0)]


def test_a_question_sees_the_log_as_it_was_when_it_was_asked(store: FeatureStore) -> None:
    store.push("payments", [event()])
    made = store.get_historical_features({"user_id": [1], "event_timestamp": [hours(1)]}, ["spend:amount_sum_1d"])
    store.push("payments", [event()])
    assert made.to_arrow()["amount_sum_1d"].to_pylist() == [10.0]
    assert made.metadata["logs"] == {"payments": 1}
    store.logs.log("payments").seal()
    again = store.reproduce(made.to_arrow())
    assert again.to_arrow()["amount_sum_1d"].to_pylist() == [10.0]
    assert asked(store, hours(1)) == [(10.0, 20.0)]


def test_instants_at_which_a_pushed_event_changes_an_answer(store: FeatureStore, clock: ManualClock) -> None:
    clock.set(hours(1))
    store.push("payments", [event()])
    features = ["latest:amount", "spend:amount_sum_1d"]
    made = store.get_historical_features(
        None, features, entities={"user_id": [1]}, start_date=NOON, end_date=hours(30), as_known="then"
    ).to_arrow()
    assert made["event_timestamp"].to_pylist() == [NOON, hours(1), hours(24) + timedelta(microseconds=1)]
    assert made["amount_sum_1d"].to_pylist() == [None, 10.0, None]


def test_a_batch_sent_again_is_recognised(store: FeatureStore, tmp_path: Path) -> None:
    batch = [event(), event(user_id=None)]
    assert store.push("payments", batch, offsets={"p": 7}).appended == 1
    again = store.push("payments", batch, offsets={"p": 7})
    assert (again.duplicate, again.appended, again.rejected) == (True, 0, 0)
    assert str(again) == "payments: nothing appended, all of it was there before."
    assert len(list((tmp_path / ".gnomon" / "rejected" / "payments").iterdir())) == 1
    assert store.logs.log("payments").position() == 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"at": None}, "'at' is null"),
    ({"user_id": None}, "'user_id' is null"),
    ({"count": 2**31}, "'count': 2147483648 is no Int32 without loss"),
    ({"what": "remove"}, "'what': 'remove' is neither 'upsert' nor 'delete'"),
    ({"what": "delete"}, "a delete, and 'id' is null"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_row_that_is_not_right_is_kept_aside_with_its_reason(
    store: FeatureStore, changes: dict[str, Any], reason: str
) -> None:
    report = store.push("payments", [event(), event(**changes), event()])
    assert (report.appended, report.rejected) == (2, 1)
    assert [(one.row, one.reason) for one in report.rejections] == [(1, reason)]
    assert f"1 × {reason}" in str(report)
    (kept,) = pq.read_table(report.rejected_file).to_pylist()
    assert (kept["__row"], kept["__reason"]) == (1, reason)
    assert {name: kept[name] for name in changes} == changes
    assert report.to_dict()["rejections"] == [{"row": 1, "reason": reason}]


def test_many_bad_rows_among_many_are_all_found(store: FeatureStore) -> None:
    count = [2**40 if number % 7 == 0 else number for number in range(500)]
    report = store.push("payments", [event(count=one) for one in count])
    assert (report.appended, report.rejected, len(report.rejections)) == (428, 72, 72)
    log = store.logs.log("payments").read().read_all()
    assert log["count"].to_pylist() == [one for one in count if one < 2**40]


def test_values_fit_without_loss_or_are_refused(store: FeatureStore) -> None:
    report = store.push(
        "payments",
        {
            "user_id": ["7", "8", "x"],
            "amount": [1, 2, 3],
            "count": [1.0, float("nan"), 2.0],
            "at": ["2024-01-01T12:00:00+01:00", "2024-01-01", "2024-01-01"],
            "id": [None] * 3,
        },
    )
    assert [one.reason for one in report.rejections] == ["'user_id': 'x' is no Int64 without loss"]
    found = store.logs.log("payments").read().read_all().select(["user_id", "amount", "count", "at", "what"])
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        (7, 1.0, 1, hours(-1), None),
        (8, 2.0, None, hours(-12), None),
    ]


@pytest.mark.parametrize("form", ["rows", "columns", "pandas"])
def test_values_of_all_sorts_in_one_column_are_held_against_their_rows_alone(store: FeatureStore, form: str) -> None:
    rows = [event(user_id=2**70), event(), event(user_id="x", amount="much"), event(count="3")]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    given: Any = {"rows": rows, "columns": columns, "pandas": pd.DataFrame(columns)}[form]
    report = store.push("payments", given)
    assert [(one.row, one.reason) for one in report.rejections] == [
        (0, f"'user_id': {2**70} is no Int64 without loss"),
        (2, "'user_id': 'x' is no Int64 without loss"),
        (3, "'count': '3' is no Int32 without loss"),
    ]
    kept = pq.read_table(report.rejected_file).to_pylist()
    assert [one["user_id"] for one in kept] == [str(2**70), "x", "1"]
    assert asked(store, hours(1)) == [(10.0, 10.0)]


def test_a_rejected_row_is_kept_whatever_is_in_it(store: FeatureStore) -> None:
    for odd in ({}, [{}], {"a": {}}):
        report = store.push("payments", [event(user_id=odd, amount=[False, 0])], to="offline")
        assert (report.appended, report.rejected) == (0, 1)
        assert pq.read_table(report.rejected_file)["user_id"].to_pylist() == [str(odd)]


@pytest.mark.parametrize("given", [[], {}, {name: [] for name in event()}])
def test_no_events_are_no_mistake(store: FeatureStore, given: Any) -> None:
    report = store.push("payments", given)
    assert (report.appended, report.rejected, str(report)) == (0, 0, "payments: 0 events appended.")


FORMS = {
    "pandas": lambda table, _: table.to_pandas(),
    "polars": lambda table, _: pl.from_arrow(table),
    "arrow": lambda table, _: table,
    "columns": lambda table, _: table.to_pydict(),
    "path": lambda _, path: str(path),
    "query": lambda _, path: f"select * from '{path}'",
}


@pytest.mark.parametrize("form", FORMS)
def test_events_come_in_every_form(store: FeatureStore, tmp_path: Path, form: str) -> None:
    table = pa.Table.from_pylist([event(), event(amount=2.5, at=hours(-0.5))])
    pq.write_table(table, tmp_path / "new.parquet")
    assert store.push("payments", FORMS[form](table, tmp_path / "new.parquet")).appended == 2
    assert asked(store, hours(1)) == [(10.0, 12.5)]


def test_whole_numbers_with_nulls_among_them_come_from_pandas_as_floats(store: FeatureStore) -> None:
    frame = pd.DataFrame([event(), event(count=None)])
    assert str(frame["count"].dtype) == "float64"
    assert store.push("payments", frame).appended == 2


@pytest.mark.parametrize("column", ["amount", "at", "user_id", "id"])
def test_a_column_too_few_is_an_error_about_all_of_it(store: FeatureStore, column: str) -> None:
    rows = [{name: value for name, value in event().items() if name != column}]
    with pytest.raises(RequestError, match=f"the events have no column '{column}'"):
        store.push("payments", rows)
    assert store.logs.log("payments").position() == 0


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"amountt": 1}, "the events have a column 'amountt', which push source 'payments' has not"),
        ({"amount": "much"}, "column 'amount' is String, and the source declares Float64"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error_about_all_of_it(
    store: FeatureStore, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(RequestError, match=what):
        store.push("payments", [event(**changes)])
    assert store.logs.log("payments").position() == 0


@pytest.mark.parametrize("given", [7, "none.parquet", "select nonsense"])
def test_what_is_no_table_is_told(store: FeatureStore, given: Any) -> None:
    with pytest.raises(RequestError, match="the events cannot be read"):
        store.push("payments", given)


@pytest.mark.parametrize("offsets", [{"a": "x"}, {"a": -1}, {7: 1}, [1]])
def test_offsets_are_whole_numbers_of_producers(store: FeatureStore, offsets: Any) -> None:
    with pytest.raises(RequestError, match="offsets is"):
        store.push("payments", [event()], offsets=offsets)


def test_where_to_push_is_one_of_three(store: FeatureStore) -> None:
    with pytest.raises(RequestError, match=r"push.to='both'. is unknown.\nHint: use one of online_and_offline, online"):
        store.push("payments", [event()], to="both")
    assert store.push("payments", [event()], to="offline").online == ()


def test_a_source_that_is_not_there_is_told_from_those_that_are(store: FeatureStore) -> None:
    with pytest.raises(NotRegistered, match=r"no push source named 'payment' is registered"):
        store.push("payment", [event()])


def test_types_of_all_kinds_come_back(store: FeatureStore) -> None:
    fields = [Field("at", UnixTimestamp), Field("price", Decimal(10, 2)), Field("vector", Array(Float64))]
    source = PushSource(name="kinds", schema=fields)
    store.apply(FeatureView(name="kinds", source=source))
    store.push("kinds", [{"at": NOON, "price": PythonDecimal("1.25"), "vector": [1.0, None]}])
    rows = {"event_timestamp": [hours(1)]}
    found = store.get_historical_features(rows, ["kinds:price", "kinds:vector"]).to_arrow().to_pylist()
    assert found == [{"event_timestamp": hours(1), "price": PythonDecimal("1.25"), "vector": [1.0, None]}]


def test_a_column_declared_later_is_null_before(store: FeatureStore) -> None:
    store.push("payments", [event()])
    wider = PushSource(name="payments", schema=[*FIELDS, Field("tip", Float64)], event_id="id", operation="what")
    tips = FeatureView(name="tips", entities=[USER], source=wider, aggregations=[agg.sum("tip", over="1d")])
    store.apply([tips, *(view_on(wider, one) for one in (LATEST, SPEND))])
    asked_tips = {"user_id": [1], "event_timestamp": [hours(1)]}
    assert store.get_historical_features(asked_tips, ["tips:tip_sum_1d"]).to_arrow()["tip_sum_1d"].to_pylist() == [None]
    store.push("payments", [event(tip=2.0)])
    assert store.get_historical_features(asked_tips, ["tips:tip_sum_1d"]).to_arrow()["tip_sum_1d"].to_pylist() == [2.0]
    assert asked(store, hours(1)) == [(10.0, 20.0)]


def view_on(source: PushSource, view: FeatureView) -> FeatureView:
    import dataclasses

    return dataclasses.replace(view, source=source)


def test_a_load_of_pushed_events_brings_them_online(store: FeatureStore) -> None:
    store.push("payments", [event()], to="offline")
    (loaded,) = store.materialize_incremental(feature_views=["latest"]).views
    assert (loaded.rows, loaded.changed > 0) == (1, True)
    (again,) = store.materialize_incremental(feature_views=["latest"]).views
    assert (again.mode, again.rows) == ("incremental", 0)


def files_beside(folder: Path, **columns: list[Any]) -> FileSource:
    pq.write_table(pa.table(columns), folder / "old.parquet")
    return FileSource(path="old.parquet", timestamp_field="at", delay="0s")


def test_the_schema_comes_from_the_batch_source(tmp_path: Path, clock: ManualClock) -> None:
    files = files_beside(tmp_path, user_id=[1, 1], amount=[1.0, 2.0], at=[hours(-2), hours(1)])
    source = PushSource(name="payments", batch_source=files, cutover=NOON)
    with closing(FeatureStore(tmp_path, clock=clock)) as store:
        store.apply(FeatureView(name="spend", entities=[USER], source=source, aggregations=SPEND.aggregations))
        made = store.get_data_source("payments")
        assert isinstance(made, PushSource)
        assert [(one.name, one.dtype) for one in made.schema] == [
            ("user_id", Int64),
            ("amount", Float64),
            ("at", UnixTimestamp),
        ]
        assert made.timestamp_field == "at"
        events = [{"user_id": 1, "amount": 10.0, "at": at} for at in (hours(-2), NOON)]
        assert store.push("payments", events).appended == 2
        rows = {"user_id": [1], "event_timestamp": [hours(2)]}
        answer = store.get_historical_features(rows, ["spend:amount_sum_1d"])
        assert answer.to_arrow()["amount_sum_1d"].to_pylist() == [11.0]
        assert [Path(one[0]).name for one in answer.metadata["files"]["old.parquet"]] == ["old.parquet"]


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"user_id": [1], "at": [NOON]}, "column 'amount' is not in the source"),
        ({"user_id": [1], "at": [NOON], "amount": ["much"]}, "column 'amount' is declared Float64"),
    ],
)
def test_a_batch_source_has_to_have_the_columns(
    tmp_path: Path, clock: ManualClock, columns: dict[str, list[Any]], what: str
) -> None:
    fields = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)]
    source = PushSource(name="payments", schema=fields, batch_source=files_beside(tmp_path, **columns), cutover=NOON)
    with closing(FeatureStore(tmp_path, clock=clock)) as store, pytest.raises(DefinitionError, match=what):
        store.apply(FeatureView(name="spend", entities=[USER], source=source, aggregations=SPEND.aggregations))


def test_a_row_of_the_files_yields_to_the_log_once_that_has_its_event(tmp_path: Path, clock: ManualClock) -> None:
    """Loaded before the push, it counts until then; loaded after it, never: the log's copy is the one that holds."""
    stamp = pa.timestamp("us", "UTC")
    pq.write_table(
        pa.table(
            {
                "user_id": [1, 1, 1],
                "amount": [7.0, 99.0, 1.0],
                "at": pa.array([hours(-3)] * 3, stamp),
                "payment": ["early", "late", "never pushed"],
                "loaded": pa.array([hours(-2), hours(4), hours(-2)], stamp),
            }
        ),
        tmp_path / "files.parquet",
    )
    files = FileSource(path="files.parquet", timestamp_field="at", created_timestamp_column="loaded")
    source = PushSource(name="payments", batch_source=files, event_id="payment")
    spend = FeatureView(name="spend", entities=[USER], source=source, aggregations=[agg.sum("amount", over="1d")])
    with FeatureStore(tmp_path, clock=clock) as store:
        store.apply([spend])
        at_once = [{"user_id": 1, "amount": one, "at": hours(-3)} for one in (8.0, 20.0)]
        store.push("payments", [{**at_once[0], "payment": "early"}, {**at_once[1], "payment": "late"}])
        rows = {"user_id": [1, 1, 1], "event_timestamp": [hours(-1), hours(1), hours(6)]}
        found = store.get_historical_features(rows, ["spend:amount_sum_1d"], as_known="then").to_arrow()
    assert found["amount_sum_1d"].to_pylist() == [8.0, 29.0, 29.0]


def test_whole_numbers_are_decimals_where_they_fit(tmp_path: Path) -> None:
    fields = [Field("user_id", Int64), Field("at", UnixTimestamp), Field("money", Decimal(10, 2))]
    source = PushSource(name="payments", schema=fields)
    with FeatureStore(tmp_path) as store:
        store.apply(FeatureView(name="latest", entities=[USER], source=source))
        rows = [{"user_id": 1, "at": NOON, "money": money} for money in (7, None, 10**8)]
        report = store.push("payments", rows)
        assert [one.reason for one in report.rejections] == ["'money': 100000000 is no Decimal(10, 2) without loss"]
        found = store.logs.log("payments").read().read_all()["money"].to_pylist()
        assert found == [PythonDecimal("7.00"), None]


def test_online_an_entity_without_events_has_values_and_no_event_time(store: FeatureStore) -> None:
    store.push("payments", [event()])
    found = store.get_online_features(["spend:amount_sum_1d"], {"user_id": [1, 2]})
    assert found.event_timestamps == {"amount_sum_1d": [NOON, None]}
    assert found.to_dict(include_event_timestamps=True)["amount_sum_1d__ts"] == [NOON, None]
