"""How the registry's SQLite file is opened: made by the first write, and readable where none is allowed.

Python's driver is told to leave transactions alone (`isolation_level=None`); `gnomon.registry.sql` says BEGIN itself.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

__all__ = ["connect", "hint"]

BUSY_SECONDS = 15.0
"""How long to wait for another process's transaction; those of gnomon take milliseconds."""

_HINTS = {
    "not a database": "it may be Feast's registry, or damaged: point `registry` in feature_store.yaml to another file "
    "and apply again, or restore a backup.",
    "malformed": "it is damaged: restore a backup, or move it away and apply again (its history is lost then).",
    "locked": "another process holds it for long: find out which, and try again.",
    "readonly": "it may not be written: check its permissions and those of its folder.",
    "unable to open": "check that its folder is there and may be written, and that it is a file.",
    "full": "make room on the disk and try again; nothing was half-written.",
}


def connect(file: Path, *, write: bool) -> sqlite3.Connection:
    """A connection that has begun nothing yet.

    Args:
        file: the database; for reading it may be missing, and is empty then.
        write: make the file if it is not there, and keep its journal so that readers are never blocked (WAL).

    Raises:
        sqlite3.Error: it is no database, is damaged, locked for long, or may not be opened.
        OSError: its folder cannot be made.
    """
    if write:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = _open(file, "mode=rwc")
        with suppress(sqlite3.OperationalError):  # another process is at it; the next writer turns it on
            connection.execute("PRAGMA journal_mode=WAL")
        return connection
    if not file.exists():
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    return _open(file, "mode=rw" if _may_write(file) else _read_only(file))


def hint(error: BaseException) -> str:
    """The next step after a driver's error."""
    return next((step for sign, step in _HINTS.items() if sign in str(error)), "check the registry's file.")


def _open(file: Path, mode: str) -> sqlite3.Connection:
    address = f"{file.absolute().as_uri()}?{mode}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _may_write(file: Path) -> bool:
    """Even a reader of a WAL database writes: a small shared index beside it."""
    effective = os.access in os.supports_effective_ids
    return all(os.access(one, os.W_OK, effective_ids=effective) for one in (file, file.parent))


def _read_only(file: Path) -> str:
    """With no journal beside it the file is whole in itself; with one, the writer's shared index must be used."""
    return "mode=ro" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"
