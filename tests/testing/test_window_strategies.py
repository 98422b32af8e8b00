"""The strategies of windowed views: they give what they promise, and meet often what they are made to find."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from gnomon.clock import micros_of
from gnomon.core.aggregations import FUNCTIONS
from gnomon.testing.reference import same_value
from gnomon.testing.reference_windows import latest_versions, selected_events, windowed
from gnomon.testing.strategies import (
    EventTable,
    FileForm,
    SourceEvent,
    aggregations,
    event_histories,
    event_tables,
    events_of,
    files,
    in_unit,
    to_event_table,
    window_questions,
    windows,
)
from gnomon.types import Array, Decimal, FeatureType, Int64, String, UnixTimestamp, to_arrow

TABLE = EventTable(keys={}, inputs={"x": Int64}, created=True)
EVENT = SourceEvent(key=(), event=-1_234_567, created=None, id=None, operation=None, values={"x": None})


def spoken(column: pa.ChunkedArray, dtype: FeatureType) -> list[Any]:
    """A column's values as the oracle has them."""
    assert column.type == to_arrow(dtype)
    if dtype == UnixTimestamp or dtype == Array(UnixTimestamp):
        column = column.cast(pa.int64() if dtype == UnixTimestamp else pa.list_(pa.int64()))
    return column.to_pylist()


@given(st.data())
def test_a_table_holds_the_events(data: st.DataObject) -> None:
    table = data.draw(event_tables())
    form = data.draw(files())
    rows = in_unit(data.draw(event_histories(table, data.draw(st.lists(windows(), max_size=2)))), form.unit)
    made = to_event_table(rows, table, form)
    assert made.num_rows == len(rows)
    assert made.schema.field(table.TIMESTAMP).type == pa.timestamp(form.unit, tz=form.zone)
    assert (table.CREATED in made.column_names) == table.created
    assert (table.EVENT_ID in made.column_names) == (table.event_id is not None)
    columns = {name: [row.values[name] for row in rows] for name in table.inputs}
    columns |= {name: [row.key[place] for row in rows] for place, name in enumerate(table.keys)}
    dtypes = {**table.inputs, **table.keys}
    if table.event_id is not None:
        columns[table.EVENT_ID], dtypes[table.EVENT_ID] = [row.id for row in rows], table.event_id
    if table.operation:
        columns[table.OPERATION], dtypes[table.OPERATION] = [row.operation for row in rows], String
    for name, expected in columns.items():
        found = spoken(made[name], dtypes[name])
        assert all(map(same_value, found, expected, [dtypes[name]] * len(rows)))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_are_written_in_the_unit_of_the_form(unit: str) -> None:
    rows = in_unit([EVENT], unit)
    made = to_event_table(rows, TABLE, FileForm(unit))
    per_micro = {"s": 1_000_000, "ms": 1_000, "us": 1}.get(unit)
    (written,) = made[TABLE.TIMESTAMP].cast(pa.int64()).to_pylist()
    assert (written * per_micro if per_micro else written // 1_000) == rows[0].event


@given(st.data())
def test_vectors_have_their_length(data: st.DataObject) -> None:
    table = data.draw(event_tables())
    for row in data.draw(event_histories(table)):
        for name, length in table.lengths.items():
            assert row.values[name] is None or len(row.values[name]) == length


@given(st.data())
def test_aggregations_take_their_columns(data: st.DataObject) -> None:
    table = data.draw(event_tables())
    made = data.draw(aggregations(table.inputs, lengths=table.lengths))
    names = [name for one in made for name in one.feature_names]
    assert len(set(names)) == len(names)
    for one in made:
        assert dict(one.features(table.inputs)).keys() == set(one.feature_names)
        vector = one.column in table.lengths and FUNCTIONS[one.function].by_element
        assert one.arguments.get("length") == (table.lengths[one.column] if vector else None)


@given(st.data())
def test_the_oracle_answers_every_question(data: st.DataObject) -> None:
    table = data.draw(event_tables())
    made = data.draw(aggregations(table.inputs, lengths=table.lengths, max_size=2))
    over = [window for one in made for window in one.over]
    rows = data.draw(event_histories(table, over))
    events = events_of(table, rows)
    for key, at in data.draw(window_questions(table, rows, over, max_size=3)):
        for one in made:
            answers = {
                windowed(
                    events,
                    key,
                    at,
                    window=window,
                    function=one.function,
                    arguments=one.arguments,
                    column=one.column,
                    dtypes=table.inputs,
                ).status
                for window in one.over
            }
            assert answers == {"NOT_FOUND"} or (None not in key and answers <= {"PRESENT", "NULL_VALUE", "INVALID"})


RARE = [
    "an event counts",
    "several events count",
    "no event counts",
    "a key that finds nothing",
    "an event at the old end",
    "an event a microsecond from the old end",
    "an event at the new end",
    "a hop that does not divide its window",
    "hindsight shows",
    "known before it happened",
    "before the epoch",
    "a version is replaced",
    "versions that tie in both times",
    "one id under two keys",
    "an event without an id beside some with",
    "an event is deleted",
    "a row said twice",
    "a value is null",
    "a value is no number",
]


@st.composite
def happenings(draw: st.DrawFn, inputs: st.SearchStrategy[FeatureType] | None = None) -> set[str]:
    """What is to be met in one small world, of what is rare in large ones."""
    table = draw(event_tables(inputs=inputs))
    made = draw(aggregations(table.inputs, lengths=table.lengths, max_size=2))
    over = [window for one in made for window in one.over]
    rows = draw(event_histories(table, over))
    events = events_of(table, rows)
    met = {name for name, is_so in _of_history(events, rows).items() if is_so}
    for key, at in draw(window_questions(table, rows, over, max_size=4)):
        mine = [one for one in events if one.key == key and one.event is not None and one.known is not None]
        current = latest_versions(mine, table.inputs)
        for one in made:
            for window in one.over:
                ask = {"window": window, "dtypes": table.inputs}
                how = {"function": one.function, "arguments": one.arguments, "column": one.column}
                now, then = (windowed(events, key, at, **ask, **how, as_known=known) for known in ("now", "then"))
                taken = len(selected_events(events, key, at, **ask))
                old, new = window.ends(at)
                found = {
                    "an event counts": taken == 1,
                    "several events count": taken > 1,
                    "no event counts": taken == 0 and None not in key,
                    "an answer is INVALID": now.status == "INVALID",
                    "a key that finds nothing": now.status == "NOT_FOUND",
                    "an event at the old end": any(each.event == old for each in mine),
                    "an event a microsecond from the old end": any(abs(each.event - old) == 1 for each in mine),
                    "an event at the new end": any(each.event == new for each in mine),
                    "a hop that does not divide its window": window.hop and window.width % micros_of(window.hop),
                    "hindsight shows": repr(now) != repr(then),
                    "a version is replaced": len(current) < len(mine),
                    "an event is deleted": any(each.delete for each in current),
                    "versions that tie in both times": max(
                        Counter((each.id, each.event, each.known) for each in mine if each.id is not None).values(),
                        default=0,
                    )
                    > 1,
                }
                met |= {name for name, is_so in found.items() if is_so}
    return met


def _of_history(events: list[Any], rows: list[Any]) -> dict[str, bool]:
    ids = {(one.id, one.key) for one in events if one.id is not None}
    values = [value for one in events for value in one.values.values()]
    floats = [value for value in values if isinstance(value, float)]
    return {
        "known before it happened": any(one.known < one.event for one in events if one.event and one.known),
        "before the epoch": any(one.event < 0 for one in events if one.event is not None),
        "one id under two keys": len({repr(one) for one, _ in ids}) < len({repr(one) for one in ids}),
        "an event without an id beside some with": bool(ids) and any(one.id is None for one in events),
        "a row said twice": len({repr(row) for row in rows}) < len(rows),
        "a value is null": None in values,
        "a value is no number": not all(map(math.isfinite, floats)),
    }


def is_met(happening: st.SearchStrategy[set[str]], name: str) -> bool:
    """Whether a few hundred worlds are enough to meet something."""
    tries = settings(max_examples=500, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    try:
        return name in find(happening, lambda met: name in met, settings=tries)
    except NoSuchExample:
        return False


@pytest.mark.parametrize("name", RARE)
def test_what_is_rare_in_real_data_is_met_here(name: str) -> None:
    assert is_met(happenings(), name)


def test_sums_that_their_type_cannot_hold_are_met() -> None:
    assert is_met(happenings(st.sampled_from([Int64, Decimal(38, 0)])), "an answer is INVALID")


KINDS: dict[str, Callable[[Any], bool]] = {
    "sliding": lambda one: one.width and not one.hop and not one.tumbling,
    "hop": lambda one: one.hop is not None,
    "a hop as long as its window": lambda one: one.hop and one.reach == 2 * one.width + one.shift,
    "tumbling": lambda one: one.tumbling,
    "lifetime": lambda one: one.size is None,
    "offset": lambda one: one.offset is not None,
    "closed right": lambda one: one.closed == "right",
    "a microsecond": lambda one: one.width == 1,
    "years": lambda one: one.width and one.width >= 365 * 86_400_000_000,
}


def test_every_function_and_every_kind_of_window_is_drawn() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=600, database=None, derandomize=True)
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        table = data.draw(event_tables())
        for one in data.draw(aggregations(table.inputs, lengths=table.lengths)):
            seen.update([one.function + " of vectors" * ("length" in one.arguments)])
            seen.update(kind for window in one.over for kind, is_so in KINDS.items() if is_so(window))

    collect()
    expected = {*KINDS, *FUNCTIONS, *(f"{name} of vectors" for name, one in FUNCTIONS.items() if one.by_element)}
    assert expected - {"custom"} - set(seen) == set()
