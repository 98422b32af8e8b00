"""Windowed views online: exact windows read from ledgers, and ledgers fed, on each store.

A view has ten features: count, sum, mean, min and max of an amount, over a day and over an hour. Its entities have 10,
200, 1,000 or 100,000 events in that day. Beside a read stands the least a store can do for it: the head and the summary
fetched, and nothing made of them. Redis is a server of its own on this machine; where none is installed it is left out.
"""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.measure import CACHE
from bench.online_stores import program, server
from bench.table import Row
from gnomon import Entity, FeatureStore, FeatureView, Field, PushSource, agg
from gnomon.clock import ManualClock, from_micros
from gnomon.types import Float64, Int64, UnixTimestamp

SIZES = {10: 200, 200: 100, 1_000: 50, 100_000: 4}
"""Events of an entity in its day → how many entities have so many."""
READS = 600
DAY = 86_400_000_000
FED, KEYS = 200_000, 100_000
BATCHES = (1, 1_000, 20_000)
WINDOWS = ["1d", "1h"]
FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)]
PAYMENTS = PushSource(name="payments", schema=FIELDS)
SPEND = FeatureView(
    name="spend",
    entities=[Entity(name="user_id")],
    source=PAYMENTS,
    aggregations=[
        agg.count(over=WINDOWS),
        *(make("amount", over=WINDOWS) for make in (agg.sum, agg.mean, agg.min, agg.max)),
    ],
)


def rows() -> Iterator[Row]:
    """For each store: laying out, size, reads, feeding, from a push to where it can be read."""
    CACHE.mkdir(exist_ok=True)
    for kind in ("memory", "lmdb", "sqlite"):
        yield from of(kind, "" if kind == "memory" else "path: online")
    if program():
        with server() as address:
            yield from of("redis", f'connection_string: "{address}"')


def of(kind: str, option: str) -> Iterator[Row]:
    """The rows of one store."""
    folder = Path(tempfile.mkdtemp(dir=CACHE))
    (folder / "feature_store.yaml").write_text(f"project: bench\nonline_store:\n  type: {kind}\n  {option}\n")
    clock = ManualClock(DAY)
    try:
        with FeatureStore(folder, clock=clock) as store:
            store.apply([SPEND])
            yield from loaded(kind, store, folder)
            for size in SIZES:
                yield read(kind, store, clock, size)
        for batch in BATCHES:
            yield fed(kind, folder, batch)
        yield readable(kind, folder)
    finally:
        shutil.rmtree(folder)


def loaded(kind: str, store: FeatureStore, folder: Path) -> Iterator[Row]:
    """All events pushed into the log, then laid out."""
    rng = np.random.default_rng(1)
    keys = np.concatenate([np.repeat(np.array(users(size)), size) for size in SIZES])
    at = rng.integers(0, DAY, len(keys))
    table = pa.table(
        {
            "user_id": pa.array(keys),
            "amount": pa.array(np.round(rng.gamma(2, 30, len(keys)), 2)),
            "at": pa.array(at).cast(pa.timestamp("us", "UTC")),
        }
    )
    for start in range(0, len(table), 100_000):
        store.push("payments", table.slice(start, 100_000), to="offline")
    before = taken(folder)
    wall, cpu = time.perf_counter(), time.process_time()
    store.materialize(None, DAY)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    size = taken(folder) - before
    yield Row(
        figure=f"{kind}: laying out {len(table):,} events",
        gnomon=f"{wall / len(table) * 1e6:.1f} s per million"
        + (f", {size / len(table):.0f} bytes an event" if size else ""),
        cpu=f"{cpu:.2f}",
    )


def read(kind: str, store: FeatureStore, clock: ManualClock, size: int) -> Row:
    """Reads of one entity, at an instant that moves on."""
    features = [f"spend:{name}" for name in store.get_feature_view("spend").feature_names]
    chance, some = random.Random(size), users(size)
    table, online = ledger_table(store), store.online

    def ask(key: int) -> None:
        store.get_online_features(features, [{"user_id": key}]).to_dict()

    def bare(key: int) -> None:
        online.read([(table, parts(key))])

    mine, other = [], []
    for turn in range(READS):
        clock.set(DAY + turn * 1_003)
        key = chance.choice(some)
        mine.append(spent(lambda key=key: ask(key)))
        other.append(spent(lambda key=key: bare(key)))
    low, high = percentiles(mine)
    bare_low, bare_high = percentiles(other)
    budget = "p50 ≤ 60, p99 ≤ 120 µs" if kind == "lmdb" and size > 10 else ""
    return Row(
        figure=f"{kind}: 10 features of {size:,} events, p50 / p99",
        gnomon=f"{low:,.0f} / {high:,.0f} µs",
        other=f"bare read {bare_low:,.0f} / {bare_high:,.0f} µs",
        ratio=f"{low / bare_low:.1f}",
        budget=budget,
    )


def fed(kind: str, folder: Path, batch: int) -> Row:
    """Pushes of zipf-distributed keys, one event in five late, into log and ledgers; and into the log alone."""
    total = min(FED, batch * 400)
    both = rate(kind, folder, batch, total, to="online_and_offline")
    alone = rate(kind, folder, batch, total, to="offline")
    return Row(
        figure=f"{kind}: pushed {batch:,} at a time, zipf, 20 % late",
        gnomon=f"{total / both[0]:,.0f} events/s, {total / both[1]:,.0f} a CPU s",
        other=f"log alone {total / alone[0]:,.0f} events/s",
        ratio=f"{alone[0] / both[0]:.2f}",
        cpu=f"{both[1]:.2f} / {alone[1]:.2f}",
        cpu_ratio=f"{both[1] / alone[1]:.1f}",
        budget="≥ 50k events/s" if batch == max(BATCHES) and kind == "lmdb" else "",
    )


def rate(kind: str, folder: Path, batch: int, total: int, *, to: str) -> tuple[float, float]:
    """Seconds and CPU seconds for so many events."""
    rng = np.random.default_rng(3)
    at = DAY + np.arange(total) * 1_000
    event = np.where(rng.random(total) < 0.2, at - rng.integers(0, 600_000_000, total), at)
    table = pa.table(
        {
            "user_id": pa.array(rng.zipf(1.3, total) % KEYS),
            "amount": pa.array(np.round(rng.gamma(2, 30, total), 2)),
            "at": pa.array(event).cast(pa.timestamp("us", "UTC")),
        }
    )
    clock = ManualClock(DAY)
    own = folder / f"{to}-{batch}"
    own.mkdir()
    shutil.copy(folder / "feature_store.yaml", own)
    with FeatureStore(own, clock=clock) as store:
        if kind == "redis":
            store.teardown()
        store.apply([SPEND])
        store.push("payments", table.slice(0, 1), to=to)
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, total, batch):
            clock.set(int(at[start]))
            store.push("payments", table.slice(start, batch), to=to)
        return time.perf_counter() - wall, time.process_time() - cpu


def readable(kind: str, folder: Path) -> Row:
    """From before a push of one event to an answer that counts it."""
    own = folder / "readable"
    own.mkdir()
    shutil.copy(folder / "feature_store.yaml", own)
    clock, chance, found = ManualClock(DAY), random.Random(5), []
    with FeatureStore(own, clock=clock) as store:
        store.apply([SPEND])
        store.push("payments", [{"user_id": -1, "amount": 1.0, "at": from_micros(DAY)}])
        for turn in range(200):
            clock.set(DAY + turn * 1_000_000)
            event: dict[str, Any] = {
                "user_id": chance.randrange(1_000),
                "amount": 1.5,
                "at": from_micros(clock.now() - 1),
            }
            began = time.perf_counter()
            store.push("payments", [event])
            answer = store.get_online_features(["spend:count_1h"], [{"user_id": event["user_id"]}]).to_dict()
            found.append((time.perf_counter() - began) * 1e6)
            assert answer["count_1h"][0]
    low, high = percentiles(found)
    return Row(
        figure=f"{kind}: from a push of one event to an answer with it, p50 / p99",
        gnomon=f"{low / 1e3:,.1f} / {high / 1e3:,.1f} ms",
        budget="within a second",
    )


def users(size: int) -> list[int]:
    """The entities that have so many events."""
    start = list(SIZES).index(size) * 1_000
    return list(range(start, start + SIZES[size]))


def ledger_table(store: FeatureStore) -> Any:
    from gnomon.flows.ledgers import ledger_of

    return ledger_of(store.project, store.get_feature_view("spend"))


def parts(key: int) -> list[bytes]:
    from gnomon.core.keys import encode_key
    from gnomon.core.ledger.parts import head_key, summary_key

    encoded = encode_key((key,), (Int64,))
    return [head_key(encoded), summary_key(encoded)]


def taken(folder: Path) -> int:
    """The bytes of the online store's files."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("online*/**/*") if path.is_file()) + sum(
        path.stat().st_blocks * 512 for path in folder.glob("online*") if path.is_file()
    )


def spent(act: Callable[[], object]) -> float:
    """How many µs it takes."""
    began = time.perf_counter_ns()
    act()
    return (time.perf_counter_ns() - began) / 1e3


def percentiles(found: list[float]) -> tuple[float, float]:
    """p50 and p99; the first tenth is not counted."""
    kept = sorted(found[len(found) // 10 :])
    return statistics.median(kept), kept[int(len(kept) * 0.99)]
