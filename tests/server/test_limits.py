"""What must not hurt: requests that are wrong, too large, too slow, cut off, or several at once."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from http_server import HttpServer, posted, read_all, serving
from waiting import until

ONE = {"features": ["v:i"], "entities": {"user_id": [1]}}
LIMITS = "feature_server: {max_body_bytes: 20000, max_entities: 100, timeout: 1s, drain: 20s}"


@pytest.fixture(scope="module")
def strict(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A server that allows little."""
    config = shop / "feature_store.yaml"
    before = config.read_text()
    config.write_text(f"{before}\n{LIMITS}\n")
    with serving(shop) as running:
        config.write_text(before)
        yield running


def told(body: bytes) -> dict[str, str]:
    """What an answer in Feast's shape says."""
    found = json.loads(json.loads(body))
    assert set(found) == {"module", "class", "message", "request_id", "error"}
    return found


def statuses(answers: bytes) -> list[int]:
    """The statuses of several answers on one connection."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


@contextmanager
def connected(server: HttpServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as made:
        yield made


def is_well(server: HttpServer) -> bool:
    """Whether it still answers right."""
    return server.ask(**ONE).json()["results"][1]["values"] == [1]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 422, "no JSON"),
        (b"{", 422, "no JSON"),
        (b"\xff\xfe", 422, "no JSON"),
        (b'{"features": ["v:i"], "entities": {"user_id": ["\xff"]}}', 422, "no JSON"),
        (b'{"features": ["v:i"], "entities": {"user_id": ["\\ud800"]}}', 422, ""),
        (b"[" * 10_000, 422, "array"),
        (b'{"features": ["v:i"], "entities": {"user_id": [' + b"[" * 9000 + b"]" * 9000 + b"]}}", 422, "no JSON"),
        (b'{"features": ["v:i"], "entities": {"user_id": [' + b"[" * 50 + b"]" * 50 + b"]}}", 400, "user_id"),
        (b'{"features": ["v:i"], "entities": {"user_id": [{"a": 1}]}}', 400, "user_id"),
        (b'{"features": ["v:i"], "entities": {"user_id": [9223372036854775808]}}', 400, "without loss"),
        (b'{"features": ["v:i"], "entities": {"user_id": [' + b"9" * 5000 + b"]}}", 422, ""),
        (b'{"features": ["v:i"], "entities": {"user_id": [1e999]}}', 422, "out of range"),
        (b'{"features": ["v:i"], "entities": {"user_id": [NaN]}}', 422, "no JSON"),
        (b'{"features": "v:i", "entities": {"user_id": [1]}}', 422, "array"),
        (b'{"features": ["v:i", 7], "entities": {"user_id": [1]}}', 422, "str"),
        (b'{"features": ["v:i"], "entities": {"user_id": 7}}', 422, "array"),
        (b'{"features": ["v:i"], "entities": [[1]]}', 422, "object"),
        (b'{"features": ["v:i"], "entitys": {"user_id": [1]}}', 422, "did you mean 'entities'?"),
        (b'{"features": ["v:i"], "entities": {}}', 400, "lacks the join key"),
        (b'{"features": ["v:i"], "entities": {"userid": [1]}}', 400, "lacks the join key"),
        (b'{"features": ["two:z"], "entities": {"a": ["x"], "n": [1, 2]}}', 400, "differ in length"),
        (b'{"features": ["two:z"], "entities": {"a": ["x"]}}', 400, "lacks the join key"),
        (b'{"features": ["v:j"], "entities": {"user_id": [1]}}', 404, "v"),
        (b'{"features": ["w:i"], "entities": {"user_id": [1]}}', 404, "w"),
        (
            b'{"features": ["v:i"] , "feature_service": "svc", "entities": {"user_id": [1]}}',
            400,
            "features and a feature_service",
        ),
        (b'{"features": [], "entities": {"user_id": [1]}}', 400, "no features"),
        (b'{"feature_service": "v:i", "entities": {"user_id": [1]}}', 400, ""),
        (b'{"feature_service": 7, "entities": {"user_id": [1]}}', 422, "str"),
    ],
)
def test_what_cannot_be_answered_is_told_why(server: HttpServer, body: bytes, status: int, says: str) -> None:
    got = server.post(body, content_type="application/json")
    assert got.status_code == status, got.text
    assert says in told(got.content)["message"]
    assert is_well(server)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"\xc1", 422),
        (b"\x91" * 5_000, 422),
        (b"\xdf\xff\xff\xff\xff", 422),
        (b"\x82\xa8features\x91\xa3v:i\xa8entities\x81\xa7user_id\x91\xcf" + b"\xff" * 8, 400),
        (b"\x82\xa8features\x91\xa3v:i\xa8entities\x81\xa7user_id\x91\xc4\x01\xff", 400),
    ],
)
def test_messagepack_that_is_none(server: HttpServer, body: bytes, status: int) -> None:
    assert server.post(body, content_type="application/msgpack").status_code == status
    assert is_well(server)


def test_of_two_keys_that_are_the_same_the_last_counts(server: HttpServer) -> None:
    got = server.post(b'{"features": ["v:j"], "features": ["v:i"], "entities": {"user_id": [2], "user_id": [1]}}')
    assert got.json()["results"][1]["values"] == [1]


def test_other_kinds_of_bodies(server: HttpServer) -> None:
    assert server.post(b"<x/>", content_type="application/xml").status_code == 415
    packed = server.post(b"\x1f\x8b", content_type="application/json", content_encoding="gzip")
    assert packed.status_code == 415
    assert "gzip" in told(packed.content)["message"]
    assert server.post(json.dumps(ONE).encode(), content_type="application/json; charset=utf-8").status_code == 200


def test_a_body_may_have_so_many_bytes(strict: HttpServer) -> None:
    large = json.dumps({**ONE, "entities": {"user_id": [1] * 10_000}}).encode()
    got = strict.post(large)
    assert (got.status_code, got.headers["connection"]) == (413, "close")
    assert "20,000 bytes" in told(got.content)["message"]
    chunks = b"".join(b"%x\r\n%b\r\n" % (1000, b" " * 1000) for _ in range(30))
    head = b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert statuses(strict.talk(head + chunks)) == [413]
    head = b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % 10**15
    assert statuses(strict.talk(head)) == [413]
    assert is_well(strict)


def test_a_request_may_be_about_so_many_entities(strict: HttpServer, server: HttpServer) -> None:
    assert strict.ask(features=["v:i"], entities={"user_id": [1] * 100}).status_code == 200
    got = strict.ask(features=["v:i"], entities={"user_id": [1] * 101})
    assert got.status_code == 413
    assert "max_entities" in told(got.content)["message"]
    many = server.ask(features=["v:i"], entities={"user_id": [1] * 100_001})
    assert many.status_code == 413
    assert server.ask(features=["v:i"], entities={"user_id": [1] * 100_000}).status_code == 200
    none = server.ask(features=["v:i"], entities={"user_id": []}).json()
    assert [one["values"] for one in none["results"]] == [[], []]


def test_a_body_that_does_not_come_is_not_waited_for(strict: HttpServer) -> None:
    for cut in (posted(ONE)[:-5], posted(ONE).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"):
        answer = strict.talk(cut)
        assert statuses(answer) == [408]
        assert b"connection: close" in answer
    assert is_well(strict)


def test_a_head_that_does_not_come_is_not_waited_for(strict: HttpServer) -> None:
    assert strict.talk(b"") == b""
    assert strict.talk(b"POST /get-online-features HTTP/1.1\r\nhost:") == b""
    with connected(strict) as made:
        made.sendall(posted(ONE))
        assert made.recv(65536).startswith(b"HTTP/1.1 200")
        made.sendall(b"POST /get-on")
        assert read_all(made) == b""


def test_a_head_that_does_not_end_is_refused(strict: HttpServer) -> None:
    lines = b"".join(b"x-%d: %b\r\n" % (number, b"y" * 1000) for number in range(200))
    answer = strict.talk(b"POST /get-online-features HTTP/1.1\r\nhost: x\r\n" + lines)
    assert statuses(answer) in ([431], [])  # what is still on its way when it is closed may take the answer with it
    assert is_well(strict)


def test_slow_clients_hold_nobody_up(strict: HttpServer) -> None:
    slow = [socket.create_connection(("127.0.0.1", strict.port), timeout=60) for _ in range(100)]
    for one in slow:
        one.sendall(posted(ONE)[:-1])
    assert is_well(strict)
    assert {statuses(read_all(one))[0] for one in slow} == {408}
    for one in slow:
        one.close()


def test_clients_that_hang_up(server: HttpServer) -> None:
    for cut in (10, 60, -1, len(posted(ONE))):
        for _ in range(20):
            with connected(server) as made:
                made.sendall(posted(ONE)[:cut])
    assert is_well(server)
    assert server.process.poll() is None


def test_requests_one_behind_the_other_are_answered_in_order(server: HttpServer) -> None:
    asked = [{**ONE, "entities": {"user_id": [one]}} for one in (1, 2, 3)]
    wrong = b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n{"
    answer = server.talk(
        b"".join([posted(asked[0]), posted(asked[1]), wrong, posted(asked[2], "connection: close")]), shut=False
    )
    assert statuses(answer) == [200, 200, 422, 200]
    values = [json.loads(part.partition(b"\r\n\r\n")[2])["results"][0]["values"] for part in split(answer)]
    assert values == [[1], [2], [3]]


def split(answers: bytes) -> list[bytes]:
    return [part for part in answers.split(b"HTTP/1.1 ")[1:] if part.startswith(b"200")]


def test_expect_continue(server: HttpServer) -> None:
    with connected(server) as made:
        head, _, body = posted(ONE, "expect: 100-continue").partition(b"\r\n\r\n")
        made.sendall(head + b"\r\n\r\n")
        assert made.recv(65536).startswith(b"HTTP/1.1 100")
        made.sendall(body)
        assert made.recv(65536).startswith(b"HTTP/1.1 200")


def test_who_is_told_to_stop_finishes_what_was_begun(shop: Path) -> None:
    with serving(shop) as server:
        request = posted(ONE)
        with connected(server) as made:
            made.sendall(request[:-1])
            until(lambda: is_well(server))
            stopping = threading.Thread(target=server.process.send_signal, args=(signal.SIGTERM,))
            stopping.start()
            stopping.join()
            until(lambda: refused(server))
            made.sendall(request[-1:])
            answer = read_all(made)
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.process.wait(60) in (0, -signal.SIGTERM)


def refused(server: HttpServer) -> bool:
    """Whether nobody new is let in."""
    try:
        with connected(server):
            return False
    except OSError:
        return True


def test_what_is_left_of_a_long_body_is_not_waited_for(server: HttpServer) -> None:
    head = b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-type: text/x\r\n"
    assert statuses(server.talk(head + b"content-length: 5000000\r\n\r\n")) == [415]
    assert statuses(server.talk(head + b"transfer-encoding: chunked\r\n\r\n")) == [415]
    short = head + b"content-length: 3\r\n\r\nabc"
    assert statuses(server.talk(short + posted(ONE, "connection: close"))) == [415, 200]
