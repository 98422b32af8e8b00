"""Where answers go that somebody wants to look at later; by default nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gnomon.flows.responses import OnlineResponse

__all__ = ["Forgets", "Ids", "Recorder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """What a request is called by those who sent it.

    Args:
        request: its own id, given by the caller or made here.
        model: the model that asks; empty if it was not said.
        prediction: what it asks for; empty if it was not said.
    """

    request: str
    model: str = ""
    prediction: str = ""


class Recorder(Protocol):
    """Keeps what was served."""

    def wants(self, service: str, request_id: str) -> bool:
        """Whether the answer to a request of a feature service is to be kept: asked before it is read."""
        ...

    def keep(self, response: OnlineResponse, service: str, ids: Ids) -> None:
        """Keep an answer that was wanted, which says what it knew; never waits, never raises."""
        ...


class Forgets:
    """Keeps nothing."""

    def wants(self, service: str, request_id: str) -> bool:
        """As the contract says."""
        return False

    def keep(self, response: OnlineResponse, service: str, ids: Ids) -> None:
        """As the contract says."""
