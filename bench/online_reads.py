"""Load rows into LMDB and read random ones back, beside bare LMDB gets of the same keys in the same run.

    python bench/online_reads.py --rows 1000000

Prints Markdown. Times are wall-clock µs; "bare" is one LMDB transaction with one get per key and nothing else.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pyarrow as pa

from gnomon import Entity, FeatureView, Field, FileSource
from gnomon.clock import SystemClock
from gnomon.contracts.registry import Snapshot
from gnomon.core.keys import encode_key
from gnomon.core.staircases import merging
from gnomon.definitions.catalog import Catalog
from gnomon.flows.read import Reader
from gnomon.flows.tables import entries_of, layout_of, remember_layout, table_of
from gnomon.online.lmdb import LmdbStore
from gnomon.types import Float64, Int64

FEATURES = [Field(f"f{place}", Int64 if place % 2 else Float64) for place in range(6)]
VIEW = FeatureView(
    name="bench",
    entities=[Entity(name="user_id", value_type=Int64)],
    source=FileSource(path="none.parquet"),
    schema=FEATURES,
)
ASKED = [f"bench:{one.name}" for one in FEATURES]


def batches(rows: int, size: int, seed: int) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(seed)
    for start in range(0, rows, size):
        count = min(size, rows - start)
        values = {
            one.name: rng.integers(-(1 << 40), 1 << 40, count) if one.dtype == Int64 else rng.random(count)
            for one in FEATURES
        }
        times = rng.integers(1_700_000_000_000_000, 1_710_000_000_000_000, count)
        keys = np.arange(start, start + count)
        yield pa.record_batch({"user_id": keys, "__event": times, "__known": times, **values})


def loaded(store: LmdbStore, args: argparse.Namespace, way: str) -> float:
    """Rows a second of one load, packing included, making up the rows not."""
    table, layout = table_of("bench", VIEW), layout_of(VIEW)
    remember_layout(store, table, layout)
    merge = merging(layout, SystemClock().now())
    making = 0.0

    def packed() -> Iterator[list[tuple[bytes, bytes]]]:
        nonlocal making
        made = batches(args.rows, args.batch, args.seed)
        while True:
            began = time.perf_counter()
            batch = next(made, None)
            making += time.perf_counter() - began
            if batch is None:
                return
            yield entries_of(VIEW, layout, batch)

    began = time.perf_counter()
    if way == "replace":
        store.replace(table, packed(), merge)
    else:
        for entries in packed():
            store.write(table, entries, merge)
    return args.rows / (time.perf_counter() - began - making)


def percentiles(ask: Callable[[Any], Any], questions: list[Any]) -> tuple[float, float]:
    spent = []
    for question in questions:
        began = time.perf_counter_ns()
        ask(question)
        spent.append((time.perf_counter_ns() - began) / 1_000)
    spent.sort()
    return spent[len(spent) // 2], spent[int(len(spent) * 0.99)]


def bare_reader(path: Path) -> tuple[Any, Callable[[list[bytes]], list[bytes | None]]]:
    """Gets straight from the file; the published generation's prefix is found once, beforehand."""
    env = lmdb.open(str(path), readonly=True, lock=False, readahead=False)
    with env.begin() as txn:
        cursor = txn.cursor()
        cursor.set_range(b"r")
        prefix = cursor.key()[:6]

    def read(keys: list[bytes]) -> list[bytes | None]:
        with env.begin() as txn:
            get = txn.get
            return [get(prefix + key) for key in keys]

    return env, read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=1_000, help="per size; a tenth of it for 1,000 keys")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100, 1_000])
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        store = LmdbStore({"path": str(path)})
        speeds = {way: loaded(store, args, way) for way in ("write, fresh", "write, again", "replace")}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| load of {args.rows:,} rows x 6 | rows/s |\n|---|---|")
        for way, speed in speeds.items():
            print(f"| {way} | {speed:,.0f} |")
        print(f"\nPeak memory {peak:,.0f} MiB, LMDB's pages in the file cache included.\n")

        snapshot = Snapshot(project="bench", version=1, catalog=Catalog.of([VIEW]))
        questions = {
            size: [
                [chance.randrange(args.rows) for _ in range(size)]
                for _ in range(max(args.requests * 10 // (size + 9), 50))
            ]
            for size in args.sizes
        }
        reader = Reader(store, SystemClock())
        ours = {
            size: percentiles(
                lambda keys: reader.read(snapshot, ASKED, keys).to_dict(),
                [[{"user_id": key} for key in keys] for keys in some],
            )
            for size, some in questions.items()
        }
        store.close()
        env, read = bare_reader(path)
        bare = {
            size: percentiles(read, [[encode_key((key,), (Int64,)) for key in keys] for keys in some])
            for size, some in questions.items()
        }
        env.close()
    print("| keys | p50 µs | p99 µs | bare LMDB p50 | bare p99 | ratio of p50 |\n|---|---|---|---|---|---|")
    for size in args.sizes:
        (p50, p99), (low, high) = ours[size], bare[size]
        print(f"| {size:,} | {p50:,.1f} | {p99:,.1f} | {low:,.1f} | {high:,.1f} | {p50 / low:.1f} |")


if __name__ == "__main__":
    main()
