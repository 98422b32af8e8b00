"""What the handlers of one app share, and how they come by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from gnomon.server.access.contract import Caller
from gnomon.server.context import Context
from gnomon.server.jobs import Jobs
from gnomon.server.routes.hands import Hands
from gnomon.server.routes.ready import Readiness

__all__ = ["Asking", "Parts", "Shared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the handlers of one app share.

    Args:
        context: what all routes of the server share.
        hands: do what takes time.
        jobs: loads that go on after their request.
        readiness: whether the parts behind the server answer.
    """

    context: Context
    hands: Hands
    jobs: Jobs
    readiness: Readiness


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


Shared = Annotated[Parts, Depends(_parts)]
Asking = Annotated[Caller, Depends(_caller)]
"""Who asks; the guard has found out."""
