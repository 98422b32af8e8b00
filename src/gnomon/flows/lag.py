"""Lag: how long after they happened events are known, source by source, and which delay would say so of files.

Where rows carry no known time, "then" and an instant K take them as known with their event time, plus the source's
`delay`. One that is too short shows training what serving could not have known; one that is too long makes features
older than they need be. So the delay proposed is what all but one in a thousand events took, not the longest: that is
often a stray, such as a backfill.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from gnomon.clock import duration, duration_text, micros_of
from gnomon.contracts.engine import Engine, Lags
from gnomon.contracts.log import Logs
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.sources import FileSource, PushSource, Source
from gnomon.errors import NotRegistered

__all__ = ["SourceLag", "lag_text", "round_delay", "source_lag"]

SHARES = (0.5, 0.9, 0.99, 0.999)
PROPOSED_AT = 3
"""Which of these a proposed delay is taken from."""
ENOUGH = 1_000
"""So many events there have to be for that quantile to be other than the longest."""
ROUND = "0s 1s 2s 5s 10s 15s 30s 1m 2m 5m 10m 15m 30m 1h 2h 3h 6h 12h 1d 2d 3d 7d 14d 30d"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLag:
    """How late a source's events are known.

    Args:
        source: the source.
        kind: "log" or "files".
        events: how many events have both times.
        p50: the lag, in µs, that half of them do not exceed; None where there are none.
        p90: that nine in ten do not exceed.
        p99: that 99 in a hundred do not exceed.
        p999: that 999 in a thousand do not exceed.
        longest: the greatest lag, µs.
        negative: the share of events that are dated after they were known, from 0 to 1.
        delay: the delay proposed for files without known times, as a text such as "15m"; empty where there is none.
        note: why there is none, or why this one.
    """

    source: str
    kind: str
    events: int = 0
    p50: int | None = None
    p90: int | None = None
    p99: int | None = None
    p999: int | None = None
    longest: int | None = None
    negative: float = 0.0
    delay: str = ""
    note: str = ""

    def __str__(self) -> str:
        line = f"{self.source} ({self.kind}): {self.events} events"
        if self.p50 is not None:
            told = [f"{name} {lag_text(getattr(self, name))}" for name in ("p50", "p90", "p99", "p999", "longest")]
            line += f", known after: {', '.join(told)}; {self.negative:.2%} dated after they were known"
        return f"{line}. {self.note}".strip()

    def to_dict(self) -> dict[str, Any]:
        """The lag as plain data."""
        return asdict(self)


def source_lag(catalog: Catalog, engine: Engine, logs: Logs, source: str | None = None) -> list[SourceLag]:
    """How late events are known, of every source or of one and the files beside it.

    Args:
        catalog: the definitions.
        engine: measures.
        logs: the logs.
        source: only this source, and its batch source.

    Raises:
        NotRegistered: there is no such source.
        SourceError: files cannot be read.
    """
    return [_lag(catalog, engine, logs, one) for one in _chosen(catalog, source)]


def round_delay(lag: int) -> str:
    """A lag (µs) rounded up to a duration that one would write.

    >>> round_delay(micros_of(duration("13m7s"))), round_delay(-5), round_delay(micros_of(duration("70d")))
    ('15m', '0s', '90d')
    """
    for text in ROUND.split():
        if lag <= micros_of(duration(text)):
            return text
    month = micros_of(duration("30d"))
    return duration_text(timedelta(days=30 * -(-lag // month)))


def lag_text(lag: int) -> str:
    """A lag (µs) for people, by its two greatest units.

    >>> lag_text(3_723_004_005), lag_text(-90_000_000), lag_text(0)
    ('1h2m', '-1m30s', '0s')
    """
    sizes = [micros_of(duration(f"1{unit}")) for unit in ("d", "h", "m", "s", "ms", "us")]
    rest = abs(lag)
    greatest = next((place for place, size in enumerate(sizes) if rest >= size), len(sizes) - 1)
    kept = sizes[min(greatest + 1, len(sizes) - 1)]
    return ("-" if lag < 0 else "") + duration_text(timedelta(microseconds=rest // kept * kept))


def _chosen(catalog: Catalog, source: str | None) -> Iterator[Source]:
    if source is not None and source not in catalog.sources:
        raise NotRegistered(kind="data source", name=source, known=catalog.sources)
    beside = {one.name: one.batch_source for one in catalog.sources.values() if isinstance(one, PushSource)}
    names = sorted(catalog.sources) if source is None else [source]
    for name in names:
        yield catalog.sources[name]
        batch = beside.get(name)
        if batch is not None and batch.name not in names:
            yield batch


def _lag(catalog: Catalog, engine: Engine, logs: Logs, source: Source) -> SourceLag:
    if isinstance(source, PushSource):
        return _measured(source, "log", _of_log(engine, logs, source))
    if source.created_timestamp_column:
        found = engine.lags(source, SHARES)
        note = f"{found.timeless} rows have no known time." if found.timeless else ""
        return _measured(source, "files", found, note)
    if source.delay is not None:
        note = f"Its rows carry no known times; its delay says {duration_text(source.delay)}."
        return SourceLag(source=source.name, kind="files", note=note)
    return _proposed(catalog, engine, logs, source)


def _of_log(engine: Engine, logs: Logs, source: PushSource) -> Lags:
    return engine.lags(source, SHARES, logs.log(source.name).prefix())


def _measured(source: Source, kind: str, found: Lags, note: str = "") -> SourceLag:
    quantiles: tuple[int | None, ...] = found.quantiles or (None,) * len(SHARES)
    p50, p90, p99, p999 = quantiles
    return SourceLag(
        source=source.name,
        kind=kind,
        events=found.rows,
        p50=p50,
        p90=p90,
        p99=p99,
        p999=p999,
        longest=found.longest,
        negative=found.negative / found.rows if found.rows else 0.0,
        note=note,
    )


def _proposed(catalog: Catalog, engine: Engine, logs: Logs, source: FileSource) -> SourceLag:
    """A delay for files whose rows say nothing of when they were known, from the log beside them."""
    pushed = [one for one in catalog.sources.values() if isinstance(one, PushSource) and one.batch_source == source]
    found = [(one, _of_log(engine, logs, one)) for one in pushed]
    told = [(one, lags) for one, lags in found if lags.rows]
    if not told:
        note = (
            "Its rows carry no known times, and it has no delay. Name a created_timestamp_column; or push its events "
            "to a PushSource with batch_source= these files for a while, and their lag in the log says which delay."
        )
        return SourceLag(source=source.name, kind="files", note=note)
    beside, lags = max(told, key=lambda one: one[1].quantiles[PROPOSED_AT])
    lag = lags.quantiles[PROPOSED_AT]
    delay = round_delay(lag)
    what = "p99.9" if lags.rows >= ENOUGH else f"longest, of only {lags.rows} events"
    note = (
        f"Its rows carry no known times, and it has no delay. delay={delay!r} would do: the lag of {beside.name!r} is "
        f"{lag_text(lag)} ({what}), rounded up. A shorter one shows training what serving did not know yet; a longer "
        "one makes every feature older for the sake of one event in a thousand."
    )
    return SourceLag(source=source.name, kind="files", delay=delay, note=note)
