"""Answers at once and answers by messages, on one connection and another; connections that nobody uses."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from http_server import read_all
from waiting import until

from gnomon.server.protocol import Config, Limited

LINE = b"POST /get-online-features HTTP/1.1\r\nhost: x\r\n"
IDLE = 1


class App:
    """Says how it was asked: at once, or as an ASGI app; of a body `wait` it cannot say it at once."""

    def quick(self, scope: Any, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
        if body == b"wait":
            return None
        assert dict(scope["headers"])[b"host"] == b"x"
        return (200, [(b"content-length", b"5")], b"quick") if body != b"end" else (418, self.fields(b"3"), b"end")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"asgi"})

    @staticmethod
    def fields(length: bytes) -> list[tuple[bytes, bytes]]:
        return [(b"content-length", length), (b"connection", b"close")]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = Config(
        App(), port=0, http=Limited, interface="asgi3", lifespan="off", loop="uvloop", log_level="error",
        access_log=False, proxy_headers=False, timeout_keep_alive=IDLE, head_seconds=30.0,
    )  # fmt: skip
    server = uvicorn.Server(config)
    running = threading.Thread(target=lambda: asyncio.run(server.serve()))
    running.start()
    until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    running.join()


@pytest.fixture
def made(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        yield one


def posted(body: bytes, *fields: bytes) -> bytes:
    return LINE + b"".join((*(one + b"\r\n" for one in fields), b"content-length: %d\r\n\r\n" % len(body), body))


def said(made: socket.socket, sent: bytes, count: int = 1) -> list[bytes]:
    """The bodies of so many answers."""
    made.sendall(sent)
    found = b""
    while found.count(b"HTTP/1.1 ") < count or not found.endswith((b"quick", b"asgi", b"end")):
        part = made.recv(65536)
        assert part, found
        found += part
    return [one.partition(b"\r\n\r\n")[2] for one in found.split(b"HTTP/1.1 ")[1:]]


def test_all_ways_on_one_connection(made: socket.socket) -> None:
    plain, odd = posted(b"{}"), posted(b"{}", b"te: x")
    assert said(made, plain) == [b"quick"]
    assert said(made, posted(b"wait")) == [b"asgi"]
    assert said(made, odd) == [b"quick"]
    assert said(made, plain) == [b"quick"]
    assert said(made, plain + posted(b"wait") + plain + odd, 4) == [b"quick", b"asgi", b"quick", b"quick"]
    many = said(made, b"".join([plain] * 1500), 1500)
    assert many[:16] == [b"quick"] * 16
    assert many.count(b"asgi") > 1500 / 50  # so that others get a turn
    made.sendall(plain[:-1])
    time.sleep(0.01)
    assert said(made, plain[-1:]) == [b"asgi"]  # it was begun when its head was there
    made.sendall(plain[:30])
    time.sleep(0.01)
    assert said(made, plain[30:] + posted(b"wait"), 2) == [b"quick", b"asgi"]
    chunked = LINE + b"transfer-encoding: chunked\r\n\r\n"
    made.sendall(chunked)
    time.sleep(0.01)
    assert said(made, b"0\r\n\r\n") == [b"asgi"]
    assert said(made, plain) == [b"quick"]


def test_a_body_that_looks_like_a_request_is_a_body(made: socket.socket) -> None:
    inner = posted(b"{}")
    made.sendall(LINE + b"content-length: %d\r\n\r\n" % (len(inner) + 1))
    time.sleep(0.01)
    made.sendall(inner)  # a whole request by itself, but not where it stands
    time.sleep(0.01)
    assert said(made, b"x") == [b"asgi"]
    assert said(made, inner) == [b"quick"]


@pytest.mark.parametrize("fields", [(), (b"te: x",), (b"connection: close",)])
def test_an_answer_may_end_the_connection(made: socket.socket, fields: tuple[bytes, ...]) -> None:
    made.sendall(posted(b"end", *fields))
    answer = read_all(made)
    assert answer.startswith(b"HTTP/1.1 418")
    assert answer.count(b"connection: close") == 1


def test_connections_nobody_uses_are_closed_those_in_use_are_not(made: socket.socket) -> None:
    began = time.monotonic()
    while time.monotonic() - began < 2.5 * IDLE:
        assert said(made, posted(b"{}")) == [b"quick"]
        time.sleep(0.2)
    last = time.monotonic()
    assert read_all(made) == b""
    assert 0.5 * IDLE < time.monotonic() - last < 10 * IDLE
