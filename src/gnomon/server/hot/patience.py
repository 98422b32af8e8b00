"""How long a request may wait: who sends too slowly is let go, and what takes too long is given up.

A timer per request would cost more than anything else that is done with a body. So there is one for all, that runs
while something is awaited at all, and looks whose time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from gnomon.server.problems import HttpError

__all__ = ["Gone", "Patience", "TooLate", "body_of_request"]

T = TypeVar("T")

LOOKS = 4
"""So many times within the time that is given it is looked whether that is over."""


class Gone(Exception):  # noqa: N818 - a signal, not an error
    """The client has hung up."""


class TooLate(Exception):  # noqa: N818 - a signal, not an error
    """What was awaited did not come in time."""


class Patience:
    """Lets tasks go that await something for too long.

    Args:
        seconds: how long they may; a quarter of that may come on top.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._watching: asyncio.AbstractEventLoop | None = None

    def begin(self) -> asyncio.Task[Any]:
        """This task begins to wait; whoever calls this calls `end` with the task."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._deadlines[task] = loop.time() + self.seconds
        if self._watching is not loop:
            self._watching = loop
            loop.call_later(self.seconds / LOOKS, self._look, loop)
        return task

    def end(self, task: asyncio.Task[Any]) -> None:
        """It waits no longer.

        Raises:
            TooLate: it was cancelled, as its time was over.
        """
        self._deadlines.pop(task, None)
        if self._late and task in self._late:
            self._late.discard(task)
            task.uncancel()
            raise TooLate

    async def during(self, awaited: Awaitable[T]) -> T:
        """Await something.

        Raises:
            TooLate: it was not there in time; it has been cancelled.
        """
        task = self.begin()
        try:
            return await awaited
        finally:
            self.end(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._watching is not loop:  # another loop runs by now
            return
        now = loop.time()
        for task, deadline in list(self._deadlines.items()):
            if deadline <= now:
                del self._deadlines[task]
                self._late.add(task)
                task.cancel()
        if self._deadlines:
            loop.call_later(self.seconds / LOOKS, self._look, loop)
        else:
            self._watching = None


async def body_of_request(receive: Any, most: int, patience: Patience) -> bytes:
    """All of a request's body.

    Args:
        receive: as ASGI has it.
        most: how many bytes it may have.
        patience: how long it may take.

    Raises:
        Gone: the client hung up.
        HttpError: 413, it is too large; 408, it did not come in time.
    """
    try:
        task = patience.begin()
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if message["type"] == "http.request" and not message.get("more_body") and len(body) <= most:
                return body
            return await _rest(receive, message, most)
        finally:
            patience.end(task)
    except TooLate:
        raise _too_slow(patience.seconds) from None


async def _rest(receive: Any, message: Any, most: int) -> bytes:
    body = bytearray()
    while True:
        if message["type"] != "http.request":
            raise Gone
        body += message.get("body", b"")
        if len(body) > most:
            raise too_large(most)
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()


def too_large(most: int) -> HttpError:
    """What is said of a body with more bytes than it may have."""
    return HttpError(
        413,
        f"the body has more than {most:,} bytes.",
        hint="ask for fewer entities at once, or raise max_body_bytes under feature_server.",
        headers=(("connection", "close"),),
    )


def _too_slow(seconds: float) -> HttpError:
    return HttpError(
        408,
        f"the body was not here after {seconds:g} seconds.",
        hint="send it at once, or raise timeout under feature_server.",
        headers=(("connection", "close"),),
    )
