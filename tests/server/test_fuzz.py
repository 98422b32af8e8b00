"""Bytes of all sorts at a running server: it answers 2xx or 4xx or closes, and afterwards answers right as before."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from http_server import HttpServer, posted, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LIMITS = "feature_server: {max_body_bytes: 100000, timeout: 2s}"
RIGHT = {"features": ["v:i", "v:s", "spend:count_1d"], "entities": {"user_id": [1, 2, 9]}}
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
ENOUGH = 0.05
"""Seconds without an answer after which an example is over: what is not answered at once is waiting for more."""

junk = st.binary(max_size=200)
words = st.sampled_from(
    ["v:i", "v:s", "w:x", "v", "", "v@1:i", "spend:count_1d", "svc", "mixed", "\x00", "é", "a" * 300]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from([1, 2, "1"]),
)
anything = st.recursive(
    scalars, lambda one: st.lists(one, max_size=4) | st.dictionaries(words, one, max_size=4), max_leaves=20
)
entities = st.dictionaries(
    st.sampled_from(["user_id", "user", "a", "n", "x", ""]), st.lists(scalars, max_size=5), max_size=3
)
questions = st.fixed_dictionaries(
    {},
    optional={
        "features": st.lists(words, max_size=4) | anything,
        "feature_service": words | anything,
        "entities": entities | anything,
        "full_feature_names": st.booleans() | anything,
        "known_through": st.booleans(),
        "lean": st.booleans(),
        "other": anything,
    },
)
names = st.sampled_from(
    [b"content-length", b"transfer-encoding", b"content-type", b"accept", b"expect", b"connection", b"host", b"upgrade"]
)
values = st.sampled_from(
    b"0|1|-1|99999999999999999999|chunked|identity, chunked|gzip|application/msgpack||\xff|*/*;q=x|100-continue|close|"
    b"application/vnd.apache.arrow.stream|keep-alive|websocket".split(b"|")
)
fields = st.lists(st.tuples(names | junk, values | junk), max_size=6)
methods = st.sampled_from([b"POST", b"GET", b"PUT", b"HEAD", b"OPTIONS", b"PRI", b"CONNECT", b"X"])
paths = st.sampled_from(
    [b"/get-online-features", b"/features/online/user_id=1?features=v:i", b"/features/online/%zz?features=%",
     b"//", b"*", b"http://x/get-online-features", b"/features/online/" + b"a/" * 500, b"/get-online-features?\xff"]
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request: right, nearly right, or hardly one."""
    body = draw(st.one_of(st.just(RIGHT), questions).map(lambda one: json.dumps(one).encode()) | junk)
    kind = draw(st.sampled_from(["plain", "chunked", "cut", "odd", "junk"]))
    if kind == "junk":
        return draw(junk)
    head = (
        draw(methods)
        + b" "
        + draw(paths)
        + b" HTTP/1."
        + draw(st.sampled_from([b"1", b"0", b"9"]))
        + b"\r\nhost: x\r\n"
    )
    if kind == "odd":
        told = b"".join(name + b": " + value + b"\r\n" for name, value in draw(fields))
        return head + told + b"\r\n" + body
    head = b"POST /get-online-features HTTP/1.1\r\nhost: x\r\n"
    if kind == "chunked":
        sizes = draw(
            st.lists(
                st.sampled_from([b"%x" % len(body), b"0", b"-1", b"ffffffffffffffffff", b"z", b"1;x=y"]), max_size=3
            )
        )
        chunks = b"".join(size + b"\r\n" + body + b"\r\n" for size in sizes)
        return (
            head
            + b"transfer-encoding: chunked\r\n\r\n"
            + chunks
            + draw(st.sampled_from([b"0\r\n\r\n", b"", b"0\r\nx: y\r\n\r\n"]))
        )
    whole = head + b"content-length: %d\r\n\r\n" % len(body) + body
    return whole[: draw(st.integers(0, len(whole)))] if kind == "cut" else whole


@pytest.fixture(scope="module")
def target(shop: Path) -> Iterator[HttpServer]:
    """A server that is looked at once more when everything has been tried on it."""
    config = shop / "feature_store.yaml"
    before = config.read_text()
    config.write_text(f"{before}\n{LIMITS}\n")
    with serving(shop) as running:
        config.write_text(before)
        yield running
        answer = running.ask(**RIGHT).json()
        right = [[1, 2, 9], [1, 2**53 + 1, None], ["a", "é☃", None], [2, 0, 0]]
        assert [one["values"] for one in answer["results"]] == right
        running.stop()
        assert [line for line in running.said if "Traceback" in line or "failed" in line] == []


def exchange(server: HttpServer, pieces: list[bytes]) -> bytes:
    """What comes back for bytes sent piece by piece."""
    found = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH) as made, suppress(OSError):
        for piece in pieces:
            made.sendall(piece)
        while part := made.recv(65536):
            found += part
    return found


def check(server: HttpServer, answers: bytes) -> None:
    """Nothing but 2xx and 4xx, and 100 for who asked whether to go on."""
    bad = [one for one in STATUS.findall(answers) if not (one == b"100" or one[:1] in b"24")]
    assert not bad, answers
    assert server.process.poll() is None


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(requests(), min_size=1, max_size=4), st.integers(1, 5))
def test_whatever_is_sent(target: HttpServer, sent: list[bytes], cuts: int) -> None:
    whole = b"".join(sent)
    step = max(1, -(-len(whole) // cuts))
    check(target, exchange(target, [whole[start : start + step] for start in range(0, len(whole), step)]))


def test_bits_turned_in_requests_that_were_right(target: HttpServer) -> None:
    before = target.ask(**RIGHT).json()
    chance, right = random.Random(7), posted(RIGHT)
    for _ in range(300):
        broken = bytearray(right)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        check(target, exchange(target, [bytes(broken), right]))
    assert target.ask(**RIGHT).json() == before


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(questions)
def test_any_document(target: HttpServer, question: dict[str, object]) -> None:
    got = target.post(json.dumps(question).encode(), content_type="application/json")
    assert got.status_code in (200, 400, 404, 413, 422), got.text
