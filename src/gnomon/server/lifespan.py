"""Beginnings and ends: of the server's own work beside requests, and of an app behind it that has some, too."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

__all__ = ["Behind"]


class Behind:
    """Tells an ASGI app that it begins and ends, as a server would.

    Args:
        app: the app; one that does not care for it is left alone.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def begin(self, scope: Any) -> str | None:
        """Let it begin; what is wrong if it cannot."""
        self._task = asyncio.create_task(self._run(scope))
        said = await self._next("lifespan.startup")
        if said["type"] == "lifespan.startup.failed":
            return str(said.get("message") or "the app behind the server could not begin")
        return None

    async def end(self) -> None:
        """Let it end."""
        if self._task is not None and not self._task.done():
            await self._next("lifespan.shutdown")
            await self._task

    async def _next(self, told: str) -> dict[str, Any]:
        await self._told.put({"type": told})
        return await self._said.get()

    async def _run(self, scope: Any) -> None:
        with contextlib.suppress(Exception):  # an app without a lifespan raises at being told of one
            await self._app(scope, self._told.get, self._said.put)
        await self._said.put({"type": "over"})
