"""What Prometheus reads of workers: counts, lags and delays as text.

>>> print(exposition([Tally(source="payments", appended=3)]).splitlines()[2])
gnomon_stream_events_total{source="payments"} 3
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gnomon.flows.tally import Tally

__all__ = ["CONTENT_TYPE", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
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
Sample = tuple[Mapping[str, object], float]


def exposition(tallies: Iterable[Tally], now: int = 0) -> str:
    """The text.

    Args:
        tallies: the workers' tallies.
        now: the instant, in µs, that rates are told for.
    """
    found, lines = list(tallies), list[str]()
    for name, (attribute, words) in COUNTS.items():
        counts = [({"source": one.source}, getattr(one, attribute)) for one in found]
        lines += _metric(f"gnomon_stream_{name}_total", "counter", words, counts)
    rates = [({"source": one.source}, one.rate.a_second(now)) for one in found]
    lines += _metric("gnomon_stream_events_per_second", "gauge", "Events that entered the log of late.", rates)
    lags = [({"source": one.source, "partition": name}, lag) for one in found for name, lag in one.lag.items()]
    lines += _metric("gnomon_stream_lag", "gauge", "Messages that are not in the log yet.", lags)
    for name, words in DELAYS.items():
        delays = [
            ({"source": one.source, "quantile": quantile}, seconds)
            for one in found
            for quantile, seconds in getattr(one, f"since_{name}").quantiles().items()
        ]
        lines += _metric(f"gnomon_stream_since_{name}_seconds", "gauge", words, delays)
    return "\n".join([*lines, ""])


def _metric(name: str, kind: str, words: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        told = ",".join(f'{key}="{_escaped(one)}"' for key, one in labels.items())
        yield f"{name}{{{told}}} {value}"


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
