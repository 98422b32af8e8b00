"""What an on-demand feature adds to an online read of 6 features, and to a training set, by mode."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import Figure, in_its_own_process, measuring
from bench.requests import timed
from bench.table import Row
from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, OnDemandFeatureView, RequestSource
from gnomon.clock import ManualClock, to_micros
from gnomon.types import Float64, Int64

PEOPLE, ASKED, RUNS = 100_000, 500_000, 3
SIZES = (1, 100)
NAMES = [f"f{place}" for place in range(6)]
MODES = ("none", "python", "sql", "numpy", "pandas")


def rows() -> Iterator[Row]:
    """By mode: p50 of a read of 1 and of 100 entities; a training set of 500,000 rows."""
    folder = Path(tempfile.mkdtemp(prefix="gnomon-bench-"))
    try:
        made(folder)
        found = {mode: [_run(folder, mode) for _ in range(RUNS)] for mode in MODES}
    finally:
        shutil.rmtree(folder)
    plain = {size: _p50(found["none"], size) for size in SIZES}
    for mode in MODES:
        one, many = (_p50(found[mode], size) for size in SIZES)
        cpu = statistics.median(run.cpu for _, run in found[mode])
        yield Row(
            figure="6 features" if mode == "none" else f"the same, and one more, `mode={mode!r}`",
            gnomon=f"1 entity {one:,.1f}, 100 entities {many:,.1f} µs",
            other="" if mode == "none" else f"{one - plain[1]:+,.1f}, {many - plain[100]:+,.1f} µs",
            cpu=f"{cpu:.2f} ({ASKED:,} rows of training)",
            peak=f"{found[mode][0][1].peak:,.0f}",
        )


def made(folder: Path) -> None:
    """A repo whose view is online, and its on-demand views."""
    chance = np.random.default_rng(0)
    at = pa.array(np.zeros(PEOPLE, np.int64)).cast(pa.timestamp("us", "UTC"))
    columns = {name: chance.random(PEOPLE) for name in NAMES}
    pq.write_table(pa.table({"user_id": np.arange(PEOPLE), "at": at, **columns}), folder / "people.parquet")
    with _store(folder) as store:
        store.apply(_views())
        store.materialize(None, to_micros("2024-01-01"), ["v"])


def online(folder: str, mode: str) -> Figure:
    """Reads of random people."""
    asked = [*(f"v:{name}" for name in NAMES), *([] if mode == "none" else [f"{mode}:x"])]
    given = {} if mode == "none" else {"amount": 12.5}
    with _store(Path(folder)) as store, measuring() as figure:
        store.apply(_views())
        figure.more = timed(
            lambda rows: store.get_online_features(asked, rows).to_dict(),
            PEOPLE,
            SIZES,
            lambda key: {"user_id": key, **given},
        )
    return figure


def training(folder: str, mode: str) -> Figure:
    """A training set of random people."""
    asked = [*(f"v:{name}" for name in NAMES), *([] if mode == "none" else [f"{mode}:x"])]
    chance = np.random.default_rng(1)
    at = pa.array(np.full(ASKED, to_micros("2024-01-01"))).cast(pa.timestamp("us", "UTC"))
    users, amounts = chance.integers(0, PEOPLE, ASKED), chance.random(ASKED)
    spine = pa.table({"user_id": users, "event_timestamp": at, "amount": amounts})
    with _store(Path(folder)) as store:
        store.apply(_views())
        with measuring() as figure:
            for _ in store.get_historical_features(spine, asked).to_reader():
                pass
    return figure


def _run(folder: Path, mode: str) -> tuple[Figure, Figure]:
    asked: Any = (str(folder), mode)
    return in_its_own_process("bench.on_demand:online", *asked), in_its_own_process("bench.on_demand:training", *asked)


def _p50(runs: list[tuple[Figure, Figure]], size: int) -> float:
    return statistics.median(run.more[str(size)][0] for run, _ in runs)


def _store(folder: Path) -> FeatureStore:
    return FeatureStore(folder, clock=ManualClock(to_micros("2024-01-01")))


def share(amount, f0):
    return amount / f0


def share_of(df):
    return df.assign(x=df["amount"] / df["f0"])


def _views() -> list[Any]:
    view = FeatureView(
        name="v",
        entities=[Entity(name="user_id", value_type=Int64)],
        source=FileSource(path="people.parquet", timestamp_field="at", delay="0s"),
        schema=[Field(name, Float64) for name in NAMES],
    )
    request = RequestSource(name="request", schema=[Field("amount", Float64)])
    shared: dict[str, Any] = {"sources": [view, request], "schema": [Field("x", Float64)]}
    by_function = {"python": share, "numpy": share, "pandas": share_of}
    made = [OnDemandFeatureView(name=mode, mode=mode, function=one, **shared) for mode, one in by_function.items()]
    expressions = {"x": "amount / nullif(f0, 0)"}
    return [view, *made, OnDemandFeatureView(name="sql", mode="sql", expressions=expressions, **shared)]
