"""Where API keys are kept: who may ask a server, for which projects, until when; never the key itself.

Of a token only the SHA-256 is kept. Its secret has 256 random bits, so nobody finds it by trying, and a slow hash would
make nothing safer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = ["EVERY_PROJECT", "ApiKey", "KeyStore", "Scope"]

EVERY_PROJECT = "*"
"""Stands among a key's projects for all there are and will be."""


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
class ApiKey:
    """What is kept of an API key.

    Args:
        id: its public name, a part of the token.
        name: for people: what it is for.
        sha256: of the whole token, in hexadecimal.
        scopes: what it allows.
        projects: where it does; `*` for everywhere.
        created: when, µs UTC.
        by: who made it: a login name.
        expires: from when (µs) it is worth nothing; None for never.
        revoked: since when (µs) it is worth nothing; None where it was not revoked.
        rate_limit: requests a second; 0 for any number, None for what the server says.
    """

    id: str
    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    projects: tuple[str, ...]
    created: int
    by: str
    expires: int | None = None
    revoked: int | None = None
    rate_limit: int | None = None

    def fits(self, project: str) -> bool:
        """Whether it is for a project."""
        return project in self.projects or EVERY_PROJECT in self.projects


class KeyStore(Protocol):
    """The API keys of all projects that share a registry.

    Every method raises `BackendError` when the store cannot be reached or is broken, `NewerFormat` when a newer gnomon
    wrote it. What one process put in, any other reads at once.
    """

    def all(self) -> list[ApiKey]:
        """All keys, revoked and expired ones too, in the order they were made."""
        ...

    def add(self, key: ApiKey) -> None:
        """Keep a key.

        Raises:
            ConflictError: there is one of that id.
        """
        ...

    def revoke(self, key_id: str, at: int) -> ApiKey:
        """End a key for good, and say what it was; one that was revoked before stays revoked since then.

        Raises:
            NotRegistered: there is none of that id.
        """
        ...

    def close(self) -> None:
        """Release connections; closing twice is fine."""
        ...
