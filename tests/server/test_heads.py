"""Plain requests read without a parser are what a parser reads; what a parser would read otherwise is none of them."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.server.hot.heads import whole_request

LINE = b"POST /get-online-features HTTP/1.1\r\n"
PLAIN = LINE + b"Host: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Parsed:
    """What httptools makes of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body, self.url, self.whole = b"", b"", 0
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)
        self.method = self._parser.get_method()
        self.keeps_alive = self._parser.should_keep_alive()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole += 1


def agrees(data: bytes) -> bool:
    """Whether it is read, and then by the parser alike."""
    request = whole_request(data)
    if request is None:
        return False
    parsed: Any = Parsed(data)
    assert (parsed.method, parsed.url, parsed.whole) == (b"POST", b"/get-online-features", 1)
    assert parsed.keeps_alive
    assert (parsed.headers, parsed.body) == request
    return True


names = st.sampled_from(
    b"Host|host|Content-Length|content-length|Transfer-Encoding|Connection|Accept|X-Request-Id|Expect|Upgrade|Te|"
    b"x y|".split(b"|")
)
values = st.sampled_from(
    b"x|2|02|+2|-2| 2|2 |2, 2|0|chunked|keep-alive|close|Upgrade|100-continue|\t|\x00|\xe9||a\r\n b|a\nb".split(b"|")
)
fields = st.lists(st.tuples(names, st.sampled_from([b": ", b":", b" : ", b":  "]), values), max_size=5)


@given(fields, st.sampled_from([b"{}", b"", b"{}{}", b"{"]))
def test_whatever_a_head_has(some: list[tuple[bytes, bytes, bytes]], body: bytes) -> None:
    agrees(
        LINE
        + b"Host: x\r\nContent-Length: 2\r\n"
        + b"".join(b"".join((*one, b"\r\n")) for one in some)
        + b"\r\n"
        + body
    )
    agrees(LINE + b"".join(b"".join((*one, b"\r\n")) for one in some) + b"\r\n" + body)


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_a_byte_that_is_another(place: int, byte: int) -> None:
    agrees(PLAIN[:place] + bytes([byte]) + PLAIN[place + 1 :])


@given(st.integers(0, len(PLAIN)), st.binary(max_size=3))
def test_bytes_put_in(place: int, more: bytes) -> None:
    agrees(PLAIN[:place] + more + PLAIN[place:])


def test_what_clients_send_is_plain() -> None:
    assert agrees(PLAIN)
    sent = (
        b"Host: 127.0.0.1:6566\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
        b"User-Agent: python-httpx/0.28.1\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
    )
    assert agrees(LINE + sent)
    assert agrees(LINE + b"host: x\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "odd",
    [
        PLAIN[:-1],
        PLAIN + b"x",
        PLAIN + PLAIN,
        PLAIN.replace(b"POST", b"post"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"/get", b"//get"),
        PLAIN.replace(b"features ", b"features?x "),
        PLAIN.replace(b"Host: x\r\n", b""),
        PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"),
        PLAIN.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
        PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        PLAIN.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
        PLAIN.replace(b"Host:", b"Host :"),
        PLAIN.replace(b"Host: x", b"Host: x\r\n y"),
        PLAIN.replace(b"Length: 2", b"Length: +2"),
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"Host: x", b"Host: " + b"x" * 5000),
    ],
)
def test_what_is_odd_is_left_to_the_parser(odd: bytes) -> None:
    assert whole_request(odd) is None
