"""Processes that load an online store, to be raced and killed; what they do is said by a few lines of Python.

with started(SQLITE, path, "store.write(TABLE, [(b'a', b'1')], put)") as loader: …
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gnomon.contracts.online import OnlineStore, Table
from gnomon.errors import BackendError
from gnomon.online import owners
from gnomon.testing.amend_suite import PARTED, numbers
from gnomon.testing.conformance import put

TABLE = Table("p", "v@1")
LMDB = (
    "from gnomon.online.lmdb import LmdbStore as Store; "
    "options = {'path': argv[0], 'map_size': 1 << 16}"  # small, so that it has to grow
)
SQLITE = "from gnomon.online.sqlite import SqliteStore as Store; options = {'path': argv[0]}"
REDIS = "from gnomon.online.redis.store import RedisStore as Store; options = {'connection_string': argv[0]}"

LOADING = """
    keys = [b"%d" % number for number in range(int(argv[1]))]
    n = int(store.read([(TABLE, keys[-1:])])[0][0] or 0) + 1
    print(n - 1, flush=True)
    while True:
        entries = [(key, b"%08d" % n) for key in keys]
        if n % 2:
            store.replace(TABLE, [entries[:100], entries[100:]], put)
        else:
            store.write(TABLE, entries, put)
        print(n, flush=True)
        n += 1
"""
ADDING = """
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(argv[1])):
        store.write(TABLE, [(b"a", b"x"), (b"b", b"x"), (b"c", b"x")], lambda old, new: (old or b"") + new)
"""
AMENDING = """
    from gnomon.testing.amend_suite import PARTED

    def counted_to(entity, n):
        def change():
            (guard,) = yield [entity + b"h"]
            if int.from_bytes((guard or b"")[:16], "big") >= n:
                return {}
            value = n.to_bytes(16, "big") + bytes(2_000)
            return {entity + b"h": value, entity + b"a": value, entity + b"b": value if n % 2 else None}
        return change

    entities = [b"%d" % number for number in range(int(argv[1]))] + [b"progress"]
    n = int.from_bytes((store.read([(PARTED, [b"progressh"])])[0][0] or b"")[:16], "big") + 1
    print(n - 1, flush=True)
    while True:
        store.amend(PARTED, [counted_to(entity, n) for entity in entities])
        print(n, flush=True)
        n += 1
"""
COUNTING = """
    from gnomon.testing.amend_suite import PARTED, counted
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(argv[1])):
        store.amend(PARTED, [counted(b"%d" % n) for n in range(10)])
"""
DYING = """
    import signal
    def batches():
        for n in range(3):
            yield [(b"%d-%d" % (n, m), b"x") for m in range(50)]
        os.kill(os.getpid(), signal.SIGKILL)
    store.replace(TABLE, batches(), put)
"""
FILLING_THE_DISK = """
    import resource, json
    from gnomon.errors import BackendError
    store.write(TABLE, [(b"a", b"1")], put)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    told = ""
    try:
        store.replace(TABLE, [[(b"%d-%d" % (b, n), b"x" * 1000) for n in range(500)] for b in range(20)], put)
    except BackendError as wrong:
        told = str(wrong)
    try:
        store.write(TABLE, [(b"%d" % n, b"x" * 1000) for n in range(3000)], put)
    except BackendError as wrong:
        told += str(wrong)
    print(json.dumps([told, store.count(TABLE), [one.decode() for one in store.read([(TABLE, [b"a"])])[0]]]))
"""


@contextmanager
def started(kind: str, where: str, code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that opens a store and runs some code with `store`, `TABLE`, `put` and `argv` at hand."""
    head = f"""
        import sys, os
        argv = sys.argv[1:]
        from gnomon.contracts.online import Table
        {kind}
        TABLE = Table("p", "v@1")
        put = lambda stored, incoming: incoming
        store = Store(options)
    """
    script = textwrap.dedent(head) + textwrap.dedent(code)
    command = [sys.executable, "-c", script, where, *map(str, arguments)]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def check_kills(kind: str, where: str, make: Callable[[], OnlineStore], rows: int, times: int, step: int) -> None:
    """Kill a loader at random instants of `write` and `replace`; every row is old or new, and a rerun completes.

    Args:
        step: rows that the store promises to change together.
    """
    chance, keys, least = random.Random(rows), [b"%d" % number for number in range(rows)], 0
    for _ in range(times):
        with started(kind, where, LOADING, rows) as loader:
            told = [loader.stdout.readline() for _ in range(1 + chance.randrange(1, 4))]
            for _ in range(chance.randrange(60_000)):  # lets it get somewhere into the next load
                pass
            loader.kill()
            told += [line for line in loader.stdout.read().splitlines() if line.strip()]
        finished = max(map(int, told))
        assert finished >= least
        with closing(make()) as store:
            values = [int(value) for value in store.read([(TABLE, keys)])[0]]
        assert set(values) <= {finished, finished + 1}
        assert all(len(set(values[at : at + step])) == 1 for at in range(0, rows, step))
        least = min(values)
    assert least > times
    with closing(make()) as store:
        assert store.replace(TABLE, [[(key, b"0") for key in keys]], put) == rows
        assert set(store.read([(TABLE, keys)])[0]) == {b"0"}


def check_race(kind: str, where: str, make: Callable[[], OnlineStore], rounds: int) -> None:
    """Two processes add to the same keys: nothing is lost, and what a reader sees never goes back."""
    with (
        closing(make()) as store,
        started(kind, where, ADDING, rounds) as one,
        started(kind, where, ADDING, rounds) as two,
    ):
        for loader in (one, two):
            assert loader.stdout.readline() == "ready\n"
        for loader in (one, two):
            loader.stdin.write("go\n")
            loader.stdin.flush()
        seen = [[0, 0, 0]]
        while one.poll() is None or two.poll() is None:
            now = [len(value or b"") for value in store.read([(TABLE, [b"a", b"b", b"c"])])[0]]
            assert all(late >= early for early, late in zip(seen[-1], now, strict=True))
            seen.append(now)
        assert (one.returncode, two.returncode) == (0, 0)
        assert store.read([(TABLE, [b"a", b"b", b"c"])]) == [[b"x" * 2 * rounds] * 3]
        assert len({tuple(one) for one in seen}) > 2


def check_killed_amends(kind: str, where: str, make: Callable[[], OnlineStore], entities: int, times: int) -> None:
    """Kill a writer at random instants of `amend`: each entity is whole, the last is behind all others."""
    chance, keys, least = random.Random(entities), [b"%d" % number for number in range(entities)], 0
    for _ in range(times):
        with started(kind, where, AMENDING, entities) as writer:
            told = [writer.stdout.readline() for _ in range(1 + chance.randrange(1, 4))]
            for _ in range(chance.randrange(60_000)):  # lets it get somewhere into the next
                pass
            writer.kill()
            told += [line for line in writer.stdout.read().splitlines() if line.strip()]
        finished = max(map(int, told))
        with closing(make()) as store:
            found = numbers(store, PARTED, keys)
            (progress,) = numbers(store, PARTED, [b"progress"])
            (odd,) = store.read([(PARTED, [key + b"b" for key in keys])])
            count = store.count(PARTED)
            together = store.capabilities.atomic_batch
        assert finished >= least
        assert set(found) <= {finished, finished + 1}
        assert finished <= progress <= min(found)
        assert [value is not None for value in odd] == [number % 2 == 1 for number in found]
        assert count == 2 * (entities + 1) + sum(number % 2 for number in [*found, progress])
        assert not together or {*found} == {progress}
        least = progress
    assert least > times


def check_amend_race(kind: str, where: str, make: Callable[[], OnlineStore], rounds: int) -> None:
    """Two processes count the same entities up: nothing is lost, each entity is seen whole and never goes back."""
    entities = [b"%d" % n for n in range(10)]
    with (
        closing(make()) as store,
        started(kind, where, COUNTING, rounds) as one,
        started(kind, where, COUNTING, rounds) as two,
    ):
        for writer in (one, two):
            assert writer.stdout.readline() == "ready\n"
        for writer in (one, two):
            writer.stdin.write("go\n")
            writer.stdin.flush()
        seen = [[0] * 10]
        while one.poll() is None or two.poll() is None:
            now = numbers(store, PARTED, entities)
            assert all(late >= early for early, late in zip(seen[-1], now, strict=True))
            seen.append(now)
        assert (one.returncode, two.returncode) == (0, 0)
        assert numbers(store, PARTED, entities) == [2 * rounds] * 10
        assert len({tuple(one) for one in seen}) > 2


def check_killed_replace(kind: str, where: str, store: OnlineStore, rows: Callable[[], int]) -> None:
    """What a killed `replace` left is never read, and is removed by the next.

    Args:
        rows: how many there are, whichever generation they are of.
    """
    store.write(TABLE, [(b"a", b"old")], put)
    with started(kind, where, DYING) as killed:
        assert killed.wait(60) == -signal.SIGKILL
    assert store.read([(TABLE, [b"a", b"0-0"])]) == [[b"old", None]]
    assert rows() == 151
    assert store.replace(TABLE, [[(b"b", b"new")]], put) == 1
    assert rows() == 1


def check_replaces_side_by_side(store: OnlineStore) -> None:
    """A `replace` leaves another that is under way alone."""
    other = Table("p", "other@1")

    def batches() -> Iterator[list[tuple[bytes, bytes]]]:
        yield [(b"a", b"1")]
        store.replace(other, [[(b"x", b"2")]], put)
        yield [(b"b", b"1")]

    assert store.replace(TABLE, batches(), put) == 2
    assert store.read([(TABLE, [b"a", b"b"]), (other, [b"x"])]) == [[b"1", b"1"], [b"2"]]


def check_taken_for_dead(store: OnlineStore, other: OnlineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that another machine takes for dead says so and publishes nothing: it got no further for an hour."""
    monkeypatch.setattr(owners, "process", lambda: "another machine|1")
    monkeypatch.setattr(owners, "LEASE", -1)

    def batches() -> Iterator[list[tuple[bytes, bytes]]]:
        yield [(b"a", b"1")]
        other.replace(Table("p", "other@1"), [], put)
        yield [(b"b", b"1")]

    with pytest.raises(BackendError, match="taken for dead"):
        store.replace(TABLE, batches(), put)
    assert store.tables("p") == [Table("p", "other@1")]


def check_full_disk(kind: str, where: str, store: OnlineStore) -> None:
    """A full disk is an error, nothing is half-written, and all is well once there is room."""
    with started(kind, where, FILLING_THE_DISK) as full:
        told, count, values = json.loads(full.communicate()[0])
    assert told.count("disk is full") == 2
    assert (count, values) == (1, ["1"])
    assert store.read([(TABLE, [b"a"])]) == [[b"1"]]
    assert store.write(TABLE, [(b"%d" % n, b"x" * 1000) for n in range(3000)], put) == 3_000


def rows_stored(kind: str, folder: Path, options: dict[str, Any]) -> int:
    """How many rows a store of a repo holds, whichever generation they are of."""
    if kind == "lmdb":
        return rows_in_lmdb(folder / ".gnomon" / "online.lmdb")
    if kind == "sqlite":
        with closing(sqlite3.connect(folder / ".gnomon" / "online.db")) as db:
            return int(db.execute("SELECT count(*) FROM entry").fetchone()[0])
    import redis

    with redis.Redis.from_url(f"redis://{options['connection_string']}") as client:
        return rows_in_redis(client) - 1  # on a single server a generation has one counter


def rows_in_lmdb(path: Path) -> int:
    """The same of an LMDB folder."""
    import lmdb

    with closing(lmdb.open(str(path))) as env, env.begin() as txn:
        return sum(key.startswith(b"r") for key, _ in txn.cursor())


def rows_in_redis(client: Any) -> int:
    """How many keys a server has besides pointers, names, marks and notes: rows, and a counter per generation."""
    return sum(b"}:" not in key for key in client.scan_iter())
