"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from gnomon.claims import hold, left_behind
from gnomon.errors import BackendError

__all__ = ["replacing", "sync_folder"]


def sync_folder(folder: Path) -> None:
    """Make durable which names there are in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A scratch path beside `target` that takes its place once the block is done, and is removed if it fails.

    What a killed process left beside it is removed, too.

    Raises:
        BackendError: the folder is not there, is not writable, or the disk is full.
    """
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        for old in left_behind(target.parent.glob(f".{escape(target.name)}.*.tmp")):
            old.unlink(missing_ok=True)
        handle = hold(scratch)
        try:
            yield scratch
            os.fsync(handle)
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
            os.close(handle)
    except OSError as wrong:
        raise BackendError(
            f"{target} cannot be written.", instead=str(wrong), hint="is the folder there, writable, and has it room?"
        ) from wrong
