"""A gate: many may be inside at once, or one alone.

with gate:              # among others
    …
with gate.alone():      # when all others have left; who comes meanwhile waits
    …
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Gate"]


class Gate:
    """Lets many in, or one. Who is inside must not enter again."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._enter, self._leave = self._changed.acquire, self._changed.release
        self._inside = self._waiting = 0

    def __enter__(self) -> Gate:
        self._enter()
        while self._waiting:
            self._changed.wait()
        self._inside += 1
        self._leave()
        return self

    def __exit__(self, *wrong: object) -> None:
        self._enter()
        self._inside -= 1
        if self._waiting and not self._inside:
            self._changed.notify_all()
        self._leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be inside with nobody else."""
        self.shut()
        try:
            yield
        finally:
            self.open()

    def shut(self) -> None:
        """Wait until nobody is inside, and let nobody in."""
        self._enter()
        self._waiting += 1
        while self._inside:
            self._changed.wait()
        self._waiting -= 1

    def open(self) -> None:
        """Let others in again."""
        self._changed.notify_all()
        self._leave()
