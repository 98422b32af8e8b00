"""DuckDB and the oracle answer alike, to the bit, whatever the history."""

from __future__ import annotations

import decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon import Entity, Field, FileSource
from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.definitions.views import FeatureView
from gnomon.engines.duckdb.engine import DuckDBEngine
from gnomon.errors import BackendError, SourceError
from gnomon.plan.questions import AsKnown, TrainingQuestion, ViewQuestion
from gnomon.testing.reference import as_of, same_value
from gnomon.testing.strategies import SourceRow, files, histories, in_unit, questions, row_views, rows_of, to_table
from gnomon.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    FeatureType,
    Float32,
    Float64,
    Int64,
    String,
    UnixTimestamp,
    to_arrow,
)


def engine_in(folder: Path) -> DuckDBEngine:
    return DuckDBEngine({"threads": 1}, Context(repo_path=folder, project="p", clock=ManualClock()))


def ask(engine: DuckDBEngine, view: FeatureView, asked: list, as_known: AsKnown) -> list[tuple]:
    """The engine's values for (key, instant) pairs, in rows."""
    keys = [
        pa.array(
            [key[place] for key, _ in asked], to_arrow(field.dtype) if field.dtype != UnixTimestamp else pa.int64()
        )
        for place, field in enumerate(view.entity_columns)
    ]
    keys = [one.cast(to_arrow(field.dtype)) for one, field in zip(keys, view.entity_columns, strict=True)]
    names = tuple(f"k{place}" for place in range(len(keys)))
    spine = pa.table([*keys, pa.array([at for _, at in asked], pa.int64())], names=[*names, "t"])
    part = ViewQuestion(view=view, columns=names, features=tuple((name, name) for name in view.feature_names))
    question = TrainingQuestion(views=(part,), order=view.feature_names, instant="t", as_known=as_known)
    answer = engine.training_set(spine, question).read_all()
    assert answer.schema == pa.schema([(field.name, to_arrow(field.dtype)) for field in view.schema])
    return list(zip(*(values_of(answer[field.name], field.dtype) for field in view.schema), strict=True))


def column_of(values: list, dtype: FeatureType) -> pa.Array:
    return pa.array(values, pa.int64() if dtype == UnixTimestamp else to_arrow(dtype)).cast(to_arrow(dtype))


def values_of(column: pa.ChunkedArray, dtype) -> list:
    """Python values as the oracle has them: instants as int µs."""
    if dtype == UnixTimestamp:
        return column.cast(pa.int64()).to_pylist()
    if pa.types.is_list(column.type) and pa.types.is_timestamp(column.type.value_type):
        return column.cast(pa.list_(pa.int64())).to_pylist()
    return column.to_pylist()


@pytest.fixture(params=["keys whole", "keys in slices"])
def heavy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether keys are cut into slices of their time, as those are that have very many rows."""
    if request.param == "keys in slices":
        monkeypatch.setattr("gnomon.plan.as_of.HEAVY", 1)


@pytest.mark.usefixtures("heavy")
@pytest.mark.parametrize("kind", ["now", "then", "instant"])
@given(data=st.data())
def test_agrees_with_the_oracle(tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject) -> None:
    view = data.draw(row_views())
    form = data.draw(files())
    history = in_unit(data.draw(histories(view)), form.unit)
    asked = data.draw(questions(view, history))
    rows = rows_of(view, history)
    known = sorted({row.known for row in rows if row.known is not None} | {0})
    as_known: AsKnown = data.draw(st.sampled_from(known)) if kind == "instant" else kind  # type: ignore[assignment]
    folder = tmp_path_factory.mktemp("source")
    pq.write_table(to_table(history, view, form), folder / view.source.path)

    got = ask(engine_in(folder), view, asked, as_known)

    assert len(got) == len(asked)
    dtypes = [field.dtype for field in view.schema]
    for (key, at), values in zip(asked, got, strict=True):
        expected = as_of(rows, key, at, dtypes=dtypes, as_known=as_known, ttl=view.ttl).values
        assert all(map(same_value, values, expected, dtypes)), (key, at, values, expected)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("as_known", ["now", "then", 5])
@pytest.mark.parametrize(
    ("dtype", "least_first"),
    [
        (Float64, [None, -INF, -1.0, -0.0, 0.0, 1.0, INF, NAN]),
        (Float32, [None, -INF, -0.0, 0.0, NAN]),
        (Int64, [None, -(2**63), -1, 0, 2**63 - 1]),
        (Bool, [None, False, True]),
        (String, [None, "", "\0", "Z", "a", "aa", "é", "\U0001f600"]),
        (Bytes, [None, b"", b"\0", b"a", b"a\0", b"\xff"]),
        (Decimal(38, 2), [None, *map(decimal.Decimal, ["-1.01", "0.00", "0.01", "9" * 36 + ".99"])]),
        (UnixTimestamp, [None, -1, 0, 1]),
        (
            Array(Float64),
            [None, [], [None], [None, 1.0], [-INF], [-0.0], [0.0], [0.0, None], [1.0], [1.0, -INF], [NAN]],
        ),
        (Array(String), [None, [], [None], [""], ["a"], ["a", "b"], ["b"]]),
    ],
)
def test_ties_go_to_the_row_that_compares_greatest(
    tmp_path: Path, dtype: FeatureType, least_first: list, as_known: AsKnown
) -> None:
    """Every pair of neighbours in the order ties, in both orders in the file: the greater one answers."""
    view = FeatureView(
        name="v",
        entities=[Entity(name="k", value_type=Int64)],
        schema=[Field("same", Int64), Field("x", dtype)],
        source=FileSource(path="t.parquet", timestamp_field="ts"),
    )
    pairs = [*pairwise(least_first), *(pair[::-1] for pair in pairwise(least_first))]
    history = [SourceRow((key,), 5, None, (1, value)) for key, pair in enumerate(pairs) for value in pair]
    pq.write_table(to_table(history, view), tmp_path / "t.parquet")

    got = ask(engine_in(tmp_path), view, [((key,), 5) for key in range(len(pairs))], as_known)

    expected = [*least_first[1:], *least_first[1:]]
    assert [same_value(values[1], value, dtype) for values, value in zip(got, expected, strict=True)] == [True] * len(
        got
    )


def test_a_question_larger_than_the_memory_allowed_says_what_to_do(tmp_path: Path) -> None:
    """DuckDB goes to disk where it can; where it cannot, the operator reads which setting to change."""
    view = FeatureView(
        name="v",
        entities=[Entity(name="k", value_type=Int64)],
        schema=[Field("x", Int64)],
        source=FileSource(path="t.parquet", timestamp_field="ts"),
    )
    pq.write_table(to_table([SourceRow((1,), 5, None, (1,))], view), tmp_path / "t.parquet")
    engine = DuckDBEngine(
        {"threads": 1, "memory_limit": "2MB"}, Context(repo_path=tmp_path, project="p", clock=ManualClock())
    )
    with pytest.raises(BackendError, match="raise memory_limit"):
        ask(engine, view, [((key,), 5) for key in range(500_000)], "now")


@pytest.mark.parametrize("as_known", ["now", "then"])
def test_a_key_that_has_half_of_all_rows_may_be_larger_than_the_memory_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_known: AsKnown
) -> None:
    """DuckDB cuts a join into parts by key, and has to hold much of what one key has."""
    monkeypatch.setattr("gnomon.plan.as_of.HEAVY", 1_000_000)
    rows = np.arange(4_000_000)
    instants = pa.array(rows * 10, pa.timestamp("us"))
    columns = {"k": np.where(rows % 2, rows % 1_000, 0), "ts": instants, "known": instants, "x": rows}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    view = FeatureView(
        name="v",
        entities=[Entity(name="k", value_type=Int64)],
        schema=[Field("x", Int64)],
        source=FileSource(path="t.parquet", timestamp_field="ts", created_timestamp_column="known"),
    )
    context = Context(repo_path=tmp_path, project="p", clock=ManualClock())
    engine = DuckDBEngine({"threads": 1, "memory_limit": "24MB"}, context)

    asked = [((0,), at) for at in range(-5, 40_000_100, 9_999)]
    got = [x for (x,) in ask(engine, view, asked, as_known)]

    latest = [min(at // 20, 1_999_999) * 2 for _, at in asked]
    assert got == [None, *latest[1:]]


def test_large_answers_of_several_views_are_set_aside_and_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut into other batches, written to files and read back, an answer is what it is in memory."""
    views = []
    for number, dtype in enumerate([Int64, Array(Float64), UnixTimestamp, Decimal(38, 2), Bytes]):
        view = FeatureView(
            name=f"v{number}",
            entities=[Entity(name="k", value_type=Int64)],
            schema=[Field("x", dtype)],
            source=FileSource(path=f"{number}.parquet", timestamp_field="ts"),
        )
        value = {"Int64": 7, "Bytes": b"\0\xff", "UnixTimestamp": -1}.get(dtype.name, decimal.Decimal("0.01"))
        held = [-0.0, None, NAN] if isinstance(dtype, Array) else value
        history = [SourceRow((key,), key, None, (held,)) for key in range(0, 5000, 2)]
        pq.write_table(to_table(history, view), tmp_path / view.source.path)
        views.append(view)
    parts = tuple(ViewQuestion(view=view, columns=("k",), features=(("x", view.name),)) for view in views)
    question = TrainingQuestion(views=parts, order=("v4", "v0", "v3", "v1", "v2"), instant="t", as_known="now")
    keys = pa.array([(place * 7919) % 5000 for place in range(5000)], pa.int64())
    spine = pa.table([keys, pa.array([9999] * 5000, pa.int64())], names=["k", "t"])
    engine = DuckDBEngine(
        {"threads": 2, "temp_directory": "."}, Context(repo_path=tmp_path, project="p", clock=ManualClock())
    )
    whole = engine.training_set(spine, question).read_all()
    files = sorted(tmp_path.iterdir())
    monkeypatch.setattr("gnomon.engines.duckdb.engine.MOST_ROWS_JOINED", 10)
    monkeypatch.setattr("gnomon.engines.duckdb.engine.BATCH_ROWS", 700)
    aside = engine.training_set(spine, question)
    assert str(aside.read_all().to_pydict()) == str(whole.to_pydict())
    assert sorted(tmp_path.iterdir()) == files
    assert whole["v0"].null_count == 2500
    (tmp_path / "3.parquet").write_bytes(b"gone")
    with pytest.raises(SourceError):
        engine.training_set(spine, question)
    assert sorted(tmp_path.iterdir()) == files
