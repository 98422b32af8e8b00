"""Folders for what does not fit into memory: each goes with its database, or, if its process was killed, later.

DuckDB makes and removes them; a process that is killed has no time for that. So an engine holds a file beside its
folders, `gnomon-<token>.lock`, and removes what others left whose file nobody holds any more.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
import weakref
from pathlib import Path

from gnomon.claims import hold, left_behind
from gnomon.errors import BackendError

__all__ = ["Spill"]

PREFIX, LOCK = "gnomon-", ".lock"


_HELD: dict[Path, tuple[int, int]] = {}
"""The files that are held: by which process, and by which handle."""


class Spill:
    """The folders of one engine under one parent.

    Args:
        parent: where they are; made if it is not there.
    """

    def __init__(self, parent: Path) -> None:
        self._parent, self._pid = parent, 0

    def new(self) -> Path:
        """The path of a folder that is not there yet, for DuckDB to make when it needs it.

        Raises:
            BackendError: `parent` cannot be written.
        """
        return self._parent / f"{self._begun()}{uuid.uuid4().hex}"

    def made(self) -> Path:
        """A new folder, there already.

        Raises:
            BackendError: `parent` cannot be written.
        """
        return Path(tempfile.mkdtemp(prefix=self._begun(), dir=self._parent))

    def close(self) -> None:
        """Let go, unless some answer is still being read; the next use begins anew."""
        if self._pid == os.getpid():
            self._pid = 0
            self._let_go()

    def _begun(self) -> str:
        """What the folders' names begin with; they are held from now on."""
        if self._pid != os.getpid():  # at first, and in a forked child
            try:
                self._begin()
            except OSError as wrong:
                raise BackendError(
                    f"temp_directory {self._parent} cannot be written.",
                    instead=str(wrong),
                    hint="set temp_directory (under offline_store in feature_store.yaml) to a folder with room.",
                    path=str(self._parent),
                ) from wrong
        return _start(self._lock)

    def _begin(self) -> None:
        self._parent.mkdir(parents=True, exist_ok=True)
        for lock in left_behind(self._parent.glob(f"{PREFIX}*{LOCK}")):
            _remove(lock)
        self._lock = self._parent / f"{PREFIX}{uuid.uuid4().hex[:12]}{LOCK}"
        _HELD[self._lock] = os.getpid(), hold(self._lock)
        self._pid = os.getpid()
        self._let_go = weakref.finalize(self, _end_unless_used, self._lock)
        self._let_go.atexit = False


def _end_unless_used(lock: Path) -> None:
    """What is being read is left alone until the process ends."""
    if not _folders(lock):
        _end(lock)


@atexit.register
def _end_all() -> None:
    for lock in list(_HELD):
        _end(lock)


def _end(lock: Path) -> None:
    pid, handle = _HELD.pop(lock)
    if pid == os.getpid():  # a forked child leaves its parent's alone
        _remove(lock)
    os.close(handle)


def _start(lock: Path) -> str:
    return f"{lock.name.removesuffix(LOCK)}-"


def _folders(lock: Path) -> list[Path]:
    return list(lock.parent.glob(f"{_start(lock)}*"))


def _remove(lock: Path) -> None:
    """Remove the folders, and the lock last, so that what is interrupted is done by the next."""
    for folder in _folders(lock):
        shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)
