"""Events as they are: each once, with its versions, conditions and places, in order, whatever it lies in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pushed_worlds import World, batch, pushed, source_of, views_of, worlds
from windowed_views import engine_in, questions, to_plain, values_of, view_of

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, agg
from gnomon.clock import ManualClock
from gnomon.core.expressions import parse
from gnomon.engines.duckdb.engine import DuckDBEngine
from gnomon.plan.events import conditions_of, input_columns
from gnomon.plan.questions import EventsQuestion, LogPrefix
from gnomon.testing.reference import order_key
from gnomon.testing.reference_windows import WindowEvent, united
from gnomon.testing.strategies import EventTable, files, histories, in_unit, row_views, rows_of, to_table
from gnomon.types import Array, Float64, Int64, UnixTimestamp, from_arrow, to_arrow


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """A table's rows, comparable to the bit."""
    columns = []
    for column, field in zip(table.columns, table.schema, strict=True):
        dtype = from_arrow(field.type)
        assert dtype is not None
        columns.append([order_key(one, dtype) for one in values_of(column, dtype)])
    return list(zip(*columns, strict=True)) if len(table) else []


def expected(view: FeatureView, events: Iterable[WindowEvent]) -> list[tuple[Any, ...]]:
    """The oracle's events in the engine's columns, comparable; in no order."""
    source, inputs = view.source, input_columns(view)
    dtypes = {one.name: one.dtype for one in view.inputs}
    conditions = {where: parse(where).typed(dtypes).compile() for where in conditions_of(view)}
    made = []
    for one in events:
        row = [order_key(part, field.dtype) for part, field in zip(one.key, view.entity_columns, strict=True)]
        row += [(1, one.event), (1, one.known)]
        row += [(0,) if one.id is None else (1, as_ordered(one.id))] if source.event_id else []
        row += [(1, one.delete)] if source.operation else []
        row += [order_key(one.values[field.name], field.dtype) for field in inputs.values()]
        row += [(1, condition(one.values) is True) for condition in conditions.values()]
        made.append(tuple(row))
    return made


def as_ordered(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def is_ordered(view: FeatureView, found: pa.Table) -> bool:
    by = len(view.join_keys) + 2
    listed = [row[:by] for row in rows(found)]
    return listed == sorted(listed)


@given(data=st.data())
def test_every_event_of_files_is_there_once(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    view, table, events, asked = data.draw(questions())
    folder = tmp_path_factory.mktemp("source")
    pq.write_table(table, folder / view.source.path, row_group_size=3)
    moments = st.none() | st.sampled_from(sorted({one.event for one in events if one.event is not None} | {0}))
    end, known = data.draw(moments), data.draw(moments)
    keys = data.draw(st.none() | st.just({key for key, _ in asked if None not in key}))
    places = {place: one for place, one in enumerate(events) if counts(one, end, known, keys)}
    question = EventsQuestion(view=view, end=end, known=known, places=True)
    if keys is not None:
        question = replace(question, keys=keys_table(view, keys))

    found = engine_in(folder).events(question).read_all()

    plain = found.drop_columns(["__file", "__row", "__position"])
    assert is_ordered(view, found)
    wanted = dict(zip(places, expected(view, places.values()), strict=True))
    assert dict(zip(found["__row"].to_pylist(), rows(plain), strict=True)) == wanted
    assert set(found["__file"].to_pylist()) <= {str(folder / view.source.path)}
    assert found["__position"].null_count == len(found)
    again = engine_in(folder).events(replace(question, places=False)).read_all()
    assert again.schema == plain.schema
    assert sorted(rows(again)) == sorted(wanted.values())


def counts(one: WindowEvent, end: int | None, known: int | None, keys: set[Any] | None) -> bool:
    if None in one.key or one.event is None or one.known is None:
        return False
    if keys is not None and one.key and one.key not in keys:
        return False
    return (end is None or one.event <= end) and (known is None or one.known <= known)


def keys_table(view: FeatureView, keys: Iterable[tuple[Any, ...]]) -> pa.Table:
    listed = list(keys)
    return pa.table(
        {
            field.name: pa.array([key[place] for key in listed], to_plain(field.dtype)).cast(to_arrow(field.dtype))
            for place, field in enumerate(view.entity_columns)
        }
    )


@given(data=st.data())
def test_row_views_have_events_too(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    view, form = data.draw(row_views()), data.draw(files())
    history = in_unit(data.draw(histories(view)), form.unit)
    folder = tmp_path_factory.mktemp("source")
    pq.write_table(to_table(history, view, form), folder / view.source.path, row_group_size=2)
    names = [one.name for one in view.schema]
    events = [
        WindowEvent(key=row.key, event=row.event, known=row.known, values=dict(zip(names, row.values, strict=True)))
        for row in rows_of(view, history)
        if row.event is not None and None not in row.key
    ]
    found = engine_in(folder).events(EventsQuestion(view=view)).read_all()
    assert sorted(rows(found)) == sorted(expected(view, events))
    assert is_ordered(view, found)


@settings(max_examples=40)
@given(worlds(), st.data())
def test_a_log_and_the_files_beside_it_are_united(world: World, data: st.DataObject) -> None:
    bound = st.none() | st.integers(0, 60)
    end, known = data.draw(bound), data.draw(bound)
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock(0)
        with closing(FeatureStore(folder, clock=clock)) as store:
            store.apply(views_of(source_of(world, Path(folder))))
            log = pushed(store, clock, world)
            until = data.draw(st.none() | st.integers(0, len(log) + 1))
            prefix = store.logs.log("s").prefix(until)
            filed = [one for one in batch(world) if counts(one, end, known, None)]
            logged = log if until is None else log[:until]
            wanted = united(logged, filed, by_id=world.by_id, cutover=world.cutover)
            for view in store.list_feature_views():
                question = EventsQuestion(view=view, logs={"s": prefix}, end=end, known=known, places=True)
                found = store.engine.events(question).read_all()
                plain = found.drop_columns(["__file", "__row", "__position"])
                assert sorted(rows(plain)) == sorted(expected(view, wanted))
                assert is_ordered(view, found)
                assert_places(found, log, batch(world), str(Path(folder).absolute() / "old.parquet"))
                again = store.engine.events(replace(question, places=False)).read_all()
                assert sorted(rows(again)) == sorted(rows(plain))


def assert_places(found: pa.Table, log: list[WindowEvent], filed: list[WindowEvent], path: str) -> None:
    """Every place is that of a row that happened and was known then; none stands twice."""
    places = [(one["__file"], one["__row"], one["__position"]) for one in found.to_pylist()]
    assert len(set(places)) == len(places)
    for one, (file, row, position) in zip(found.to_pylist(), places, strict=True):
        assert (file is None) == (row is None) == (position is not None)
        assert file in (None, path)
        there = filed[row] if position is None else log[position - 1]
        assert (one["__event"], one["__known"]) == (there.event, there.known)


def test_rows_of_csv_files_are_counted_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    lengths = {"a.csv": 70_000, "b.csv": 3, "c.csv": 50_000}
    for name, length in lengths.items():
        at = [f"1970-01-01T00:{place // 60 % 60:02d}:{place % 60:02d}Z" for place in range(length)]
        table = pa.table({"user_id": [7] * length, "happened at": at, "x": list(range(length))})
        pcsv.write_csv(table, tmp_path / "v" / name)
    source = FileSource(path="v", file_format="csv", timestamp_field="happened at")
    view = view_of(EventTable(keys={"user_id": Int64}, inputs={"x": Int64}), [agg.sum("x", over="1h")])
    engine = engine_in(tmp_path)
    found = engine.events(EventsQuestion(view=replace(view, source=source), places=True)).read_all()
    assert found["__row"].to_pylist() == found["x"].to_pylist()
    assert {path: found["__file"].to_pylist().count(path) for path in set(found["__file"].to_pylist())} == {
        str(tmp_path / "v" / name): length for name, length in lengths.items()
    }


def test_a_file_with_row_numbers_of_its_own_tells_no_row(tmp_path: Path) -> None:
    view = view_of(EventTable(keys={"user_id": Int64}, inputs={"x": Int64}), [agg.sum("x", over="1h")])
    at = pa.array([5], pa.timestamp("us", "UTC"))
    pq.write_table(
        pa.table({"user_id": [7], "happened at": at, "x": [1], "file_row_number": [9]}), tmp_path / "v.parquet"
    )
    found = engine_in(tmp_path).events(EventsQuestion(view=view, places=True)).read_all()
    assert found.select(["__file", "__row"]).to_pylist() == [{"__file": str(tmp_path / "v.parquet"), "__row": None}]


def test_a_join_key_that_is_looked_at_stands_once_unless_its_type_differs(tmp_path: Path) -> None:
    table = pa.table({"user_id": pa.array([7, 8], pa.int32()), "happened at": pa.array([5, 5], pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "v.parquet")
    source = FileSource(path="v.parquet", timestamp_field="happened at")
    view = FeatureView(
        name="v",
        entities=[Entity(name="user_id")],
        source=source,
        aggregations=[agg.count(over="1h", where="user_id > 7", name="n")],
        entity_columns=[Field("user_id", Int64)],
        inputs=[Field("user_id", Int64)],
    )
    found = engine_in(tmp_path).events(EventsQuestion(view=view)).read_all()
    assert found.column_names == ["user_id", "__event", "__known", "where:user_id > 7"]
    assert found["where:user_id > 7"].to_pylist() == [False, True]
    other = replace(view, inputs=[Field("user_id", Float64)])
    found = engine_in(tmp_path).events(EventsQuestion(view=other)).read_all()
    assert found["column:user_id"].to_pylist() == [7.0, 8.0]
    assert found.schema.field("user_id").type == pa.int64()


def test_what_a_log_says_of_an_event_besides_comes_along(tmp_path: Path) -> None:
    fields = [Field("user_id", Int64), Field("x", Int64), Field("at", UnixTimestamp)]
    view = FeatureView(
        name="v",
        entities=[Entity(name="user_id")],
        source=PushSource(name="s", schema=fields),
        aggregations=[agg.sum("x", over="1h")],
        entity_columns=[Field("user_id", Int64)],
        inputs=[Field("x", Int64)],
    )
    at = pa.array([5], pa.timestamp("us", "UTC"))
    tail = pa.table({"__position": [1], "__known": at, "__topic": ["spent"], "user_id": [7], "x": [1], "at": at})
    question = EventsQuestion(view=view, logs={"s": LogPrefix(tail=tail, position=1)}, places=True)
    (found,) = engine_in(tmp_path).events(question).read_all().to_pylist()
    assert found == {
        "user_id": 7,
        "__event": 5,
        "__known": 5,
        "x": 1,
        "__file": None,
        "__row": None,
        "__position": 1,
        "__topic": "spent",
    }


def test_reading_a_file_that_lacks_a_column_is_an_error(tmp_path: Path) -> None:
    from gnomon.errors import SourceError

    view = view_of(EventTable(keys={"k": Int64}, inputs={"x": Array(Float64)}), [agg.last("x", over="1h")])
    pq.write_table(pa.table({"k": [1], "happened at": pa.array([1], pa.timestamp("us"))}), tmp_path / "v.parquet")
    engine: DuckDBEngine = engine_in(tmp_path)
    with pytest.raises(SourceError, match="has no column 'x'"):
        engine.events(EventsQuestion(view=view))
