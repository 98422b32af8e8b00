"""What is known of a load that a server has begun, and how long to wait before looking again."""

from __future__ import annotations

from typing import Any

from gnomon.client.problems import error_in
from gnomon.clock import Clock
from gnomon.errors import BackendError

__all__ = ["JobDocument", "Waiting"]

OVER = ("done", "failed")
FIRST, MOST, FACTOR = 0.1, 5.0, 1.5
"""Seconds of the first pause and of the longest, and how much longer each is than the one before."""


class JobDocument:
    """A load.

    Args:
        document: what is known of it.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, {self.status!r})"

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.document["id"])

    @property
    def status(self) -> str:
        """`queued`, `running`, `done` or `failed`."""
        return str(self.document["status"])

    @property
    def is_over(self) -> bool:
        """Whether it is done or has failed."""
        return self.status in OVER

    @property
    def progress(self) -> list[dict[str, Any]]:
        """How many rows of each view are in."""
        return list(self.document.get("progress") or ())

    @property
    def report(self) -> dict[str, Any] | None:
        """What it did, once it is done."""
        return self.document.get("report")

    @property
    def error(self) -> dict[str, Any] | None:
        """Why it failed, if it has."""
        return self.document.get("error")

    def raise_failure(self) -> None:
        """Raise the error it failed with, if it has."""
        if self.status == "failed":
            raise error_in(self.error or {}, f"the load {self.id} failed.")


class Waiting:
    """Longer and longer pauses, up to an end.

    Args:
        clock: says what time it is.
        timeout: seconds after which it ends; None for never.
    """

    def __init__(self, clock: Clock, timeout: float | None) -> None:
        self._clock, self._timeout, self._pause = clock, timeout, FIRST
        self._began = clock.now()

    def pause(self, job: JobDocument) -> float:
        """How many seconds to wait now.

        Raises:
            BackendError: the time is up.
        """
        pause, self._pause = self._pause, min(MOST, self._pause * FACTOR)
        if self._timeout is None:
            return pause
        left = self._timeout - (self._clock.now() - self._began) / 1_000_000
        if left <= 0:
            raise BackendError(
                f"the load {job.id} is {job.status} after {self._timeout:g} seconds.",
                hint="it goes on; wait longer, or look later: client.job(id).",
                job=job.id,
            )
        return min(pause, left)
