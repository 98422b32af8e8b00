"""Whether a file that is synced after each batch, not within it, can be trusted after a crash.

A process that is killed loses nothing: what it wrote is in the operating system's cache. Only when the machine itself
goes down between a batch and its sync may the file be torn. So each writing process keeps a small file beside the
data; while a batch is not synced yet, the boot id stands in it, on disk. A boot id of an earlier boot, found on
opening, means that the machine went down in such a moment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

__all__ = ["WriterMark", "boot_id", "is_alive", "left_behind", "torn"]

PREFIX = "writer-"
_CLEAN = b" " * 64


def boot_id() -> str:
    """A text that changes with every boot of the machine; empty where the system tells none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process of that id runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's process
    return True


def torn(folder: Path) -> bool:
    """Whether the machine went down before a batch was synced. Unknown counts as torn."""
    now = boot_id()
    return any(text and text != now for text in map(_read, folder.glob(f"{PREFIX}*")))


def left_behind(folder: Path) -> list[Path]:
    """Marks of processes that are gone: to be removed once the data is synced."""
    return [path for path in folder.glob(f"{PREFIX}*") if not is_alive(_pid(path))]


class WriterMark:
    """One process's mark in a folder.

    Args:
        folder: where the data is.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o644)
        self._text = (boot_id() or "unknown").encode().ljust(len(_CLEAN))
        os.pwrite(self._file, _CLEAN, 0)
        os.fsync(self._file)
        with _opened(folder) as parent:
            os.fsync(parent)

    def set(self) -> None:
        """Say, on disk, that data may be unsynced from now on."""
        os.pwrite(self._file, self._text, 0)
        os.fsync(self._file)

    def clear(self) -> None:
        """Say that all is synced; should this not reach the disk, the store is distrusted without need, no worse."""
        os.pwrite(self._file, _CLEAN, 0)

    def remove(self) -> None:
        """Take the mark away."""
        os.close(self._file)
        self._path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Let go of a mark that belongs to the parent process."""
        os.close(self._file)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _pid(path: Path) -> int:
    number = path.name.removeprefix(PREFIX).partition("-")[0]
    return int(number) if number.isdigit() else 0


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)
