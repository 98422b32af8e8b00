"""What a worker has done and how fresh it is: counts, rates, and quantiles of how long events were under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["QUANTILES", "Delays", "Rate", "StreamReport", "Tally"]

QUANTILES = (0.5, 0.99)
SAMPLE, BATCHES = 500, 20
"""Delays are looked at in so many events of each of so many batches, the newest."""
SPAN = 5_000_000
"""A rate is that of so many µs."""


class Delays:
    """How long events take, by the newest of them."""

    def __init__(self) -> None:
        self._samples: deque[NDArray[np.int64]] = deque(maxlen=BATCHES)

    def note(self, delays: NDArray[np.int64]) -> None:
        """Note a batch's delays, µs."""
        if len(delays):
            self._samples.append(delays[:: max(len(delays) // SAMPLE, 1)])

    def quantiles(self) -> dict[float, float]:
        """Quantile → seconds; nothing where there were no events."""
        if not self._samples:
            return {}
        found = np.quantile(np.concatenate(self._samples), QUANTILES) / 1e6
        return dict(zip(QUANTILES, map(float, found), strict=True))


class Rate:
    """How many a second, of late."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque()

    def note(self, at: int, count: int) -> None:
        """So many more, at an instant in µs."""
        self._counts.append((at, count))
        while len(self._counts) > 2 and self._counts[0][0] < at - SPAN:
            self._counts.popleft()

    def a_second(self, now: int) -> float:
        """The rate at an instant in µs."""
        counts = [(at, count) for at, count in self._counts if at >= now - SPAN]
        if not counts:
            return 0.0
        return sum(count for _, count in counts) / max((now - counts[0][0]) / 1e6, 1.0)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one source's worker has done since it began; it changes while it goes on.

    Args:
        source: the source.
        appended: events that entered the log.
        rejected: messages that became dead letters.
        redelivered: messages that were in the log already, and left out.
        batches: appends.
        future: events more than a day in the future.
        before_1970: events before 1970.
        lag: partition → messages that are not in the log yet.
        retries: how often the broker had to be asked again.
    """

    source: str
    appended: int = 0
    rejected: int = 0
    redelivered: int = 0
    batches: int = 0
    future: int = 0
    before_1970: int = 0
    retries: int = 0
    lag: Mapping[str, int] = field(default_factory=dict)
    since_event: Delays = field(default_factory=Delays)
    since_broker: Delays = field(default_factory=Delays)
    rate: Rate = field(default_factory=Rate)

    def report(self) -> StreamReport:
        """What has been done, as it will stay."""
        names = ("source", "appended", "rejected", "redelivered", "batches", "future", "before_1970", "retries")
        return StreamReport(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReport:
    """What a worker has done with one source; its fields are those of `Tally`."""

    source: str
    appended: int
    rejected: int
    redelivered: int
    batches: int
    future: int
    before_1970: int
    retries: int

    def __str__(self) -> str:
        line = f"{self.source}: {self.appended} events appended in {self.batches} batches"
        more = [
            (self.rejected, "rejected"),
            (self.redelivered, "there before"),
            (self.future, "more than a day in the future"),
            (self.before_1970, "before 1970"),
        ]
        return ", ".join([line, *(f"{count} {what}" for count, what in more if count)]) + "."

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)
