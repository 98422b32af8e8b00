"""Reads of random entities out of 1M, 6 features each, beside bare LMDB gets of the same keys.

"Bare" is one LMDB transaction with one get per key and nothing else: no statuses, no decoding, no check of anything.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.data import FEATURES, PEOPLE, entities
from bench.materialize import ONLINE, repo
from bench.measure import Figure, in_its_own_process, measuring
from bench.table import Row

SIZES = (1, 10, 100, 1_000)
REQUESTS = 2_000
RUNS = 3
BUDGET = {1: "≤ 15 µs", 100: "≤ 300 µs"}


def rows() -> Iterator[Row]:
    """1, 10, 100 and 1,000 entities per request; medians of the runs' p50 and p99."""
    folder = repo(entities())
    try:
        in_its_own_process("bench.materialize:first", str(folder))
        runs = [
            (
                in_its_own_process("bench.online_reads:ours", str(folder)),
                in_its_own_process("bench.online_reads:bare", str(folder)),
            )
            for _ in range(RUNS)
        ]
    finally:
        shutil.rmtree(folder)
    for size in SIZES:
        low, high = (_middle([mine.more[str(size)][place] for mine, _ in runs]) for place in (0, 1))
        bare_low, bare_high = (_middle([other.more[str(size)][place] for _, other in runs]) for place in (0, 1))
        yield Row(
            figure=f"{size:,} of 1M entities × 6, p50 / p99",
            gnomon=f"{low:,.1f} / {high:,.1f} µs",
            other=f"bare gets {bare_low:,.1f} / {bare_high:,.1f} µs",
            ratio=f"{low / bare_low:.1f}",
            peak=f"{runs[0][0].peak:,.0f}",
            budget=BUDGET.get(size, ""),
        )


def ours(folder: str) -> Figure:
    from gnomon import FeatureStore

    references = [f"v:{name}" for name in FEATURES]
    with FeatureStore(folder) as store, measuring() as figure:
        for size, keys in questions():
            asked = [[{"user_id": key} for key in some] for some in keys]
            figure.more[str(size)] = percentiles(
                lambda some: store.get_online_features(references, some).to_dict(), asked
            )
    return figure


def bare(folder: str) -> Figure:
    """Gets straight from the file; the published generation's prefix is found once, beforehand."""
    import lmdb

    from gnomon.core.keys import encode_key
    from gnomon.types import Int64

    with lmdb.open(f"{folder}/{ONLINE}", readonly=True, lock=False, readahead=False) as env:
        with env.begin() as txn:
            cursor = txn.cursor()
            cursor.set_range(b"r")
            prefix = cursor.key()[:6]

        def read(keys: list[bytes]) -> list[bytes | None]:
            with env.begin() as txn:
                return [txn.get(key) for key in keys]

        with measuring() as figure:
            for size, keys in questions():
                asked = [[prefix + encode_key((key,), (Int64,)) for key in some] for some in keys]
                figure.more[str(size)] = percentiles(read, asked)
    return figure


def questions() -> Iterator[tuple[int, list[list[int]]]]:
    """For each size, requests for so many random keys; fewer of them the larger they are."""
    chance = random.Random(1)
    for size in SIZES:
        count = max(REQUESTS * 10 // (size + 9), 50)
        yield size, [[chance.randrange(PEOPLE) for _ in range(size)] for _ in range(count)]


def percentiles(ask: Callable[[Any], Any], asked: list[Any]) -> tuple[float, float]:
    """p50 and p99 of the time a request takes, µs; the first tenth of the requests is not counted."""
    spent = []
    for one in asked:
        began = time.perf_counter_ns()
        ask(one)
        spent.append((time.perf_counter_ns() - began) / 1_000)
    spent = sorted(spent[len(spent) // 10 :])
    return spent[len(spent) // 2], spent[int(len(spent) * 0.99)]


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
