"""Verify: answers agree with history to the bit; what does not is told, with its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, Window, agg
from gnomon.clock import ManualClock, to_micros
from gnomon.config import Backend, RepoConfig
from gnomon.core.keys import encode_key
from gnomon.core.ledger.parts import head_key
from gnomon.errors import NotRegistered, RequestError
from gnomon.flows.feeds import feed_of
from gnomon.flows.tables import layout_of, table_of
from gnomon.flows.verdicts import CAUSES
from gnomon.types import Float64, Int64, String, UnixTimestamp

NOON = to_micros("2024-01-01T12:00:00Z")
HOUR = 3_600_000_000
FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp), Field("id", String)]
user = Entity(name="user_id")
pays = PushSource(name="pays", schema=FIELDS, event_id="id")


def spend(*more: Any, source: Any = pays, over: str = "1d") -> FeatureView:
    sums = [agg.count(over=over), agg.sum("amount", over=[over, Window(None)]), agg.last_n("amount", n=2, over=over)]
    return FeatureView(name="spend", entities=[user], source=source, aggregations=[*sums, *more])


def latest(source: Any = pays, ttl: str | None = None) -> FeatureView:
    return FeatureView(name="latest", entities=[user], source=source, schema=[Field("amount", Float64)], ttl=ttl)


def events(*rows: tuple[int, float, int, str]) -> pa.Table:
    users, amounts, at, ids = zip(*rows, strict=True)
    instants = pa.array([NOON + one for one in at], pa.int64()).cast(pa.timestamp("us", "UTC"))
    return pa.table({"user_id": users, "amount": amounts, "at": instants, "id": ids})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture(params=["memory", "sqlite", "lmdb"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., FeatureStore]]:
    made: list[FeatureStore] = []

    def store(*views: FeatureView, **options: Any) -> FeatureStore:
        online = Backend(request.param, options)
        config = RepoConfig(project="p", repo_path=tmp_path, online_store=online)
        made.append(FeatureStore(tmp_path, config=config, clock=clock))
        made[-1].apply(list(views))
        return made[-1]

    yield store
    for one in made:
        one.close()


def test_a_sample_agrees(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(spend(), latest())
    for number in range(40):
        clock.set(NOON + number * HOUR)
        store.push("pays", events((number % 7, 0.1 * number, number * HOUR, f"{number % 11}")))
    report = store.verify()
    assert (report.compared, report.agreed, report.disagreements) == (7 * 5, 7 * 5, 0)
    assert report.filled > 0.5
    assert (report.lagging, report.causes, report.differences) == (0, {}, ())
    assert str(report).startswith("35 of 35 answers are what history gives again, bit by bit (")


def test_many_answers_need_few_questions(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(spend(), latest())
    answers = []
    for number in range(120):
        clock.set(NOON + number * HOUR)
        store.push("pays", events((number % 40, 0.1 * number, number * HOUR, f"{number}")))
        rows = [{"user_id": one % 40} for one in range(number, number + 3)]
        features = ["spend:count_1d", "spend:amount_sum_lifetime", "latest:amount"]
        answers.append(store.get_online_features(features, rows, known_through=True))
    report = store.verify(answers)
    assert (report.compared, report.agreed) == (120 * 9, 120 * 9)
    assert report.questions <= 12


def test_what_was_stamped_and_not_applied_is_lag(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(spend(), latest())
    store.push("pays", events((1, 1.0, -1, "a"), (2, 1.0, -1, "b")))
    clock.set(NOON + HOUR)
    store.push("pays", events((1, 2.0, HOUR - 1, "c"), (3, 1.0, HOUR, "d")), to="offline")
    clock.set(NOON + 3 * HOUR)
    report = store.verify()
    of_spend, of_latest = sorted(report.views, key=lambda one: one.view, reverse=True)
    assert (report.compared, report.agreed) == (15, 15)
    assert (of_spend.lagging, of_latest.lagging) == (8, 2)
    assert (of_spend.behind, of_spend.behind_micros) == (2, 2 * HOUR)
    assert (
        "spend@1: 8 would be others with all that was known then: events of the log (2 at most), up to 2h behind."
        in str(report)
    )
    store.push("pays", events((4, 1.0, HOUR, "e")))
    assert store.verify().lagging == 0


def test_a_value_that_is_another_is_a_disagreement(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    view = latest()
    store = make(view)
    store.push("pays", events((1, 1.0, 0, "a"), (2, 0.0, 0, "b")))
    clock.set(NOON + HOUR)
    assert store.verify().disagreements == 0
    table = table_of("p", store.get_feature_view("latest"))
    feed = feed_of("p", store.get_feature_view("latest"), store.engine, store.online)
    row = layout_of(store.get_feature_view("latest")).pack(NOON, NOON + 1, [-0.0])
    assert feed.mark() is not None
    store.online.write(table, [(encode_key([2], [Int64]), row)], lambda old, new: new)
    report = store.verify()
    assert (report.compared, report.agreed, report.disagreements) == (2, 1, 1)
    (one,) = report.differences
    assert (one.feature, one.entity, one.cause) == ("latest@1:amount", {"user_id": 2}, "disagreement")
    assert (str(one.served), str(one.recomputed), one.at) == ("-0.0", "0.0", clock.now())
    assert one.explain == (
        f"gnomon explain latest@1:amount user_id=2 --at 2024-01-01T13:00:00Z --as-known {one.known_through}"
    )
    assert "disagreement" in str(report)
    assert one.explain in str(report)
    assert report.to_dict()["causes"] == {"disagreement": 1}


def test_a_part_that_is_gone_is_a_disagreement(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(spend())
    store.push("pays", events((1, 1.0, -1, "a"), (2, 2.0, -1, "b")))
    clock.set(NOON + HOUR)
    feed = feed_of("p", store.get_feature_view("spend"), store.engine, store.online)
    store.online.delete(feed.table, [head_key(encode_key([2], [Int64]))])
    assert store.verify().causes == {"disagreement": 4}


def test_views_that_were_never_loaded_say_so(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(spend(), latest())
    store.push("pays", events((1, 1.0, -1, "a")), to="offline")
    response = store.get_online_features(["spend:count_1d", "latest:amount"], [{"user_id": 1}], known_through=True)
    assert {str(one) for column in response.statuses.values() for one in column} == {"NOT_FOUND"}
    report = store.verify(response)
    assert (report.compared, report.agreed, report.causes) == (2, 0, {"not loaded": 2})
    assert report.disagreements == 0


def test_a_changed_definition_is_told(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    def counts(over: str) -> FeatureView:
        return FeatureView(name="v", entities=[user], source=pays, aggregations=[agg.count(over=over)])

    store = make(counts("1d"), latest(), spend())
    store.push("pays", events((1, 1.0, -1, "a"), (1, 1.0, -30 * HOUR, "b")))  # which is gone, from a day's windows
    store.apply([counts("3d"), latest(ttl="1us"), spend(over="2d")])
    report = store.verify()
    assert (report.compared, report.agreed, report.unread) == (5, 5, ("v@1",))
    assert "v@1 cannot be read: its definition changed since it was loaded." in str(report)
    store.materialize_incremental()
    report = store.verify()
    assert (report.unread, report.causes, report.lagging) == ((), {}, 0)


def test_answers_of_another_definition_are_told(make: Callable[..., FeatureStore], tmp_path: Path) -> None:
    def since(cutover: int) -> FeatureView:
        source = PushSource(name="pays", schema=FIELDS, batch_source=FileSource(path="old.parquet"), cutover=cutover)
        return FeatureView(name="v", entities=[user], source=source, aggregations=[agg.count(over="1d")])

    pq.write_table(events((1, 1.0, -9, "a"), (1, 1.0, -8, "b")), tmp_path / "old.parquet")
    store = make(since(NOON - 8))
    store.materialize_incremental()
    store.apply([since(NOON)])
    report = store.verify()
    assert (report.compared, report.agreed, report.causes) == (1, 0, {"other version": 1})


def test_what_no_history_has_is_online_only(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    store = make(spend(), latest())
    store.push("pays", events((1, 1.0, -2, "a")))
    clock.set(NOON + HOUR)
    store.push("pays", events((1, 1.0, -1, "b")), to="online")
    report = store.verify()
    assert set(report.causes) == {"online-only"}


@pytest.mark.filterwarnings("ignore::gnomon.flows.training.HindsightWarning")
def test_files_that_changed_are_told(make: Callable[..., FeatureStore], clock: ManualClock, tmp_path: Path) -> None:
    source = FileSource(path="old.parquet", timestamp_field="at", delay="0s")
    pq.write_table(events((1, 1.0, -2, "a"), (2, 1.0, -2, "b")), tmp_path / "old.parquet")
    store = make(spend(source=source), latest(source=source))
    store.materialize_incremental()
    report = store.verify()
    assert (report.compared, report.agreed, report.lagging) == (10, 10, 0)
    pq.write_table(events((1, 1.5, -2, "a"), (2, 1.0, -2, "b"), (2, 7.0, -1, "c")), tmp_path / "old.parquet")
    report = store.verify()
    assert set(report.causes) == {"source changed"}
    store.materialize(None, clock.now(), replace=True)
    assert store.verify().causes == {}


@pytest.mark.filterwarnings("ignore::gnomon.flows.training.HindsightWarning")
def test_rows_of_files_not_loaded_yet_are_lag(
    make: Callable[..., FeatureStore], clock: ManualClock, tmp_path: Path
) -> None:
    source = FileSource(path="old.parquet", timestamp_field="at", delay="0s")
    pq.write_table(events((1, 1.0, -2, "a"), (1, 2.0, HOUR, "b")), tmp_path / "old.parquet")
    store = make(spend(source=source), latest(source=source))
    store.materialize_incremental(NOON)
    assert store.verify().lagging == 0
    clock.set(NOON + 2 * HOUR)
    report = store.verify()
    assert (report.compared, report.agreed, report.lagging) == (5, 5, 5)
    assert "rows of files, up to 2h behind" in str(report)


@pytest.mark.filterwarnings("ignore::gnomon.flows.training.HindsightWarning")
def test_rows_that_a_load_of_a_span_left_out_are_lag(
    make: Callable[..., FeatureStore], clock: ManualClock, tmp_path: Path
) -> None:
    source = FileSource(path="old.parquet", timestamp_field="at", delay="0s")
    pq.write_table(events((1, 1.0, -2 * HOUR, "a"), (2, 2.0, -1, "b")), tmp_path / "old.parquet")
    store = make(latest(source=source))
    store.materialize(NOON - HOUR, NOON)
    report = store.verify()
    assert (report.compared, report.agreed, report.causes) == (2, 1, {"store lag": 1})


def test_statuses_are_compared(make: Callable[..., FeatureStore], clock: ManualClock) -> None:
    fields = [*FIELDS, Field("cents", Int64)]
    source = PushSource(name="pays", schema=fields, event_id="id")
    sums = [agg.sum("cents", over=["1d", Window(None)], where="amount > 0"), agg.sum("amount", over="1d")]
    view = FeatureView(name="sums", entities=[user], source=source, aggregations=sums)
    rows = FeatureView(name="rows", entities=[user], source=source, schema=[Field("cents", Int64)], ttl="2h")
    store = make(view, rows)
    cents = [2**62, 2**62, 5, None, 7]
    some = events((1, 1.0, -1, "a"), (1, 1.0, -2, "b"), (2, 1.0, -1, "c"), (3, 1.0, -1, "d"), (4, -1.0, -3 * HOUR, "e"))
    store.push("pays", some.append_column("cents", pa.array(cents, pa.int64())))
    asked = [{"user_id": one} for one in (1, 2, 3, 4, 5, None)]
    features = ["sums:cents_sum_1d", "sums:cents_sum_lifetime", "rows:cents"]
    response = store.get_online_features(features, asked, known_through=True)
    assert [str(one) for one in response.statuses["cents_sum_1d"]] == [
        *("INVALID", "PRESENT", "NULL_VALUE", "NULL_VALUE", "NULL_VALUE", "NOT_FOUND")
    ]
    assert [str(one) for one in response.statuses["cents"]] == [
        *("PRESENT", "PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND", "NOT_FOUND")
    ]
    report = store.verify(response)
    assert (report.compared, report.agreed, report.differences) == (18, 18, ())
    told = response._answers
    told[0].invalid = {2: [0]}  # it says so of the third entity, and not of the first
    told[1].outside, told[1].columns = [False, True, False, False, False, False], [[7, 5, None, None, None, None]]
    assert store.verify(response).disagreements == 2 + 1 + 3


def test_an_empty_project_has_nothing_to_verify(make: Callable[..., FeatureStore]) -> None:
    store = make(spend())
    assert str(store.verify()) == "Nothing to verify: no entity was found."


def test_answers_have_to_say_what_they_knew(make: Callable[..., FeatureStore]) -> None:
    store = make(spend())
    with pytest.raises(RequestError, match="was not asked for"):
        store.verify(store.get_online_features(["spend:count_1d"], [{"user_id": 1}]))


def test_answers_about_a_view_that_is_gone_are_an_error(make: Callable[..., FeatureStore]) -> None:
    store = make(spend(), latest())
    response = store.get_online_features(["latest:amount"], [{"user_id": 1}], known_through=True)
    store.apply([spend()], prune=True)
    with pytest.raises(NotRegistered):
        store.verify(response)


def test_views_without_entities_and_null_keys_are_compared(make: Callable[..., FeatureStore]) -> None:
    world = FeatureView(name="world", source=pays, aggregations=[agg.count(over="1d"), agg.sum("amount", over="1d")])
    store = make(world, spend())
    store.push("pays", events((1, 1.0, -1, "a"), (2, 2.0, -1, "b")))
    report = store.verify()
    assert (report.compared, report.agreed) == (2 + 2 * 4, 2 + 2 * 4)
    features = ["spend:count_1d", "world:amount_sum_1d"]
    answer = store.get_online_features(features, [{"user_id": None}, {"user_id": 2}], known_through=True)
    assert store.verify(answer).agreed == 4


def test_causes_are_told_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "verify.md").read_text(encoding="utf-8")
    assert all(f"| {cause} |" in page for cause in CAUSES)


def test_what_is_no_answer_is_told(make: Callable[..., FeatureStore]) -> None:
    with pytest.raises(RequestError, match="which is no answer"):
        make(spend(), latest()).verify(["spend:count"])  # type: ignore[list-item]


def test_answers_of_files_agree_after_later_loads(
    make: Callable[..., FeatureStore], clock: ManualClock, tmp_path: Path
) -> None:
    """A later load brought rows that the answer could not have."""
    old = FileSource(path="old.parquet", timestamp_field="at", created_timestamp_column="created")

    def write(*rows: tuple[int, float, int, str]) -> None:
        table = events(*rows)
        pq.write_table(table.append_column("created", table["at"]), tmp_path / "old.parquet")

    write((1, 1.0, -HOUR, "a"))
    store = make(latest(old))
    clock.set(NOON + 1)
    store.materialize_incremental()
    write((1, 1.0, -HOUR, "a"), (1, 2.0, 2, "b"))
    clock.set(NOON + 3)
    response = store.get_online_features(["latest:amount"], [{"user_id": 1}], known_through=True)
    clock.set(NOON + 4)
    store.materialize_incremental()
    assert (store.verify(response).agreed, store.verify(response).lagging) == (1, 1)
