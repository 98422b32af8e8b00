"""Windowed views: DuckDB with the kernel and the oracle answer alike, to the bit, whatever the history."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from windowed_views import engine_in, questions, to_plain, values_of, view_of

from gnomon import FeatureView, Window, agg
from gnomon.core.expressions import parse
from gnomon.engines.duckdb.engine import DuckDBEngine
from gnomon.errors import RequestError, SourceError
from gnomon.plan.questions import AsKnown, TrainingQuestion, ViewQuestion
from gnomon.testing.reference import same_value
from gnomon.testing.reference_windows import WindowAnswer, WindowEvent, windowed
from gnomon.testing.strategies import (
    EventTable,
    SourceEvent,
    events_of,
    to_event_table,
)
from gnomon.types import Array, Float64, Int64, String, UnixTimestamp, to_arrow


def ask(
    engine: DuckDBEngine,
    view: FeatureView,
    asked: Sequence[tuple[tuple[Any, ...], int]],
    as_known: AsKnown,
    *,
    strict: bool = False,
) -> list[tuple[Any, ...]]:
    """The engine's values for (key, instant) pairs, in rows."""
    columns: dict[str, pa.Array] = {}
    for place, field in enumerate(view.entity_columns):
        plain = pa.int64() if field.dtype == UnixTimestamp else to_arrow(field.dtype)
        columns[f"k{place}"] = pa.array([key[place] for key, _ in asked], plain).cast(to_arrow(field.dtype))
    columns["t"] = pa.array([at for _, at in asked], pa.int64())
    names = tuple(f"k{place}" for place in range(len(view.entity_columns)))
    part = ViewQuestion(view=view, columns=names, features=tuple((name, name) for name in view.feature_names))
    question = TrainingQuestion(views=(part,), order=view.feature_names, instant="t", as_known=as_known, strict=strict)
    answer = engine.training_set(pa.table(columns), question).read_all()
    assert answer.schema == pa.schema([(field.name, to_arrow(field.dtype)) for field in view.schema])
    return list(zip(*(values_of(answer[field.name], field.dtype) for field in view.schema), strict=True))


def expected(
    view: FeatureView, events: Sequence[WindowEvent], key: tuple[Any, ...], at: int, as_known: AsKnown
) -> list[WindowAnswer]:
    """The oracle's answers, one per feature."""
    dtypes = {one.name: one.dtype for one in view.inputs}
    return [
        windowed(
            events,
            key,
            at,
            window=window,
            function=one.function,
            arguments=one.arguments,
            column=one.column or None,
            dtypes=dtypes,
            where=parse(one.where).typed(dtypes).compile() if one.where else None,
            as_known=as_known,
        )
        for one in view.aggregations
        for window in one.over
    ]


@pytest.mark.parametrize("kind", ["now", "then", "instant"])
@given(data=st.data())
def test_agrees_with_the_oracle(tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject) -> None:
    view, table, events, asked = data.draw(questions())
    known = sorted({one.known for one in events if one.known is not None} | {0})
    as_known: AsKnown = data.draw(st.sampled_from(known)) if kind == "instant" else kind  # type: ignore[assignment]
    folder = tmp_path_factory.mktemp("source")
    pq.write_table(table, folder / view.source.path)

    got = ask(engine_in(folder), view, asked, as_known)

    assert len(got) == len(asked)
    for (key, at), values in zip(asked, got, strict=True):
        for field, value, answer in zip(view.schema, values, expected(view, events, key, at, as_known), strict=True):
            assert same_value(value, answer.value, field.dtype), (field.name, key, at, value, answer)


EVENTS = [  # one key, a cancelled flight, a late one, a correction, a deletion
    SourceEvent(key=(1,), event=10, created=10, id="a", operation=None, values={"x": 1, "s": "ok"}),
    SourceEvent(key=(1,), event=20, created=90, id="b", operation="upsert", values={"x": 2, "s": "late"}),
    SourceEvent(key=(1,), event=30, created=30, id="c", operation="upsert", values={"x": 4, "s": "ok"}),
    SourceEvent(key=(1,), event=30, created=60, id="c", operation="upsert", values={"x": 8, "s": None}),
    SourceEvent(key=(1,), event=10, created=70, id="a", operation="delete", values={"x": None, "s": None}),
]
TABLE = EventTable(
    keys={"user_id": Int64}, inputs={"x": Int64, "s": String}, created=True, event_id=String, operation=True
)


@pytest.mark.parametrize(
    ("as_known", "at", "sums"),
    [
        ("then", 59, (5, 4)),
        ("then", 60, (9, 8)),
        ("then", 70, (8, 8)),
        ("then", 90, (10, 10)),
        ("now", 59, (10, 10)),
        (65, 59, (9, 8)),
    ],
)
def test_late_corrected_and_deleted_events(tmp_path: Path, as_known: AsKnown, at: int, sums: tuple[int, int]) -> None:
    view = view_of(TABLE, [agg.sum("x", over=[Window(None), "75us"])])
    pq.write_table(to_event_table(EVENTS, TABLE), tmp_path / "v.parquet")
    engine = engine_in(tmp_path)
    assert ask(engine, view, [((1,), at)], as_known) == [(sums[0], sums[0] if at < 85 else sums[1])]
    short = view_of(TABLE, [agg.sum("x", over="40us")])
    assert ask(engine, short, [((1,), at)], as_known) == [(windowed_sum(as_known, at),)]


def windowed_sum(as_known: AsKnown, at: int) -> int | None:
    view = view_of(TABLE, [agg.sum("x", over="40us")])
    return expected(view, events_of(TABLE, EVENTS), (1,), at, as_known)[0].value


def test_an_operation_that_is_none_is_refused(tmp_path: Path) -> None:
    view = view_of(TABLE, [agg.count(over="1h")])
    wrong = dataclasses.replace(EVENTS[0], operation="remove")
    pq.write_table(to_event_table([wrong], TABLE), tmp_path / "v.parquet")
    with pytest.raises(SourceError, match="the operation remove is neither upsert nor delete"):
        ask(engine_in(tmp_path), view, [((1,), 50)], "now")


def test_a_sum_too_great_is_null_or_an_error(tmp_path: Path) -> None:
    table = EventTable(keys={"user_id": Int64}, inputs={"x": Int64})
    rows = [
        SourceEvent(key=(7,), event=at, created=None, id=None, operation=None, values={"x": 2**62}) for at in (1, 2)
    ]
    view = view_of(table, [agg.sum("x", over="1h", name="total")])
    pq.write_table(to_event_table(rows, table), tmp_path / "v.parquet")
    engine = engine_in(tmp_path)
    assert ask(engine, view, [((7,), 2), ((7,), 3)], "now") == [(2**62,), (None,)]
    with pytest.raises(RequestError, match=r"feature 'total' of view 'v' .* in row 1 of the spine") as caught:
        ask(engine, view, [((7,), 2), ((7,), 3)], "now", strict=True)
    assert caught.value.facts["instant"] == 3


def test_a_vector_of_another_length_is_refused(tmp_path: Path) -> None:
    table = EventTable(keys={"user_id": Int64}, inputs={"x": Array(Float64)}, lengths={"x": 2})
    rows = [
        SourceEvent(key=(7,), event=at, created=None, id=None, operation=None, values={"x": (1.0,) * at})
        for at in (2, 3)
    ]
    view = view_of(table, [agg.mean("x", over="1h", length=2)])
    pq.write_table(to_event_table(rows, table), tmp_path / "v.parquet")
    with pytest.raises(RequestError, match=r"column 'x' holds a vector of 3 elements, .* length=2"):
        ask(engine_in(tmp_path), view, [((7,), 5)], "now")


@given(data=st.data())
def test_between_the_instants_named_no_answer_changes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Over a span of time, a row at each instant at which an answer may change says all there is to say."""
    view, table, events, asked = data.draw(questions())
    whole = [(key, at) for key, at in asked if None not in key]
    if not whole:
        return
    as_known: AsKnown = data.draw(st.sampled_from(["now", "then"]))
    (key, start), (_, end) = whole[0], whole[-1]
    start, end = min(start, end), max(start, end)
    folder = tmp_path_factory.mktemp("source")
    pq.write_table(table, folder / view.source.path)
    columns = {
        f"k{place}": pa.array([key[place]], to_plain(field.dtype)).cast(to_arrow(field.dtype))
        for place, field in enumerate(view.entity_columns)
    }
    part = ViewQuestion(view=view, columns=tuple(columns), features=tuple((name, name) for name in view.feature_names))
    question = TrainingQuestion(views=(part,), order=view.feature_names, instant="t", as_known=as_known)
    keys = pa.table(columns) if columns else pa.table({"__world": [0]})

    instants = engine_in(folder).instants(keys, question, start, end)["t"].to_pylist()

    assert instants[0] == start
    assert instants == sorted(set(instants))
    for begin, until in zip(instants, [*instants[1:], end + 1], strict=True):
        for late in (begin + (until - begin) // 2, until - 1):
            answers = [expected(view, events, key, at, as_known) for at in (begin, late)]
            assert same_answers(view, *answers), (begin, late, answers)


def same_answers(view: FeatureView, one: list[WindowAnswer], two: list[WindowAnswer]) -> bool:
    return all(
        same_value(left.value, right.value, field.dtype)
        for field, left, right in zip(view.schema, one, two, strict=True)
    )
