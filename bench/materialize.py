"""Loading the online store: 1M entities × 6 features into LMDB, again, and with a hundredth of them new.

Each load is a process of its own on the folder the one before it left. Beside it: what LMDB takes to store the same
bytes in the same order, in one transaction.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from bench.data import FEATURES, KEYS, PEOPLE, entities, fresh, history
from bench.measure import Figure, Median, compare, in_its_own_process, measuring
from bench.table import Row

RUNS = 3
ONLINE = ".gnomon/online.lmdb"


def rows() -> Iterator[Row]:
    """1M entities: first, again, a hundredth new; then the latest row of 100k keys out of 10M rows."""
    for made in (entities, fresh, history):
        made()
    stages: dict[str, list[Figure]] = {"first": [], "bare": [], "again": [], "new": []}
    for _ in range(RUNS):
        folder = repo(entities())
        try:
            for stage, figures in stages.items():
                figures.append(in_its_own_process(f"bench.materialize:{stage}", str(folder)))
        finally:
            shutil.rmtree(folder)
    bare = Median(stages["bare"])
    yield row("1M × 6, first load", Median(stages["first"]), PEOPLE, bare, budget="≥ 300k rows/s, < 1 GiB")
    yield row("1M × 6, the same again", Median(stages["again"]), PEOPLE, bare)
    yield row("1M × 6, a hundredth new, incrementally", Median(stages["new"]), PEOPLE // 100)
    folder = repo(history())
    try:
        taken = compare({"gnomon": "bench.materialize:anew"}, [str(folder)])["gnomon"]
    finally:
        shutil.rmtree(folder)
    yield row(f"latest of {KEYS:,} keys out of 10M rows", taken, 10_000_000)


def row(figure: str, ours: Median, count: int, bare: Median | None = None, *, budget: str = "") -> Row:
    return Row(
        figure=figure,
        gnomon=f"{ours.wall:.2f} s, {count / ours.wall:,.0f} rows/s",
        other=f"bare putmulti {bare.wall:.2f} s" if bare else "",
        ratio=f"{ours.wall / bare.wall:.1f}" if bare else "",
        cpu=f"{ours.cpu:.2f}" + (f" / {bare.cpu:.2f}" if bare else ""),
        cpu_ratio=f"{ours.cpu / bare.cpu:.1f}" if bare else "",
        peak=f"{ours.peak:,.0f}",
        budget=budget,
    )


def repo(source: Path) -> Path:
    """A repo whose source is a folder with one file in it."""
    folder = Path(mkdtemp(prefix="gnomon-bench-"))
    (folder / "source").mkdir()
    (folder / "source" / source.name).symlink_to(source)
    return folder


def first(folder: str) -> Figure:
    return load(folder, lambda store: store.materialize_incremental(_day(60)))


def again(folder: str) -> Figure:
    return load(folder, lambda store: store.materialize(None, _day(60)))


def new(folder: str) -> Figure:
    (Path(folder) / "source" / fresh().name).symlink_to(fresh())
    return load(folder, lambda store: store.materialize_incremental(_day(90)))


def anew(folder: str) -> Figure:
    return load(folder, lambda store: store.materialize(None, _day(90), replace=True))


def load(folder: str, way: Any) -> Figure:
    """One load, definitions applied and modules imported beforehand."""
    import gnomon.flows.materialize  # noqa: F401 - its import is `gnomon`'s start, not the load's
    from gnomon import FeatureStore

    with FeatureStore(folder) as store:
        store.apply([view()])
        store.online.tables("none")
        with measuring() as figure:
            report = way(store)
    figure.more["rows"] = report.views[0].rows
    return figure


def bare(folder: str) -> Figure:
    """The bytes the first load stored, put into another LMDB in the order of their keys."""
    import lmdb

    with lmdb.open(f"{folder}/{ONLINE}", readonly=True, lock=False) as env, env.begin() as txn:
        stored = [(key, value) for key, value in txn.cursor() if key[:1] == b"r"]
    other = Path(mkdtemp(prefix="gnomon-bench-"))
    try:
        with lmdb.open(str(other), map_size=1 << 32, sync=False) as env, measuring() as figure:
            with env.begin(write=True) as txn:
                txn.cursor().putmulti(stored, append=True)
            env.sync(True)
    finally:
        shutil.rmtree(other)
    figure.more["rows"] = len(stored)
    return figure


def view() -> Any:
    from gnomon import Entity, FeatureView, Field, FileSource
    from gnomon.types import Float64, Int64

    return FeatureView(
        name="v",
        entities=[Entity(name="user_id", value_type=Int64)],
        source=FileSource(path="source", timestamp_field="event_timestamp"),
        schema=[Field(name=name, dtype=Int64 if place % 2 else Float64) for place, name in enumerate(FEATURES)],
    )


def _day(count: int) -> datetime:
    """So many days after the first event."""
    return datetime.fromtimestamp(1_700_000_000 + count * 86_400, timezone.utc)
