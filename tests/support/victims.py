"""Kills a process at any instant of work on a log, or of pushing, and tells how far it came.

    with Victims() as victims:
        ended = victims.run("merge", folder, steps=3, pause=0.002)       # killed 2 ms into its third merge
        ended.said, ended.inside

Victims are forked from a process that has imported everything and opened nothing, so that instants are spent on work,
not on starting Python. What a victim says is on a pipe, which outlives it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

USERS = 7
"""The event at position p is about user p % 7, has the number p, happened at p µs, and was known at p µs."""
ERASED = 3
BATCH = 3


@dataclass(frozen=True)
class Ended:
    """How a victim ended.

    Args:
        said: the words it said.
        inside: whether it was killed inside the work, not between two pieces of it.
    """

    said: list[str]
    inside: bool

    @property
    def last(self) -> int:
        """The number of the last batch that was acknowledged; -1 for none."""
        return max((int(word[1:]) for word in self.said if word.startswith("a")), default=-1)


class Victims:
    """A process that victims are forked from; leaving the block ends it."""

    def __enter__(self) -> Victims:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def run(self, work: str, folder: Path, steps: int, pause: float, **more: Any) -> Ended:
        """Work in a process of its own, killed a while after it began a piece of work.

        Args:
            work: a name in WORKS.
            folder: where.
            steps: in which piece of work, counted from 1.
            pause: how many seconds after that began.
            more: what else the work takes.
        """
        order = {"work": work, "folder": str(folder), "steps": steps, "pause": pause, "more": more}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        assert told["status"] == -signal.SIGKILL, told
        said = told["said"].split()
        begun = [word for word in said if word in ("begin", "end")]
        return Ended(said, inside=bool(begun) and begun[-1] == "begin")


def batch(at: int) -> Any:
    """The events of a batch: those at the positions from 3 × at + 1 on."""
    import pyarrow as pa

    positions = list(range(BATCH * at + 1, BATCH * at + 1 + BATCH))
    happened = pa.array(positions, pa.int64()).cast(pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "number": positions,
            "user": [position % USERS for position in positions],
            "at": happened,
            "more": ["x"] * BATCH,
        }
    )


def opened(folder: Path, **options: Any) -> Any:
    """The log in a folder; the clock says that positions are known times."""
    from gnomon.clock import ManualClock
    from gnomon.contracts.plugins import Context
    from gnomon.log.embedded import EmbeddedLogs

    return EmbeddedLogs(options, Context(repo_path=folder, project="p", clock=ManualClock(1))).log("s")


def store_in(folder: Path) -> Any:
    """A store with a push source, whose events count without an id."""
    from gnomon import Entity, FeatureStore, FeatureView, Field, PushSource, Window, agg
    from gnomon.clock import ManualClock
    from gnomon.config import Backend, RepoConfig
    from gnomon.types import Int64, String, UnixTimestamp

    fields = [Field("number", Int64), Field("user", Int64), Field("at", UnixTimestamp), Field("more", String)]
    source = PushSource(name="s", schema=fields)
    over = [Window(None)]
    view = FeatureView(
        name="v",
        entities=[Entity(name="user")],
        source=source,
        aggregations=[agg.count(over=over), agg.sum("number", over=over)],
    )
    log = Backend("embedded", {"path": ".gnomon/log", "seal_bytes": 3_000})
    config = RepoConfig(project="p", repo_path=folder, online_store=None, log=log)
    store = FeatureStore(folder, config=config, clock=ManualClock(1))
    if not store.snapshot().version:
        store.apply(view)
    return store


def _append(log: Any, say: Callable[[str], Any], marked: bool = False) -> int:
    at = log.offsets().get("p", -1) + 1
    if marked:
        say("begin")
    log.append(batch(at), {"p": at})
    say(f"a{at}")
    if marked:
        say("end")
    return at


def append(folder: Path, say: Callable[[str], Any]) -> None:
    log = opened(folder, seal_bytes=4_000)
    while True:
        _append(log, say, marked=True)


def seal(folder: Path, say: Callable[[str], Any]) -> None:
    log = opened(folder)
    while True:
        _append(log, say)
        _piece(log.seal, say)


def merge(folder: Path, say: Callable[[str], Any], grace: str = "0s") -> None:
    log = opened(folder, merge_grace=grace, merge_events=30)
    while True:
        _some_files(log, say)
        _piece(log.merge, say)


def trim(folder: Path, say: Callable[[str], Any]) -> None:
    log = opened(folder, merge_events=9)
    while True:
        _some_files(log, say)
        log.merge()
        _piece(lambda: log.trim(log.position() - 20, "at"), say)


def erase(folder: Path, say: Callable[[str], Any]) -> None:
    log = opened(folder, merge_events=30)
    while True:
        _some_files(log, say)
        log.merge()
        _append(log, say)
        _piece(lambda: log.erase({"user": ERASED}), say)


def push(folder: Path, say: Callable[[str], Any], start: int = 0) -> None:
    """A producer that goes on after what it knows to be acknowledged."""
    with store_in(folder) as store:
        at = start
        while True:
            say("begin")
            store.push("s", batch(at), offsets={"p": at})
            say(f"a{at}")
            say("end")
            at += 1


def erase_from_store(folder: Path, say: Callable[[str], Any]) -> None:
    with store_in(folder) as store:
        while True:
            for _ in range(2):
                at = store.logs.log("s").offsets().get("p", -1) + 1
                store.push("s", batch(at), offsets={"p": at})
                say(f"a{at}")
            _piece(lambda: store.erase({"user": ERASED}), say)


WORKS: Mapping[str, Callable[..., None]] = {
    one.__name__: one for one in (append, seal, merge, trim, erase, push, erase_from_store)
}


def _some_files(log: Any, say: Callable[[str], Any]) -> None:
    for _ in range(3):
        _append(log, say)
        log.seal()


def _piece(work: Callable[[], Any], say: Callable[[str], Any]) -> None:
    say("begin")
    work()
    say("end")


def main() -> None:
    """Fork a victim for each line that comes, and say how it ended."""
    import pyarrow.compute  # noqa: F401

    import gnomon.engines.duckdb.engine
    import gnomon.flows.apply
    import gnomon.flows.erase
    import gnomon.flows.ingest
    import gnomon.log.embedded
    import gnomon.registry.sql  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            try:
                WORKS[order["work"]](Path(order["folder"]), partial(_say, writing), **order["more"])
            finally:
                os._exit(1)
        os.close(writing)
        said = _watched(pid, reading, order["steps"], order["pause"])
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({"said": said, "status": status}), flush=True)


def _say(pipe: int, word: str) -> None:
    os.write(pipe, f"{word} ".encode())


def _watched(pid: int, reading: int, steps: int, pause: float) -> str:
    said, deadline = b"", None
    while True:
        left = None if deadline is None else max(deadline - time.perf_counter(), 0)
        if not select.select([reading], [], [], left)[0]:
            os.kill(pid, signal.SIGKILL)
            deadline = None
        elif more := os.read(reading, 1 << 16):
            said += more
            if deadline is None and said.count(b"begin") >= steps:
                deadline, steps = time.perf_counter() + pause, sys.maxsize
        else:
            os.close(reading)
            return said.decode()


if __name__ == "__main__":
    main()
