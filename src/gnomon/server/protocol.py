"""HTTP/1.1 as uvicorn reads it, and less of it where an answer can be had at once.

A request that has come whole need not become a task that awaits its body and sends two messages: an app that has a
method `quick(scope, body)` is asked for status, header fields and body, and these are written at once. What it has no
quick answer for goes the usual way, with one addition: `scope["extensions"][WHOLE](status, fields, body)` takes an
answer whole, where ASGI's two messages would be two system calls.

There is a limit on how long a request's head may be, and how long it may take.
"""

from __future__ import annotations

import gc
from asyncio import Transport
from collections import deque
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gnomon.server.hot.online import WHOLE

__all__ = ["Config", "Limited"]

Fields = list[tuple[bytes, bytes]]

LONGEST_HEAD = 64 * 1024
REFUSAL = b"the request's head is too long."


class Config(uvicorn.Config):
    """A server's settings, of which one is how many seconds a head may take."""

    def __init__(self, *given: Any, head_seconds: float, **more: Any) -> None:
        super().__init__(*given, **more)
        self.head_seconds = head_seconds

    def load(self) -> None:
        """Load the app; what is there then stays, and is not looked through for garbage while requests wait."""
        super().load()
        gc.collect()
        gc.freeze()


class Limited(HttpToolsProtocol):
    """Closes connections on which no whole head comes in time, and those whose head does not end."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client has come, and is expected to say something."""
        super().connection_made(transport)
        self._head = 0
        self._hurry: Any = None
        self._begun: deque[tuple[RequestResponseCycle, Any]] = deque()
        self._busy = False
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Some bytes have come: most often a whole request, for which no clock has to be set."""
        self._busy = True
        super().data_received(data)
        self._busy = False
        if self._begun:
            self._go_on()
        if self._head and self.transport is not None and not self.transport.is_closing():
            self._head += len(data)
            if self._head > LONGEST_HEAD:
                self._refuse()
            elif self._hurry is None:
                self._wait()

    def on_message_begin(self) -> None:
        """A head has begun."""
        super().on_message_begin()
        self._head = 1

    def on_headers_complete(self) -> None:
        """It has ended."""
        if self._hurry is None:
            self._head = 0
        else:
            self._calm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._calm()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """A request is to be answered: now, or as soon as all that has come is read."""
        self._begun.append((cycle, app))
        if not self._busy:
            self._go_on()

    def _go_on(self) -> None:
        """Answer what was begun; answering one request may begin the next that was sent with it."""
        self._busy = True
        while self._begun:
            cycle, app = self._begun.popleft()
            quick = None if cycle.more_body or self.flow.write_paused else getattr(app, "quick", None)
            answer = None if quick is None else quick(cycle.scope, bytes(cycle.body))
            if answer is not None:
                self._answer(cycle, *answer)
            else:
                cycle.scope["extensions"] = {WHOLE: partial(self._whole, cycle)}  # type: ignore[dict-item]
                super()._start_asgi_task(cycle, app)
        self._busy = False

    def _whole(self, cycle: RequestResponseCycle, status: int, fields: Fields, body: bytes) -> bool:
        """Take an answer whole; whether that could be done, or has to be done by messages."""
        if cycle.response_started or cycle.disconnected or self.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        self._answer(cycle, status, fields, body)
        return True

    def _answer(self, cycle: RequestResponseCycle, status: int, fields: Fields, body: bytes) -> None:
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *fields):
            if name == b"connection":
                cycle.keep_alive = False
            else:
                lines += name, b": ", value, b"\r\n"
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += b"\r\n", body
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join(lines))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _wait(self) -> None:
        self._hurry = self.loop.call_later(getattr(self.config, "head_seconds", 30.0), self._close)

    def _calm(self) -> None:
        self._head = 0
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    def _close(self) -> None:
        self._hurry = None
        self.transport.close()

    def _refuse(self) -> None:
        fields = b"content-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(REFUSAL)
        self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + fields + REFUSAL)
        self.transport.close()
