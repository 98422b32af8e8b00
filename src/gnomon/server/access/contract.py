"""What the server asks of access control: one cheap question per request, answered from memory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = ["ANYBODY", "Access", "Caller", "Open", "Scope"]


class Scope(StrEnum):
    """What a caller may do."""

    READ = "read"
    """Online reads, and what is registered."""
    BATCH = "batch"
    """Training sets, and why values are what they are."""
    WRITE = "write"
    """Pushing events."""
    MANAGE = "manage"
    """Materializing, and registering definitions."""
    METRICS = "metrics"
    """Reading metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks.

    Args:
        id: the key's public id, or the token's subject; empty for anybody.
        name: for people.
    """

    id: str = ""
    name: str = ""


ANYBODY = Caller()


class Access(Protocol):
    """Says whether a request may go on."""

    def check(self, headers: list[tuple[bytes, bytes]], scope: Scope) -> Caller:
        """Who asks, if they may.

        Never reads a file, a database or the network: it is asked inside requests.

        Args:
            headers: the request's header fields, names in lower case, as ASGI has them.
            scope: what the route needs.

        Raises:
            HttpError: 401 without a known key, 403 with one that lacks the scope or the project, 429 above its rate.
        """
        ...


class Open:
    """Everybody may do everything: on loopback, or where that was said."""

    def check(self, headers: list[tuple[bytes, bytes]], scope: Scope) -> Caller:
        """As the contract says."""
        return ANYBODY
