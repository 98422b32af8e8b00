"""A stretch of 2013 lived through again: the clock goes with the events, and who departs is asked about online.

    played = play(store, clock, steps(flights, reads=500), lambda events: store.push("flight_events", events))
    print(played.verdict)      # every answer, made again from history

At each instant, in this order: what becomes known at it enters the log, and is thereby stamped with it; the flights
that are due to leave at it are read online. So an answer may know all that was known at its instant and nothing else,
which is the question that a training set asks with `as_known="then"`.

Stamps go up along a log, by a microsecond from event to event of a delivery. So the clock is set as many microseconds
ahead as the delivery has further events: its last one is stamped with the instant, none with a later one, and the read
is of that instant and no other. A flight due at it is then no part of its own history.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gnomon import FeatureStore
from gnomon.clock import ManualClock
from gnomon.errors import BackendError
from gnomon.examples.flights import live
from gnomon.examples.flights.arrivals import Step

if TYPE_CHECKING:
    from gnomon.flows.verdicts import VerifyReport

__all__ = ["Played", "play"]

OF_ALL: Any = {"full_feature_names": True, "known_through": True}

Deliver = Callable[[pa.Table], object]
"""Brings events into the log and online; when it returns, they are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of it.

    Args:
        told: what was told → how many events said so.
        instants: in how many deliveries, each of an instant.
        restamped: how many of them have another stamp than such a delivery gives.
        deliver_s: how long the deliveries took, feeding included.
        reads: how many flights were read online.
        moved: how many of these answers are as of another instant than their flight was due to leave.
        read_us: the median time of a read of one flight, all features, in this process.
        verdict: the answers, held against history.
        verify_s: how long that took.
    """

    told: dict[str, int]
    instants: int
    restamped: int
    deliver_s: float
    reads: int
    moved: int
    read_us: float
    verdict: VerifyReport
    verify_s: float

    @property
    def events(self) -> int:
        """How many events were delivered."""
        return sum(self.told.values())

    @property
    def disagreements(self) -> int:
        """How many answers history does not give again, for whatever cause, or would not with all known then."""
        return self.verdict.compared - self.verdict.agreed + self.verdict.lagging

    @property
    def is_faithful(self) -> bool:
        """Whether each stamp and each read is of the instant it should be, and each answer is what history says."""
        return not (self.restamped or self.moved or self.disagreements)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        names = ("told", "events", "instants", "restamped", "deliver_s", "reads", "moved", "read_us", "verify_s")
        figures = {name: getattr(self, name) for name in names}
        return {**figures, "disagreements": self.disagreements, "verify": self.verdict.to_dict()}

    def __str__(self) -> str:
        share = self.verdict.agreed / self.verdict.compared if self.verdict.compared else 0.0
        told = ", ".join(f"{count:,} {status}" for status, count in self.told.items())
        return (
            f"{self.events:,} events ({told}), {self.events / self.deliver_s:,.0f} a second\n"
            f"{self.reads:,} departures read online, {self.read_us:,.0f} µs each (median)\n"
            f"{self.verdict.compared:,} answers: {share:.4%} agree bit by bit, {self.verdict.filled:.1%} not empty, "
            f"{self.verdict.lagging:,} otherwise with all known then"
        )


def play(
    store: FeatureStore,
    clock: ManualClock,
    steps: Iterable[Step],
    deliver: Deliver,
    advanced: Callable[[], object] = lambda: None,
) -> Played:
    """Live through some steps, and hold what was read against history.

    Args:
        store: goes by `clock`, with `live.definitions` applied and an empty log.
        clock: is moved forwards.
        steps: what there is at each instant.
        deliver: brings a step's events into the log and online.
        advanced: is called after each step.

    Raises:
        BackendError: the log has other events than were delivered.
    """
    responses, reads, known = [], [], list[tuple[int, int]]()
    told, spent, moved = Counter[str](), 0.0, 0
    for step in steps:
        if len(step.events):
            clock.set(step.at - len(step.events) + 1)
            began = time.perf_counter()
            deliver(step.events)
            spent += time.perf_counter() - began
            known.append((step.at, len(step.events)))
            told.update(step.events["status"].to_pylist())
        clock.set(step.at)
        for flight in step.leaving:
            began = time.perf_counter()
            response = store.get_online_features(live.SERVICE, [flight], **OF_ALL)
            reads.append(time.perf_counter() - began)
            responses.append(response)
            moved += response.at != step.at
        advanced()
    began = time.perf_counter()
    verdict = store.verify(responses)
    return Played(
        told=dict(told),
        instants=len(known),
        restamped=_restamped(store, known),
        deliver_s=round(spent, 3),
        reads=len(reads),
        moved=moved,
        read_us=round(statistics.median(reads) * 1e6, 1) if reads else 0.0,
        verdict=verdict,
        verify_s=round(time.perf_counter() - began, 3),
    )


def _restamped(store: FeatureStore, known: list[tuple[int, int]]) -> int:
    """How many events of the log have another stamp than deliveries give whose last one is stamped with the instant.

    Raises:
        BackendError: the log has other events than were delivered.
    """
    expected = np.concatenate([np.arange(at - count + 1, at + 1) for at, count in known] or [np.array([], np.int64)])
    column = store.logs.log(live.SOURCE).read().read_all()["__known"]
    if len(column) != len(expected):
        raise BackendError(
            f"{len(expected):,} events were delivered, and the log has {len(column):,}.",
            hint="is it the log of an earlier run? Take an empty folder.",
        )
    return int((column.cast(pa.int64()).to_numpy() != expected).sum())
