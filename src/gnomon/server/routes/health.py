"""Routes that say how the server is: `live` while it answers at all, `ready` while what is behind it answers, too.

Nobody needs a key for them. What is wrong is told to those who may read metrics, and to others where.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from gnomon.server.access.contract import Scope
from gnomon.server.problems import HttpError
from gnomon.server.routes.answers import Answer
from gnomon.server.routes.guard import Guarded
from gnomon.server.routes.parts import Parts, Shared
from gnomon.server.routes.shapes import Health

__all__ = ["router"]

router = APIRouter(route_class=Guarded, tags=["health"])
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "A part behind the server does not answer."}
}


@router.get("/health/live", response_model=Health)
async def live() -> Response:
    """Whether the server answers."""
    return Answer({"status": "live"})


@router.get("/health/ready", response_model=Health, responses=NOT_READY)
@router.get("/health", response_model=Health, responses=NOT_READY)
async def ready(parts: Shared, request: Request) -> Response:
    """Whether the registry and the online store answer."""
    snapshot, reasons = parts.context.definitions.snapshot, await parts.readiness.reasons()
    told = {"project": snapshot.project, "registry_version": snapshot.version}
    if not reasons:
        return Answer({"status": "ready", **told})
    if not _may_know(parts, request):
        reasons = dict.fromkeys(reasons, "it does not answer as it should.")
    return Answer({"status": "not ready", **told, "reasons": reasons}, status_code=503)


def _may_know(parts: Parts, request: Request) -> bool:
    try:
        parts.context.access.check(request.headers.raw, Scope.METRICS)
    except HttpError:
        return False
    return True
