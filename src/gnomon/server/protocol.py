"""HTTP/1.1 as uvicorn reads it, with a limit on how long a request's head may be, and how long it may take.

It also lets an app hand over an answer whole: `scope["extensions"][WHOLE](scope, status, fields, body)`. Head and body
are then written at once, where ASGI's two messages are two system calls, and our own fields are not looked through.
"""

from __future__ import annotations

from asyncio import Transport
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gnomon.server.hot.online import WHOLE

__all__ = ["Config", "Limited"]

LONGEST_HEAD = 64 * 1024
REFUSAL = b"the request's head is too long."


class Config(uvicorn.Config):
    """A server's settings, of which one is how many seconds a head may take."""

    def __init__(self, *given: Any, head_seconds: float, **more: Any) -> None:
        super().__init__(*given, **more)
        self.head_seconds = head_seconds


class Limited(HttpToolsProtocol):
    """Closes connections on which no whole head comes in time, and those whose head does not end."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client has come, and is expected to say something."""
        super().connection_made(transport)
        self._head = 0
        self._hurry: Any = None
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Some bytes have come: most often a whole request, for which no clock has to be set."""
        super().data_received(data)
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
        self.scope["extensions"] = {WHOLE: self._whole}  # type: ignore[dict-item]

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._calm()
        super().connection_lost(exc)

    def _whole(self, scope: Any, status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """Answer a request; whether that could be done, or has to be done by messages."""
        cycle = self.cycle
        if cycle.scope is not scope or cycle.response_started or cycle.disconnected or self.flow.write_paused:
            return False  # one of several requests sent at once, or a client that does not read
        if scope["method"] == "HEAD":
            return False
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
        return True

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
