"""What is known in memory of somebody who may ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gnomon.contracts.keys import Scope
from gnomon.server.access.contract import Caller
from gnomon.server.access.rates import Rate

__all__ = ["Grant", "Grants"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What somebody may do.

    Args:
        caller: who it is.
        scopes: what they may do.
        expires: until when, µs; None for ever.
        here: whether in this project.
        rate: how often.
    """

    caller: Caller
    scopes: frozenset[Scope]
    expires: int | None
    here: bool
    rate: Rate


class Grants(Protocol):
    """Knows callers by their credentials."""

    def of(self, credential: bytes, now: int) -> Grant:
        """What the credential's owner may do.

        Raises:
            HttpError: 401; it is not good.
        """
        ...

    def refresh(self, now: int) -> None:
        """Look at what has changed.

        Raises:
            BackendError: that cannot be seen; what was known stays.
        """
        ...
