"""Workers in processes of their own, to be killed at any instant.

    with Nursery() as nursery:
        pid = nursery.start(folder, worker="w1")
        nursery.kill(pid)                           # SIGKILL
        nursery.finish(nursery.start(folder, once=True))

A nursery is a process that has imported everything and opened nothing; each victim is forked from it, so that the
instants drawn are spent on work, not on starting Python.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

from nursery import Forking, be_nursery

FAILURES = "failures.txt"
"""What went wrong in victims of a repo stands in this file of it."""
SMALL = 150
"""So many messages a batch: many appends from few messages."""


class Nursery(Forking, program=__file__):
    """A process that workers are forked from; leaving the block kills those that are left, and ends it."""

    def start(self, repo: Path, **told: Any) -> int:
        """Start a worker: the process's id.

        Args:
            repo: the repo.
            told: `worker`, `once`, `folder`: what `FeatureStore.stream` is told.
        """
        return self._started({"repo": str(repo), **told})

    def finish(self, pid: int) -> None:
        """Let a worker come to its end."""
        status = self.wait(pid)
        assert status == 0, status


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

    be_nursery(_be_a_victim)


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
