"""HTTP/1.1 as uvicorn reads it, and less of it where an answer can be had at once.

A request that has come whole need not become a task that awaits its body and sends two messages: an app that has a
method `quick(scope, body)` is asked for status, header fields and body, and these are written at once. The plainest
requests (`hot.heads`) need no parser for that. What the app has no quick answer for goes the usual way, with one
addition: `scope["extensions"][WHOLE](status, fields, body)` takes an answer whole, where ASGI's two messages would be
two system calls.

There is a limit on how long a request's head may be, and how long it may take.
"""

from __future__ import annotations

import gc
from asyncio import Transport
from collections import deque
from functools import partial
from itertools import count
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gnomon.server.hot.heads import whole_request
from gnomon.server.hot.online import POST, WHOLE

__all__ = ["Config", "Limited"]

Fields = list[tuple[bytes, bytes]]

LONGEST_HEAD = 64 * 1024
IN_A_ROW = 16
"""After so many requests that one client sent at once, it is the others' turn."""
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
        self._busy = self._open = False
        self._latest = 0.0
        self._quick = None if self.root_path else getattr(self.app, "quick", None)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Some bytes have come: most often a whole request, for which no clock has to be set."""
        if not self._open and self._is_answered_plainly(data):
            return
        self._busy = True
        super().data_received(data)
        self._busy = False
        if self._begun:
            self._go_on()
        if self._head and self.transport is not None and not self.transport.is_closing():
            # Where in these bytes the head began is not known, so those count that come after them.
            self._head = self._head + len(data) if self._head > 1 else 2
            if self._head > LONGEST_HEAD:
                self._refuse()
            elif self._hurry is None:
                self._wait()

    def on_message_begin(self) -> None:
        """A head has begun."""
        super().on_message_begin()
        self._head, self._open = 1, True

    def on_headers_complete(self) -> None:
        """It has ended."""
        if self._hurry is None:
            self._head = 0
        else:
            self._calm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request has come whole."""
        super().on_message_complete()
        self._open = False

    def timeout_keep_alive_handler(self) -> None:
        """The connection may have been idle for long enough; plain requests did not set the clock anew."""
        rest = self._latest + self.timeout_keep_alive - self.loop.time()
        if rest > 0:
            self.timeout_keep_alive_task = self.loop.call_later(rest, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._calm()
        super().connection_lost(exc)

    def _is_answered_plainly(self, data: bytes) -> bool:
        """Answer a plain request at once, if it is one and nothing else is to be done on this connection."""
        quick, cycle = self._quick, self.cycle
        if quick is None or self.flow.write_paused or (cycle is not None and not cycle.response_complete):
            return False
        request = whole_request(data)
        if request is None or self.transport.is_closing():
            return False
        headers, body = request
        answer = quick({"type": "http", "method": "POST", "path": POST, "headers": headers}, body)
        if answer is None:
            return False
        self.server_state.total_requests += 1
        self._latest = self.loop.time()
        if self._hurry is not None:
            self._calm()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        status, fields, said = answer
        self._write(status, fields, said, True)
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """A request is to be answered: now, or as soon as all that has come is read."""
        self._begun.append((cycle, app))
        if not self._busy:
            self._go_on()

    def _go_on(self) -> None:
        """Answer what was begun; answering one request may begin the next that was sent with it."""
        self._busy = True
        for turn in count():
            if not self._begun:
                break
            cycle, app = self._begun.popleft()
            at_once = turn < IN_A_ROW and not cycle.more_body and not self.flow.write_paused
            quick = getattr(app, "quick", None) if at_once else None
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
        cycle.response_started = cycle.response_complete = True
        self._write(status, fields, body, cycle.keep_alive)
        cycle.message_event.set()
        cycle.on_response()

    def _write(self, status: int, fields: Fields, body: bytes, keep_alive: bool) -> None:
        """Write a whole answer, and close the connection if it is not to be kept."""
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *fields):
            if name == b"connection":
                keep_alive = False
            else:
                lines += name, b": ", value, b"\r\n"
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        lines += b"\r\n", body
        self.transport.write(b"".join(lines))
        if not keep_alive:
            self.transport.close()

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
