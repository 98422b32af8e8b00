"""The strategies: they give what they promise, and meet often what they are made to find."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from gnomon import types
from gnomon.clock import to_micros
from gnomon.testing.reference import as_of, row_order_key, same_value
from gnomon.testing.strategies import (
    FileForm,
    SourceRow,
    SpineForm,
    feature_types,
    files,
    histories,
    in_unit,
    questions,
    row_views,
    rows_of,
    spine_forms,
    to_spine,
    to_table,
    values,
)


def micros(column: pa.ChunkedArray) -> list[int | None]:
    """Instants of an Arrow column as µs, floored."""
    per_micro = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}[column.type.unit]
    counts = column.cast(pa.int64()).to_pylist()
    return [None if one is None else one * per_micro[0] // per_micro[1] for one in counts]


@given(st.data())
def test_arrow_holds_every_value_to_the_bit(data: st.DataObject) -> None:
    dtype = data.draw(feature_types())
    drawn = data.draw(st.lists(values(dtype), max_size=5))
    arrow = pa.array(drawn, types.to_arrow(dtype))
    if dtype == types.UnixTimestamp or dtype == types.Array(types.UnixTimestamp):
        arrow = arrow.cast(pa.int64() if dtype == types.UnixTimestamp else pa.list_(pa.int64()))
    assert all(map(same_value, arrow.to_pylist(), drawn, [dtype] * len(drawn)))


@given(st.data())
def test_a_table_holds_the_rows_under_their_names_in_the_file(data: st.DataObject) -> None:
    view = data.draw(row_views())
    form = data.draw(files())
    rows = in_unit(data.draw(histories(view)), form.unit)
    table = to_table(rows, view, form)
    created = [view.source.created_timestamp_column] if view.source.created_timestamp_column else []
    assert table.column_names == [*view.join_keys, *view.feature_names, view.source.timestamp_field, *created]
    assert micros(table[view.source.timestamp_field]) == [row.event for row in rows]
    assert table.schema.field(view.source.timestamp_field).type == pa.timestamp(form.unit, tz=form.zone)
    if created:
        assert micros(table[created[0]]) == [row.created for row in rows]


def test_nanoseconds_are_there_to_be_floored() -> None:
    view = find(row_views(max_keys=0), lambda one: True)
    rows = [SourceRow((), at, None, (None,) * len(view.schema)) for at in (-1, 0, 1)]
    column = to_table(rows, view, FileForm("ns"))[view.source.timestamp_field]
    assert micros(column) == [-1, 0, 1]
    assert any(one % 1000 for one in column.cast(pa.int64()).to_pylist())


def test_times_finer_than_the_unit_are_refused() -> None:
    view = find(row_views(max_keys=0), lambda one: True)
    with pytest.raises(pa.ArrowInvalid):
        to_table([SourceRow((), 1, None, (None,) * len(view.schema))], view, FileForm("s"))


@given(st.data())
def test_a_spine_says_the_same_in_every_form(data: st.DataObject) -> None:
    view = data.draw(row_views(max_features=1))
    asked = data.draw(questions(view, data.draw(histories(view, max_size=3))))
    form = data.draw(spine_forms())
    columns = {one.name: one.dtype for one in view.entity_columns}
    spine = to_spine(asked, columns, form)
    read = columns_of(spine, form)
    assert list(read) == [*columns, "event_timestamp"]
    assert [to_micros(one) for one in read["event_timestamp"]] == [at for _, at in asked]
    for place, (name, dtype) in enumerate(columns.items()):
        keys = [to_micros(one) if dtype == types.UnixTimestamp and one is not None else one for one in read[name]]
        assert keys == [key[place] for key, _ in asked]


def columns_of(spine: Any, form: SpineForm) -> dict[str, list[Any]]:
    if form.container == "dict":
        return spine  # type: ignore[no-any-return]
    if form.container == "pandas":
        return {name: list(spine[name]) for name in spine.columns}
    if form.container == "polars":
        return spine.to_dict(as_series=False)  # type: ignore[no-any-return]
    return spine.to_pydict()  # type: ignore[no-any-return]


def test_a_spine_reaches_both_of_an_hour_that_comes_twice() -> None:
    first, second = 1_729_987_200_000_000, 1_729_990_800_000_000
    spine = to_spine([((), first), ((), second)], {}, SpineForm("dict", "Europe/Berlin"))
    one, other = spine["event_timestamp"]
    assert (one.hour, other.hour) == (2, 2)
    assert (one.fold, other.fold) == (0, 1)


RARE = [
    "PRESENT",
    "NOT_FOUND",
    "OUTSIDE_MAX_AGE",
    "a row known only later",
    "a tie in event time",
    "a tie in both times",
    "a row said twice",
    "no event time",
    "a null in a key",
    "no known time of its own",
    "known before it happened",
    "dated in the future",
]


@st.composite
def happenings(draw: st.DrawFn) -> set[str]:
    """What is to be met in one small world, of what is rare in large ones."""
    view = draw(row_views())
    source_rows = draw(histories(view))
    rows = rows_of(view, source_rows)
    dtypes = [one.dtype for one in view.schema]
    met: set[str] = set()
    for key, at in draw(questions(view, source_rows, max_size=4)):
        now = as_of(rows, key, at, dtypes=dtypes, ttl=view.ttl)
        then = as_of(rows, key, at, dtypes=dtypes, ttl=view.ttl, as_known="then")
        tied = [row for row in rows if row.key == key and row.event == now.event]
        winners = [row_order_key(row.values, dtypes) for row in tied if row.known == now.known]
        found = {
            now.status: True,
            "a row known only later": (now.event, now.known) != (then.event, then.known),
            "a tie in event time": len({row.known for row in tied}) > 1,
            "a tie in both times": len(set(winners)) > 1,
            "a row said twice": len(set(winners)) < len(winners),
            "no event time": any(row.event is None for row in rows),
            "a null in a key": any(None in row.key for row in rows),
            "no known time of its own": any(row.created is None for row in source_rows),
            "known before it happened": any(row.known < row.event for row in rows if row.event and row.known),
            "dated in the future": any(row.event > at for row in rows if row.event is not None),
        }
        met |= {name for name, is_so in found.items() if is_so}
    return met


def test_what_is_rare_in_real_data_is_common_here() -> None:
    worlds: list[set[str]] = []

    @settings(max_examples=150, database=None, derandomize=True)
    @given(happenings())
    def collect(met: set[str]) -> None:
        worlds.append(met)

    collect()
    shares = {name: sum(name in met for met in worlds) / len(worlds) for name in RARE}
    assert min(shares.values()) >= 0.05, shares
