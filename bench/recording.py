"""What a request pays for the served-row log, and how fast rows are written, in CPU time.

Two services: six features of a row view, and ten of a windowed view, on LMDB. Beside a request that is logged stands
the same one of a service that is not. Writing is the thread's work, done here in one go: answers of one entity, and of
a hundred, from the queue into the log.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.measure import CACHE
from bench.table import Row
from gnomon import Entity, FeatureService, FeatureStore, FeatureView, Field, LoggingConfig, PushSource, agg
from gnomon.clock import ManualClock, from_micros
from gnomon.types import Float64, Int64, UnixTimestamp

NOW = 1_704_110_400_000_000
KEYS, EVENTS, TURNS, ASKED = 1_000, 20, 9, 2_000
WINDOWS = ["1d", "1h"]
NUMBERS = [f"f{number}" for number in range(6)]
FIELDS = [Field("user_id", Int64), *(Field(name, Float64) for name in NUMBERS), Field("at", UnixTimestamp)]
PAYMENTS = PushSource(name="payments", schema=FIELDS)
USER = Entity(name="user_id", value_type=Int64)
ROWS = FeatureView(name="rows", entities=[USER], source=PAYMENTS, schema=FIELDS[1:-1])
SUMS = FeatureView(
    name="sums",
    entities=[USER],
    source=PAYMENTS,
    aggregations=[
        agg.count(over=WINDOWS),
        *(make("f0", over=WINDOWS) for make in (agg.sum, agg.mean, agg.min, agg.max)),
    ],
)
NEVER = LoggingConfig(sample_rate=1e-9)
WRITTEN = {1: 30_000, 100: 500}
"""Entities of an answer → how many answers are written."""
BOUNDS = "feature_logging: {queue_rows: 1000000, queue_bytes: 4000000000, batch_rows: 1000000, flush_interval: 3600}"


def rows() -> Iterator[Row]:
    """What a request takes, in CPU µs; then what writing takes."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        (folder / "feature_store.yaml").write_text(f"project: bench\nfeature_server: {{{BOUNDS}}}\n")
        clock = ManualClock(from_micros(NOW))
        with FeatureStore(folder, clock=clock) as store:
            filled(store)
            clock.advance("1s")
            for view in ("rows", "sums"):
                yield from requests(store, view)
                yield from writing(store, folder, view)


def filled(store: FeatureStore) -> None:
    """Services of each view: not logged, logged and never drawn, all logged; and events in."""
    kinds: dict[str, LoggingConfig | None] = {"off": None, "never": NEVER, "all": LoggingConfig()}
    store.apply(
        [
            FeatureService(name=f"{view.name}_{kind}", features=[view], logging_config=config)
            for view in (ROWS, SUMS)
            for kind, config in kinds.items()
        ]
    )
    for number in range(EVENTS):
        at = pa.array([NOW - (EVENTS - number) * 1_000_000] * KEYS, pa.int64()).cast(pa.timestamp("us", "UTC"))
        values = {name: [number / 8 + place for place in range(KEYS)] for name in NUMBERS}
        store.push("payments", {"user_id": list(range(KEYS)), **values, "at": at})


def requests(store: FeatureStore, view: str) -> Iterator[Row]:
    """Requests of each kind, in turns."""
    asked: dict[str, Callable[[Any], object]] = {
        "off": lambda row: store.get_online_features(f"{view}_off", row),
        "never": lambda row: store.get_online_features(f"{view}_never", row, request_id="0199c1b2-7c00-7abc-8def-a1"),
        "all": lambda row: store.get_online_features(f"{view}_all", row, request_id="0199c1b2-7c00-7abc-8def-a1"),
    }
    features = 6 if view == "rows" else 10
    for size in (1, 100):
        taken = in_turns(
            store, asked, [[{"user_id": (7 * one + other) % KEYS} for other in range(size)] for one in range(50)]
        )
        for kind, said in (("never", "logged, not drawn"), ("all", "drawn")):
            yield Row(
                figure=f"{size} × {features} of {view}, {said}",
                gnomon=f"{taken[kind]:,.1f} µs, {taken[kind] - taken['off']:+,.1f}",
                other=f"not logged {taken['off']:,.1f} µs",
                ratio=f"{taken[kind] / taken['off']:.2f}",
            )


def in_turns(store: FeatureStore, asked: dict[str, Callable[[Any], object]], some: list[Any]) -> dict[str, float]:
    """The medians of what each takes, CPU µs."""
    found: dict[str, list[float]] = {kind: [] for kind in asked}
    times = max(ASKED // len(some) // len(some[0]), 2)
    for _ in range(TURNS):
        for kind, ask in asked.items():
            store.recorder.flush()
            gc.collect()
            began = time.process_time()
            for one in some * times:
                ask(one)
            found[kind].append((time.process_time() - began) / times / len(some) * 1e6)
    return {kind: statistics.median(taken) for kind, taken in found.items()}


def writing(store: FeatureStore, folder: Path, view: str) -> Iterator[Row]:
    """Rows from the queue into the log."""
    service, features = f"{view}_all", 6 if view == "rows" else 10
    for size, count in WRITTEN.items():
        store.recorder.flush()
        before, held = store.served_stats()[service].written, sealed(store, folder, service)
        for number in range(count):
            store.get_online_features(service, [{"user_id": (number + one) % KEYS} for one in range(size)])
        began = time.process_time()
        store.recorder.flush()
        spent = time.process_time() - began
        made = store.served_stats()[service].written - before
        assert made == size * count, "some were dropped"
        held = sealed(store, folder, service) - held
        yield Row(
            figure=f"{made:,} rows of {features} features written, {size} an answer",
            gnomon=f"{made / spent:,.0f} rows a CPU s",
            other=f"{held / made:,.0f} bytes a row, sealed",
            cpu=f"{spent:.2f}",
        )


def sealed(store: FeatureStore, folder: Path, service: str) -> int:
    """How large a service's log is, all of it sealed, in bytes."""
    (log,) = store.log_status(service, served=True)
    store._served_logs().log(log).seal()
    return sum(path.stat().st_size for path in (folder / ".gnomon/served" / log).glob("*.parquet"))
