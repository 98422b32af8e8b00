"""A load brings, of the rows it may bring, each key's winner and all that wait; whatever the bounds leave unread."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from pushed_worlds import World, pushed, source_of, views_of, worlds
from pushed_worlds import rows_of as united_rows

from gnomon import FeatureStore, FeatureView
from gnomon.clock import ManualClock
from gnomon.contracts.engine import Engine
from gnomon.contracts.plugins import Context
from gnomon.engines.duckdb.engine import DuckDBEngine
from gnomon.plan.questions import LoadQuestion
from gnomon.testing.reference import Row, order_key
from gnomon.testing.strategies import files, histories, in_unit, row_views, rows_of, to_table
from gnomon.types import FeatureType, UnixTimestamp


def comparable(row: Row, view: FeatureView) -> tuple[Any, ...]:
    keys = [order_key(one, field.dtype) for one, field in zip(row.key, view.entity_columns, strict=True)]
    values = [order_key(one, field.dtype) for one, field in zip(row.values, view.schema, strict=True)]
    return keys, row.event, row.known, values


def wanted(rows: list[Row], view: FeatureView, question: LoadQuestion) -> list[tuple[Any, ...]]:
    """One row after the other, as slowly as the contract says it."""
    waiting, winners = [], {}
    for row in rows:
        if row.event is None or None in row.key or row.event > question.end or row.known > question.known:
            continue
        if question.start is not None and max(row.event, row.known) <= question.start:
            continue
        found = comparable(row, view)
        if max(row.event, row.known) > question.now:
            waiting.append(found)
        elif str(found[0]) not in winners or winners[str(found[0])][1:] < found[1:]:
            winners[str(found[0])] = found
    return sorted([*waiting, *winners.values()])


def plain(column: pa.Array, dtype: FeatureType) -> list[Any]:
    if dtype == UnixTimestamp:
        return column.cast(pa.int64()).to_pylist()
    if pa.types.is_list(column.type) and pa.types.is_timestamp(column.type.value_type):
        return column.cast(pa.list_(pa.int64())).to_pylist()
    return column.to_pylist()


def loaded(engine: Engine, view: FeatureView, question: LoadQuestion) -> list[tuple[Any, ...]]:
    table = engine.load(question).read_all()
    keys = [plain(table[field.name], field.dtype) for field in view.entity_columns]
    values = [plain(table[field.name], field.dtype) for field in view.schema]
    instants = table["__event"].to_pylist(), table["__known"].to_pylist()
    rows = [
        Row(tuple(key[place] for key in keys), event, known, tuple(value[place] for value in values))
        for place, (event, known) in enumerate(zip(*instants, strict=True))
    ]
    return sorted(comparable(row, view) for row in rows)


@given(data=st.data())
def test_a_load_brings_what_the_store_should_have(tmp_path_factory: Any, data: st.DataObject) -> None:
    view, form = data.draw(row_views()), data.draw(files())
    history = in_unit(data.draw(histories(view)), form.unit)
    folder: Path = tmp_path_factory.mktemp("source")
    pq.write_table(to_table(history, view, form), folder / view.source.path, row_group_size=2)
    rows = rows_of(view, history)
    moments = st.sampled_from(sorted({at for row in rows for at in (row.event, row.known) if at is not None} | {0}))
    end, now = data.draw(moments), data.draw(moments)
    start = data.draw(st.none() | st.tuples(moments, st.integers(-1, 1)).map(sum))
    question = LoadQuestion(view=view, start=start, end=end, known=max(end, now), now=now)
    engine = DuckDBEngine({"threads": 1}, Context(repo_path=folder, project="p", clock=ManualClock()))

    with engine.together():
        assert loaded(engine, view, question) == wanted(rows, view, question)


@settings(max_examples=40)
@given(worlds(), st.data())
def test_a_load_of_pushed_events_and_files_brings_it_too(world: World, data: st.DataObject) -> None:
    moments = st.integers(0, 65)
    end, now, start = data.draw(moments), data.draw(moments), data.draw(st.none() | moments)
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock(0)
        with closing(FeatureStore(folder, clock=clock)) as store:
            store.apply(views_of(source_of(world, Path(folder))))
            log = pushed(store, clock, world)
            view = store.get_feature_view("latest")
            logs = {"s": store.logs.log("s").prefix()}
            question = LoadQuestion(view=view, start=start, end=end, known=max(end, now), now=now, logs=logs)
            found = loaded(store.engine, view, question)
    rows = [Row(one.key, one.event, one.known, (one.values["n"],)) for one in united_rows(world, log)]
    assert found == wanted(rows, view, question)
