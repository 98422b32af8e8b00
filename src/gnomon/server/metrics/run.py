"""The folder that the workers of one server share while it runs, in which they count.

run = RunFolder(repo_path / RUN)                     # where workers are started from
metrics = counting(repo_path, clock, run.path)       # in each worker
metrics = counting(repo_path, clock)                 # in a server of one process
"""

from __future__ import annotations

import os
import secrets
import shutil
import weakref
from contextlib import suppress
from pathlib import Path

from gnomon.claims import hold, is_held, left_behind
from gnomon.clock import Clock
from gnomon.errors import BackendError
from gnomon.server.metrics.counted import Counted
from gnomon.server.metrics.sheet import COUNTS

__all__ = ["RUN", "RunFolder", "counting"]

RUN = ".gnomon/run"
"""Where servers that run keep what their workers share, inside the repo."""
HELD = "held"


class RunFolder:
    """A folder of one server, for as long as it runs; those of servers that are gone are removed.

    Args:
        parent: where such folders are.

    Raises:
        BackendError: it cannot be made.
    """

    def __init__(self, parent: Path) -> None:
        self.path = parent / secrets.token_hex(8)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            for held in left_behind(sorted(parent.glob(f"*/{HELD}"))):
                if not any(is_held(sheet) for sheet in held.parent.glob(f"*{COUNTS}")):
                    shutil.rmtree(held.parent, ignore_errors=True)
            self.path.mkdir()
            self._end = weakref.finalize(self, _removed, self.path, hold(self.path / HELD))
        except OSError as wrong:
            raise BackendError(f"{parent} cannot be written.", instead=str(wrong), hint="is it writable?") from wrong

    def close(self) -> None:
        """Remove it."""
        self._end()


def _removed(folder: Path, handle: int) -> None:
    os.close(handle)
    with suppress(OSError):
        shutil.rmtree(folder)


def counting(repo_path: Path, clock: Clock, folder: Path | None = None) -> Counted:
    """The metrics of one process; close them when it ends.

    Args:
        repo_path: the repo.
        clock: says what time it is.
        folder: that of the server, which its workers share; None for a server of one process.

    Raises:
        BackendError: the folder cannot be written.
    """
    if folder is not None:
        return Counted(folder, clock)
    run = RunFolder(repo_path / RUN)
    return Counted(run.path, clock, run.close)
