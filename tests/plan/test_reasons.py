"""What is said to count is exactly what counts by the oracle, and the value made of it is the oracle's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from windowed_views import questions

from gnomon import Window
from gnomon.clock import micros_of
from gnomon.core.expressions import parse
from gnomon.plan.questions import AsKnown
from gnomon.plan.reasons import INSIDE, Occurrence, Reason, Verdict, recomputed, row_verdicts, window_verdicts
from gnomon.testing.reference import as_of, same_value
from gnomon.testing.reference_windows import WindowEvent, is_inside, selected_events, windowed
from gnomon.testing.strategies import histories, row_views, rows_of
from gnomon.testing.strategies import questions as row_questions
from gnomon.types import FeatureType, Int64, String


def occurrence(one: WindowEvent) -> Occurrence:
    assert one.event is not None
    assert one.known is not None
    told = None if one.id is None else (type(one.id).__name__, one.id)
    return Occurrence(event=one.event, known=one.known, values=one.values, id=told, gone=one.delete)


@given(data=st.data())
def test_inside_are_exactly_the_events_the_oracle_selects(data: st.DataObject) -> None:
    view, _, events, asked = data.draw(questions())
    known = sorted({one.known for one in events if one.known is not None} | {0})
    as_known: AsKnown = data.draw(st.sampled_from(["now", "then", *known]))  # type: ignore[assignment]
    dtypes = {one.name: one.dtype for one in view.inputs}
    for key, at in asked:
        of_key = [one for one in events if one.key == key and None not in key and one.event is not None]
        for one in view.aggregations:
            where = parse(one.where).typed(dtypes).compile() if one.where else None
            for window in one.over:
                rule: dict[str, Any] = {"window": window, "dtypes": dtypes, "where": where, "as_known": as_known}
                verdicts = window_verdicts(list(map(occurrence, of_key)), at, column=one.column, **rule)
                inside = [event for event, found in zip(of_key, verdicts, strict=True) if found.reason in INSIDE]
                wanted = selected_events(of_key, key, at, **rule)
                assert sorted(map(repr, inside)) == sorted(map(repr, wanted))
                for event, found in zip(of_key, verdicts, strict=True):
                    check_reason(event, found, of_key, at, window, as_known, one.column)
                counted = [
                    occurrence(event)
                    for event, found in zip(of_key, verdicts, strict=True)
                    if found.reason == Reason.COUNTS
                ]
                value, status = recomputed(one, counted, dtypes)
                if None not in key:
                    of = {"function": one.function, "arguments": one.arguments, "column": one.column or None}
                    answer = windowed(events, key, at, **of, **rule)
                    dtype = one.output(dtypes)
                    assert same_value(value, answer.value, dtype)
                    assert status == answer.status


def check_reason(
    event: WindowEvent,
    found: Verdict,
    events: Sequence[WindowEvent],
    at: int,
    window: Window,
    as_known: AsKnown,
    column: str,
) -> None:
    """A reason is true of its event."""
    assert event.event is not None
    assert event.known is not None
    late = event.known > (at if as_known == "then" else as_known) if as_known != "now" else False  # type: ignore[operator]
    assert (found.reason == Reason.LATE) == late
    if found.by is not None:
        other = events[found.by]
        assert other.id == event.id
        assert other.known is not None
        assert other.known >= event.known
        assert other.delete == (found.reason == Reason.DELETED)
    if found.reason == Reason.NULL:
        assert event.values[column] is None
    if found.reason in (Reason.EXPIRED, Reason.NOT_YET):
        assert not is_inside(event.event, at, window)
        assert (found.reason == Reason.EXPIRED) == (window.leave(event.event) <= at)
        assert (found.reason == Reason.NOT_YET) == (window.enter(event.event) > at)
    if found.reason in (Reason.WHERE_FALSE, Reason.WHERE_NULL, *INSIDE):
        assert is_inside(event.event, at, window)


@given(data=st.data())
def test_the_row_that_wins_is_the_oracles(data: st.DataObject) -> None:
    view = data.draw(row_views())
    history = data.draw(histories(view))
    rows = rows_of(view, history)
    known = sorted({row.known for row in rows if row.known is not None} | {0})
    as_known: AsKnown = data.draw(st.sampled_from(["now", "then", *known]))  # type: ignore[assignment]
    dtypes = {one.name: one.dtype for one in view.schema}
    names = list(dtypes)
    for key, at in data.draw(row_questions(view, history)):
        of_key = [row for row in rows if row.key == key and None not in key and row.event is not None]
        made = [
            Occurrence(event=row.event or 0, known=row.known or 0, values=dict(zip(names, row.values, strict=True)))
            for row in of_key
        ]
        ttl = None if view.ttl is None else micros_of(view.ttl)
        verdicts = row_verdicts(made, at, dtypes=dtypes, ttl=ttl, as_known=as_known)
        answer = as_of(rows, key, at, dtypes=list(dtypes.values()), as_known=as_known, ttl=view.ttl)
        expired = [one for one, found in zip(made, verdicts, strict=True) if found == Verdict(Reason.EXPIRED)]
        winners = [one for one, found in zip(made, verdicts, strict=True) if found.reason == Reason.COUNTS]
        assert len(winners) == (answer.status == "PRESENT")
        assert len(expired) == (answer.status == "OUTSIDE_MAX_AGE")
        for one in winners + expired:
            assert (one.event, one.known) == (answer.event, answer.known)
        for one in winners:
            for name, value in zip(names, answer.values, strict=True):
                assert same_value(one.values[name], value, dtypes[name])


TYPES: dict[str, FeatureType] = {"n": Int64, "s": String}


@pytest.mark.parametrize(
    ("row", "reason", "column"),
    [
        ({"event": 9, "known": 60, "values": {"n": 9, "s": "z"}}, Reason.OLDER, ""),
        ({"event": 10, "known": 49, "values": {"n": 9, "s": "z"}}, Reason.KNOWN_EARLIER, ""),
        ({"event": 10, "known": 50, "values": {"n": 1, "s": "a"}}, Reason.COMPARES_LESS, "s"),
        ({"event": 10, "known": 50, "values": {"n": None, "s": "z"}}, Reason.COMPARES_LESS, "n"),
        ({"event": 10, "known": 50, "values": {"n": 1, "s": "b"}}, Reason.SAME, ""),
        ({"event": 101, "known": 50, "values": {"n": 9, "s": "z"}}, Reason.NOT_YET, ""),
        ({"event": 11, "known": 51, "values": {"n": 9, "s": "z"}, "hidden": True}, Reason.LATE, ""),
    ],
)
def test_a_row_is_beaten_for_a_reason(row: dict[str, Any], reason: Reason, column: str) -> None:
    winner = Occurrence(event=10, known=50, values={"n": 1, "s": "b"})
    verdicts = row_verdicts([winner, Occurrence(**row)], 100, dtypes=TYPES)
    assert verdicts[0] == Verdict(Reason.COUNTS)
    assert (verdicts[1].reason, verdicts[1].column) == (reason, column)
    assert verdicts[1].by == (None if reason in (Reason.NOT_YET, Reason.LATE) else 0)
