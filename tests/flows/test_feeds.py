"""What is online of pushed events, at the edges: clocks that step back, loads that come between, bounds of zero."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, Window, agg
from gnomon.clock import ManualClock, from_micros
from gnomon.config import Backend, RepoConfig
from gnomon.contracts.online import Asked
from gnomon.errors import BackendError
from gnomon.online.memory import MemoryStore
from gnomon.types import Int64, String, UnixTimestamp

FIELDS = [Field("k", Int64), Field("n", Int64), Field("at", UnixTimestamp), Field("id", String)]
INSTANT = pa.timestamp("us", "UTC")
key = Entity(name="k")
pushes = PushSource(name="s", schema=FIELDS, event_id="id")
latest = FeatureView(name="latest", entities=[key], source=pushes, schema=[Field("n", Int64)])


def summing(source: Any = pushes, over: Any = "1h", **more: Any) -> FeatureView:
    arguments = {"entities": [key], **more}
    return FeatureView(
        name="w", source=source, aggregations=[agg.count(over=over), agg.sum("n", over=over)], **arguments
    )


def table(*rows: tuple[int, int, int, str | None]) -> pa.Table:
    keys, numbers, at, ids = zip(*rows, strict=True)
    return pa.table(
        {"k": keys, "n": numbers, "at": pa.array(at, pa.int64()).cast(INSTANT), "id": pa.array(ids, pa.string())}
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> FeatureStore:
    config = RepoConfig(project="p", repo_path=tmp_path, online_store=Backend("memory"))
    with FeatureStore(tmp_path, config=config, clock=clock) as made:
        yield made


def again(store: FeatureStore, features: list[str], entities: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    """(served, from history with the answer's token), feature by feature of one entity each."""
    response = store.get_online_features(features, entities, known_through=True)
    made = []
    for place, token in enumerate(response.known_through):
        spine = {
            **{name: [value] for name, value in entities[place].items()},
            "event_timestamp": [from_micros(response.at)],
        }
        asked = store.get_historical_features(spine, features, as_known=str(token)).to_arrow()
        made += [(response.to_dict()[name][place], asked[name][0].as_py()) for name in response.statuses]
    return made


def test_what_was_never_loaded_knew_nothing(store: FeatureStore, tmp_path: Path) -> None:
    pq.write_table(table((1, 1, 40, "b")), tmp_path / "old.parquet")
    files = FileSource(path="old.parquet", timestamp_field="at", delay="0s", event_id="id")
    source = PushSource(name="s", schema=FIELDS, batch_source=files)
    rows = FeatureView(name="latest", entities=[key], source=source, schema=[Field("n", Int64)])
    store.apply([rows, summing(source)])
    store.push("s", table((1, 1, 50, "a")), to="offline")
    response = store.get_online_features(["latest:n", "w:n_sum_1h"], [{"k": 1}], known_through=True)
    assert response.to_dict(include_statuses=True)["n_sum_1h__status"] == ["NOT_FOUND"]
    assert again(store, ["latest:n", "w:n_sum_1h"], [{"k": 1}]) == [(None, None)] * 2


def test_a_row_that_waits_is_not_among_what_was_known(store: FeatureStore, tmp_path: Path, clock: ManualClock) -> None:
    created = pa.array([60, 500], pa.int64()).cast(INSTANT)
    pq.write_table(table((1, 1, 50, "a"), (1, 2, 51, "b")).append_column("created", created), tmp_path / "old.parquet")
    files = FileSource(path="old.parquet", timestamp_field="at", created_timestamp_column="created")
    source = PushSource(name="s", schema=FIELDS, batch_source=files, cutover=1_000)
    store.apply(FeatureView(name="latest", entities=[key], source=source, schema=[Field("n", Int64)]))
    store.materialize_incremental()
    assert again(store, ["latest:n"], [{"k": 1}]) == [(1, 1)]
    clock.set(500)
    assert again(store, ["latest:n"], [{"k": 1}]) == [(2, 2)]


def test_a_row_of_files_known_after_the_load_yields_to_the_log(
    store: FeatureStore, tmp_path: Path, clock: ManualClock
) -> None:
    """It would be the newest when its time comes; but the log has had its event since before that."""
    pq.write_table(table((1, 1, 90, "a"), (1, 2, 10, "b")), tmp_path / "old.parquet")
    files = FileSource(path="old.parquet", timestamp_field="at", delay="50us", event_id="id")
    source = PushSource(name="s", schema=FIELDS, batch_source=files)
    store.apply(FeatureView(name="latest", entities=[key], source=source, schema=[Field("n", Int64)]))
    store.materialize_incremental()
    assert again(store, ["latest:n"], [{"k": 1}]) == [(2, 2)]
    clock.set(120)
    store.push("s", table((1, 7, 90, "a")))
    clock.set(200)
    assert again(store, ["latest:n"], [{"k": 1}]) == [(7, 7)]
    store.materialize_incremental()
    assert again(store, ["latest:n"], [{"k": 1}]) == [(7, 7)]


def test_a_clock_behind_that_of_the_load_asks_for_another(
    store: FeatureStore, tmp_path: Path, clock: ManualClock
) -> None:
    pq.write_table(table((1, 1, 90, "a")), tmp_path / "old.parquet")
    files = FileSource(path="old.parquet", timestamp_field="at", delay="0s", event_id="id")
    source = PushSource(name="s", schema=FIELDS, batch_source=files)
    store.apply(FeatureView(name="latest", entities=[key], source=source, schema=[Field("n", Int64)]))
    store.materialize_incremental()
    clock.set(50)
    (fed,) = store.push("s", table((1, 7, 80, "a"))).online
    assert "the clock was behind that of its last load" in fed.behind
    assert again(store, ["latest:n"], [{"k": 1}]) == [(1, 1)]
    clock.set(110)
    store.materialize_incremental()
    assert again(store, ["latest:n"], [{"k": 1}]) == [(7, 7)]
    assert store.push("s", table((1, 8, 81, "a"))).online[0].behind == ""
    assert again(store, ["latest:n"], [{"k": 1}]) == [(8, 8)]


def test_rows_are_not_dropped_before_the_instant_an_answer_may_be_of(store: FeatureStore, clock: ManualClock) -> None:
    store.apply(latest)
    store.push("s", table((1, 1, 90, "a")))
    store.push("s", table((1, 2, 150, "b")), to="offline")  # dated ahead
    clock.set(200)
    store.materialize_incremental()
    clock.set(120)  # it stepped back
    served, trained = again(store, ["latest:n"], [{"k": 1}])[0]
    assert served == trained == 1


def test_a_view_without_entities_is_laid_out(store: FeatureStore) -> None:
    store.apply(summing(entities=[]))
    store.push("s", table((1, 1, 50, "a"), (2, 2, 60, "b")))
    store.materialize(None, from_micros(100), replace=True)
    assert again(store, ["w:count_1h", "w:n_sum_1h"], [{}]) == [(2, 2), (3, 3)]


@pytest.mark.filterwarnings("ignore::gnomon.flows.training.HindsightWarning")
def test_rows_after_the_epoch_are_loaded_after_a_load_up_to_it(store: FeatureStore, tmp_path: Path) -> None:
    pq.write_table(table((1, 1, -5, "a"), (1, 2, 5, "b")), tmp_path / "old.parquet")
    store.apply(summing(FileSource(path="old.parquet", timestamp_field="at", delay="0s")))
    store.materialize_incremental(0)
    assert store.get_online_features(["w:n_sum_1h"], [{"k": 1}]).to_dict()["n_sum_1h"] == [1]
    store.materialize_incremental()
    assert store.get_online_features(["w:n_sum_1h"], [{"k": 1}]).to_dict()["n_sum_1h"] == [3]


class Meddled(MemoryStore):
    """Does something once, after its next read."""

    then: Callable[[], object] | None = None

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        found = super().read(asked)
        then, self.then = self.then, None
        if then is not None:
            then()
        return found


@pytest.mark.parametrize("how", ["a load", "a clock that was behind"])
def test_chunks_of_another_laying_out_are_not_taken_for_ones_own(
    store: FeatureStore, clock: ManualClock, how: str
) -> None:
    store.__dict__["online"] = meddled = Meddled()
    over = [Window("1000us", offset="1000500us"), Window(None)]  # whose ends lie within chunks
    store.apply(summing(over=over))
    clock.set(1_000_000)
    for start in range(0, 2_000, 400):
        store.push("s", table(*((1, one, one, f"{one}") for one in range(start, start + 400))))
    features = ["w:count_lifetime", "w:n_sum_lifetime", "w:count_1000us_offset_1s500us"]
    clock.set(store.get_online_features(features, [{"k": 1}], known_through=True).at + 1)

    def between() -> None:
        store.push("s", table(*((1, 7, one, f"late {one}") for one in range(0, 900, 2))))  # chunks begin elsewhere
        if how == "a load":
            store.materialize(None, clock.now(), replace=True)
        else:
            clock.set(0)
            store.materialize(None, 0, replace=True)
            store.push("s", table((1, 9, 3, "1")))

    meddled.then = between
    response = store.get_online_features(features, [{"k": 1}], known_through=True)
    (token,) = response.known_through
    spine = {"k": [1], "event_timestamp": [from_micros(response.at)]}
    trained = store.get_historical_features(spine, features, as_known=str(token)).to_arrow()
    served = response.to_dict()
    assert [served[name] for name in response.statuses] == [trained[name].to_pylist() for name in response.statuses]


def test_windows_that_see_further_than_what_is_kept_are_refused(store: FeatureStore) -> None:
    def counting(*over: str) -> FeatureView:
        return FeatureView(name="w", entities=[key], source=pushes, aggregations=[agg.count(over=over)])

    store.apply(counting("1h", "2h"))
    store.push("s", table((1, 1, 50, "a")))
    store.apply(counting("1h", "90m"))  # two hours are kept
    assert store.get_online_features(["w:count_90m"], [{"k": 1}]).to_dict()["count_90m"] == [1]
    store.apply(counting("1h", "3h"))
    with pytest.raises(BackendError, match="as an older definition of it was"):
        store.get_online_features(["w:count_1h"], [{"k": 1}])
    store.materialize_incremental()
    assert store.get_online_features(["w:count_3h"], [{"k": 1}]).to_dict()["count_3h"] == [1]


def test_a_log_that_begins_anew_is_noticed(store: FeatureStore, tmp_path: Path) -> None:
    store.apply([latest, summing()])
    store.push("s", table((1, 1, 50, "a"), (1, 2, 51, "b"), (2, 4, 52, "c")))
    store.logs.close()
    shutil.rmtree(tmp_path / ".gnomon" / "log")
    report = store.push("s", table((1, 8, 60, "d")))
    assert [one.view for one in report.online if "it has the log up to 3, and the log ends at 1" in one.behind] == [
        "latest@1",
        "w@1",
    ]
    loaded = store.materialize_incremental()
    assert {one.notes for one in loaded.views} == {("the log ends before what is online: all of it is loaded anew.",)}
    assert again(store, ["latest:n", "w:n_sum_1h"], [{"k": 1}]) == [(8, 8)] * 2
    assert again(store, ["w:n_sum_1h"], [{"k": 2}]) == [(None, None)]
