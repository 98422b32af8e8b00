"""Training sets: what goes in, what comes out, and what is said when it cannot be."""

from __future__ import annotations

import json
import os
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop import day, profile, profiles

from gnomon import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
from gnomon.clock import ManualClock
from gnomon.errors import BackendError, NotRegistered, RequestError, SourceError, UnknownFeature
from gnomon.flows.files import replacing
from gnomon.flows.training import HindsightWarning
from gnomon.types import Int64

BOTH = ["profile:age", "profile:city"]
ASKED = {"user_id": [1, 1, 2, 9, None, 1], "event_timestamp": [day(12), day(12), day(12), day(12), day(12), day(9)]}
AGES = {"now": [31, 31, None, None, None, 30], "then": [30, 30, None, None, None, 30]}


def as_pandas() -> pd.DataFrame:
    return pd.DataFrame(ASKED)


def as_parquet(folder: Path) -> str:
    pq.write_table(pa.table(ASKED), folder / "spine.parquet")
    return "spine.parquet"


@pytest.mark.parametrize("as_known", ["now", "then"])
@pytest.mark.parametrize(
    "spine",
    [
        lambda _: ASKED,
        lambda _: pa.table(ASKED).to_pylist(),
        lambda _: pa.table(ASKED),
        lambda _: pa.table(ASKED).to_batches()[0],
        lambda _: as_pandas(),
        lambda _: as_pandas().astype({"user_id": "Int64"}),
        lambda _: as_pandas().astype({"user_id": object}),
        lambda _: pl.DataFrame(ASKED),
        lambda _: pl.LazyFrame(ASKED),
        as_parquet,
        lambda folder: folder / as_parquet(folder),
        lambda _: {name: np.array(column, dtype=object) for name, column in ASKED.items()},
        lambda _: {name: pa.array(column) for name, column in ASKED.items()},
        lambda _: {name: pd.Series(column) for name, column in ASKED.items()},
        lambda _: {name: pl.Series(column) for name, column in ASKED.items()},
    ],
)
def test_every_form_of_spine_asks_the_same(store: FeatureStore, repo: Path, spine: Any, as_known: str) -> None:
    answer = store.get_historical_features(spine(repo), BOTH, as_known=as_known).to_arrow()
    assert answer.column_names == ["user_id", "event_timestamp", "age", "city"]
    assert answer["age"].to_pylist() == AGES[as_known]


def test_a_query_is_a_spine(store: FeatureStore, repo: Path) -> None:
    as_parquet(repo)
    query = "select user_id, event_timestamp, 1 as label from 'spine.parquet' where user_id = 2;"
    answer = store.get_historical_features(query, ["profile:city"]).to_arrow()
    assert answer.to_pydict()["city"] == ["Celle"]
    assert answer.column_names == ["user_id", "event_timestamp", "label", "city"]


def test_an_instant_of_knowledge_holds_for_every_row(store: FeatureStore) -> None:
    ages = {
        day(14): [30, 30, None, None, None, 30],
        day(15): [31, 31, None, None, None, 30],
        day(1): [None] * 6,
    }
    for known, expected in ages.items():
        for said in (known, known.isoformat(), known.replace(tzinfo=None)):
            assert store.get_historical_features(ASKED, BOTH, as_known=said).to_arrow()["age"].to_pylist() == expected


def test_ttl_counts_the_row_at_its_last_microsecond(store: FeatureStore) -> None:
    last = day(10) + timedelta(days=30)
    asked = {"user_id": [1, 1], "event_timestamp": [last, last + timedelta(microseconds=1)]}
    assert store.get_historical_features(asked, ["profile:age"]).to_arrow()["age"].to_pylist() == [31, None]


def test_the_callers_columns_come_back_as_they_were(store: FeatureStore) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    frame = pd.DataFrame(
        {
            "mixed": [1, "two", None],
            "label": pd.Categorical(["a", "b", "a"]),
            "event_timestamp": pd.to_datetime(["2024-01-12"] * 3).tz_localize(berlin),
            "user_id": np.array([1, 2, 3], dtype=np.int16),
        },
        index=[10, 10, 7],
    )
    answer = store.get_historical_features(frame, BOTH).to_df()
    pd.testing.assert_frame_equal(answer[frame.columns], frame)
    assert list(answer.columns) == [*frame.columns, "age", "city"]
    assert answer["age"].dtype == "Int64"
    assert answer["age"].tolist() == [31, pd.NA, 50]


def test_no_integer_passes_through_a_float(store: FeatureStore, repo: Path) -> None:
    large = 2**53 + 1
    pq.write_table(profiles((7, 1, 1, large, "x")), repo / "profiles" / "b.parquet")
    asked = {"user_id": [7, 8], "event_timestamp": [day(12)] * 2}
    assert store.get_historical_features(asked, ["profile:age"]).to_df()["age"].tolist() == [large, pd.NA]
    assert store.get_historical_features(asked, ["profile:age"]).to_polars()["age"].to_list() == [large, None]


def test_every_form_of_answer_is_the_same(store: FeatureStore, tmp_path: Path) -> None:
    answer = store.get_historical_features(ASKED, BOTH)
    table = answer.to_arrow()
    assert answer.to_reader().read_all() == table
    assert pl.DataFrame(answer.to_polars()).to_arrow()["age"].to_pylist() == table["age"].to_pylist()
    assert answer.to_duckdb().select("age").fetchall() == [(one,) for one in table["age"].to_pylist()]
    con = duckdb.connect()
    assert answer.to_duckdb(con).to_arrow_table().num_rows == 6
    path = answer.persist(tmp_path / "set.parquet")
    written = pq.read_table(path)
    assert written.equals(table)
    assert written.schema.metadata[b"gnomon"] == table.schema.metadata[b"gnomon"]


def test_a_file_that_is_there_stays(store: FeatureStore, tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    path.write_text("mine")
    answer = store.get_historical_features(ASKED, BOTH)
    with pytest.raises(RequestError, match="overwrite=True"):
        answer.persist(path)
    assert path.read_text() == "mine"
    assert pq.read_table(answer.persist(path, overwrite=True)).num_rows == 6


def test_a_set_that_cannot_be_written_leaves_nothing(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be written"):
        store.get_historical_features(ASKED, BOTH).persist(tmp_path / "no" / "set.parquet")
    (tmp_path / "profiles" / "a.parquet").write_bytes(b"broken")
    with pytest.raises(SourceError):
        store.get_historical_features(ASKED, BOTH).persist(tmp_path / "set.parquet")
    assert sorted(one.name for one in tmp_path.iterdir()) == [".gnomon", "profiles"]


def test_the_metadata_says_how_to_ask_again(store: FeatureStore, repo: Path) -> None:
    table = store.get_historical_features(ASKED, BOTH, as_known="then").to_arrow()
    told = json.loads(table.schema.metadata[b"gnomon"])
    file = repo / "profiles" / "a.parquet"
    assert told["project"] == "shop"
    assert told["registry_version"] == 1
    assert told["as_known"] == "then"
    assert told["made_at"] == "2024-01-20T00:00:00Z"
    assert told["features"] == {"age": "profile@1:age", "city": "profile@1:city"}
    assert list(told["views"]) == ["profile@1"]
    assert told["reproducible"] is True
    assert told["files"]["profiles"][0][:2] == [str(file), file.stat().st_size]


def test_a_set_about_the_future_is_marked(store: FeatureStore, clock: ManualClock) -> None:
    assert store.get_historical_features(ASKED, BOTH).metadata["reproducible"]
    clock.set(day(11))
    assert not store.get_historical_features(ASKED, BOTH).metadata["reproducible"]


def test_sources_that_do_not_say_when_they_knew_are_named(store: FeatureStore, repo: Path) -> None:
    timeless = FeatureView(
        name="bare",
        entities=["user_id"],
        schema=[Field("age", Int64)],
        source=FileSource(path="profiles", timestamp_field="ts"),
    )
    store.apply([timeless])
    with pytest.warns(HindsightWarning, match="profiles"):
        answer = store.get_historical_features(ASKED, ["bare:age"], as_known="then")
    assert answer.metadata["sources_without_known_times"] == ["profiles"]
    assert answer.to_arrow()["age"].to_pylist() == AGES["now"]


def test_several_views_of_several_entities_stand_side_by_side(store: FeatureStore, repo: Path) -> None:
    (repo / "places.csv").write_text("zip,region,ts,risk\n1,a,2024-01-01,0.5\n1,b,2024-01-01,0.25\n")
    place = FeatureView(
        name="place",
        entities=[Entity(name="place", join_keys=["zip", "region"])],
        source=FileSource(path="places.csv", timestamp_field="ts", delay="0s"),
    )
    world = FeatureView(
        name="world",
        source=FileSource(path="places.csv", timestamp_field="ts", delay="0s"),
        schema=[Field("risk", "Float64")],
    )
    homes = FeatureService(
        name="homes",
        features=[
            place.with_name("home").with_join_key_map({"zip": "home_zip"}),
            profile[["city"]],
            place.with_name("work").with_join_key_map({"zip": "work_zip", "region": "work_region"}),
            world,
        ],
    )
    store.apply([homes])
    asked = {
        "work_region": ["b", "a"],
        "event_timestamp": [day(12), day(12)],
        "user_id": ["1", "2"],
        "home_zip": [1, 1],
        "region": ["a", None],
        "work_zip": [1.0, 2.0],
    }
    with pytest.raises(RequestError, match="full_feature_names"):
        store.get_historical_features(asked, homes)
    got = store.get_historical_features(asked, homes, full_feature_names=True).to_arrow()
    assert got.column_names == [*asked, "home__risk", "profile__city", "work__risk", "world__risk"]
    assert got["home__risk"].to_pylist() == [0.5, None]
    assert got["work__risk"].to_pylist() == [0.25, None]
    assert got["profile__city"].to_pylist() == ["Bonn", "Celle"]
    assert got["world__risk"].to_pylist() == [0.5, 0.5]


def test_keys_over_time_give_every_answer_they_had(store: FeatureStore) -> None:
    answer = store.get_historical_features(
        entities={"user_id": [1, 2, 1]}, features=BOTH, as_known="then", start_date=day(2), end_date=day(20)
    )
    rows = [
        (row["user_id"], row["event_timestamp"].day, row["age"], row["city"]) for row in answer.to_arrow().to_pylist()
    ]
    assert rows == [
        (1, 2, 30, "Aachen"),
        (1, 15, 31, "Bonn"),
        (2, 2, None, None),
        (2, 5, None, "Celle"),
    ]


def test_features_of_the_whole_world_over_time(store: FeatureStore) -> None:
    """A view without entities has one answer at a time, and so one row per change of it."""
    world = FeatureView(name="world", schema=[Field("age", Int64)], source=profile.source)
    store.apply([world])
    got = store.get_historical_features(
        entities={}, features=["world:age"], as_known="now", start_date=day(1), end_date=day(20)
    ).to_arrow()
    assert got.column_names == ["event_timestamp", "age"]
    assert got.to_pylist() == [
        {"event_timestamp": day(1), "age": 30},
        {"event_timestamp": day(5), "age": None},
        {"event_timestamp": day(6), "age": 50},
        {"event_timestamp": day(10), "age": 31},
    ]


def test_an_empty_spine_gives_the_columns(store: FeatureStore) -> None:
    for empty in (pd.DataFrame(ASKED).iloc[:0], pa.table(ASKED).slice(0, 0), {"user_id": [], "event_timestamp": []}):
        answer = store.get_historical_features(empty, BOTH)
        assert answer.to_arrow().num_rows == 0
        assert answer.to_reader().schema.names == ["user_id", "event_timestamp", "age", "city"]
        assert list(answer.to_df().columns) == ["user_id", "event_timestamp", "age", "city"]


def test_instants_of_every_kind_mean_the_same(store: FeatureStore) -> None:
    noon = day(10, 12).replace(tzinfo=None)
    kinds = [
        [noon],
        [noon.replace(tzinfo=timezone.utc)],
        [noon.replace(tzinfo=timezone(timedelta(hours=2))) + timedelta(hours=2)],
        ["2024-01-10T12:00:00Z"],
        ["2024-01-10 14:00:00+02:00"],
        [noon.date()],
        pa.array([noon], pa.timestamp("ns")),
        pa.array([noon], pa.timestamp("s", "America/New_York")),
        pa.array([noon.date()], pa.date32()),
        pd.Series([noon]).dt.tz_localize("UTC").astype("datetime64[ns, Asia/Tokyo]"),
    ]
    for kind in kinds:
        answer = store.get_historical_features({"user_id": [1], "event_timestamp": kind}, ["profile:age"])
        assert answer.to_arrow()["age"].to_pylist() == [31], kind


def test_mixed_zones_meet_in_utc(store: FeatureStore) -> None:
    mixed = [day(10), day(10).astimezone(ZoneInfo("Asia/Tokyo")), day(10).replace(tzinfo=None), day(9, 23)]
    for spine in (
        {"user_id": [1] * 4, "event_timestamp": mixed},
        pd.DataFrame({"user_id": [1] * 4, "event_timestamp": pd.Series(mixed, dtype=object)}),
    ):
        assert store.get_historical_features(spine, ["profile:age"]).to_arrow()["age"].to_pylist() == [31, 31, 31, 30]


def test_nanoseconds_are_floored(store: FeatureStore, repo: Path) -> None:
    before = pa.table({"user_id": [4, 4], "event_timestamp": pa.array([-1, -1000], pa.timestamp("ns"))})
    rows = profiles((4, 1, 1, 9, "x")).set_column(1, "ts", pa.array([-1], pa.timestamp("ns"))).drop_columns(["created"])
    pq.write_table(rows, repo / "profiles" / "b.parquet")
    assert store.get_historical_features(before, ["profile:age"]).to_arrow()["age"].to_pylist() == [9, 9]


@pytest.mark.parametrize(
    ("spine", "says"),
    [
        ({"event_timestamp": [day(1)]}, "no column 'user_id', a join key of view 'profile'"),
        ({"user_id": [1]}, "no column 'event_timestamp'"),
        ({"user_id": [1, 2], "event_timestamp": [day(1), None]}, "null in 1 of 2 rows, first in row 1"),
        (pd.DataFrame({"user_id": [1], "event_timestamp": [pd.NaT]}), "null in 1 of 1 rows"),
        ({"user_id": [1], "event_timestamp": [pd.NaT]}, "null in 1 of 1 rows"),
        ({"user_id": [1, 2], "event_timestamp": [pd.Timestamp(day(1)), pd.NaT]}, "null in 1 of 2 rows, first in row 1"),
        ({"user_id": [1, 2], "event_timestamp": [day(1).replace(tzinfo=None), pd.NaT]}, "null in 1 of 2 rows"),
        ({"user_id": [1], "event_timestamp": [1704067200]}, "holds int64, not instants"),
        ({"user_id": [1], "event_timestamp": ["yesterday"]}, "'yesterday' is no instant"),
        ({"user_id": [7.5], "event_timestamp": [day(1)]}, "user_id"),
        ({"user_id": ["x"], "event_timestamp": [day(1)]}, "user_id"),
        ({"user_id": [1, "x"], "event_timestamp": [day(1)] * 2}, "no one type"),
        ({"user_id": [2**70], "event_timestamp": [day(1)]}, "'user_id', a join key of view 'profile', holds values"),
        ({"user_id": ["\ud800"], "event_timestamp": [day(1)]}, "'user_id', a join key of view 'profile', holds values"),
        ({"user_id": [[1]], "event_timestamp": [day(1)]}, r"join key 'user_id', row 0: \[1\] is no Int64"),
        ({"user_id": [{"a": 1}], "event_timestamp": [day(1)]}, "join key 'user_id', row 0: {'a': 1} is no Int64"),
        (pd.DataFrame({"user_id": [1j], "event_timestamp": [day(1)]}), "no one type"),
        ({"user_id": [1, 2], "event_timestamp": [day(1)]}, "different lengths"),
        ({"user_id": 1, "event_timestamp": day(1)}, "holds one list per column"),
        ({"user_id": [1], "event_timestamp": [day(1)], "age": [1]}, "full_feature_names=True"),
        (42, "int is no spine"),
        ("nowhere.parquet", "cannot be read"),
        (None, "say which rows are asked"),
    ],
)
def test_a_spine_that_does_not_fit_is_refused(store: FeatureStore, spine: Any, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        store.get_historical_features(spine, ["profile:age"])


def test_a_bad_text_is_answered_with_what_a_spine_takes(store: FeatureStore) -> None:
    with pytest.raises(RequestError, match="'yesterday' is no instant") as caught:
        store.get_historical_features({"user_id": [1], "event_timestamp": ["yesterday"]}, ["profile:age"])
    assert "ISO-8601" in caught.value.hint
    assert "int" not in caught.value.hint


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1j]),
        pd.Series([np.array([1, 2])]),
        pd.Series([2**70], dtype=object),
        pd.Series([pd.NA], dtype=object),
        pd.Series(pd.arrays.SparseArray([0])),
        pd.Series(pd.Categorical([1, "a"])[:1]),
    ],
    ids=["complex", "array", "big", "null", "sparse", "mixed"],
)
def test_what_only_pandas_can_hold_comes_back_in_pandas(store: FeatureStore, column: pd.Series) -> None:
    spine = pd.DataFrame({"user_id": [1], "event_timestamp": [day(10, 12)], "extra": column})
    answer = store.get_historical_features(spine, ["profile:age"]).to_df()
    assert answer["age"].tolist() == [31]
    pd.testing.assert_series_equal(answer["extra"], column, check_names=False)


def test_two_columns_of_one_name_are_refused(store: FeatureStore) -> None:
    frame = pd.DataFrame([[1, 2, day(1)]], columns=["user_id", "user_id", "event_timestamp"])
    with pytest.raises(RequestError, match="two columns 'user_id'"):
        store.get_historical_features(frame, ["profile:age"])


@pytest.mark.parametrize(
    ("features", "error", "says"),
    [
        (["profile:agee"], UnknownFeature, "did you mean 'age'"),
        (["profil:age"], NotRegistered, "did you mean 'profile'"),
        (["age"], RequestError, "age"),
        ([], RequestError, "no features"),
        (["profile:age", "profile:age"], RequestError, "age"),
        ("nothing", NotRegistered, "feature service"),
    ],
)
def test_features_that_are_not_there_are_named(store: FeatureStore, features: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        store.get_historical_features(ASKED, features)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"as_known": "later"}, '"now", "then"'),
        ({"entities": {"user_id": [1]}}, "say which rows"),
        ({"start_date": day(1)}, "go with entities="),
        ({"entity_df": None, "entities": {"user_id": [1]}}, "needs a start_date"),
        ({"entity_df": None, "entities": {"user": [1]}, "start_date": day(1)}, "no column 'user_id'"),
        ({"entity_df": None, "entities": {"user_id": [1]}, "start_date": day(2), "end_date": day(1)}, "swap them"),
    ],
)
def test_questions_that_make_no_sense_are_refused(store: FeatureStore, arguments: dict, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        store.get_historical_features(**{"entity_df": ASKED, "features": BOTH, **arguments})


def test_an_older_version_of_a_view_can_be_asked(store: FeatureStore) -> None:
    older_city = FeatureView(
        name="profile", version=2, entities=["user_id"], schema=[Field("city", "String")], source=profile.source
    )
    store.apply([older_city])
    with pytest.raises(UnknownFeature):
        store.get_historical_features(ASKED, ["profile:age"])
    assert store.get_historical_features(ASKED, ["profile@1:age"]).to_arrow()["age"].to_pylist() == AGES["now"]


class Listener:
    """Progress that keeps what it is told, and may be told to stop."""

    def __init__(self, *, stops: bool = False) -> None:
        self.told: list[object] = []
        self._stops = stops

    def begin(self, view: str, total: int | None) -> None:
        self.told += [view, total]

    def advance(self, rows: int) -> None:
        self.told.append(rows)
        if self._stops:
            raise KeyboardInterrupt

    def end(self) -> None:
        self.told.append("end")


def test_progress_is_told_rows(store: FeatureStore, tmp_path: Path) -> None:
    made, listener = store.get_historical_features(ASKED, BOTH), Listener()
    made.persist(tmp_path / "made.parquet", progress=listener)
    assert listener.told == ["training set", 6, 6, "end"]


def test_progress_ends_where_the_question_fails(store: FeatureStore, repo: Path) -> None:
    made, listener = store.get_historical_features(ASKED, BOTH), Listener()
    (repo / "profiles" / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(SourceError):
        made.to_reader(progress=listener)
    assert listener.told == ["training set", 6, "end"]


def test_a_file_that_is_interrupted_leaves_nothing(store: FeatureStore, tmp_path: Path) -> None:
    made, listener = store.get_historical_features(ASKED, BOTH), Listener(stops=True)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        made.persist(tmp_path / "made.parquet", progress=listener)
    assert listener.told[-1] == "end"
    assert sorted(tmp_path.iterdir()) == before


def test_what_a_killed_process_left_beside_a_file_goes_with_the_next(store: FeatureStore, tmp_path: Path) -> None:
    target = tmp_path / "made [1].parquet"
    pid = os.fork()
    if not pid:
        scratch = replacing(target).__enter__()
        scratch.write_bytes(b"half of it")
        os._exit(0)  # as if killed: nothing is tidied up
    os.waitpid(pid, 0)
    assert len(list(tmp_path.glob(".made*"))) == 1
    other = tmp_path / ".other.parquet.1234.tmp"
    other.touch()
    with replacing(target) as living:
        assert list(tmp_path.glob(".made*")) == [living]
        store.get_historical_features(ASKED, BOTH).persist(target)
        assert living.exists()
        living.write_bytes(target.read_bytes())
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_file()) == [other.name, target.name]


@pytest.mark.parametrize("name", ["profiles/a.parquet", "profiles/train.parquet"])
def test_a_set_is_not_written_into_what_it_is_made_from(store: FeatureStore, repo: Path, name: str) -> None:
    """Over a file of a source, or beside those of a folder: there its rows would count as the source's."""
    before = {path: path.read_bytes() for path in (repo / "profiles").iterdir()}
    answer = store.get_historical_features(ASKED, ["profile:age"])
    with pytest.raises(RequestError, match=r"is where source 'profiles' is") as caught:
        answer.persist(repo / name, overwrite=True)
    assert "choose a path outside of it" in str(caught.value)
    assert {path: path.read_bytes() for path in (repo / "profiles").iterdir()} == before


def test_strict_is_yes_or_no(store: FeatureStore) -> None:
    with pytest.raises(RequestError, match="strict is 'no'"):
        store.get_historical_features(ASKED, ["profile:age"], strict="no")  # type: ignore[arg-type]
