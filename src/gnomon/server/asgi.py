"""The server as one ASGI callable: the hot routes by hand, everything else handed on to the app behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gnomon.server.context import Context
from gnomon.server.hot.online import GET, POST, Online, Reply
from gnomon.server.lifespan import Behind
from gnomon.server.upkeep import Upkeep

__all__ = ["Server"]


class Server:
    """An ASGI app: run it with uvicorn, or mount it in another.

    Where it is mounted nobody tells it that it begins, so its work beside requests begins with the first of them.

    Args:
        context: what its routes share.
        behind: the app that has all other routes.
        closing: what is called at the end.
    """

    def __init__(self, context: Context, behind: Any, closing: Iterable[Callable[[], object]] = ()) -> None:
        self.context = context
        self._online, self._behind, self._closing = Online(context), behind, tuple(closing)
        self._upkeep = Upkeep(context)

    def quick(self, scope: Any, body: bytes) -> Reply | None:
        """The answer to a request that has come whole; None where it goes the way of any ASGI app.

        Our own `protocol` asks for it.
        """
        return self._online.quick(scope, body) if scope["path"] == POST else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        self._upkeep.begin()
        if scope["type"] == "http":
            path, root = scope["path"], scope.get("root_path", "")
            if root and path.startswith(root):
                path = path[len(root) :]
            if path == POST:
                await self._online(scope, receive, send, POST)
                return
            if path.startswith(GET):
                await self._online(scope, receive, send, GET)
                return
        await self._behind(scope, receive, send)

    async def _lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        behind = Behind(self._behind)
        await receive()
        wrong = await behind.begin(scope)
        if wrong is not None:
            await send({"type": "lifespan.startup.failed", "message": wrong})
            return
        self._upkeep.begin()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._upkeep.end()
        await behind.end()
        self._online.close()
        for close in self._closing:
            close()
        await send({"type": "lifespan.shutdown.complete"})
