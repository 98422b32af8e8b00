"""Appending to the log: batches of 1, 100 and 10,000 events, each on disk before the next, one writer.

Beside it stands the same bytes written to a file and flushed, which is what the disk allows.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from bench.measure import CACHE
from bench.table import Row
from gnomon import Entity, FeatureStore, FeatureView, Field, PushSource
from gnomon.types import Float64, Int64, String, UnixTimestamp

SIZES = (1, 100, 10_000)
TURNS = 5
SECONDS = 1.0
"""How long each turn lasts."""
FIELDS = [Field("user", Int64), Field("at", UnixTimestamp), Field("amount", Float64), Field("what", String)]


def rows() -> Iterator[Row]:
    """A row for each size of batch and each way in."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder, FeatureStore(folder) as store:
        store.apply(
            FeatureView(name="spend", entities=[Entity(name="user")], source=PushSource(name="spend", schema=FIELDS))
        )
        for size in SIZES:
            batch = events(size)
            for name, act in (
                ("append", lambda batch=batch: store.logs.log("bare").append(batch)),
                ("push", lambda batch=batch: store.push("spend", batch)),
            ):
                yield compared(f"{name}, {size:,} a batch", size, act, flushing(Path(folder) / "bare", batch))


def events(size: int) -> pa.Table:
    """Events of four columns."""
    whole = pa.array(range(size), pa.int64())
    columns = [whole, whole.cast(pa.timestamp("us", "UTC")), pa.array([1.5] * size), pa.array(["coffee"] * size)]
    return pa.table(columns, names=[one.name for one in FIELDS])


def flushing(path: Path, batch: pa.Table) -> Callable[[], object]:
    """Writes a batch's bytes behind those of the last, and waits until they are on disk."""
    file = path.open("ab")
    data = bytes(batch.to_batches()[0].serialize())

    def act() -> None:
        file.write(data)
        file.flush()
        os.fdatasync(file.fileno())

    return act


def compared(figure: str, size: int, ours: Callable[[], object], other: Callable[[], object]) -> Row:
    """Both in turns; the medians of their rates."""
    taken: dict[str, list[float]] = {"ours": [], "other": []}
    for _ in range(TURNS):
        taken["ours"].append(rate(ours))
        taken["other"].append(rate(other))
    mine, bare = (statistics.median(rates) for rates in taken.values())
    return Row(
        figure=figure,
        gnomon=f"{mine * size:,.0f} events/s",
        other=f"write and flush {bare * size:,.0f}",
        ratio=f"{mine / bare:.2f}",
    )


def rate(act: Callable[[], object]) -> float:
    """How often a second something can be done."""
    began, count = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < SECONDS:
        act()
        count += 1
    return count / took
