"""A nursery: a process that has imported everything and opened nothing, from which victims are forked.

So the instants drawn for kills are spent on work, not on starting Python. A program that is one calls `be_nursery`; a
test talks to it through a class of its own, whose `start` says what victims do:

    class Nursery(Forking, program=__file__):
        def start(self, folder): return self._started({"folder": str(folder)})
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Self


class Forking:
    """A process that victims are forked from; leaving the block kills those that are left, and ends it."""

    _program: str

    def __init_subclass__(cls, program: str) -> None:
        cls._program = program

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout.readline() == "ready\n"
        self._living: set[int] = set()
        return self

    def __exit__(self, *error: object) -> None:
        for pid in list(self._living):
            self.kill(pid)
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def kill(self, pid: int) -> int:
        """Kill a victim, or find that it has ended: how."""
        os.kill(pid, signal.SIGKILL)  # nobody has reaped it yet, so the number is still its own
        return self.wait(pid)

    def wait(self, pid: int) -> int:
        """Let a victim come to its end: how it did."""
        self._living.discard(pid)
        return int(self._asked({"wait": pid}))

    def _started(self, told: dict[str, Any]) -> int:
        """Start a victim: the process's id."""
        pid = int(self._asked({"start": told}))
        self._living.add(pid)
        return pid

    def _asked(self, order: dict[str, Any]) -> Any:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def be_nursery(victim: Callable[..., None]) -> None:
    """Fork a victim for each order to start one; everything it needs is imported.

    Args:
        victim: what it does with what it is told; never returns.
    """
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
            continue
        pid = os.fork()
        if not pid:
            victim(**order["start"])
        print(pid, flush=True)
