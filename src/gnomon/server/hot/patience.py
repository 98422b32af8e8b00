"""How long a request's body may take: who is too slow is let go, and nobody pays for the waiting but them.

A timer per request would cost more than anything else that is done with a body. So there is one for all, that runs
while a body is awaited at all, and looks whose time is over.
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
        self._watching: asyncio.TimerHandle | None = None

    async def during(self, awaited: Awaitable[T]) -> T:
        """Await something.

        Raises:
            TooLate: it was not there in time; it has been cancelled.
        """
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._deadlines[task] = loop.time() + self.seconds
        if self._watching is None:
            self._watching = loop.call_later(self.seconds / LOOKS, self._look, loop)
        try:
            return await awaited
        except asyncio.CancelledError:
            if task in self._late:
                task.uncancel()
                raise TooLate from None
            raise
        finally:
            self._deadlines.pop(task, None)
            self._late.discard(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, deadline in list(self._deadlines.items()):
            if deadline <= now:
                del self._deadlines[task]
                self._late.add(task)
                task.cancel()
        again = self._deadlines and not loop.is_closed()
        self._watching = loop.call_later(self.seconds / LOOKS, self._look, loop) if again else None


async def body_of_request(receive: Any, said: bytes | None, most: int, patience: Patience) -> bytes:
    """All of a request's body.

    Args:
        receive: as ASGI has it.
        said: what the request says of its body's length.
        most: how many bytes it may have.
        patience: how long it may take.

    Raises:
        Gone: the client hung up.
        HttpError: 413, it is too large; 408, it did not come in time.
    """
    if said is not None and said.isdigit() and int(said) > most:
        raise _too_large(most)
    try:
        return await patience.during(_whole(receive, most))
    except TooLate:
        raise _too_slow(patience.seconds) from None


async def _whole(receive: Any, most: int) -> bytes:
    message = await receive()
    if message["type"] != "http.request":
        raise Gone
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        return await _rest(receive, bytearray(body), most)
    if len(body) > most:
        raise _too_large(most)
    return body


async def _rest(receive: Any, body: bytearray, most: int) -> bytes:
    while True:
        if len(body) > most:
            raise _too_large(most)
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        body += message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > most:
                raise _too_large(most)
            return bytes(body)


def _too_large(most: int) -> HttpError:
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
