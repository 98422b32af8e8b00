"""What Prometheus reads of workers: counts, lags and delays as text.

>>> print(exposition([Tally(source="payments", appended=3)]).splitlines()[2])
gnomon_stream_events_total{source="payments"} 3
"""

from __future__ import annotations

from collections.abc import Iterable

from gnomon.flows import exposition as text
from gnomon.flows.exposition import CONTENT_TYPE, Family, Sample
from gnomon.flows.tally import Tally

__all__ = ["CONTENT_TYPE", "exposition"]

COUNTS = {
    "events": ("appended", "Events that entered the log."),
    "rejected": ("rejected", "Messages that became dead letters."),
    "redelivered": ("redelivered", "Messages that were in the log already, and were left out."),
    "batches": ("batches", "Appends to the log."),
    "future": ("future", "Events more than a day in the future."),
    "before_1970": ("before_1970", "Events before 1970."),
    "retries": ("retries", "How often the broker had to be asked again."),
}
DELAYS = {
    "event": "From the time of an event to when it can be read.",
    "broker": "From when the broker got an event to when it can be read.",
}


def exposition(tallies: Iterable[Tally], now: int = 0) -> str:
    """The text.

    Args:
        tallies: the workers' tallies.
        now: the instant, in µs, that rates are told for.
    """
    found, families = list(tallies), list[Family]()
    for name, (attribute, words) in COUNTS.items():
        counts = [Sample(getattr(one, attribute), {"source": one.source}) for one in found]
        families.append(Family(f"gnomon_stream_{name}_total", "counter", words, counts))
    rates = [Sample(one.rate.a_second(now), {"source": one.source}) for one in found]
    families.append(Family("gnomon_stream_events_per_second", "gauge", "Events that entered the log of late.", rates))
    lags = [Sample(lag, {"source": one.source, "partition": name}) for one in found for name, lag in one.lag.items()]
    families.append(Family("gnomon_stream_lag", "gauge", "Messages that are not in the log yet.", lags))
    for name, words in DELAYS.items():
        delays = [
            Sample(seconds, {"source": one.source, "quantile": quantile})
            for one in found
            for quantile, seconds in getattr(one, f"since_{name}").quantiles().items()
        ]
        families.append(Family(f"gnomon_stream_since_{name}_seconds", "gauge", words, delays))
    return text.exposition(families)
