"""Workers in processes of their own, to be killed at any instant.

    with Nursery() as nursery:
        pid = nursery.start(folder, worker="w1")
        nursery.kill(pid)                           # SIGKILL
        nursery.finish(nursery.start(folder, once=True))

A nursery is a process that has imported everything and opened nothing; each victim is forked from it, so that the
instants drawn are spent on work, not on starting Python.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

FAILURES = "failures.txt"
"""What went wrong in victims of a repo stands in this file of it."""
SMALL = 150
"""So many messages a batch: many appends from few messages."""


class Nursery:
    """A process that victims are forked from; leaving the block kills those that are left, and ends it."""

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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

    def start(self, repo: Path, **told: Any) -> int:
        """Start a worker: the process's id.

        Args:
            repo: the repo.
            told: `worker`, `once`, `folder`: what `FeatureStore.stream` is told.
        """
        pid = int(self._asked({"start": {"repo": str(repo), **told}}))
        self._living.add(pid)
        return pid

    def kill(self, pid: int) -> int:
        """Kill a worker, or find that it has ended: how."""
        os.kill(pid, signal.SIGKILL)  # nobody has reaped it yet, so the number is still its own
        return self._reaped(pid)

    def finish(self, pid: int) -> None:
        """Let a worker come to its end."""
        status = self._reaped(pid)
        assert status == 0, status

    def _reaped(self, pid: int) -> int:
        self._living.discard(pid)
        return int(self._asked({"wait": pid}))

    def _asked(self, order: dict[str, Any]) -> Any:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def main() -> None:
    """Be a nursery."""
    import gnomon.flows.stream
    import gnomon.formats.json
    import gnomon.log.embedded
    import gnomon.registry.sql
    import gnomon.store
    import gnomon.streams.folder
    import gnomon.streams.kafka
    import gnomon.streams.redis_streams  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
            continue
        pid = os.fork()
        if not pid:
            _be_a_victim(**order["start"])
        print(pid, flush=True)


def _be_a_victim(repo: str, **told: Any) -> None:
    code = 1
    try:
        from payments import NAME

        from gnomon import FeatureStore
        from gnomon.contracts.streams import Room
        from gnomon.flows.worker import Limits

        limits = Limits(room=Room(messages=SMALL, wait=0.05, linger=0.01), patience=120.0)
        with FeatureStore(repo) as store:
            store.stream([NAME], **told, around={"limits": limits})
        code = 0
    except BaseException:
        with (Path(repo) / FAILURES).open("a") as file:
            traceback.print_exc(file=file)
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
