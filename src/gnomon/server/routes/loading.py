"""Routes that load the online store: each begins a job, and is answered at once."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from gnomon.clock import instant_text, to_micros
from gnomon.definitions.catalog import Catalog
from gnomon.errors import RequestError
from gnomon.server.access.contract import Caller, Scope
from gnomon.server.jobs import Work
from gnomon.server.routes.answers import Answer
from gnomon.server.routes.bodies import document, takes
from gnomon.server.routes.guard import Guarded, needs
from gnomon.server.routes.parts import Asking, Parts, Shared
from gnomon.server.routes.shapes import IncrementalRequest, JobDocument, JobList, LoadRequest

__all__ = ["router"]

router = APIRouter(route_class=Guarded, tags=["loading"])


@router.post(
    "/materialize", status_code=202, response_model=JobDocument, openapi_extra=needs(Scope.MANAGE, **takes(LoadRequest))
)
async def materialize(parts: Shared, caller: Asking, request: Request) -> Response:
    """Begin to load what happened or became known between two instants."""
    asked = await document(parts, request, LoadRequest)
    context = parts.context
    store, catalog = context.store, context.definitions.snapshot.catalog
    views = _views(catalog, asked.feature_views, asked.version)
    everything = asked.disable_event_timestamp
    end = store.clock.now() if everything or asked.end_ts is None else to_micros(asked.end_ts)
    start = None if everything or asked.start_ts is None else to_micros(asked.start_ts)
    if start is not None and start > end:
        raise RequestError(f"start_ts {asked.start_ts!r:.40} is after end_ts.", hint="swap them.")
    work: Work = lambda told: store.materialize(start, end, views, replace=asked.replace, progress=told)  # noqa: E731
    return await _begun(parts, request, caller, "materialize", _asked(views, end, start, replace=asked.replace), work)


@router.post(
    "/materialize-incremental",
    status_code=202,
    response_model=JobDocument,
    openapi_extra=needs(Scope.MANAGE, **takes(IncrementalRequest)),
)
async def materialize_incremental(parts: Shared, caller: Asking, request: Request) -> Response:
    """Begin to load what happened or became known since each view's last load."""
    asked = await document(parts, request, IncrementalRequest)
    context = parts.context
    store, catalog = context.store, context.definitions.snapshot.catalog
    views = _views(catalog, asked.feature_views, asked.version)
    end = store.clock.now() if asked.end_ts is None else to_micros(asked.end_ts)
    work: Work = lambda told: store.materialize_incremental(end, views, progress=told)  # noqa: E731
    return await _begun(parts, request, caller, "materialize-incremental", _asked(views, end), work)


@router.get("/jobs", response_model=JobList, openapi_extra=needs(Scope.MANAGE), tags=["jobs"])
async def list_jobs(parts: Shared) -> Response:
    """The jobs that are remembered, newest first."""
    return Answer({"jobs": [job.to_dict() for job in await parts.hands.run(parts.jobs.all)]})


@router.get("/jobs/{id}", response_model=JobDocument, openapi_extra=needs(Scope.MANAGE), tags=["jobs"])
async def one_job(parts: Shared, id: str) -> Response:  # noqa: A002 - the path says it so
    """How a job gets on."""
    job = await parts.hands.run(partial(parts.jobs.get, id))
    return Answer(job.to_dict())


async def _begun(
    parts: Parts, request: Request, caller: Caller, kind: str, asked: dict[str, Any], work: Work
) -> Response:
    by, root = caller.name or caller.id, request.scope.get("root_path", "")
    job = await parts.hands.run(partial(parts.jobs.start, kind, asked, work, by))
    return Answer(job.to_dict(), status_code=202, headers={"location": f"{root}/jobs/{job.id}"})


def _views(catalog: Catalog, names: list[str] | None, version: str | None) -> list[str] | None:
    """The views that are meant, by their ids; None for all that are online.

    Raises:
        NotRegistered: there is no such view.
        RequestError: none is named, one is not online, or a version is asked of other than one view.
    """
    if version is not None:
        if names is None or len(names) != 1 or "@" in names[0]:
            raise RequestError("version= goes with one view.", hint="feature_views: ['profile'], version: 'v2'.")
        names = [f"{names[0]}@{version.removeprefix('v')}"]
    if names == []:
        raise RequestError("feature_views is empty.", hint="name the views, or leave it out to load all of them.")
    views = None if names is None else [catalog.view(name) for name in names]
    for view in views or ():
        if not view.online:
            raise RequestError(f"feature view {view.id!r} is not online.", hint="say online=True on it, and apply it.")
    return None if views is None else [view.id for view in views]


def _asked(views: list[str] | None, end: int, start: int | None = None, *, replace: bool = False) -> dict[str, Any]:
    """What was asked for, as a job remembers it."""
    told = {"feature_views": views, "end": instant_text(end)}
    if start is not None:
        told["start"] = instant_text(start)
    return {**told, "replace": True} if replace else told
