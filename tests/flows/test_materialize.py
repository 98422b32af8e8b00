"""Loads: what is found, what is found again, and what a killed or changed load leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop import ROWS, day, profile, profiles

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource
from gnomon.clock import ManualClock, from_micros, to_micros
from gnomon.errors import NotRegistered, RequestError, SourceError
from gnomon.types import Float64, Int64, String

AGES = ["profile:age"]


def ages(store: FeatureStore, *users: int) -> list:
    return store.get_online_features(AGES, {"user_id": list(users)}).to_dict()["age"]


def write(repo: Path, name: str, *rows: tuple) -> Path:
    path = repo / "profiles" / name
    pq.write_table(profiles(*rows), path)
    return path


def test_the_first_load_brings_what_was_known(store: FeatureStore) -> None:
    report = store.materialize_incremental(day(12))
    assert ages(store, 1, 2, 3, 4) == [31, None, 50, None]
    assert (report.views[0].mode, report.views[0].rows, report.views[0].start) == ("full", 3, None)


def test_rows_wait_for_the_end_and_for_being_known(store: FeatureStore, clock: ManualClock) -> None:
    clock.set(day(12))
    store.materialize_incremental()
    assert ages(store, 1) == [30]
    clock.set(day(16))
    assert store.materialize_incremental().views[0].rows == 1
    assert ages(store, 1) == [31]


def test_a_second_load_reads_only_what_is_new(store: FeatureStore, clock: ManualClock) -> None:
    store.materialize_incremental()
    clock.advance("1d")
    report = store.materialize_incremental()
    assert (report.views[0].mode, report.views[0].rows) == ("incremental", 0)
    assert ages(store, 1, 3) == [31, 50]


def test_late_rows_are_found_by_known_time(store: FeatureStore, repo: Path, clock: ManualClock) -> None:
    write(repo, "a.parquet", *ROWS, (5, 3, 22, 77, "late"))
    store.materialize_incremental()
    assert ages(store, 5) == [None]
    clock.set(day(23))
    store.materialize_incremental()
    assert ages(store, 5) == [77]


def test_new_files_are_read_whatever_the_age_of_their_rows(store: FeatureStore, repo: Path, clock: ManualClock) -> None:
    """A file may land long after the instants its rows carry."""
    store.materialize_incremental()
    write(repo, "b.parquet", (6, 2, 3, 60, "Emden"))
    clock.advance("1d")
    store.materialize_incremental()
    assert ages(store, 6) == [60]


def test_a_changed_file_without_known_times_is_read_again(store: FeatureStore, repo: Path, clock: ManualClock) -> None:
    bare = FeatureView(
        name="profile",
        version=2,
        entities=["user_id"],
        schema=[Field("age", Int64)],
        source=FileSource(name="bare", path="bare.parquet", timestamp_field="ts"),
    )
    pq.write_table(profiles((1, 1, None, 1, "a")), repo / "bare.parquet")
    store.apply([bare])
    store.materialize_incremental(feature_views=["profile"])
    pq.write_table(profiles((1, 1, None, 1, "a"), (2, 1, None, 2, "b")), repo / "bare.parquet")
    clock.advance("1d")
    report = store.materialize_incremental(feature_views=["profile"])
    assert ages(store, 1, 2) == [1, 2]
    assert "source changed" in report.views[0].notes[0]
    assert "source changed" in str(report)


def test_a_load_that_reached_into_the_future_hides_nothing(store: FeatureStore, repo: Path, clock: ManualClock) -> None:
    """Of rows later than the instant a load was run at, the source may not have had any then."""
    store.materialize_incremental(day(30))
    write(repo, "a.parquet", *ROWS, (1, 21, 21, 40, "later"))
    write(repo, "b.parquet", (3, 22, 22, 51, "later"))
    clock.set(day(23))
    store.materialize_incremental()
    assert ages(store, 1, 3) == [40, 51]


def test_a_row_that_lands_after_it_says_it_was_known_is_found(
    store: FeatureStore, repo: Path, clock: ManualClock
) -> None:
    """A job stamps its rows when it starts and writes them when it ends; a load may run in between."""
    store.materialize_incremental()
    write(repo, "a.parquet", *ROWS, (7, 18, 19, 70, "stamped before the load"))
    clock.advance("1h")
    report = store.materialize_incremental()
    assert ages(store, 7) == [70]
    assert "a.parquet was rewritten" in report.views[0].notes[0]


def test_a_range_leaves_new_files_new(store: FeatureStore, repo: Path, clock: ManualClock) -> None:
    store.materialize_incremental()
    write(repo, "b.parquet", (7, 2, 3, 70, "old"), (8, 21, 21, 80, "new"))
    clock.set(day(22))
    store.materialize(day(20), day(22))
    assert ages(store, 7, 8) == [None, 80]
    store.materialize_incremental()
    assert ages(store, 7, 8) == [70, 80]


def test_views_are_named_once_or_many_times(store: FeatureStore) -> None:
    for names in ("profile", ["profile", "profile@1"]):
        assert [view.view for view in store.materialize_incremental(feature_views=names).views] == ["profile@1"]
    with pytest.raises(RequestError, match="feature_views is empty"):
        store.materialize_incremental(feature_views=[])


def test_a_report_begins_where_the_load_was_asked_to(store: FeatureStore) -> None:
    assert "from 2024-01-02T00:00:00Z to" in str(store.materialize(day(2), day(4)))
    store.materialize_incremental(day(12))
    assert "from 2024-01-12T00:00:00Z to" in str(store.materialize_incremental(day(14)))


def test_a_load_never_goes_back(store: FeatureStore, repo: Path) -> None:
    store.materialize_incremental()
    write(repo, "b.parquet", (1, 2, 3, 99, "older"))
    store.materialize_incremental()
    assert ages(store, 1) == [31]


def test_loading_twice_changes_nothing(store: FeatureStore) -> None:
    first = store.materialize(day(1), day(20)).views[0]
    again = store.materialize(day(1), day(20)).views[0]
    assert (first.changed, again.changed) == (3, 0)
    assert first.rows == again.rows


def test_a_range_loads_what_happened_or_became_known_in_it(store: FeatureStore) -> None:
    store.materialize(day(6), day(9))
    assert ages(store, 1, 2, 3) == [None, None, 50]
    assert [run.start is None for run in store.materializations("profile")] == [False]
    store.materialize_incremental(day(20))
    assert ages(store, 1, 2, 3) == [31, None, 50]


def test_replace_forgets_what_is_no_longer_there(store: FeatureStore, repo: Path) -> None:
    store.materialize_incremental()
    write(repo, "a.parquet", (1, 1, 2, 30, "x"))
    store.materialize_incremental()
    assert ages(store, 1, 3) == [31, 50]
    report = store.materialize(None, day(20), replace=True)
    assert report.views[0].mode == "replace"
    assert ages(store, 1, 3) == [30, None]


def test_a_feature_that_is_added_is_filled_in(store: FeatureStore, repo: Path) -> None:
    store.materialize_incremental()
    wider = FeatureView(
        name="profile",
        entities=["user_id"],
        ttl="30d",
        schema=[Field("city", String), Field("age", Float64)],
        source=profile.source,
    )
    store.apply([wider])
    asked = store.get_online_features(["profile:city"], {"user_id": [1, 9]})
    assert asked.to_dict()["city"] == ["Bonn", None]
    report = store.materialize_incremental()
    assert report.views[0].mode == "replace"
    assert "definition changed" in report.views[0].notes[0]
    assert store.get_online_features(["profile:city", "profile:age"], {"user_id": [1]}).to_dict() == {
        "user_id": [1],
        "city": ["Bonn"],
        "age": [31.0],
    }
    assert store.materialize_incremental().views[0].mode == "incremental"


class StopsAfter:
    """Progress that interrupts the load once some rows are in."""

    def begin(self, view: str, total: int | None) -> None:
        self.ended = False

    def advance(self, rows: int) -> None:
        raise KeyboardInterrupt

    def end(self) -> None:
        self.ended = True


@pytest.mark.parametrize("replace", [False, True])
def test_an_interrupted_load_is_run_again(store: FeatureStore, replace: bool) -> None:
    progress = StopsAfter()
    with pytest.raises(KeyboardInterrupt):
        store.materialize(None, day(20), replace=replace, progress=progress)
    assert progress.ended
    assert store.materializations() == []
    store.materialize_incremental(day(20))
    assert ages(store, 1, 2, 3) == [31, None, 50]


def test_progress_is_told_rows(store: FeatureStore) -> None:
    told: list[Any] = []

    class Listener:
        def begin(self, view: str, total: int | None) -> None:
            told.append(view)

        def advance(self, rows: int) -> None:
            told.append(rows)

        def end(self) -> None:
            told.append("end")

    store.materialize(None, day(20), progress=Listener())
    assert told == ["profile@1", 3, "end"]


def test_what_was_loaded_is_remembered(store: FeatureStore, repo: Path, clock: ManualClock) -> None:
    store.materialize_incremental()
    (run,) = store.materializations("profile")
    assert (run.view, run.rows, from_micros(run.end), run.start) == ("profile@1", 3, day(20), None)
    assert [path for path, _, _ in run.files] == [str(repo / "profiles" / "a.parquet")]


def test_a_source_that_breaks_leaves_the_store_as_it_was(store: FeatureStore, repo: Path) -> None:
    store.materialize_incremental()
    whole = (repo / "profiles" / "a.parquet").read_bytes()
    (repo / "profiles" / "a.parquet").write_bytes(whole[:100])
    for load in (store.materialize_incremental, lambda end: store.materialize(None, end, replace=True)):
        with pytest.raises(SourceError, match=r"a\.parquet"):
            load(day(20))
    assert ages(store, 1, 3) == [31, 50]


@pytest.mark.parametrize(
    ("load", "error", "says"),
    [
        (lambda store: store.materialize(day(2), day(1)), RequestError, "swap them"),
        (lambda store: store.materialize(None, day(1), ["profil"]), NotRegistered, "did you mean 'profile'"),
        (lambda store: store.materialize(None, "tomorrow"), RequestError, "no instant"),
        (lambda store: store.materialize_incremental(feature_views=["hidden"]), RequestError, "not online: hidden@1"),
    ],
)
def test_loads_that_make_no_sense_are_refused(store: FeatureStore, load: Any, error: type, says: str) -> None:
    hidden = FeatureView(
        name="hidden", entities=["user_id"], schema=[Field("age", Int64)], source=profile.source, online=False
    )
    store.apply([hidden])
    with pytest.raises(error, match=says):
        load(store)


def test_views_that_are_not_online_are_left_out(store: FeatureStore) -> None:
    hidden = FeatureView(
        name="hidden", entities=["user_id"], schema=[Field("age", Int64)], source=profile.source, online=False
    )
    store.apply([hidden])
    assert [view.view for view in store.materialize_incremental().views] == ["profile@1"]


def test_a_teardown_takes_this_project_and_no_other(repo: Path, store: FeatureStore) -> None:
    store.materialize_incremental()
    store.teardown()
    assert store.online.tables("shop") == []
    assert store.list_feature_views() == []
    with pytest.raises(NotRegistered):
        ages(store, 1)


def test_a_report_reads_well_as_text_and_as_data(store: FeatureStore) -> None:
    report = store.materialize_incremental(day(12))
    assert str(report) == "profile@1: 3 rows from the beginning to 2024-01-12T00:00:00Z (full)"
    assert report.to_dict()["views"][0]["rows"] == 3


def test_a_whole_world_has_one_row(store: FeatureStore, repo: Path) -> None:
    world = FeatureView(name="world", schema=[Field("age", Int64)], source=profile.source)
    store.apply([world])
    store.materialize_incremental(feature_views=["world"])
    assert store.get_online_features(["world:age"], [{}, {}]).to_dict() == {"age": [31, 31]}


def test_a_source_of_too_many_files_is_read_whole(
    store: FeatureStore, repo: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gnomon.flows.materialize.MOST_FILES_REMEMBERED", 1)
    write(repo, "b.parquet", (8, 8, 8, 80, "x"))
    store.materialize_incremental()
    write(repo, "c.parquet", (9, 2, 3, 90, "x"))
    clock.advance("1d")
    report = store.materialize_incremental()
    assert ages(store, 8, 9) == [80, 90]
    assert "too many files" in report.views[0].notes[0]


def test_a_clock_that_goes_back_loses_nothing(store: FeatureStore, clock: ManualClock) -> None:
    store.materialize_incremental(day(20))
    clock.set(day(3))
    store.materialize_incremental()
    clock.set(day(21))
    store.materialize_incremental()
    assert ages(store, 1, 3) == [31, 50]


def test_a_store_that_lost_a_view_gets_all_of_it_again(store: FeatureStore, clock: ManualClock) -> None:
    """The registry may remember a load into a store that is another one now."""
    store.materialize_incremental()
    store.online.drop(store.online.tables("shop")[0])
    clock.advance("1h")
    assert store.materialize_incremental().views[0].mode == "full"
    assert ages(store, 1, 3) == [31, 50]


def test_a_project_without_views_has_nothing_to_load(store: FeatureStore) -> None:
    store.teardown()
    with pytest.raises(RequestError, match="no feature view is registered in project 'shop'"):
        store.materialize_incremental()


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0.5]),
        pa.array(["7"]),
        pa.array([1], pa.decimal128(5, 2)),
        pa.array([[1]]),
    ],
)
def test_a_file_of_other_types_is_refused_by_loads_and_training_sets(
    store: FeatureStore, repo: Path, clock: ManualClock, values: pa.Array
) -> None:
    """It came after the definition was checked; a cast could change its values, or those of every other file."""
    store.materialize_incremental()
    other = profiles((1, 19, 19, 1, "x")).set_column(3, "age", values)
    pq.write_table(other, repo / "profiles" / "b.parquet")
    clock.advance("1d")
    with pytest.raises(SourceError):
        store.materialize_incremental()
    with pytest.raises(SourceError):
        store.get_historical_features({"user_id": [1], "event_timestamp": [day(20)]}, AGES).to_arrow()
    assert ages(store, 1, 3) == [31, 50]


def test_csv_values_are_read_as_they_are_written(store: FeatureStore, repo: Path, clock: ManualClock) -> None:
    """What a column looks like depends on which rows and files there are; what it is was declared."""
    folder = repo / "words"
    folder.mkdir()
    (folder / "1.csv").write_text("word,ts,n,said\nA1,2024-01-01,1,a\n007,2024-01-01,2,b\n")
    words = FeatureView(
        name="words",
        entities=[Entity(name="word", value_type=String)],
        schema=[Field("n", Int64), Field("said", String)],
        source=FileSource(name="words", path="words", file_format="csv", timestamp_field="ts", delay="0s"),
    )
    store.apply([words])
    store.materialize_incremental(feature_views=["words"])
    said = ["8.50", "1e3", "0x1F", "2024-01-02", "inf", "0.1234567890123456789", "true"]
    rows = "".join(f"{number + 0.5},2024-01-02,{number},{text}\n" for number, text in enumerate(said))
    (folder / "2.csv").write_text("word,ts,n,said\n" + rows)
    clock.advance("1d")
    store.materialize_incremental(feature_views=["words"])
    keys = {"word": ["A1", "007", *(f"{number + 0.5}" for number in range(len(said)))]}
    served = store.get_online_features(["words:n", "words:said"], keys).to_dict()
    asked = {**keys, "event_timestamp": [day(20)] * len(keys["word"])}
    trained = store.get_historical_features(asked, ["words:n", "words:said"], as_known="then").to_arrow()
    assert served["said"] == trained["said"].to_pylist() == ["a", "b", *said]
    assert served["n"] == trained["n"].to_pylist() == [1, 2, *range(len(said))]
    (folder / "3.csv").write_text("word,ts,n,said\nB,2024-01-02,1.5,c\n")
    clock.advance("1d")
    with pytest.raises(SourceError, match=r"1\.5 is no Int64"):
        store.materialize_incremental(feature_views=["words"])


def test_a_range_within_what_is_loaded_reports_its_own_end(store: FeatureStore) -> None:
    """The registry goes on remembering how far all is loaded; what was asked for is what is told."""
    store.materialize_incremental(day(19))
    report = store.materialize(day(2), day(6))
    assert str(report).endswith("rows from 2024-01-02T00:00:00Z to 2024-01-06T00:00:00Z (range)")
    assert store.materialize_incremental(day(20)).views[0].start == to_micros(day(19))
