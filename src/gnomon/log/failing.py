"""Saying in gnomon's words what the system says of a log's files."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from gnomon.errors import BackendError

__all__ = ["failing"]

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def failing(folder: Path) -> Iterator[None]:
    """Raise a BackendError where the system, or Arrow, raises an error of its own.

    Args:
        folder: the log's folder.
    """
    try:
        yield
    except OSError as wrong:  # Arrow's errors about files are of that kind, too
        full = wrong.errno in NO_ROOM
        raise BackendError(
            f"the log in {folder} cannot be used: {'the disk is full' if full else wrong}.",
            instead="Nothing of what was being appended is in it." if full else None,
            hint="make room, then push again." if full else "is the folder there, readable and writable?",
            path=str(folder),
        ) from wrong
    except pa.ArrowException as wrong:
        raise BackendError(
            f"the log in {folder} cannot be read.", instead=str(wrong), hint="put its files back from a copy."
        ) from wrong
