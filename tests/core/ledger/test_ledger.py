"""A ledger answers as the oracle does: whatever was applied in which order, in whatever batches and chunks."""

from __future__ import annotations

import decimal
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.aggregations import INVALID
from gnomon.core.expressions import parse
from gnomon.core.expressions.writing import write
from gnomon.core.ledger.applying import Incoming, NeedsHistory, applying, erasing, laid_out, relaying
from gnomon.core.ledger.heads import Head
from gnomon.core.ledger.incoming import Batch, condition_column
from gnomon.core.ledger.parts import chunk_key, head_key, summary_key
from gnomon.core.ledger.reading import Reading
from gnomon.core.ledger.records import Records
from gnomon.core.ledger.shape import Job, Shape
from gnomon.core.ledger.summary import Summary
from gnomon.core.windows import FOREVER, Window
from gnomon.definitions.aggregations import Aggregation
from gnomon.errors import DefinitionError
from gnomon.testing import strategies as draw_
from gnomon.testing.reference_windows import WindowEvent, windowed
from gnomon.types import Array, Bool, Decimal, Float64, Int64, String, to_arrow

KEY = b"7"
Stored = dict[bytes, bytes]


@dataclass(frozen=True)
class Story:
    """What happens to one entity.

    Args:
        table: what events look like.
        aggregations: what is asked.
        events: the events in the log's order; known times go up.
        cuts: after how many of them a batch ends, and answers are asked for.
        later: how long after the newest known time they are asked for, µs.
        chunk: how many records a chunk gets.
        block: how many chunks a block gets.
    """

    table: draw_.EventTable
    aggregations: list[Aggregation]
    events: list[WindowEvent]
    cuts: list[int]
    later: list[int]
    chunk: int
    block: int = 16


@st.composite
def stories(draw: st.DrawFn, *, versioned: bool | None = None) -> Story:
    table = draw(draw_.event_tables(max_keys=0))
    aggregations = draw(draw_.aggregations(table.inputs, lengths=table.lengths))
    if draw(st.booleans()):
        columns = {name: dtype for name, dtype in table.inputs.items() if not isinstance(dtype, Array)}
        if columns:
            where = write(draw(draw_.conditions(columns).filter(lambda tree: fits(tree, columns))))
            aggregations = [_where(one, where) if draw(st.booleans()) else one for one in aggregations]
    over = [window for one in aggregations for window in one.over]
    rows = draw(draw_.event_histories(table, over, max_size=draw(st.sampled_from([6, 14, 40])), nulls=False))
    told = draw_.events_of(table, rows)
    spans = sorted({1, 1_000_000, *(w.width for w in over if w.width), *(w.shift for w in over if w.shift)})
    known = min((one.event for one in told), default=0) - draw(st.sampled_from([0, *spans]))
    events = []
    for one in told:
        known += draw(st.sampled_from([1, 1, 1, *spans]))
        events.append(
            WindowEvent(
                key=(),
                event=one.event,
                known=known,
                values=one.values,
                id=one.id,
                delete=one.delete and one.id is not None,
            )
        )
    return Story(
        table=table,
        aggregations=aggregations,
        events=events,
        cuts=sorted([*draw(st.lists(st.integers(0, len(events)), max_size=3)), len(events)]),
        later=draw(st.lists(st.sampled_from([0, 1, *spans, *(span - 1 for span in spans)]), min_size=1, max_size=3)),
        chunk=draw(st.sampled_from([1, 2, 3, 4, 16])),
        block=draw(st.sampled_from([1, 2, 3, 16])),
    )


@st.composite
def dense_stories(draw: st.DrawFn) -> Story:
    """Many events in a few hundred µs, and windows that hold many of them: chunks lie inside as a whole."""
    inputs = {"whole": Int64, "real": Float64, "cents": Decimal(18, 2), "text": String, "truth": Bool}
    pools = {
        "whole": [1, 2, -5, 2**62, None],
        "real": [0.1, 0.2, -0.3, 1e16, draw(st.sampled_from([1.5, math.inf, math.nan, 1e300, 1e-300])), None],
        "cents": [decimal.Decimal("0.01"), decimal.Decimal("-7.25"), None],
        "text": ["a", "b", "c", None],
        "truth": [True, False, None],
    }
    table = draw_.EventTable(keys={}, inputs=inputs, event_id=draw(st.sampled_from([None, Int64])))
    windows = [Window(size) for size in ("7us", "40us", "100us", None)]
    windows += [
        Window("30us", hop="10us"),
        Window("20us", kind="tumbling"),
        Window("50us", offset="20us", closed="right"),
    ]
    aggregations = draw(draw_.aggregations(inputs, over=windows, max_size=6))
    where = draw(st.sampled_from(["", "whole > 0", "text <> 'a'"]))
    aggregations = [_where(one, where) if draw(st.booleans()) and where else one for one in aggregations]
    events, known = [], 0
    for _ in range(draw(st.sampled_from([10, 60]))):
        known += draw(st.sampled_from([1, 1, 2, 5]))
        values = {name: draw(st.sampled_from(pool)) for name, pool in pools.items()}
        one = None if table.event_id is None else draw(st.sampled_from([None, *range(12)]))
        late = draw(st.sampled_from([0, 0, 0, 1, 9, 60, -8]))
        events.append(
            WindowEvent(
                key=(),
                event=known - late,
                known=known,
                values=values,
                id=one,
                delete=one is not None and draw(st.sampled_from([False, False, True])),
            )
        )
    return Story(
        table=table,
        aggregations=aggregations,
        events=events,
        cuts=sorted({draw(st.integers(0, len(events))), len(events)}),
        later=[0, draw(st.integers(0, 60))],
        chunk=draw(st.sampled_from([1, 2, 3, 4, 16])),
        block=draw(st.sampled_from([1, 2, 3, 16])),
    )


every_story = st.one_of(stories(), dense_stories())


def fits(tree: Any, columns: Mapping[str, Any]) -> bool:
    try:
        return bool(parse(write(tree)).typed(columns))
    except DefinitionError:
        return False


def _where(one: Aggregation, where: str) -> Aggregation:
    return Aggregation(
        function=one.function,
        column=one.column,
        arguments=dict(one.arguments),
        over=one.over,
        name=one.name,
        where=where,
    )


@given(every_story)
def test_applied_batch_by_batch_it_answers_as_the_oracle(story: Story) -> None:
    shape, store, before = shape_of(story), Stored(), 0
    for cut in story.cuts:
        apply(shape, store, story, before, cut)
        apply(shape, store, story, max(before - 2, 0), cut)  # again: that changes nothing
        check(shape, store, story, story.events[:cut])
        before = cut
    assert all(key.startswith(KEY) for key in store)


@given(every_story, st.data())
def test_laid_out_and_gone_on_with_it_answers_as_the_oracle(story: Story, data: st.DataObject) -> None:
    shape = shape_of(story)
    begin = data.draw(st.sampled_from(story.cuts))
    store = laid(shape, story, begin)
    check(shape, store, story, story.events[:begin])
    apply(shape, store, story, begin, len(story.events))
    check(shape, store, story, story.events)


@given(every_story)
def test_nothing_is_left_of_an_entity_that_is_erased(story: Story) -> None:
    shape, store = shape_of(story), Stored()
    apply(shape, store, story, 0, len(story.events))
    run(store, erasing(shape, KEY))
    assert store == {}


def test_an_event_with_an_id_that_is_known_from_before_asks_for_history() -> None:
    table = draw_.EventTable(keys={}, inputs={}, event_id=Int64)
    events = [WindowEvent(key=(), event=at, known=known, values={}, id=1) for at, known in [(5, 10), (6, 10)]]
    story = Story(table, [Aggregation(function="count", over=("1h",))], events, [2], [0], 4)
    shape, store = shape_of(story), Stored()
    apply(shape, store, story, 0, 1)
    with pytest.raises(NeedsHistory):
        apply(shape, store, story, 1, 2)


def numbered(count: int) -> Story:
    """A story of so many events with ids, at 1 µs, 2 µs …, in chunks of two."""
    table = draw_.EventTable(keys={}, inputs={"whole": Int64}, event_id=Int64)
    events = [WindowEvent(key=(), event=at, known=at, values={"whole": at}, id=at) for at in range(1, count + 1)]
    sums = [Aggregation(function="sum", column="whole", over=("1h",))]
    return Story(table, sums, events, [count], [0], chunk=2)


def chunks_of(store: Stored) -> set[bytes]:
    return {key for key in store if key.startswith(KEY + b"C")}


def test_a_chunk_is_never_taken_for_one_of_another_laying_out() -> None:
    story = numbered(20)
    shape, store = shape_of(story), Stored()
    apply(shape, store, story, 0, 20)
    first = chunks_of(store)
    again = laid(shape, story, 20)
    assert first
    assert chunks_of(again)
    assert not first & chunks_of(again)
    apply(shape, store, story, 0, 20)
    run(store, erasing(shape, KEY))
    apply(shape, store, story, 0, 20)
    assert not first & chunks_of(store)


def test_what_was_laid_out_anew_does_not_take_the_place_of_what_is_further_on() -> None:
    story = numbered(20)
    shape = shape_of(story)
    store, older = laid(shape, story, 10), laid(shape, story, 15)
    apply(shape, store, story, 10, 20)
    run(store, relaying(shape, KEY, older, applied=15))
    check(shape, store, story, story.events)
    behind = laid(shape, story, 10)
    run(behind, relaying(shape, KEY, older, applied=15))
    check(shape, behind, story, story.events[:15])


def test_a_lifetime_keeps_few_records_and_late_events_count_in_it() -> None:
    table = draw_.EventTable(keys={}, inputs={"whole": Int64})
    events = [WindowEvent(key=(), event=at, known=at + 1, values={"whole": at}) for at in range(1_000)]
    events += [WindowEvent(key=(), event=5, known=2_000 + at, values={"whole": 1}) for at in range(40)]
    over = (Window(None), Window("10us"))
    sums = [Aggregation(function="sum", column="whole", over=over), Aggregation(function="count", over=over)]
    story = Story(table, sums, events, [len(events)], [0], chunk=4, block=4)
    shape, store = shape_of(story), Stored()
    for start in range(0, len(events), 20):
        apply(shape, store, story, start, start + 20)
        check(shape, store, story, events[: start + 20])
    assert len(store) < 20
    assert len(laid(shape, story, 1_000)) < 20


def test_a_lifetime_whose_events_may_be_corrected_keeps_them_all() -> None:
    table = draw_.EventTable(keys={}, inputs={}, event_id=Int64)
    events = [WindowEvent(key=(), event=at, known=at + 1, values={}, id=at) for at in range(100)]
    events += [WindowEvent(key=(), event=0, known=2_000 + at, values={}, id=at, delete=True) for at in range(40)]
    story = Story(table, [Aggregation(function="count", over=(Window(None),))], events, [len(events)], [0], 4, 4)
    shape, store = shape_of(story), Stored()
    for start in range(0, len(events), 20):
        apply(shape, store, story, start, start + 20)
        check(shape, store, story, events[: start + 20])


def shape_of(story: Story) -> Shape:
    conditions = tuple(dict.fromkeys(one.where for one in story.aggregations if one.where))
    used = {one.column for one in story.aggregations if one.column}
    return Shape(
        columns=tuple((name, dtype) for name, dtype in story.table.inputs.items() if name in used),
        conditions=conditions,
        versioned=story.table.event_id is not None,
        jobs=tuple(Job(one.made(), one.column, one.where, one.over) for one in story.aggregations),
        chunk=story.chunk,
        block=story.block,
    )


def batch_of(shape: Shape, story: Story, events: list[WindowEvent]) -> Batch:
    columns: dict[str, Any] = {
        "__event": pa.array([one.event for one in events], pa.int64()),
        "__known": pa.array([one.known for one in events], pa.int64()),
    }
    for name, dtype in shape.columns:
        columns[name] = pa.array(
            [one.values[name] for one in events],
            pa.list_(to_arrow(dtype).value_type) if pa.types.is_list(to_arrow(dtype)) else to_arrow(dtype),
        )
    for text in shape.conditions:
        selects = parse(text).typed(story.table.inputs).compile()
        columns[condition_column(text)] = pa.array([selects(one.values) is True for one in events], pa.bool_())
    if shape.versioned:
        columns["__id"] = pa.array([one.id for one in events], to_arrow(story.table.event_id))
        columns["__gone"] = pa.array([one.delete for one in events], pa.bool_())
    return Batch(shape, pa.record_batch(columns))


def incoming_of(shape: Shape, story: Story, start: int, stop: int) -> Incoming:
    batch = batch_of(shape, story, story.events[start:stop])
    order = np.lexsort((batch.fields[:, 1], batch.fields[:, 0]))
    batch.sort(order)
    (common,) = batch.commons(np.array([0]))
    positions = tuple(int(place) + start + 1 for place in order)
    deletes = frozenset() if batch.gone is None else frozenset(np.flatnonzero(batch.gone).tolist())
    known = [one.known for one in story.events[start:stop]]
    return Incoming(batch.records(0, stop - start, common), positions, (min(known), max(known)), deletes)


def apply(shape: Shape, store: Stored, story: Story, start: int, stop: int) -> None:
    if stop > start:
        run(store, applying(shape, KEY, incoming_of(shape, story, start, stop)))


def laid(shape: Shape, story: Story, stop: int) -> Stored:
    latest: dict[Any, WindowEvent] = {}
    for place, one in enumerate(story.events[:stop]):
        latest[("id", one.id) if one.id is not None else ("place", place)] = one
    kept = sorted((one for one in latest.values() if not one.delete), key=lambda one: (one.event, one.known))
    newest = max((one.known for one in story.events[:stop]), default=-FOREVER)
    batch = batch_of(shape, story, kept)
    common = batch.commons(np.array([0]))[0] if kept else 0
    parts = laid_out(shape, KEY, batch.records(0, len(kept), common), applied=stop, newest=newest)
    return {key: value for key, value in parts.items() if value is not None}


def run(store: Stored, change: Any) -> None:
    steps = change()
    wanted = next(steps)
    assert wanted == [head_key(KEY)]
    guard = store.get(head_key(KEY), b"")[:16]
    try:
        while True:
            wanted = steps.send([store.get(key) for key in wanted])
    except StopIteration as done:
        puts: Mapping[bytes, bytes | None] = done.value
    for key, value in puts.items():
        if value is None:
            store.pop(key, None)
        else:
            store[key] = value
    assert not puts or store.get(head_key(KEY), b"")[:16] != guard


def check(shape: Shape, store: Stored, story: Story, events: list[WindowEvent]) -> None:
    asked = [(job, window) for job in shape.jobs for window in job.windows]
    reading = Reading(shape, asked)
    head = Head.from_bytes(shape, store.get(head_key(KEY)))
    summary = Summary(shape, store.get(summary_key(KEY), b""))
    assert len(summary) == head.chunks
    newest = max([head.newest, *(one.known for one in events)])
    for later in story.later:
        instant = newest + later
        look = reading.look(head, summary, instant)
        chunks = {number: Records.from_bytes(shape, store[chunk_key(KEY, number)]) for number in look.chunks}
        found = reading.values(look, chunks)
        expected = [
            expect(story, one, place, events, instant) for one in story.aggregations for place in range(len(one.over))
        ]
        assert list(map(bits, found)) == list(map(bits, expected))


def expect(story: Story, one: Aggregation, place: int, events: list[WindowEvent], instant: int) -> Any:
    selects = parse(one.where).typed(story.table.inputs).compile() if one.where else None
    answer = windowed(
        events,
        (),
        instant,
        window=one.over[place],
        function=one.function,
        arguments=dict(one.arguments),
        column=one.column or None,
        dtypes=story.table.inputs,
        where=selects,
    )
    return INVALID if answer.status == "INVALID" else answer.value


def bits(value: Any) -> Any:
    """What is equal where values are the same to the bit."""
    if isinstance(value, float):
        return "nan" if value != value else value.hex()
    return tuple(map(bits, value)) if isinstance(value, (list, tuple)) else (type(value).__name__, value)
