"""Taking turns: a lock on a file, which goes with the process that holds it, however that ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnomon.errors import ConflictError

try:
    import fcntl
except ModuleNotFoundError:  # where there are no such locks, one process at a time is up to the user
    fcntl = None  # type: ignore[assignment]

__all__ = ["holding"]


@contextmanager
def holding(path: Path, wait: int, doing: str) -> Iterator[None]:
    """Be the only one to hold a lock.

    Args:
        path: the lock's file; it is made, and stays.
        wait: how long to wait for another, µs.
        doing: what the other does, for the error.

    Raises:
        ConflictError: another holds it for too long.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _wait_for(handle, path, wait, doing)
        yield
    finally:
        os.close(handle)


def _wait_for(handle: int, path: Path, wait: int, doing: str) -> None:
    deadline = time.monotonic() + wait / 1e6
    while fcntl:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise ConflictError(
                    f"somebody else has been {doing} the log in {path.parent} for {wait / 1e6:g} s.",
                    hint="try again; if it goes on, look which process it is, or raise log: wait.",
                ) from None
            time.sleep(0.002)
