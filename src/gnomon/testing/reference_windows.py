"""The oracle of windowed views: which events count at an instant, in plain Python, slow and meant to be seen right.

Like `gnomon.testing.reference` it is written from the time contract (`docs/time.md`) alone. Each step of `windowed` is
one sentence of it; what is then made of the events is in `gnomon.testing.reference_aggregations`.

>>> from gnomon.core.windows import Window
>>> from gnomon.types import Int64
>>> at_times = {10: 1, 20: 2, 30: 4}
>>> spent = [WindowEvent(key=(7,), event=at, known=at, values={"amount": one}) for at, one in at_times.items()]
>>> ask = {"window": Window("15us"), "function": "sum", "column": "amount", "dtypes": {"amount": Int64}}
>>> windowed(spent, (7,), 30, **ask)                   # 15 ≤ event time < 30
WindowAnswer(value=2, status='PRESENT')
>>> windowed(spent, (7,), 99, **ask)
WindowAnswer(value=None, status='NULL_VALUE')
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

from gnomon.clock import duration, micros_of
from gnomon.testing.reference import NOT_FOUND, NULL_VALUE, PRESENT, AsKnown, order_key, visible
from gnomon.testing.reference_aggregations import OutsideRangeError, aggregated
from gnomon.types import FeatureType

__all__ = ["INVALID", "WindowAnswer", "WindowEvent", "is_inside", "selected_events", "united", "windowed"]

INVALID = "INVALID"

Values = Mapping[str, Any]
"""An event's columns by name: Python values, timestamps among them int µs, arrays lists or tuples."""

Where = Callable[[Values], bool | None]
"""What `where=` says about an event's columns: true, false or null."""


class WindowLike(Protocol):
    """What the oracle reads of a window: `gnomon.Window` has it."""

    @property
    def size(self) -> str | None:
        """Its length as a text; None for a lifetime."""

    @property
    def hop(self) -> timedelta | None:
        """The steps in which its old end moves; None if it moves with the instant."""

    @property
    def tumbling(self) -> bool:
        """Whether it is the last complete one of those that begin every `size`."""

    @property
    def offset(self) -> timedelta | None:
        """So long before the instant it ends."""

    @property
    def closed(self) -> Literal["left", "right"]:
        """Which end belongs to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEvent:
    """One event of a source, or one version of it.

    Args:
        key: values of the join keys, in the view's order; parts may be None.
        event: event time in µs; None where the source has none.
        known: known time, as `gnomon.testing.reference.known_time` gives it; None only where `event` is.
        values: its columns by name.
        id: which event of the key it is a version of; None for an event that has no other version.
        delete: whether it says that there is no such event.
    """

    key: tuple[Any, ...]
    event: int | None
    known: int | None
    values: Values
    id: Any = None
    delete: bool = False


@dataclass(frozen=True, slots=True)
class WindowAnswer:
    """A feature's value at an instant.

    Args:
        value: None unless the status is PRESENT; lists for arrays, int µs for instants.
        status: PRESENT, NULL_VALUE, NOT_FOUND or INVALID.
    """

    value: Any
    status: str

    def filled(self, default: Any) -> Any:
        """The value, or the feature's default (None for none) where it is null; the status stays what it is."""
        return default if self.value is None else self.value


def windowed(
    events: Iterable[WindowEvent],
    key: tuple[Any, ...],
    at: int,
    *,
    window: WindowLike,
    function: str,
    arguments: Mapping[str, Any] | None = None,
    column: str | None = None,
    dtypes: Mapping[str, FeatureType],
    where: Where | None = None,
    as_known: AsKnown = "now",
) -> WindowAnswer:
    """A windowed feature's value for a key at an instant.

    Args:
        events: the source's events, in any order.
        key: values of the join keys.
        at: the instant T asked about, in µs.
        window: which events count at T.
        function: what is made of them: "count", "sum", … as in `gnomon.agg`.
        arguments: what the function takes besides: {"n": 3}, {"length": 2} for vectors.
        column: the column it is made of; None for `count` of the events themselves.
        dtypes: the columns that the view looks at, and their types.
        where: only events of which it is true are taken.
        as_known: how much hindsight is allowed.
    """
    if any(part is None for part in key):  # a key with a null part finds nothing, counts included
        return WindowAnswer(None, NOT_FOUND)
    taken = selected_events(events, key, at, window=window, dtypes=dtypes, where=where, as_known=as_known)
    if not column:  # count() counts events
        return WindowAnswer(len(taken), PRESENT)
    occurrences = [(one.event or 0, one.known or 0, one.values[column]) for one in taken]
    try:
        value = aggregated(function, occurrences, dtypes[column], arguments or {})
    except OutsideRangeError:  # the exact result is not one of its type's
        return WindowAnswer(None, INVALID)
    return WindowAnswer(value, NULL_VALUE if value is None else PRESENT)


def united(
    log: Iterable[WindowEvent], files: Iterable[WindowEvent], *, by_id: bool, cutover: int | None = None
) -> list[WindowEvent]:
    """The rows of a push source: the events of its log, and the rows of its files that are not in it.

    Args:
        log: the events, known at their stamps.
        files: the rows of the batch source.
        by_id: whether the source has an `event_id`.
        cutover: where the log begins, if that is said.
    """
    if cutover is not None:
        log = [one for one in log if one.event is not None and one.event >= cutover]
        files = [one for one in files if one.event is not None and one.event < cutover]
    logged = list(log)

    def is_in_log(row: WindowEvent) -> bool:
        if not by_id or row.id is None:
            return False
        copies = [one.known for one in logged if (one.key, one.id) == (row.key, row.id) and one.known is not None]
        return bool(copies) and row.known is not None and row.known >= min(copies)

    return logged + [row for row in files if not is_in_log(row)]


def selected_events(
    events: Iterable[WindowEvent],
    key: tuple[Any, ...],
    at: int,
    *,
    window: WindowLike,
    dtypes: Mapping[str, FeatureType],
    where: Where | None = None,
    as_known: AsKnown = "now",
) -> list[WindowEvent]:
    """The events of a key that count at an instant; arguments as for `windowed`."""
    # 1. visible by known time
    seen = [
        one
        for one in events
        if one.key == key  # so events whose key has a null never count
        and one.event is not None  # nor do events without an event time
        and one.known is not None
        and visible(one.known, at, as_known)
    ]
    # 2. of each event id the latest version; deleted events are gone
    current = [one for one in latest_versions(seen, dtypes) if not one.delete]
    # 3. inside the window
    inside = [one for one in current if one.event is not None and is_inside(one.event, at, window)]
    # 4. where: true selects, false and null do not
    return [one for one in inside if where is None or where(one.values) is True]


def latest_versions(events: Sequence[WindowEvent], dtypes: Mapping[str, FeatureType]) -> list[WindowEvent]:
    """Of one key's events: those without an id, and of each id the version that holds."""
    versions: dict[Any, list[WindowEvent]] = {}
    for one in events:
        if one.id is not None:
            versions.setdefault(one.id, []).append(one)
    alone = [one for one in events if one.id is None]
    return alone + [max(some, key=lambda one: _version_key(one, dtypes)) for some in versions.values()]


def _version_key(event: WindowEvent, dtypes: Mapping[str, FeatureType]) -> tuple[Any, ...]:
    """Greatest known time; ties: greatest event time, a delete rather than an upsert, columns in name order."""
    columns = tuple(order_key(event.values[name], dtypes[name]) for name in sorted(dtypes))
    return event.known, event.event, event.delete, columns


def is_inside(event: int, at: int, window: WindowLike) -> bool:
    """Whether an event at an instant is inside the window at another; all in µs."""
    at = at - (micros_of(window.offset) if window.offset else 0)  # offset: T − offset for T in the bounds
    new_end = at
    if window.size is None:  # lifetime: (−∞, T)
        return event < new_end or (event == new_end and window.closed == "right")
    size = micros_of(duration(window.size))
    old_end = at - size  # sliding: [T − w, T)
    if window.hop:  # [floor(T − w, hop), T)
        old_end = _floor(at - size, micros_of(window.hop))
    if window.tumbling:  # [floor(T, w) − w, floor(T, w))
        new_end = _floor(at, size)
        old_end = new_end - size
    if window.closed == "left":
        return old_end <= event < new_end
    return old_end < event <= new_end


def _floor(instant: int, step: int) -> int:
    """The last whole step at or before an instant, counted from the epoch; toward −∞."""
    return instant - instant % step
