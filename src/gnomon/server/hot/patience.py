"""How long a request's body may take: who is too slow is let go, and nobody pays for the waiting but them.

A timer per request would cost more than anything else that is done with a body. So there is one for all, that runs
while a body is awaited at all, and looks whose time is over.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gnomon.server.problems import HttpError

__all__ = ["Gone", "Patience", "body_of_request"]

LOOKS = 4
"""So many times within the time that is given it is looked whether that is over."""


class Gone(Exception):  # noqa: N818 - a signal, not an error
    """The client has hung up."""


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

    def begin(self, task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop) -> None:
        """A task begins to wait."""
        self._deadlines[task] = loop.time() + self.seconds
        if self._watching is None:
            self._watching = loop.call_later(self.seconds / LOOKS, self._look, loop)

    def end(self, task: asyncio.Task[Any]) -> bool:
        """It waits no longer; whether it was let go."""
        self._deadlines.pop(task, None)
        if task in self._late:
            self._late.discard(task)
            return True
        return False

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
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    patience.begin(task, loop)
    try:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > most:
                raise _too_large(most)
            return body
        return await _rest(receive, bytearray(body), most)
    except asyncio.CancelledError:
        if patience.end(task):
            task.uncancel()
            raise _too_slow(patience.seconds) from None
        raise
    finally:
        patience.end(task)


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
