"""What files hold, and what they should hold."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import Entity, FeatureView, Field, FileSource
from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.engines.duckdb.engine import DuckDBEngine
from gnomon.errors import BackendError, ConfigError, RequestError, SourceError
from gnomon.plan.questions import LoadQuestion
from gnomon.types import Array, FeatureType, Int64, UnixTimestamp


@pytest.fixture
def engine(tmp_path: Path) -> DuckDBEngine:
    return DuckDBEngine({"threads": 1}, Context(repo_path=tmp_path, project="p", clock=ManualClock()))


def view_of(path: str, key: FeatureType = Int64, value: FeatureType = Int64, **source: object) -> FeatureView:
    return FeatureView(
        name="v",
        entities=[Entity(name="k", value_type=key)],
        schema=[Field("x", value)],
        source=FileSource(path=path, timestamp_field="ts", **source),
    )


def load(engine: DuckDBEngine, view: FeatureView, end: int = 10**17) -> pa.Table:
    question = LoadQuestion(view=view, start=None, end=end, known=end, now=end)
    return engine.load(question).read_all().sort_by("k")


def rows(k: object = (1, 2), x: object = (10, 20), ts: object = (1, 2)) -> pa.Table:
    return pa.table({"k": pa.array(k), "x": pa.array(x), "ts": pa.array(ts, pa.timestamp("us", "UTC"))})


@pytest.mark.parametrize("keys", [[7.0, 8.0], ["7", "8"], [7, 8]])
def test_keys_are_cast_without_loss(engine: DuckDBEngine, tmp_path: Path, keys: list) -> None:
    pq.write_table(rows(k=keys), tmp_path / "a.parquet")
    assert load(engine, view_of("a.parquet"))["k"].to_pylist() == [7, 8]


@pytest.mark.parametrize("keys", [[7.6, 8.0], ["7.6", "8"], [1e30, 1.0], [float("inf"), 1.0], ["x", "8"]])
def test_a_key_that_does_not_fit_is_an_error(engine: DuckDBEngine, tmp_path: Path, keys: list) -> None:
    pq.write_table(rows(k=keys), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet"):
        load(engine, view_of("a.parquet"))


def test_a_key_that_is_nan_is_no_key(engine: DuckDBEngine, tmp_path: Path) -> None:
    pq.write_table(rows(k=[float("nan"), 8.0]), tmp_path / "a.parquet")
    assert load(engine, view_of("a.parquet"))["k"].to_pylist() == [8]


def test_hive_folders_give_a_column(engine: DuckDBEngine, tmp_path: Path) -> None:
    for day, k in (("2024-01-01", 1), ("2024-01-02", 2)):
        (tmp_path / f"t/date={day}").mkdir(parents=True)
        pq.write_table(rows(k=[k], x=[k], ts=[k]), tmp_path / f"t/date={day}/part.parquet")
    source = FileSource(path="t", timestamp_field="ts")
    assert engine.schema(source).names == ["k", "x", "ts", "date"]
    assert len(engine.files(source)) == 2
    by_date = FeatureView(
        name="v", entities=[Entity(name="k", value_type=Int64)], source=source, schema=[Field("date", UnixTimestamp)]
    )
    assert [one.day for one in load(engine, by_date)["date"].to_pylist()] == [1, 2]


def test_globs_and_folders_leave_hidden_files_out(engine: DuckDBEngine, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for name in ("a.parquet", "b.parquet", ".c.parquet", "_d.parquet", "e.txt"):
        pq.write_table(rows(), tmp_path / "t" / name)
    for path in ("t", "t/*.parquet", "**/[ab].parquet"):
        found = engine.files(FileSource(path=path, timestamp_field="ts", file_format="parquet"))
        assert [Path(one.path).name for one in found if Path(one.path).name[0] in "ab"] == ["a.parquet", "b.parquet"]
    assert len(engine.files(FileSource(path="t", timestamp_field="ts"))) == 2


def test_csv_files_and_field_mapping(engine: DuckDBEngine, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Key,x,when\n1,10,2024-01-01T02:00:00+02:00\n2,,2024-01-02 00:00:00Z\n")
    source = FileSource(path="a.csv", timestamp_field="ts", field_mapping={"when": "ts", "Key": "k"})
    assert engine.schema(source).names == ["k", "x", "ts"]
    view = FeatureView(
        name="v", entities=[Entity(name="k", value_type=Int64)], source=source, schema=[Field("x", Int64)]
    )
    got = load(engine, view)
    assert got["x"].to_pylist() == [10, None]
    assert got["__event"].to_pylist() == [1_704_067_200_000_000, 1_704_153_600_000_000]


def test_csv_times_are_iso_or_text(engine: DuckDBEngine, tmp_path: Path) -> None:
    """01/02 is January or February, depending on who reads it."""
    for text in ("01/02/2024", "01.02.2024", "13/01/2024 10:00"):
        (tmp_path / "a.csv").write_text(f"k;ts\n1;{text}\n")
        assert engine.schema(FileSource(path="a.csv", timestamp_field="ts")).field("ts").type == pa.string()
    for text in ("2024-01-02", "2024-01-02 03:04:05", "2024-01-02T03:04:05.25Z", "2024-01-02T03:04:05+02:00"):
        (tmp_path / "a.csv").write_text(f"k,ts\n1,{text}\n")
        assert pa.types.is_timestamp(engine.schema(FileSource(path="a.csv", timestamp_field="ts")).field("ts").type)


def test_files_of_different_columns_are_read_as_one(engine: DuckDBEngine, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    pq.write_table(rows().drop_columns(["x"]), tmp_path / "t/a.parquet")
    pq.write_table(rows(k=[3], x=[30], ts=[3]), tmp_path / "t/b.parquet")
    assert load(engine, view_of("t"))["x"].to_pylist() == [None, None, 30]


def test_rows_without_event_time_or_key_never_count(engine: DuckDBEngine, tmp_path: Path) -> None:
    pq.write_table(rows(k=[1, None, 3], x=[1, 2, 3], ts=[1, 2, None]), tmp_path / "a.parquet")
    assert load(engine, view_of("a.parquet"))["k"].to_pylist() == [1]


def test_a_file_without_rows_gives_none(engine: DuckDBEngine, tmp_path: Path) -> None:
    pq.write_table(rows().slice(0, 0), tmp_path / "a.parquet")
    assert load(engine, view_of("a.parquet")).num_rows == 0


def test_a_missing_file_names_what_is_there(engine: DuckDBEngine, tmp_path: Path) -> None:
    pq.write_table(rows(), tmp_path / "profiles.parquet")
    with pytest.raises(SourceError, match=r"holds: profiles\.parquet"):
        engine.schema(FileSource(path="profile.parquet", timestamp_field="ts"))


def test_a_file_cut_off_in_the_middle_is_named(engine: DuckDBEngine, tmp_path: Path) -> None:
    pq.write_table(rows(), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"cut\.parquet"):
        engine.schema(FileSource(path="cut.parquet", timestamp_field="ts"))


def test_a_file_damaged_inside_is_named(engine: DuckDBEngine, tmp_path: Path) -> None:
    big = rows(k=list(range(5000)), x=list(range(5000)), ts=list(range(5000)))
    pq.write_table(big, tmp_path / "bad.parquet", compression="zstd", use_dictionary=False)
    content = bytearray((tmp_path / "bad.parquet").read_bytes())
    content[40:4000] = bytes(3960)
    (tmp_path / "bad.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"bad\.parquet"):
        load(engine, view_of("bad.parquet"))


def test_a_missing_column_is_named_with_the_nearest(engine: DuckDBEngine, tmp_path: Path) -> None:
    pq.write_table(rows().rename_columns(["k", "xs", "ts"]), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="no column 'x'"):
        load(engine, view_of("a.parquet"))


def test_spines_are_read_by_path_or_query(engine: DuckDBEngine, tmp_path: Path) -> None:
    pq.write_table(rows(), tmp_path / "orders.parquet")
    assert engine.table("orders.parquet").num_rows == 2
    assert engine.table("select k from 'orders.parquet' where k > 1")["k"].to_pylist() == [2]


@pytest.mark.parametrize("query", ["select * from nowhere", "selec 1", "no/such.parquet", "create table t (i int)", ""])
def test_a_spine_that_cannot_be_read_is_the_callers_error(engine: DuckDBEngine, query: str) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        engine.table(query)


def test_settings_are_checked(tmp_path: Path) -> None:
    context = Context(repo_path=tmp_path, project="p", clock=ManualClock())
    with pytest.raises(ConfigError, match="did you mean 'memory_limit'"):
        DuckDBEngine({"memory_limt": "1GB"}, context)
    with pytest.raises(BackendError, match="refuses"):
        DuckDBEngine({"memory_limit": "lots"}, context)


def test_an_as_of_join_over_few_rows_ends(engine: DuckDBEngine) -> None:
    """DuckDB would take a nested loop here, and not come back, were it not told otherwise."""
    con = engine._connect()
    con.execute("create table l as select 0 as k, i::bigint as t from range(2000000) r(i)")
    con.execute("create table r as select 0 as k, i::bigint as t from range(2000000) r(i)")
    asked = "select * from (select * from l where t % 100000 = 7 and k = 0) l asof join r on l.k = r.k and l.t >= r.t"
    plan = str(con.execute(f"explain {asked}").fetchall())
    assert "Asof Join" in plan
    assert "Nested Loop Join" not in plan
    assert len(con.execute(asked).fetchall()) == 20


def test_instants_inside_arrays_are_floored_too(engine: DuckDBEngine, tmp_path: Path) -> None:
    table = rows(k=[1], ts=[1], x=[0]).set_column(1, "x", pa.array([[-1, 1999, None]], pa.list_(pa.timestamp("ns"))))
    pq.write_table(table, tmp_path / "a.parquet")
    got = load(engine, view_of("a.parquet", value=Array(UnixTimestamp)))["x"]
    assert got.cast(pa.list_(pa.int64())).to_pylist() == [[-1, 1, None]]


def test_whole_numbers_in_csv_keys(engine: DuckDBEngine, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("k,ts,x\n007,2024-01-01,1\n8.0,2024-01-01,2\n-9,2024-01-01,3\n")
    assert load(engine, view_of("a.csv"))["k"].to_pylist() == [-9, 7, 8]
    (tmp_path / "a.csv").write_text("k,ts,x\n7.5,2024-01-01,1\n")
    with pytest.raises(SourceError, match=r"7\.5"):
        load(engine, view_of("a.csv"))
