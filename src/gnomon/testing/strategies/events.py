"""Histories of events for windowed views, and the questions at which windows over them change.

Events are drawn from small pools of keys, instants, ids and values, and the instants lie a window's length apart, a
microsecond more or less: so they tie, enter and leave together, correct and delete each other, come late or early.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar

from hypothesis import strategies as st

from gnomon.clock import micros_of
from gnomon.core.windows import FOREVER, Window
from gnomon.testing.reference import known_time
from gnomon.testing.reference_windows import WindowEvent
from gnomon.testing.strategies.aggregations import column_values
from gnomon.testing.strategies.values import feature_types, instants, key_types, values
from gnomon.types import Array, Bool, Decimal, FeatureType, Float32, Float64, Int32, Int64

__all__ = ["EventTable", "SourceEvent", "event_histories", "event_tables", "events_of", "window_questions"]

_DELAYS = [None, timedelta(0), timedelta(microseconds=1), timedelta(hours=1)]
_KEY_COLUMNS = ["user_id", "select", 'say "so"']
_INPUT_COLUMNS = ["amount", "größe", "order", "it's", "a.b", "value"]
_NUMBERS = [Float64, Bool, Int32, Int64, Float32, Float64, Decimal(18, 2), Decimal(38, 0)]
_STEPS = [0, 0, 1, -1, 1_000_000, -1_000_000, 3_600_000_000, -3_600_000_000]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTable:
    """What a source of events looks like; the names of its times, ids and operations are always the same.

    Args:
        keys: join keys and their types.
        inputs: the columns to aggregate and their types.
        lengths: how many elements the vectors in a column have; other arrays are of any length.
        created: whether rows say when they became known.
        delay: how long after its event time a row is known that does not say.
        event_id: the type of event ids; None for a source without.
        operation: whether rows say "upsert" or "delete".
    """

    TIMESTAMP: ClassVar[str] = "happened at"
    CREATED: ClassVar[str] = "created"
    EVENT_ID: ClassVar[str] = "event id"
    OPERATION: ClassVar[str] = "op"

    keys: Mapping[str, FeatureType]
    inputs: Mapping[str, FeatureType]
    lengths: Mapping[str, int] = field(default_factory=dict)
    created: bool = False
    delay: timedelta | None = None
    event_id: FeatureType | None = None
    operation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent:
    """One row as a source of events has it.

    Args:
        key: values of the join keys; parts may be None.
        event: event time in µs; may be None.
        created: known time in µs, if the row says.
        id: its event's id; may be None.
        operation: "upsert", "delete" or None.
        values: values of the inputs by name.
    """

    key: tuple[Any, ...]
    event: int | None
    created: int | None
    id: Any
    operation: str | None
    values: Mapping[str, Any]


@st.composite
def event_tables(
    draw: st.DrawFn,
    *,
    inputs: st.SearchStrategy[FeatureType] | None = None,
    keys: st.SearchStrategy[FeatureType] | None = None,
    max_keys: int = 2,
    max_inputs: int = 3,
) -> EventTable:
    """A source of events; half of its columns hold numbers, some vectors.

    Args:
        draw: given by Hypothesis.
        inputs: types to draw columns from; by default all.
        keys: types to draw join keys from; by default all key types.
        max_keys: at most so many join keys; with 0, events of the whole world.
        max_inputs: at most so many columns, at least one.
    """
    dtypes = _input_types() if inputs is None else inputs
    key_dtypes = key_types() if keys is None else keys
    key_columns = draw(st.lists(st.sampled_from(_KEY_COLUMNS), max_size=max_keys, unique=True))
    columns = draw(st.lists(st.sampled_from(_INPUT_COLUMNS), min_size=1, max_size=max_inputs, unique=True))
    drawn = {column: draw(dtypes) for column in columns}
    vectors = [name for name, dtype in drawn.items() if isinstance(dtype, Array) and dtype.element in _NUMBERS]
    event_id = draw(st.none() | key_types() | key_types())
    return EventTable(
        keys={column: draw(key_dtypes) for column in key_columns},
        inputs=drawn,
        lengths={name: draw(st.integers(1, 3)) for name in vectors if draw(st.sampled_from([True, True, False]))},
        created=draw(st.booleans()),
        delay=draw(st.sampled_from(_DELAYS)),
        event_id=event_id,
        operation=event_id is not None and draw(st.sampled_from([True, True, False])),
    )


@st.composite
def event_histories(
    draw: st.DrawFn, table: EventTable, over: Sequence[Window] = (), *, max_size: int = 14, nulls: bool = True
) -> list[SourceEvent]:
    """Events in any order: tied, doubled, corrected, deleted, late, early, of few keys, most of them of one.

    Args:
        draw: given by Hypothesis.
        table: what the source looks like.
        over: windows; events lie their lengths apart.
        max_size: at most so many events, before some are doubled.
        nulls: whether join keys and event times may be null, too.
    """
    keys = draw(st.lists(_keys(table, nulls), min_size=1, max_size=3))
    times = draw(_times(over))
    columns = {
        name: st.sampled_from([*draw(column_values(dtype, length=table.lengths.get(name))), None])
        for name, dtype in table.inputs.items()
    }
    row = st.builds(
        SourceEvent,
        key=st.sampled_from([*[keys[0]] * 3, *keys]),
        event=_mostly(times, nulls),
        created=_mostly([*times, *(at + 3_600_000_000 for at in times)], True) if table.created else st.none(),
        id=st.none() if table.event_id is None else st.sampled_from(draw(_ids(table.event_id))),
        operation=st.sampled_from([None, "upsert", "upsert", "delete"]) if table.operation else st.none(),
        values=st.fixed_dictionaries(columns),
    )
    least = draw(st.sampled_from([0, max_size // 2, max_size // 2]))
    rows = draw(st.lists(row, min_size=least, max_size=max_size))
    doubled = draw(st.lists(st.sampled_from(rows), max_size=2)) if rows else []
    return draw(st.permutations(rows + doubled))


@st.composite
def window_questions(
    draw: st.DrawFn,
    table: EventTable,
    rows: Sequence[SourceEvent],
    over: Sequence[Window],
    *,
    max_size: int = 8,
    nulls: bool = True,
) -> list[tuple[tuple[Any, ...], int]]:
    """Keys and instants: at, just before and just after an event enters a window, leaves it, or becomes known.

    Args:
        draw: given by Hypothesis.
        table: what the source looks like.
        rows: its history.
        over: the windows asked about.
        max_size: at most so many questions, and one more about a key that may be unknown; some are asked twice.
        nulls: whether parts of keys may be null.
    """
    asked: list[tuple[tuple[Any, ...], int]] = []
    for one in events_of(table, rows):
        if one.event is not None and one.known is not None and (nulls or None not in one.key):
            entered = [w.enter(one.event) for w in over]
            left = [w.leave(one.event) for w in over]
            moments = {one.event, one.known, *entered, *left, *(max(at, one.known) for at in entered)}
            asked += [(one.key, at) for at in sorted(moments - {FOREVER})]
    near = st.sampled_from([0, 0, -1, 1])
    stranger = st.tuples(_keys(table, nulls), st.sampled_from([at for _, at in asked] or [0]))
    strangers = draw(st.lists(stranger, max_size=1))
    some = draw(st.lists(st.sampled_from(asked) if asked else stranger, min_size=min(1, max_size), max_size=max_size))
    return [(key, at + draw(near)) for key, at in some + strangers]


def events_of(table: EventTable, rows: Iterable[SourceEvent]) -> list[WindowEvent]:
    """A source's rows as the oracle wants them: each with its known time."""
    return [
        WindowEvent(
            key=row.key,
            event=row.event,
            known=known_time(row.event, row.created if table.created else None, table.delay),
            values=row.values,
            id=None if table.event_id is None else row.id,
            delete=table.operation and row.operation == "delete",
        )
        for row in rows
    ]


@cache
def _input_types() -> st.SearchStrategy[FeatureType]:
    numbers = st.sampled_from(_NUMBERS)
    # Chosen first: `|` would weigh each of the many kinds of types as much as all numbers together.
    kinds = st.sampled_from([numbers, numbers, numbers.map(Array), feature_types()])
    return kinds.flatmap(lambda kind: kind)


def _keys(table: EventTable, nulls: bool) -> st.SearchStrategy[tuple[Any, ...]]:
    whole = st.tuples(*(values(dtype, nulls=False) for dtype in table.keys.values()))
    parts = st.tuples(*map(values, table.keys.values()))
    return st.integers(0, 5).flatmap(lambda one: whole if one else parts) if nulls else whole


def _ids(dtype: FeatureType) -> st.SearchStrategy[list[Any]]:
    return st.lists(values(dtype, nulls=False), min_size=1, max_size=5).map(lambda some: [*some, None])


@st.composite
def _times(draw: st.DrawFn, over: Sequence[Window]) -> list[int]:
    """A few instants around one: equal, a microsecond, a second, an hour, a window or a hop apart, and its edges."""
    start = draw(instants())
    spans = {one for w in over for one in (w.width, w.shift, w.hop and micros_of(w.hop)) if one}
    steps = [*_STEPS, *(sign * span + more for span in sorted(spans) for sign in (1, -1) for more in (-1, 0, 1))]
    edges = [(start // span + more) * span for span in sorted(spans) for more in (0, 1)]
    return [start + draw(st.sampled_from(steps)) for _ in range(draw(st.integers(1, 5)))] + (
        draw(st.lists(st.sampled_from(edges), max_size=2)) if edges else []
    )


def _mostly(times: Sequence[int], nulls: bool) -> st.SearchStrategy[int | None]:
    return st.sampled_from([*times, None] if nulls else list(times))
