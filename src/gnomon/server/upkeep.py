"""What the server does beside requests: looking at the registry, and at who may ask."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from gnomon.errors import GnomonError
from gnomon.server.context import Context

__all__ = ["Upkeep"]

log = logging.getLogger("gnomon.server")


class Upkeep:
    """Looks for changes again and again, in a thread; what cannot be looked at stays as it was known.

    Args:
        context: what is kept up to date.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """Begin, in the running event loop, unless it has begun there."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._task = loop, loop.create_task(self._run())

    async def end(self) -> None:
        """End; what is being looked at is waited for."""
        task, self._task, self._loop = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        seconds = self._context.settings.registry_refresh.total_seconds()
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self._look)
            _tried("what was logged", self._count)

    def _look(self) -> None:
        for what, refresh in (
            ("the registry", self._context.definitions.refresh),
            ("who may ask", self._context.access.refresh),
        ):
            _tried(what, refresh)

    def _count(self) -> None:
        for service, one in self._context.store.served_stats().items():
            self._context.metrics.logged(service, one.written, one.dropped, one.failed)


def _tried(what: str, refresh: Any) -> None:
    try:
        refresh()
    except GnomonError as wrong:
        log.warning("%s cannot be read, so what was known of it stays: %s", what, wrong)
    except Exception:
        log.exception("looking at %s failed, so what was known of it stays", what)
