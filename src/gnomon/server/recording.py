"""Where answers go that somebody wants to look at later: by default into the store's served-row log."""

from __future__ import annotations

from typing import Protocol

from gnomon.flows.recorder import Ids
from gnomon.flows.responses import OnlineResponse

__all__ = ["Ids", "Recorder"]


class Recorder(Protocol):
    """Keeps what was served."""

    def wants(self, service: str, request_id: str) -> bool:
        """Whether the answer to a request of a feature service is to be kept: asked before it is read."""
        ...

    def keep(self, response: OnlineResponse, service: str, ids: Ids) -> None:
        """Keep an answer that was wanted, which says what it knew; never waits, never raises."""
        ...
