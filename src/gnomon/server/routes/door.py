"""The door: each request gets an id, is timed and counted, whatever becomes of it."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gnomon.server.metrics import Metrics
from gnomon.server.routes.answers import problem

__all__ = ["Door"]

REQUEST_ID = b"x-request-id"
OTHER = "other"
"""What is counted for paths that are no route: they would be too many to tell apart."""
HUNG_UP = 499
"""What is counted where the client went before it had its answer."""
_ID = re.compile(r"[A-Za-z0-9_.\-]{1,128}")
_log = logging.getLogger(__name__)


class Door:
    """Counts what goes through it.

    Args:
        app: what is behind it.
        metrics: counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, whole = time.perf_counter(), HUNG_UP, False
        name = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = name

        async def told(message: Message) -> None:
            nonlocal status, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, name.encode())]
            await send(message)
            whole = message["type"] == "http.response.body" and not message.get("more_body", False)

        self._metrics.begin()
        try:
            await self._app(scope, receive, told)
        except ClientDisconnect:
            whole = False
        except Exception as wrong:
            _log.error("request %s failed", name, exc_info=wrong)
            if status != HUNG_UP:
                status, whole = 500, True
                raise  # the answer had begun: nothing but its breaking off says that it is not whole
            await problem(wrong, _route(scope), name)(scope, receive, told)
        finally:
            self._metrics.done(_route(scope), status if whole else HUNG_UP, time.perf_counter() - began)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path_format", OTHER)


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is one, else a new one."""
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == REQUEST_ID), "")
    return given if _ID.fullmatch(given) else secrets.token_hex(8)
