"""What the server counts, and the text Prometheus reads of it.

Counting costs well under a microsecond, as it stands on the way of every request. All of it is called by the thread of
the event loop, but for `text`, which reads files: call that from another.

`sheet` keeps one worker's numbers in a file, `counted` writes them there, `told` adds up those of all workers.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Metrics", "Quiet"]


class Metrics(Protocol):
    """What routes tell of each request."""

    def begin(self) -> None:
        """A request has begun: one more is in flight."""
        ...

    def done(self, route: str, status: int, seconds: float) -> None:
        """A request that was begun has ended. Whoever begins it ends it, once.

        Args:
            route: the route's template, `/get-online-features`.
            status: the HTTP status; 499 where the client hung up.
            seconds: how long it took.
        """
        ...

    def served(self, view: str, entities: int, absent: int, seconds: float, newest: int | None) -> None:
        """A view had a part in an online answer.

        Args:
            view: its id.
            entities: how many were asked for.
            absent: how many of them had no row.
            seconds: how long the request took.
            newest: the latest event time among the rows, µs; None where there was none.
        """
        ...

    def cached(self, service: str, hit: bool) -> None:
        """A service with a cache was asked for."""
        ...

    def logged(self, service: str, written: int, dropped: int, failed: int) -> None:
        """What has become of the rows of a service's served-row log, in this process since it began.

        Args:
            service: the feature service.
            written: how many are in the log.
            dropped: how many found the queue full.
            failed: how many could not be written, for good.
        """
        ...

    def text(self) -> str:
        """All of it, of all workers, as Prometheus reads it."""
        ...


class Quiet:
    """Counts nothing."""

    def begin(self) -> None:
        """As the contract says."""

    def done(self, route: str, status: int, seconds: float) -> None:
        """As the contract says."""

    def served(self, view: str, entities: int, absent: int, seconds: float, newest: int | None) -> None:
        """As the contract says."""

    def cached(self, service: str, hit: bool) -> None:
        """As the contract says."""

    def logged(self, service: str, written: int, dropped: int, failed: int) -> None:
        """As the contract says."""

    def text(self) -> str:
        """As the contract says."""
        return ""
