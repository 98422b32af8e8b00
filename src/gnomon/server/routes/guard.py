"""The guard of each route: who may ask is found out before a body is read, and it is read within limits.

Whatever goes wrong becomes an answer of the documented shape.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from gnomon.clock import duration_text
from gnomon.errors import GnomonError, listing, nearest_hint
from gnomon.server.access.contract import ANYBODY, Scope
from gnomon.server.context import Context
from gnomon.server.problems import HttpError
from gnomon.server.routes.answers import problem

__all__ = ["Guarded", "needs"]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
SCOPE = "x-scope"
BODILESS = ("GET", "HEAD", "DELETE", "OPTIONS")
_log = logging.getLogger(__name__)


def needs(scope: Scope, **more: Any) -> dict[str, Any]:
    """What a route says of itself in the OpenAPI document: the scope that a caller must have, and more."""
    return {SCOPE: scope.value, **more}


class Guarded(APIRoute):
    """A route with a guard; one that names no scope is open to all."""

    def get_route_handler(self) -> Handler:
        """The handler, guarded."""
        handle, route = super().get_route_handler(), self.path_format
        scope = (self.openapi_extra or {}).get(SCOPE)
        known = _parameters(self.dependant)

        async def guarded(request: Request) -> Response:
            context: Context = request.app.state.parts.context
            try:
                request.state.caller = context.access.check(request.headers.raw, Scope(scope)) if scope else ANYBODY
                _check_parameters(request, known)
                return await handle(await _with_body(request, context))
            except (GnomonError, RequestValidationError, HTTPException) as wrong:
                return problem(told(wrong), route, request.state.request_id)
            except ClientDisconnect:
                raise  # the door counts it; there is nobody to answer
            except Exception as wrong:
                _log.error("request %s to %s failed", request.state.request_id, route, exc_info=wrong)
                return problem(wrong, route, request.state.request_id)

        return guarded


def told(wrong: Exception) -> Exception:
    """What the framework says is wrong, as an error of ours."""
    if isinstance(wrong, RequestValidationError):
        return _invalid(wrong)
    if isinstance(wrong, HTTPException):
        hint = {404: "GET /docs shows all routes.", 405: "GET /docs shows what each route takes."}.get(
            wrong.status_code
        )
        return HttpError(wrong.status_code, f"{wrong.detail}.", hint=hint, headers=tuple((wrong.headers or {}).items()))
    return wrong


def _invalid(wrong: RequestValidationError) -> HttpError:
    """The first thing that does not fit, and how many more there are."""
    errors = wrong.errors()
    first = errors[0]
    where = ".".join(str(one) for one in first["loc"])
    instead = f"It is one of {len(errors)} things that do not fit." if len(errors) > 1 else None
    what = f"{where}: {first['msg']}"
    return HttpError(422, f"{what:.500}.", instead=instead, hint="GET /docs shows what the route takes.")


def _parameters(dependant: Dependant) -> list[str]:
    """The query parameters that a route takes, those of what it depends on included."""
    deeper = (name for one in dependant.dependencies for name in _parameters(one))
    return [*(one.alias for one in dependant.query_params), *deeper]


def _check_parameters(request: Request, known: list[str]) -> None:
    """Refuse a query parameter that the route has not: it was more often mistyped than meant to do nothing.

    Raises:
        HttpError: 422, there is one.
    """
    if request.method == "GET" and not known:
        return  # nothing can be meant to change such an answer; and what asks after health adds what it likes
    unknown = next((name for name in request.query_params if name not in known), None)
    if unknown is not None:
        raise HttpError(
            422,
            f"the query has an unknown parameter {unknown!r:.80}.",
            instead=f"The route takes: {listing(known, len(known))}.",
            hint=nearest_hint(unknown, known, otherwise="leave it out; GET /docs shows what the route takes."),
        )


async def _with_body(request: Request, context: Context) -> Request:
    """The request, with its body read, if it has one."""
    if request.method in BODILESS:
        return request
    most, timeout = context.settings.max_body_bytes, context.settings.timeout
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        raise _too_large(most)
    bounded = Request(request.scope, _bounded(request.receive, most))
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            await bounded.body()
    except TimeoutError:
        raise HttpError(408, f"the body took longer than {duration_text(timeout)} to arrive.") from None
    return bounded


def _bounded(receive: Receive, most: int) -> Receive:
    """What comes in, as long as it is not too much."""
    got = 0

    async def bounded() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > most:
            raise _too_large(most)
        return message

    return bounded


def _too_large(most: int) -> HttpError:
    return HttpError(
        413,
        f"the body has more than {most:,} bytes.",
        hint="send it in parts, or raise `feature_server: max_body_bytes` in feature_store.yaml.",
    )
