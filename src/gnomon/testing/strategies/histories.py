"""Histories of a row view, and the questions at which its answers change.

A history is drawn from small pools of keys, instants and values, so that rows tie in event time, in known time, in
single columns and altogether, as often as they differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st

from gnomon.clock import micros_of
from gnomon.definitions.entities import Entity, Field
from gnomon.definitions.sources import FileSource
from gnomon.definitions.views import FeatureView
from gnomon.testing.reference import Row, known_time
from gnomon.testing.strategies.events import SourceEvent
from gnomon.testing.strategies.values import feature_types, instants, key_types, values
from gnomon.types import FeatureType

__all__ = ["SourceRow", "histories", "in_unit", "questions", "row_views", "rows_of"]

Timed = TypeVar("Timed", "SourceRow", SourceEvent)

MICROSECOND = timedelta(microseconds=1)
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}
"""µs in a time unit, as far as int64 µs can tell."""

_TTLS = [None, MICROSECOND, timedelta(seconds=1), timedelta(hours=1), timedelta(days=90)]
_DELAYS = [None, timedelta(0), MICROSECOND, timedelta(hours=1)]
_NEAR = [0, 0, 1, -1, 1_000_000, 7_200_000_000]
# Some need quoting in every SQL, one is a word of SQL; none differs from another by case alone.
_KEY_COLUMNS = ["user_id", "select", "an other", 'say "so"']
_FEATURE_COLUMNS = ["age", "größe", "order", "it's", "a.b", "value", "key"]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as a source file has it.

    Args:
        key: values of the join keys; parts may be None.
        event: event time in µs; may be None.
        created: known time in µs, if the row says; a source without such a column leaves it out.
        values: values of the view's columns, in schema order.
    """

    key: tuple[Any, ...]
    event: int | None
    created: int | None
    values: tuple[Any, ...]


@st.composite
def row_views(
    draw: st.DrawFn,
    name: str = "profile",
    *,
    features: st.SearchStrategy[FeatureType] | None = None,
    keys: st.SearchStrategy[FeatureType] | None = None,
    max_keys: int = 2,
    max_features: int = 3,
) -> FeatureView:
    """A row view with schema and key types resolved, as an engine gets it.

    Args:
        draw: given by Hypothesis.
        name: the view's name; its source is `{name}.parquet`.
        features: types to draw features from; by default all.
        keys: types to draw join keys from; by default all key types.
        max_keys: at most so many join keys; with 0, a view of the whole world.
        max_features: at most so many features, at least one.
    """
    columns = draw(st.lists(st.sampled_from(_KEY_COLUMNS), max_size=max_keys, unique=True))
    chosen = draw(st.lists(st.sampled_from(_FEATURE_COLUMNS), min_size=1, max_size=max_features, unique=True))
    key_dtypes = key_types() if keys is None else keys
    dtypes = feature_types() if features is None else features
    return FeatureView(
        name=name,
        entities=(Entity(name=f"{name}_entity", join_keys=tuple(columns)),) if columns else (),
        schema=tuple([Field(key, draw(key_dtypes)) for key in columns] + [Field(one, draw(dtypes)) for one in chosen]),
        ttl=draw(st.sampled_from(_TTLS)),
        source=FileSource(
            path=f"{name}.parquet",
            timestamp_field="happened at",
            created_timestamp_column=draw(st.sampled_from(["", "created", "created"])),
            delay=draw(st.sampled_from(_DELAYS)),
        ),
    )


@st.composite
def histories(draw: st.DrawFn, view: FeatureView, *, max_size: int = 12, nulls: bool = True) -> list[SourceRow]:
    """Rows of a view in any order: tied, doubled, late, early, dated in the future, with nulls everywhere.

    Args:
        draw: given by Hypothesis.
        view: the view, resolved.
        max_size: at most so many rows, before some are doubled.
        nulls: whether join keys and event times may be null, too.
    """
    keys = draw(_pool(_keys(view, nulls)))
    times = draw(_times())
    columns = [st.sampled_from(draw(_pool(values(one.dtype)))) for one in view.schema]
    row = st.builds(
        SourceRow,
        key=st.sampled_from(keys),
        event=_mostly(times, nulls),
        created=_mostly(times, bool(_source(view).created_timestamp_column)),
        values=st.tuples(*columns),
    )
    some, many = st.lists(row, max_size=max_size), st.lists(row, min_size=max_size // 2, max_size=max_size)
    rows = draw(st.one_of(some, many))
    doubled = draw(st.lists(st.sampled_from(rows), max_size=2)) if rows else []
    return draw(st.permutations(rows + doubled))


@st.composite
def questions(
    draw: st.DrawFn, view: FeatureView, rows: Sequence[SourceRow], *, max_size: int = 8, nulls: bool = True
) -> list[tuple[tuple[Any, ...], int]]:
    """Keys and instants to ask a view about: at, just before and just after each moment its answer changes.

    Args:
        draw: given by Hypothesis.
        view: the view, resolved.
        rows: its history.
        max_size: at most so many questions, and one more about a key that may be unknown; some are asked twice.
        nulls: whether parts of keys may be null, those of rows among them.
    """
    reach = micros_of(view.ttl or timedelta(0))
    moments: set[int] = set()
    keys: list[tuple[Any, ...]] = []
    for row in rows_of(view, rows):
        if row.event is not None and row.known is not None and (nulls or None not in row.key):
            moments |= {row.event, row.known, row.event + reach}
            keys.append(row.key)
    at = st.builds(int.__add__, st.sampled_from(sorted(moments) or [0]), st.sampled_from(_NEAR))
    stranger = _keys(view, nulls)
    key = st.sampled_from(keys) if keys else stranger
    strangers = draw(st.lists(st.tuples(stranger, at), max_size=1))
    return draw(st.lists(st.tuples(key, at), min_size=min(1, max_size), max_size=max_size)) + strangers


def rows_of(view: FeatureView, rows: Iterable[SourceRow]) -> list[Row]:
    """A source's rows as the oracle wants them: each with its known time."""
    source = _source(view)
    has_created = bool(source.created_timestamp_column)
    return [
        Row(
            row.key,
            row.event,
            known_time(row.event, row.created if has_created else None, source.delay),
            row.values,
        )
        for row in rows
    ]


def _source(view: FeatureView) -> FileSource:
    assert isinstance(view.source, FileSource)
    return view.source


def in_unit(rows: Iterable[Timed], unit: str) -> list[Timed]:
    """The rows as a file would keep them that counts time in `s`, `ms`, `us` or `ns`: floored to whole units."""
    return [replace(row, event=_floor(row.event, unit), created=_floor(row.created, unit)) for row in rows]


def _keys(view: FeatureView, nulls: bool) -> st.SearchStrategy[tuple[Any, ...]]:
    whole = st.tuples(*(values(one.dtype, nulls=False) for one in view.entity_columns))
    return st.one_of(whole, whole, st.tuples(*(values(one.dtype) for one in view.entity_columns))) if nulls else whole


def _pool(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, min_size=1, max_size=3)


@st.composite
def _times(draw: st.DrawFn) -> list[int]:
    """A few instants around one: equal, a microsecond, a second and an hour apart."""
    start = draw(instants())
    steps = [0, 1, -1, 1_000_000, -1_000_000, 3_600_000_000, -3_600_000_000, 90 * 86_400_000_000]
    return [start + step for step in draw(st.lists(st.sampled_from(steps), min_size=1, max_size=4))]


def _mostly(times: Sequence[int], nulls: bool) -> st.SearchStrategy[int | None]:
    # One in the number of instants + 1 is null: enough to be met, seldom enough for ties to be common.
    return st.sampled_from([*times, None] if nulls else list(times))


def _floor(instant: int | None, unit: str) -> int | None:
    return None if instant is None else instant // UNITS[unit] * UNITS[unit]
