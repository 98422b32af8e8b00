"""Files that a process holds while it works: what a killed one left is told apart from what a living one needs.

A held file is locked. The system lets go of the lock when the process ends, however it ends, so whoever finds a file
that nobody holds may clear up after its maker. Process ids, which mean nothing in another container, are not asked.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "scratch"
>>> handle = hold(path)
>>> list(left_behind([path]))
[]
>>> os.close(handle)
>>> [one.name for one in left_behind([path])]
['scratch']
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # where there are no such locks nothing ever counts as left behind
    fcntl = None  # type: ignore[assignment]

__all__ = ["hold", "is_held", "left_behind", "take"]


def hold(path: Path) -> int:
    """Make a file and hold it; closing the handle, or the end of the process, lets go.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(OSError):  # a file system without locks
            if fcntl:
                fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # somebody found it before it was held, and removed it


def left_behind(paths: Iterable[Path]) -> Iterator[Path]:
    """Of some files those that nobody holds; each is held for the caller until the next is asked for."""
    for path in paths if fcntl else ():
        with suppress(OSError):  # gone by now, somebody else's, or held
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(handle).st_nlink:  # else another was faster
                    yield path
            finally:
                os.close(handle)


def take(path: Path) -> int | None:
    """Hold a file that is there and that nobody holds; None where that is not so, or where there are no locks.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scratch"
    >>> handle = hold(path)
    >>> take(path) is None, is_held(path)
    (True, True)
    >>> os.close(handle)
    >>> is_held(path), take(path) is None
    (False, False)
    """
    return _locked(path, shared=False)


def is_held(path: Path) -> bool:
    """Whether somebody holds a file; of one that is gone nobody does."""
    if (handle := _locked(path, shared=True)) is None:
        return path.exists()
    os.close(handle)
    return False


def _locked(path: Path, *, shared: bool) -> int | None:
    if not fcntl:
        return None
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink:
            return handle
    os.close(handle)
    return None
