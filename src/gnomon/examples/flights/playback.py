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
    from gnomon.flows.responses import OnlineResponse
    from gnomon.flows.verdicts import VerifyReport

__all__ = ["Played", "play"]

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
    playing = _Playing(store, clock, deliver)
    for step in steps:
        playing.deliver(step)
        playing.read(step)
        advanced()
    return playing.verified()


class _Playing:
    """What has been delivered and read so far.

    Args:
        store: as of `play`.
        clock: as of `play`.
        deliver: as of `play`.
    """

    def __init__(self, store: FeatureStore, clock: ManualClock, deliver: Deliver) -> None:
        self._store, self._clock, self._deliver = store, clock, deliver
        self._told, self._known = Counter[str](), list[tuple[int, int]]()
        self._responses: list[OnlineResponse] = []
        self._reads: list[float] = []
        self._spent, self._moved = 0.0, 0

    def deliver(self, step: Step) -> None:
        """Bring what becomes known into the log and online, the last of it stamped with the step's instant."""
        if not len(step.events):
            return
        self._clock.set(step.at - len(step.events) + 1)
        began = time.perf_counter()
        self._deliver(step.events)
        self._spent += time.perf_counter() - began
        self._known.append((step.at, len(step.events)))
        self._told.update(step.events["status"].to_pylist())

    def read(self, step: Step) -> None:
        """Ask about each flight that is due to leave."""
        self._clock.set(step.at)
        for flight in step.leaving:
            began = time.perf_counter()
            response = self._store.get_online_features(
                live.SERVICE, [flight], full_feature_names=True, known_through=True
            )
            self._reads.append(time.perf_counter() - began)
            self._responses.append(response)
            self._moved += response.at != step.at

    def verified(self) -> Played:
        """All of it, held against history."""
        began = time.perf_counter()
        verdict = self._store.verify(self._responses)
        return Played(
            told=dict(self._told),
            instants=len(self._known),
            restamped=_restamped(self._store, self._known),
            deliver_s=round(self._spent, 3),
            reads=len(self._reads),
            moved=self._moved,
            read_us=round(statistics.median(self._reads) * 1e6, 1) if self._reads else 0.0,
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
