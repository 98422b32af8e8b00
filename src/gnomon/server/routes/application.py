"""The app: all routes but the hot ones, behind one door, with a document of all of them.

The pages at `/docs` need nothing from the internet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from gnomon import __version__
from gnomon.server.context import Context
from gnomon.server.jobs import JOBS, Jobs
from gnomon.server.problems import FEAST_ROUTES
from gnomon.server.routes import batch, features, health, hot, loading, scrape, why, writing
from gnomon.server.routes.answers import problem
from gnomon.server.routes.door import Door
from gnomon.server.routes.guard import SCOPE, told
from gnomon.server.routes.hands import Hands
from gnomon.server.routes.parts import Parts
from gnomon.server.routes.ready import Check, Readiness
from gnomon.server.routes.shapes import Problem

__all__ = ["app"]

ROUTERS = (batch.router, features.router, writing.router, loading.router, why.router, health.router, scrape.router)
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The caller must ask otherwise."},
    "5XX": {"model": Problem, "description": "The operator must look, or ask again later."},
}
FEAST_ERROR = {
    "type": "string",
    "description": "A JSON text: `module`, `class`, `message`, as Feast's client reads it.",
}
ABOUT = """Features for training and serving. Errors have one shape, on Feast's routes Feast's.
Of each operation `x-scope` says which scope a key needs for it; one that has none is open to all."""


def app(context: Context) -> FastAPI:
    """The app.

    Args:
        context: what all routes of the server share.
    """
    made = FastAPIOffline(
        title=f"gnomon: {context.store.project}",
        version=__version__,
        description=ABOUT,
        redoc_url=None,
        static_url="/docs/assets",
        swagger_ui_oauth2_redirect_url="/docs/oauth2-redirect",
        lifespan=_lifespan,
        exception_handlers={HTTPException: _no_route},
    )
    store, settings = context.store, context.settings
    made.state.parts = Parts(
        context=context,
        hands=Hands(settings.timeout),
        jobs=Jobs(store.repo_path / JOBS, store.clock),
        readiness=Readiness(_checks(context)),
    )
    for router in ROUTERS:
        made.include_router(router, responses=ERRORS)
    made.add_middleware(Door, metrics=context.metrics)
    made.openapi = lambda: _document(made)  # type: ignore[method-assign]
    return made


@asynccontextmanager
async def _lifespan(made: FastAPI) -> AsyncIterator[None]:
    yield
    parts: Parts = made.state.parts
    await asyncio.to_thread(parts.jobs.close, parts.context.settings.drain.total_seconds())
    parts.hands.close()
    parts.readiness.close()


def _checks(context: Context) -> dict[str, Check]:
    """What is looked at to know whether the server is ready."""
    store = context.store
    checks: dict[str, Check] = {"registry": lambda: store.registry.history(store.project, 1)}
    if store.config.online_store is not None:
        checks["online store"] = lambda: store.online.tables(store.project)
    return checks


async def _no_route(request: Request, wrong: Exception) -> Response:
    """No such path, or none with that method."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return problem(told(wrong), path, request.state.request_id)


def _document(made: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of all routes, made once."""
    if made.openapi_schema is None:
        declared = FastAPI()
        for router in (hot.router, *ROUTERS):
            declared.include_router(router, responses=ERRORS)
        made.openapi_schema = get_openapi(
            title=made.title,
            version=made.version,
            description=made.description,
            routes=declared.routes,
        )
        _say_feast_errors(made.openapi_schema["paths"])
        _say_keys(made.openapi_schema)
    return made.openapi_schema


def _say_feast_errors(paths: dict[str, Any]) -> None:
    """Errors of Feast's routes have Feast's shape."""
    for path in FEAST_ROUTES:
        for operation in paths[path].values():
            for status in ERRORS:
                operation["responses"][status]["content"] = {"application/json": {"schema": FEAST_ERROR}}


def _say_keys(document: dict[str, Any]) -> None:
    """Routes that need a scope take a key."""
    document.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for operations in document["paths"].values():
        for operation in operations.values():
            if SCOPE in operation:
                operation["security"] = [{"key": []}]
