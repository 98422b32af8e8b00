"""Windowed views of files, drawn at random, and what engines answer about them in the oracle's values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from gnomon import Entity, FeatureView, Field, FileSource
from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.core.expressions import parse
from gnomon.core.expressions.writing import write
from gnomon.definitions.aggregations import Aggregation
from gnomon.engines.duckdb.engine import DuckDBEngine
from gnomon.errors import DefinitionError
from gnomon.testing.reference_windows import WindowEvent
from gnomon.testing.strategies import (
    EventTable,
    aggregations,
    conditions,
    event_histories,
    event_tables,
    events_of,
    to_event_table,
    window_questions,
    windows,
)
from gnomon.types import Array, FeatureType, UnixTimestamp, to_arrow

Asked = tuple[FeatureView, pa.Table, list[WindowEvent], list[tuple[tuple[Any, ...], int]]]


def engine_in(folder: Path) -> DuckDBEngine:
    return DuckDBEngine({"threads": 2}, Context(repo_path=folder, project="p", clock=ManualClock()))


def view_of(table: EventTable, made: Sequence[Aggregation], name: str = "v") -> FeatureView:
    """A windowed view as a registry would resolve it."""
    columns = dict.fromkeys(column for one in made for column in one.columns)
    return FeatureView(
        name=name,
        entities=[Entity(name="e", join_keys=list(table.keys))] if table.keys else [],
        entity_columns=[Field(key, dtype) for key, dtype in table.keys.items()],
        aggregations=made,
        inputs=[Field(column, table.inputs[column]) for column in columns],
        source=FileSource(
            path=f"{name}.parquet",
            timestamp_field=table.TIMESTAMP,
            created_timestamp_column=table.CREATED if table.created else "",
            delay=table.delay,
            event_id=table.EVENT_ID if table.event_id else "",
            operation=table.OPERATION if table.operation else "",
        ),
    )


def values_of(column: pa.ChunkedArray, dtype: FeatureType) -> list[Any]:
    """Python values as the oracle has them: instants as int µs."""
    if dtype == UnixTimestamp:
        return column.cast(pa.int64()).to_pylist()
    if isinstance(dtype, Array) and dtype.element == UnixTimestamp:
        return column.cast(pa.list_(pa.int64())).to_pylist()
    return column.to_pylist()


def fits(where: str, columns: Mapping[str, FeatureType]) -> bool:
    """Whether a condition can be asked of columns of these types."""
    try:
        parse(where).typed(columns)
    except DefinitionError:
        return False
    return True


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    """A view, its source's table and events, and what is asked of it."""
    table = draw(event_tables())
    over = draw(st.lists(windows(), min_size=1, max_size=4))
    made = draw(aggregations(table.inputs, lengths=table.lengths, over=over))
    scalars = {name: dtype for name, dtype in table.inputs.items() if not isinstance(dtype, Array)}
    if scalars:
        where = write(draw(conditions(scalars).filter(lambda tree: fits(write(tree), scalars))))
        made = [dataclasses.replace(one, where=where) if draw(st.booleans()) else one for one in made]
    history = draw(event_histories(table, over))
    asked = draw(window_questions(table, history, over))
    return view_of(table, made), to_event_table(history, table), events_of(table, history), asked


def to_plain(dtype: FeatureType) -> pa.DataType:
    return pa.int64() if dtype == UnixTimestamp else to_arrow(dtype)
