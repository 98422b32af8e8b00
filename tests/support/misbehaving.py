"""A server that does to each request what it is told to, over real sockets: answers, hangs up, breaks off.

with Misbehaving(HangUp(), Reply(503, {"retry-after": "2"}), Reply(200, body={})) as server:
    httpx.get(server.url)
    server.requests[0].headers
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer so; `cut` breaks the body off after so many bytes."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    cut: int | None = None

    def written(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        fields = {"content-type": "application/json", "content-length": str(len(body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} So\r\n{head}\r\n".encode() + body[: self.cut]


@dataclass(frozen=True, slots=True)
class HangUp:
    """Read the request, and hang up."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Read the request, and say nothing."""


@dataclass(frozen=True, slots=True)
class Came:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Misbehaving:
    """Does the next of its deeds to each request; after the last one, that again."""

    def __init__(self, *deeds: Reply | HangUp | Silence) -> None:
        self._deeds = list(deeds)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.requests: list[Came] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Misbehaving:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer nobody any more."""
        for one in (self._listening, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as lines:
                while self._one(connection, lines):
                    pass
            connection.close()
        except (OSError, ValueError):
            return

    def _one(self, connection: socket.socket, lines: Any) -> bool:
        first = lines.readline().decode()
        if not first:
            return False
        method, path, _ = first.split(" ", 2)
        headers: dict[str, str] = {}
        while line := lines.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = lines.read(int(headers.get("content-length", 0)))
        self.requests.append(Came(method, path, headers, body))
        deed = self._deeds.pop(0) if len(self._deeds) > 1 else self._deeds[0]
        if isinstance(deed, Reply):
            connection.sendall(deed.written())
            return deed.cut is None
        return isinstance(deed, Silence)
