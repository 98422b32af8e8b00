"""Kills a process at any instant of `apply` and `materialize`, and looks at what is left.

    with Nursery() as nursery:
        ended = nursery.run(place, round_number, kill=(LOADING, 0.12))      # 0.12 s after it began to load
        ended.when                                                          # "before", "apply", "load" or "after"

A nursery is a process that has imported everything and opened nothing; each victim is forked from it, so that the
instants drawn are spent on work, not on starting Python. A victim marks its way on a pipe, which outlives it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ledgers import Place, end_of, view_of

BORN, APPLYING, LOADING, LOADED, CLOSED = "balLc"
"""How far a victim came, each the beginning of a phase that ends with the next."""

Kill = tuple[str, float]
"""A mark, and how many seconds after it the victim is killed."""


@dataclass(frozen=True)
class Ended:
    """How a victim ended.

    Args:
        marks: how far it came, and after how many seconds.
        killed: whether it was killed; else it was done before.
    """

    marks: dict[str, float]
    killed: bool

    @property
    def when(self) -> str:
        """What it was doing: nothing yet, applying, loading, or nothing more."""
        if not self.killed or LOADED in self.marks:
            return "after"
        return "load" if LOADING in self.marks else "apply" if APPLYING in self.marks else "before"


class Nursery:
    """A process that victims are forked from; leaving the block ends it."""

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def run(
        self, place: Place, number: int, kill: Kill | None = None, meanwhile: Callable[[], object] | None = None
    ) -> Ended:
        """Apply and load a round in a process of its own.

        Args:
            place: where the project is kept.
            number: the round.
            kill: when it is killed; None lets it finish.
            meanwhile: called again and again while it lives.
        """
        order = {"place": place.told(), "number": number, "kill": kill}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        while meanwhile and not select.select([self._process.stdout], [], [], 0)[0]:
            meanwhile()
        told = json.loads(self._process.stdout.readline())
        assert told.pop("status") in ((-signal.SIGKILL, 0) if kill else (0,)), told
        return Ended(**told)


def main() -> None:
    """Be a nursery: a victim for each line that comes, and a line about how it ended."""
    import gnomon.engines.duckdb.engine as engine

    _import_everything()
    engine.BATCH_ROWS = 2_048  # DuckDB's least: several batches from few rows
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        began, pid = time.perf_counter(), os.fork()
        if not pid:
            _be_a_victim(Place(**order["place"]), order["number"], lambda mark, to=writing: os.write(to, mark.encode()))
        os.close(writing)
        marks = _watched(pid, reading, began, order["kill"])
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        told = {"marks": marks, "killed": status == -signal.SIGKILL, "status": status}
        print(json.dumps(told), flush=True)


def _import_everything() -> None:
    import psycopg  # noqa: F401
    import pyarrow.compute  # noqa: F401
    import redis  # noqa: F401

    import gnomon.flows.apply
    import gnomon.flows.materialize
    import gnomon.online.lmdb
    import gnomon.online.redis.store
    import gnomon.online.sqlite
    import gnomon.registry.sql  # noqa: F401


def _watched(pid: int, reading: int, began: float, kill: Kill | None) -> dict[str, float]:
    """A victim's marks and their seconds, once it is done or was killed."""
    marks, deadline = {BORN: 0.0}, None
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            if kill and kill[0] in marks:
                deadline, kill = began + marks[kill[0]] + kill[1], None
            left = None if deadline is None else max(deadline - time.perf_counter(), 0)
            if not select.select([pipe], [], [], left)[0]:
                os.kill(pid, signal.SIGKILL)
                deadline = None
            elif mark := pipe.read(1):
                marks[mark.decode()] = time.perf_counter() - began
            else:
                return marks


def _be_a_victim(place: Place, number: int, mark: Callable[[str], Any]) -> None:
    """Apply and load a round, and leave without what belongs to the nursery being tidied up."""
    code = 1
    try:
        store = place.opened(number)
        mark(APPLYING)
        store.apply([view_of(number)])
        mark(LOADING)
        store.materialize_incremental(end_of(number))
        mark(LOADED)
        store.close()
        mark(CLOSED)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
