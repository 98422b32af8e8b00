"""Explanations in words: why an event is left out, what an aggregation does, where an event is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from gnomon.clock import instant_text
from gnomon.core.windows import Window
from gnomon.definitions.aggregations import Aggregation
from gnomon.definitions.on_demand import OnDemandFeatureView, RequestSource
from gnomon.errors import RequestError, listing
from gnomon.plan.questions import AsKnown
from gnomon.plan.reasons import Occurrence, Reason, Verdict

__all__ = ["Wording", "place_text", "refused", "words_of_aggregation"]

_WORDS = {
    Reason.COUNTS: "",
    Reason.NULL: "null, so it is skipped",
    Reason.NOT_YET: "happens after the instant asked",
    Reason.EXPIRED: "the latest row, and older than the ttl",
    Reason.OLDER: "older than the row that wins",
    Reason.KNOWN_EARLIER: "of the same event time as the row that wins, and known earlier",
    Reason.SAME: "the same as the row that wins",
}


def refused(view: OnDemandFeatureView, what: str) -> RequestError:
    """The error for what only features that are made of events have."""
    inputs = [f"{one.source.view.id}:{one.feature}" for one in view.wanted if not isinstance(one.source, RequestSource)]
    values = [one.feature for one in view.wanted if isinstance(one.source, RequestSource)]
    return RequestError(
        f"{view.name!r} is an on-demand view: its features are computed of others, and {what} is that of these.",
        instead=f"It looks at: {listing([*inputs, *(f'{one} (of the request)' for one in values)])}.",
        hint=f"ask for {inputs[0]!r}." if inputs else "its values come with the request, and nothing is behind them.",
        view=view.name,
        inputs=inputs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Says of some events why they count, or do not.

    Args:
        at: the instant asked about, µs.
        as_known: how much hindsight was allowed.
        window: the feature's window; None of a row view.
        where: the condition on events.
        events: the events.
        places: where each of them is, in few words.
    """

    at: int
    as_known: AsKnown
    window: Window | None
    where: str
    events: Sequence[Occurrence]
    places: Sequence[str]

    def because(self, place: int, verdict: Verdict) -> str:
        """Why one event, by its number, counts or does not; empty where there is nothing to say."""
        one, reason = self.events[place], verdict.reason
        if reason == Reason.LATE:
            return self._late(one)
        if reason == Reason.SUPERSEDED:
            return f"superseded by a later version, {self._told(verdict)}"
        if reason == Reason.DELETED:
            return "a delete" if verdict.by is None else f"deleted, {self._told(verdict)}"
        if reason in (Reason.WHERE_FALSE, Reason.WHERE_NULL):
            return f"{'false' if reason == Reason.WHERE_FALSE else 'null'}: {self.where}"
        if reason == Reason.COMPARES_LESS:
            return f"of the same times as the row that wins, and less in column {verdict.column!r}"
        if reason == Reason.EXPIRED and self.window:
            return f"left the window at {instant_text(self.window.leave(one.event))}"
        if reason == Reason.NOT_YET and self.window:
            return f"enters the window at {instant_text(self.window.enter(one.event))}"
        return _WORDS[reason]

    def _late(self, one: Occurrence) -> str:
        if one.hidden:
            return "not among what the answer had"
        until = self.as_known if isinstance(self.as_known, int) else self.at
        return f"known only at {instant_text(one.known)}, after {instant_text(until)}"

    def _told(self, verdict: Verdict) -> str:
        """When what stands in an event's place was known, and where it is."""
        assert verdict.by is not None
        return f"known at {instant_text(self.events[verdict.by].known)}, {self.places[verdict.by]}"


def words_of_aggregation(aggregation: Aggregation) -> str:
    """What is made of events.

    >>> words_of_aggregation(Aggregation(function="last_n", column="shop", over="1h", arguments={"n": 3}))
    "last_n (n=3) of 'shop'"
    """
    arguments = ", ".join(f"{name}={value!r}" for name, value in aggregation.arguments.items())
    said = f" ({arguments})" if arguments else ""
    return f"{aggregation.function}{said} of {repr(aggregation.column) if aggregation.column else 'events'}"


def place_text(place: Mapping[str, Any]) -> str:
    """Where an event is, in few words.

    >>> place_text({"file": "/repo/data/payments.parquet", "row": 3}), place_text({"position": 12, "topic": "spent"})
    ('payments.parquet row 3', 'position 12 topic spent')
    """
    words = [f"{name} {value}" for name, value in place.items() if name not in ("file", "row")]
    if "file" in place:
        row = f" row {place['row']}" if "row" in place else ""
        words.insert(0, PurePath(place["file"]).name + row)
    return " ".join(words)
