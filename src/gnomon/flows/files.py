"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnomon.errors import BackendError

__all__ = ["replacing"]


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A scratch path beside `target` that takes its place once the block is done, and is removed if it fails.

    Raises:
        BackendError: the folder is not there, is not writable, or the disk is full.
    """
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield scratch
        with scratch.open("rb+") as written:
            os.fsync(written.fileno())
        scratch.replace(target)
    except OSError as wrong:
        raise BackendError(
            f"{target} cannot be written.", instead=str(wrong), hint="is the folder there, writable, and has it room?"
        ) from wrong
    finally:
        scratch.unlink(missing_ok=True)
