"""Reads of random entities out of 1M, 6 features each, beside bare LMDB gets of the same keys.

"Bare" is one LMDB transaction with one get per key and nothing else: no statuses, no decoding, no check of anything.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from bench.data import FEATURES, PEOPLE, entities
from bench.materialize import ONLINE, repo
from bench.measure import Figure, in_its_own_process, measuring
from bench.requests import features_asked, timed
from bench.table import Row

SIZES = (1, 10, 100, 1_000)
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


def ours(folder: str, *sizes: str) -> Figure:
    """Reads of the repo's online store, whichever it is; of all sizes, or of these."""
    from gnomon import FeatureStore

    references = [f"v:{name}" for name in FEATURES]
    with FeatureStore(folder) as store, measuring() as figure:
        figure.more = features_asked(store, references, PEOPLE, [int(size) for size in sizes] or SIZES)
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
            figure.more = timed(read, PEOPLE, SIZES, lambda key: prefix + encode_key((key,), (Int64,)))
    return figure


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
