"""Why an event counts in an answer, or does not: one reason each, by the time contract, from the events alone.

It is worked out event by event in plain Python, apart from any engine, so that a value can be held against the events
it is said to be made of.

>>> spent = [Occurrence(event=10, known=10, values={"amount": 1}), Occurrence(event=90, known=90, values={"amount": 2})]
>>> asked = {"window": Window("50us"), "column": "amount", "dtypes": {"amount": Int64}}
>>> [str(one.reason) for one in window_verdicts(spent, 100, **asked)]
['expired', 'counts']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gnomon.core.aggregations import INVALID, Event, Function
from gnomon.core.ordering import row_key
from gnomon.core.windows import Window
from gnomon.definitions.aggregations import Aggregation
from gnomon.plan.questions import AsKnown
from gnomon.types import FeatureType, Int64

__all__ = ["INSIDE", "Occurrence", "Reason", "Verdict", "recomputed", "row_verdicts", "window_verdicts"]


class Reason(StrEnum):
    """Why an event counts, or does not."""

    COUNTS = "counts"
    """It is what the value is made of; of a row view, the row that wins."""
    NULL = "null"
    """It is inside the window, and its column is null: the aggregation skips it."""
    LATE = "late"
    """It was not known yet."""
    SUPERSEDED = "superseded"
    """A later version of the same event holds in its place."""
    DELETED = "deleted"
    """The event was deleted, or this is what deletes it."""
    EXPIRED = "expired"
    """It happened before the window begins; of a row view, the row that wins is older than the ttl."""
    NOT_YET = "not yet"
    """It happens after the window ends; of a row view, after the instant asked."""
    WHERE_FALSE = "where is false"
    """It is inside the window, and the condition is false of it."""
    WHERE_NULL = "where is null"
    """It is inside the window, and the condition is null of it."""
    OLDER = "older"
    """The row that wins happened later."""
    KNOWN_EARLIER = "known earlier"
    """The row that wins happened at the same instant, and was known later."""
    COMPARES_LESS = "compares less"
    """The row that wins has the same two times, and compares greater over the columns."""
    SAME = "same"
    """It is the same as the row that wins."""


ADDED_ALONE = 32
"""More events than this are halved."""

INSIDE = frozenset({Reason.COUNTS, Reason.NULL})
"""The reasons of what is inside the window and selected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One event of a key, or one version of it, or one row of a row view.

    Args:
        event: event time, µs.
        known: known time, µs.
        values: the columns that the view looks at, by name; instants as µs.
        id: what tells the event from others, equal for its versions; None for an event without versions.
        gone: whether it deletes the event.
        hidden: whether the answer did not have it, whatever its times say.
    """

    event: int
    known: int
    values: Mapping[str, Any] = field(default_factory=dict)
    id: Any = None
    gone: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an event counts, and why.

    Args:
        reason: the reason.
        by: the number of the event that stands in its place, if one does.
        column: of a row that compares less, the first column in which it does.
    """

    reason: Reason
    by: int | None = None
    column: str = ""


Where = Callable[[Mapping[str, Any]], bool | None]
"""What a condition says of an event's columns: true, false or null."""


def window_verdicts(
    events: Sequence[Occurrence],
    at: int,
    *,
    window: Window,
    dtypes: Mapping[str, FeatureType],
    column: str = "",
    where: Where | None = None,
    as_known: AsKnown = "now",
) -> list[Verdict]:
    """A verdict on each event of a key, for one feature of a windowed view.

    Args:
        events: the events, in any order; all versions of those that matter.
        at: the instant asked about, µs.
        window: the feature's window.
        dtypes: the columns that the view looks at, with their types.
        column: the column that is aggregated; empty where events are counted.
        where: the aggregation's condition.
        as_known: how much hindsight is allowed.
    """
    old, new = window.ends(at)
    holding = _holding(events, at, as_known, dtypes)

    def verdict(place: int) -> Verdict:
        one = events[place]
        if not _is_visible(one, at, as_known):
            return Verdict(Reason.LATE)
        holds = holding.get(one.id, place)
        if events[holds].gone:
            return Verdict(Reason.DELETED, None if holds == place else holds)
        if holds != place:
            return Verdict(Reason.SUPERSEDED, holds)
        if not old <= one.event < new:
            return Verdict(Reason.EXPIRED if one.event < old else Reason.NOT_YET)
        selected = True if where is None else where(one.values)
        if selected is not True:
            return Verdict(Reason.WHERE_NULL if selected is None else Reason.WHERE_FALSE)
        return Verdict(Reason.NULL if column and one.values[column] is None else Reason.COUNTS)

    return [verdict(place) for place in range(len(events))]


def row_verdicts(
    rows: Sequence[Occurrence],
    at: int,
    *,
    dtypes: Mapping[str, FeatureType],
    ttl: int | None = None,
    as_known: AsKnown = "now",
) -> list[Verdict]:
    """A verdict on each row of a key, for a row view.

    Args:
        rows: the rows, in any order.
        at: the instant asked about, µs.
        dtypes: the view's columns in schema order, with their types.
        ttl: how long a row is good for, µs; None for ever.
        as_known: how much hindsight is allowed.
    """

    def rank(place: int) -> tuple[Any, ...]:
        row = rows[place]
        return row.event, row.known, row_key([row.values[name] for name in dtypes], list(dtypes.values()))

    seen = [_is_visible(one, at, as_known) for one in rows]
    winner = max((place for place, one in enumerate(rows) if seen[place] and one.event <= at), key=rank, default=None)

    def verdict(place: int) -> Verdict:
        if not seen[place]:
            return Verdict(Reason.LATE)
        if rows[place].event > at or winner is None:
            return Verdict(Reason.NOT_YET)
        if place == winner:
            return Verdict(Reason.EXPIRED if ttl is not None and at - rows[place].event > ttl else Reason.COUNTS)
        (event, known, columns), best = rank(place), rank(winner)
        if event < best[0]:
            return Verdict(Reason.OLDER, winner)
        if known < best[1]:
            return Verdict(Reason.KNOWN_EARLIER, winner)
        less = [name for name, one, other in zip(dtypes, columns, best[2], strict=True) if one != other]
        return Verdict(Reason.COMPARES_LESS, winner, less[0]) if less else Verdict(Reason.SAME, winner)

    return [verdict(place) for place in range(len(rows))]


def recomputed(
    aggregation: Aggregation, counted: Sequence[Occurrence], dtypes: Mapping[str, FeatureType]
) -> tuple[Any, str]:
    """What an aggregation makes of events, added one by one: the value, and its status.

    Args:
        aggregation: the aggregation.
        counted: the events that count: selected, and not null in its column.
        dtypes: the columns that the view looks at, with their types.

    Raises:
        DefinitionError: the code of an own aggregation is not there, or is no longer what was registered.

    >>> one = Aggregation(function="sum", column="amount", over="1h")
    >>> recomputed(one, [Occurrence(event=1, known=1, values={"amount": 2})] * 2, {"amount": Int64})
    (4, 'PRESENT')
    """
    function, column = aggregation.made(), aggregation.column
    dtype = dtypes[column] if column else Int64
    events = [(one.event, one.known, one.values[column] if column else None) for one in counted]
    value = function.result(_state(function, events, dtype), dtype)
    if value is INVALID:
        return None, "INVALID"
    return value, "NULL_VALUE" if value is None else "PRESENT"


def _state(function: Function, events: Sequence[Event], dtype: FeatureType) -> Any:
    """The state of some events: of halves, merged, since some states take the longer to add to the larger they are."""
    if len(events) > ADDED_ALONE:
        half = len(events) // 2
        return function.merge(_state(function, events[:half], dtype), _state(function, events[half:], dtype))
    state = function.empty()
    for event in events:
        state = function.add(state, event, dtype)
    return state


def _is_visible(one: Occurrence, at: int, as_known: AsKnown) -> bool:
    if one.hidden or as_known == "now":
        return not one.hidden
    return one.known <= (at if as_known == "then" else as_known)


def _holding(
    events: Sequence[Occurrence], at: int, as_known: AsKnown, dtypes: Mapping[str, FeatureType]
) -> dict[Any, int]:
    """The number of the version that holds, of each event that has an id and is known."""
    names = sorted(dtypes)
    kinds = [dtypes[name] for name in names]

    def rank(place: int) -> tuple[Any, ...]:
        one = events[place]
        return one.known, one.event, one.gone, row_key([one.values[name] for name in names], kinds)

    holding: dict[Any, int] = {}
    for place, one in enumerate(events):
        if one.id is not None and _is_visible(one, at, as_known):
            other = holding.setdefault(one.id, place)
            if rank(other) < rank(place):
                holding[one.id] = place
    return holding
