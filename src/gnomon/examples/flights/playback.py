"""A stretch of 2013 lived through again: the clock goes with the events, and who departs is asked about online.

    played = play(store, clock, steps(flights, reads=500), lambda events: store.push("flight_events", events))
    print(played.verdict)      # every answer, made again from history

At each instant, in this order: the clock is set to it; what becomes known at it enters the log, and is thereby stamped
with it (the second event of a delivery a microsecond later, and so on); the flights that are due to leave at it are
read online. So an answer may know all that was known at its instant and nothing else, which is the question that a
training set asks with `as_known="then"`.
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
        restamped: how many of them were stamped with another instant than that at which they became known.
        deliver_s: how long the deliveries took, feeding included.
        reads: how many flights were read online.
        read_us: the median time of a read of one flight, all features, in this process.
        verdict: the answers, held against history.
        verify_s: how long that took.
    """

    told: dict[str, int]
    instants: int
    restamped: int
    deliver_s: float
    reads: int
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

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        names = ("told", "events", "instants", "restamped", "deliver_s", "reads", "read_us", "verify_s")
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
    told, spent = Counter[str](), 0.0
    for step in steps:
        clock.set(step.at)
        if len(step.events):
            began = time.perf_counter()
            deliver(step.events)
            spent += time.perf_counter() - began
            known.append((step.at, len(step.events)))
            told.update(step.events["status"].to_pylist())
        for flight in step.leaving:
            began = time.perf_counter()
            responses.append(store.get_online_features(live.SERVICE, [flight], **OF_ALL))
            reads.append(time.perf_counter() - began)
        advanced()
    began = time.perf_counter()
    verdict = store.verify(responses)
    return Played(
        told=dict(told),
        instants=len(known),
        restamped=_restamped(store, known),
        deliver_s=round(spent, 3),
        reads=len(reads),
        read_us=round(statistics.median(reads) * 1e6, 1) if reads else 0.0,
        verdict=verdict,
        verify_s=round(time.perf_counter() - began, 3),
    )


def _restamped(store: FeatureStore, known: list[tuple[int, int]]) -> int:
    """How many events of the log have another stamp than a delivery at that instant gives: itself, and a µs more each.

    Raises:
        BackendError: the log has other events than were delivered.
    """
    expected = np.concatenate([np.arange(at, at + count) for at, count in known] or [np.array([], np.int64)])
    column = store.logs.log(live.SOURCE).read().read_all()["__known"]
    if len(column) != len(expected):
        raise BackendError(
            f"{len(expected):,} events were delivered, and the log has {len(column):,}.",
            hint="is it the log of an earlier run? Take an empty folder.",
        )
    return int((column.cast(pa.int64()).to_numpy() != expected).sum())
