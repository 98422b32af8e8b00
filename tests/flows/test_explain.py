"""An explanation names the events that the oracle selects, and the value they make is the one training gives."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_aggregations import GeometricMean
from pushed_worlds import DTYPES, WINDOWS, World, batch, pushed, rows_of, source_of, views_of, worlds
from windowed_views import engine_in, questions

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, Window, agg
from gnomon.clock import ManualClock, from_micros
from gnomon.config import Backend, RepoConfig
from gnomon.contracts.plugins import Context
from gnomon.contracts.registry import Snapshot
from gnomon.core.expressions import parse
from gnomon.definitions.catalog import Catalog
from gnomon.engines.duckdb.engine import DuckDBEngine
from gnomon.errors import NotRegistered, RequestError, UnknownFeature
from gnomon.flows.explain import explain
from gnomon.flows.explanation import MOST_SHOWN, Explanation, records
from gnomon.flows.training import HindsightWarning
from gnomon.plan.known_through import KnownThrough
from gnomon.plan.questions import AsKnown, EventsQuestion, Through
from gnomon.testing.reference import Row, as_of, same_value
from gnomon.testing.reference_windows import WindowEvent, selected_events, united, windowed
from gnomon.testing.strategies import files, histories, in_unit, row_views, to_table
from gnomon.testing.strategies import questions as row_questions
from gnomon.testing.strategies import rows_of as oracle_rows
from gnomon.types import FeatureType, Float64, Int64, String, UnixTimestamp


@settings(max_examples=25, deadline=None)
@given(worlds(), st.data())
def test_pushed_and_filed_events_are_the_oracles(world: World, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock(0)
        with closing(FeatureStore(folder, clock=clock)) as store:
            store.apply(views_of(source_of(world, Path(folder))))
            log = pushed(store, clock, world)
            bound = st.none() | st.integers(0, 60)
            through = data.draw(
                st.builds(Through, position=st.none() | st.integers(0, len(log)), end=bound, known=bound)
            )
            token = KnownThrough({"latest@1": through, "spent@1": through})
            key, at = data.draw(st.sampled_from(world.asked))
            by_token = data.draw(st.booleans())
            asked: dict[str, Any] = {"at": from_micros(at), "as_known": token if by_token else world.as_known}
            of_rows, near, ever = (
                store.explain(feature, {"k": key}, **asked) for feature in ("latest:n", "spent__near", "spent:ever")
            )
    events = had(world, log, through) if by_token else rows_of(world, log)
    as_known = "now" if by_token else world.as_known
    history = [Row(one.key, one.event, one.known, (one.values["n"],)) for one in events]
    answer = as_of(history, (key,), at, dtypes=[Int64], as_known=as_known)
    assert (of_rows.value, of_rows.status, of_rows.agrees) == (answer.values[0], answer.statuses[0], True)
    assert told(of_rows) == ([] if answer.event is None else [(answer.event, answer.known, answer.values[0])])
    for found, window in ((near, WINDOWS["near"]), (ever, WINDOWS["ever"])):
        rule: dict[str, Any] = {"window": window, "dtypes": DTYPES, "as_known": as_known}
        wanted = selected_events(events, (key,), at, **rule)
        total = windowed(events, (key,), at, function="sum", column="n", **rule)
        assert (found.value, found.status, found.agrees) == (total.value, total.status, True)
        assert told(found) == in_order((one.event, one.known, one.values["n"]) for one in wanted)
        assert_places(found, log, batch(world))


def told(found: Explanation) -> list[tuple[Any, ...]]:
    """The events inside: both times, and the value."""
    times = [found.events[name].cast(pa.int64()).to_pylist() for name in ("__event", "__known")]
    return in_order(zip(*times, found.events["n"].to_pylist(), strict=True))


def in_order(events: Any) -> list[tuple[Any, ...]]:
    return sorted(events, key=lambda one: (one[0], one[1], one[2] is not None, one[2] or 0))


def had(world: World, log: list[WindowEvent], through: Through) -> list[WindowEvent]:
    filed = [
        one
        for one in batch(world)
        if one.event is not None
        and one.known is not None
        and (through.end is None or one.event <= through.end)
        and (through.known is None or one.known <= through.known)
    ]
    logged = log[: through.position or 0]
    return logged if world.files is None else united(logged, filed, by_id=world.by_id, cutover=world.cutover)


def assert_places(found: Explanation, log: Sequence[WindowEvent], filed: Sequence[WindowEvent]) -> None:
    for one in [*found.to_dict()["events"], *found.to_dict()["left_out"]]:
        place = one["place"]
        there = log[place["position"] - 1] if "position" in place else filed[place["row"]]
        assert one["values"]["n"] == there.values["n"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_aggregation_of_files_agrees(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    view, table, events, asked = data.draw(questions())
    folder = tmp_path_factory.mktemp("source")
    pq.write_table(table, folder / view.source.path, row_group_size=4)
    if not asked:
        return
    key, at = data.draw(st.sampled_from(asked))
    known = sorted({one.known for one in events if one.known is not None} | {0})
    as_known: AsKnown = data.draw(st.sampled_from(["now", "then", *known]))  # type: ignore[assignment]
    dtypes = {one.name: one.dtype for one in view.inputs}
    pairs = [(one, window) for one in view.aggregations for window in one.over]
    place = data.draw(st.integers(0, len(pairs) - 1))
    (one, window), feature = pairs[place], view.feature_names[place]
    rule: dict[str, Any] = {"window": window, "dtypes": dtypes, "as_known": as_known}
    rule["where"] = parse(one.where).typed(dtypes).compile() if one.where else None

    found = explained(engine_in(folder), view, feature, key, at, as_known)

    answer = windowed(
        events, key, at, function=one.function, arguments=one.arguments, column=one.column or None, **rule
    )
    assert found.agrees
    assert found.status == answer.status
    assert same_value(found.value, answer.value, one.output(dtypes))
    wanted = [] if None in key else selected_events(events, key, at, **rule)
    times = [found.events[name].cast(pa.int64()).to_pylist() for name in ("__event", "__known")]
    assert sorted(zip(*times, strict=True)) == sorted((event.event, event.known) for event in wanted)
    reasons = [*found.events["__reason"].to_pylist(), *found.left_out["__reason"].to_pylist()]
    whole = [event for event in events if event.key == key and event.event is not None and None not in key]
    assert len(reasons) + found.further == len(whole)
    assert str(found)
    assert found._repr_html_()
    assert found.to_dict()["events_inside"] == len(wanted)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_row_view_agrees(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    view, form = data.draw(row_views()), data.draw(files())
    history = in_unit(data.draw(histories(view)), form.unit)
    folder = tmp_path_factory.mktemp("source")
    pq.write_table(to_table(history, view, form), folder / view.source.path, row_group_size=2)
    rows = oracle_rows(view, history)
    asked = data.draw(row_questions(view, history))
    if not asked:
        return
    key, at = data.draw(st.sampled_from(asked))
    known = sorted({row.known for row in rows if row.known is not None} | {0})
    as_known: AsKnown = data.draw(st.sampled_from(["now", "then", *known]))  # type: ignore[assignment]
    dtypes = [one.dtype for one in view.schema]
    place = data.draw(st.integers(0, len(dtypes) - 1))

    found = explained(engine_in(folder), view, view.feature_names[place], key, at, as_known)

    answer = as_of(rows, key, at, dtypes=dtypes, as_known=as_known, ttl=view.ttl)
    assert found.agrees
    assert found.status == answer.statuses[place]
    assert same_value(found.value, answer.values[place], dtypes[place])
    assert len(found.events) == (answer.status == "PRESENT")


def explained(
    engine: DuckDBEngine, view: FeatureView, feature: str, key: tuple[Any, ...], at: int, as_known: AsKnown
) -> Explanation:
    snapshot = Snapshot(project="p", version=1, catalog=Catalog.of([view]))
    entity = {one.name: asked(value, one.dtype) for one, value in zip(view.entity_columns, key, strict=True)}
    timeless = as_known != "now" and not view.source.has_known_times
    with pytest.warns(HindsightWarning) if timeless else nullcontext():
        return explain(snapshot, engine, ManualClock(), None, f"{view.name}:{feature}", entity, at, as_known)  # type: ignore[arg-type]


def asked(value: Any, dtype: FeatureType) -> Any:
    return from_micros(value) if dtype == UnixTimestamp and value is not None else value


STAMP = pa.timestamp("us", "UTC")
SECOND = 1_000_000


def seconds(*given: int | None) -> pa.Array:
    return pa.array([None if one is None else one * SECOND for one in given], pa.int64()).cast(STAMP)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    """Payments of one user: late, corrected, deleted, declined, without an amount, old and to come."""
    table = pa.table(
        {
            "user_id": pa.array([7] * 10 + [8], pa.int64()),
            "id": ["old", "plain", "late", "wrong", "wrong", "gone", "gone", "declined", "null", "next", "far"],
            "op": [None, None, None, None, None, None, "delete", None, None, None, None],
            "amount": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, None, 64.0, None, 128.0, 256.0],
            "status": ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "<b>", None, "ok", "ok"],
            "at": seconds(80, 110, 120, 130, 130, 140, 140, 150, 160, 210, 100),
            "known": seconds(80, 110, 230, 130, 180, 140, 190, 150, 160, 210, 100),
        }
    )
    pq.write_table(table, tmp_path / "payments.parquet")
    payments = FileSource(
        path="payments.parquet",
        timestamp_field="at",
        created_timestamp_column="known",
        event_id="id",
        operation="op",
    )
    user = Entity(name="user_id")
    spend = FeatureView(
        name="spend",
        entities=[user],
        source=payments,
        aggregations=[
            agg.sum("amount", over="100s"),
            agg.sum("amount", over="100s", where="status = 'ok'", name="settled"),
            agg.count(over=Window(None)),
            agg.sum("amount", over=Window("10s", closed="right"), name="near"),
        ],
    )
    profile = FeatureView(
        name="profile",
        entities=[user],
        source=payments,
        ttl="30s",
        schema=[Field("amount", Float64), Field("status", String)],
    )
    config = RepoConfig(project="shop", repo_path=tmp_path, online_store=Backend("memory"))
    with FeatureStore(tmp_path, config=config, clock=ManualClock(200 * SECOND)) as made:
        made.apply([spend, profile])
        yield made


def reasons(found: Explanation) -> dict[str, str]:
    """Of each event id and version the reason, or what is said of it."""
    rows = [*found.to_dict()["events"], *found.to_dict()["left_out"]]
    return {f"{one['id']} {one['place']['row']}": one["because"] or one["reason"] for one in rows}


AT = from_micros(200 * SECOND)


def test_each_event_has_its_reason(store: FeatureStore) -> None:
    found = store.explain("spend:settled", {"user_id": 7}, AT, "then")
    assert (found.value, found.status, found.recomputed, found.agrees) == (18.0, "PRESENT", 18.0, True)
    assert reasons(found) == {
        "old 0": "left the window at 1970-01-01T00:03:00.000001Z",
        "plain 1": "counts",
        "late 2": "known only at 1970-01-01T00:03:50Z, after 1970-01-01T00:03:20Z",
        "wrong 3": "superseded by a later version, known at 1970-01-01T00:03:00Z, payments.parquet row 4",
        "wrong 4": "counts",
        "gone 5": "deleted, known at 1970-01-01T00:03:10Z, payments.parquet row 6",
        "gone 6": "a delete",
        "declined 7": "false: status = 'ok'",
        "null 8": "null: status = 'ok'",
        "next 9": "known only at 1970-01-01T00:03:30Z, after 1970-01-01T00:03:20Z",
    }
    assert found.further == 0
    assert reasons(store.explain("spend:amount_sum_100s", {"user_id": 7}, AT, "now"))["next 9"] == (
        "enters the window at 1970-01-01T00:03:30.000001Z"
    )
    assert reasons(store.explain("spend:amount_sum_100s", {"user_id": 7}, AT))["null 8"] == "null, so it is skipped"


def test_what_is_far_is_counted(store: FeatureStore) -> None:
    found = store.explain("spend:near", {"user_id": 7}, from_micros(150 * SECOND), "now")
    assert found.meaning.span == "1970-01-01T00:02:20Z < event time ≤ 1970-01-01T00:02:30Z"
    assert [one["id"] for one in found.to_dict()["events"]] == ["declined"]
    assert [one["id"] for one in found.to_dict()["left_out"]] == ["gone", "gone", "null"]
    assert found.further == 6
    assert "6 events of this entity lie further off." in str(found)


def test_a_row_wins_and_the_others_are_beaten(store: FeatureStore) -> None:
    found = store.explain("profile:amount", {"user_id": "7"}, from_micros(131 * SECOND), "now")
    assert (found.value, found.status) == (16.0, "PRESENT")
    assert found.meaning.span == "1970-01-01T00:01:41Z ≤ event time ≤ 1970-01-01T00:02:11Z"
    told = reasons(found)
    assert told["wrong 4"] == "counts"
    assert told["wrong 3"] == "of the same event time as the row that wins, and known earlier"
    assert told["late 2"] == "older than the row that wins"
    assert told["gone 5"] == "happens after the instant asked"
    expired = store.explain("profile:amount", {"user_id": 8}, from_micros(131 * SECOND), "now")
    assert (expired.value, expired.status, expired.agrees) == (None, "OUTSIDE_MAX_AGE", True)
    assert list(reasons(expired).values()) == ["the latest row, and older than the ttl"]
    nobody = store.explain("profile:amount", {"user_id": 9}, AT)
    assert (nobody.value, nobody.status, nobody.parts()) == (None, "NOT_FOUND", [])


def test_a_null_key_finds_nothing(store: FeatureStore) -> None:
    for feature in ("profile:amount", "spend:count_lifetime"):
        found = store.explain(feature, {"user_id": None}, AT)
        assert (found.value, found.status, found.agrees, len(found.events)) == (None, "NOT_FOUND", True, 0)


def test_what_a_token_leaves_out_is_said(store: FeatureStore) -> None:
    token = f"through:spend@1=e{140 * SECOND}.k{150 * SECOND}"
    found = store.explain("spend:amount_sum_100s", {"user_id": 7}, AT, token)
    assert (found.value, found.as_known) == (42.0, token)
    told = reasons(found)
    assert {name for name, why in told.items() if why == "not among what the answer had"} == {
        *("late 2", "wrong 4", "gone 6", "declined 7", "null 8", "next 9")
    }


def test_the_text_says_it_all(store: FeatureStore) -> None:
    lines = str(store.explain("spend@1:near", {"user_id": 7}, from_micros(150 * SECOND), "now")).splitlines()
    assert lines[0] == "spend@1:near of user_id=7 at 1970-01-01T00:02:30Z, as known now"
    fingerprint = next(line for line in lines if "fingerprint" in line).split()[-1]
    assert lines[1:8] == [
        "  value    64.0  (PRESENT)",
        "  check    made again of the events below, it is the same",
        "  meaning  sum of 'amount' over 10s closed right",
        "  window   1970-01-01T00:02:20Z < event time ≤ 1970-01-01T00:02:30Z",
        f"  view     spend@1, fingerprint {fingerprint}",
        "  stands   on user_id, from source payments.parquet",
        "  online   not asked: it answers for now only",
    ]
    assert lines[9:12] == [
        "1 event inside:",
        "  event time            known time            id        amount  from                    why",
        "  1970-01-01T00:02:30Z  1970-01-01T00:02:30Z  declined  64.0    payments.parquet row 7",
    ]


def test_html_is_escaped(store: FeatureStore) -> None:
    shown = store.explain("spend:settled", {"user_id": 7}, AT)._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b></td>" not in shown


def test_a_dict_is_ready_for_json(store: FeatureStore) -> None:
    found = json.loads(json.dumps(store.explain("spend:settled", {"user_id": 7}, AT, "then").to_dict()))
    assert found["definition"] == {
        "view": "spend@1",
        "fingerprint": found["definition"]["fingerprint"],
        "words": "sum of 'amount'",
        "where": "status = 'ok'",
        "window": "100s",
        "begins": "1970-01-01T00:01:40Z",
        "ends": "1970-01-01T00:03:20Z",
        "closed": "left",
        "entities": ["user_id"],
        "source": "payments.parquet",
    }
    assert found["check"] == {"recomputed": 18.0, "agrees": True}
    assert (found["events_inside"], found["events_left_out"], found["events_further"]) == (2, 8, 0)
    assert found["events"][0]["values"] == {"amount": 2.0, "status": "ok"}


def test_row_views_are_asked_online_when_it_is_now(store: FeatureStore) -> None:
    clock = store.clock
    assert isinstance(clock, ManualClock)
    clock.set(165 * SECOND)
    assert store.explain("profile:amount", {"user_id": 7}).online.status == "NOT_FOUND"
    store.materialize_incremental()
    found = store.explain("profile:status", {"user_id": 7})
    assert (found.online.value, found.online.status, found.value) == (None, "NULL_VALUE", None)
    assert "online   null  (NULL_VALUE)" in str(found)
    assert store.explain("profile:status", {"user_id": 7}, as_known="then").online.reason == "it answers for now only"
    windowed = store.explain("spend:near", {"user_id": 7})
    assert (windowed.online.value, windowed.online.status) == (windowed.value, windowed.status)


def test_without_an_online_store_it_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": [1], "n": [1], "at": seconds(1)}), tmp_path / "old.parquet")
    source = FileSource(path="old.parquet", timestamp_field="at", delay="0s")
    views = [
        FeatureView(name=name, entities=["k"], source=source, schema=[Field("n", Int64)], online=online)
        for name, online in (("shown", True), ("hidden", False))
    ]
    config = RepoConfig(project="shop", repo_path=tmp_path, online_store=None)
    with FeatureStore(tmp_path, config=config, clock=ManualClock(5 * SECOND)) as store:
        store.apply(views)
        assert store.explain("shown:n", {"k": 1}).online.reason == "project 'shop' has no online store."
        assert store.explain("hidden:n", {"k": 1}).online.reason == "view 'hidden' is not online"


def test_of_many_events_the_newest_are_shown(tmp_path: Path) -> None:
    fields = [Field("k", Int64), Field("n", Int64), Field("at", UnixTimestamp)]
    view = FeatureView(
        name="spent",
        entities=["k"],
        source=PushSource(name="s", schema=fields),
        aggregations=[agg.sum("n", over="1000s")],
    )
    with FeatureStore(tmp_path, clock=ManualClock(500 * SECOND)) as store:
        store.apply(view)
        store.push("s", pa.table({"k": [1] * 60, "n": [1] * 60, "at": seconds(*range(60))}))
        found = store.explain("spent:n_sum_1000s", {"k": 1}, from_micros(501 * SECOND))
        assert (found.value, len(found.events)) == (60, 60)
        assert [one["place"]["position"] for one in found.to_dict()["events"]] == list(range(11, 61))
        assert "10 more events inside, older than those shown." in str(found)
        assert len(found.parts()[0].rows) == MOST_SHOWN
        assert store.explain("spent:n_sum_1000s", {"k": 1}).online.value == 60
        graph = store.get_lineage("spent:n_sum_1000s", 1, from_micros(501 * SECOND))
        assert graph.nodes[0].name == "10 older ones in the log"


def test_bad_questions_get_the_errors_of_training_sets(store: FeatureStore) -> None:
    with pytest.raises(UnknownFeature, match="has no feature 'settle'"):
        store.explain("spend:settle", {"user_id": 7})
    with pytest.raises(UnknownFeature, match="has no feature 'settle'"):
        store.explain("spend__settle", {"user_id": 7})
    with pytest.raises(NotRegistered, match="'spent'"):
        store.explain("spent:settled", {"user_id": 7})
    with pytest.raises(RequestError, match="'settled' names no feature"):
        store.explain("settled", {"user_id": 7})
    with pytest.raises(RequestError, match="names no feature"):
        store.explain(["spend:settled"], {"user_id": 7})  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="the entity has no 'user_id', a join key of view 'spend'"):
        store.explain("spend:settled", {"user": 7})
    with pytest.raises(RequestError, match="entity is 7"):
        store.explain("spend:settled", 7)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"7\.5"):
        store.explain("spend:settled", {"user_id": 7.5})
    with pytest.raises(RequestError, match="is no instant"):
        store.explain("spend:settled", {"user_id": 7}, "yesterday")
    with pytest.raises(RequestError, match="as_known='never' is not understood"):
        store.explain("spend:settled", {"user_id": 7}, AT, "never")
    with pytest.raises(RequestError, match="an answer has a token for each entity"):
        store.explain("spend:settled", {"user_id": 7}, as_known=["a", "b"])  # type: ignore[arg-type]


def test_an_engine_that_loses_an_event_is_found_out(store: FeatureStore) -> None:
    class Forgetful(DuckDBEngine):
        def events(self, question: EventsQuestion) -> pa.RecordBatchReader:
            found = super().events(question).read_all()
            return found.filter(pc.not_equal(found["__row"], 1)).to_reader()

    engine = Forgetful({}, Context(repo_path=store.repo_path, project="shop", clock=store.clock))
    asked: tuple[Any, ...] = (store.clock, store.logs, "spend:settled", {"user_id": 7}, AT, "then")
    found = explain(store.snapshot(), engine, *asked)
    assert (found.value, found.recomputed, found.agrees, found.status) == (18.0, 16.0, False, "PRESENT")
    assert "made again of the events below, it is ANOTHER: 16.0" in str(found)


def test_an_own_aggregation_is_made_again_too(store: FeatureStore) -> None:
    values = [2.0**place for place in range(100)]
    at = seconds(*range(100))
    table = pa.table({"k": [1] * 100, "x": values, "at": at, "s": ["a", "b"] * 50})
    pq.write_table(table, store.repo_path / "many.parquet")
    view = FeatureView(
        name="own",
        entities=["k"],
        source=FileSource(path="many.parquet", timestamp_field="at", delay="0s"),
        aggregations=[
            agg.custom(GeometricMean, "x", over=Window(None), name="mean"),
            agg.count_distinct("s", over=Window(None), name="letters"),
        ],
    )
    store.apply(view)
    found = store.explain("own:mean", {"k": 1})
    assert found.agrees
    assert found.value == pytest.approx(2**49.5)
    assert store.explain("own:letters", {"k": 1}).recomputed == 2


def test_where_a_log_says_more_it_is_shown() -> None:
    at = seconds(1)
    event = {"__event": at, "__known": at, "n": [3], "__file": pa.nulls(1), "__row": pa.nulls(1)}
    more = {"__position": [5], "__topic": ["spent"], "__partition": [0], "__reason": ["counts"], "__because": [""]}
    (told,) = records(pa.table({**event, **more}))
    assert told["place"] == {"position": 5, "topic": "spent", "partition": 0}
    assert told["values"] == {"n": 3}
