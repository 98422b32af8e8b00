"""The plainest of requests read without a parser: one that has come whole, with nothing odd in its head.

Nearly all requests to the hot route are of that kind. Whatever else comes is left to a parser: nothing is guessed here,
and nothing is put right.
"""

from __future__ import annotations

import re

__all__ = ["Headers", "whole_request"]

Headers = list[tuple[bytes, bytes]]

_HEAD = re.compile(
    rb"POST /get-online-features HTTP/1\.1\r\n((?:[A-Za-z0-9\-]+: [\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\r\n)+)\r\n"
)
_ODD = {b"expect", b"http2-settings", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
LONGEST = 4096
"""A longer head is not plain."""


def whole_request(data: bytes) -> tuple[Headers, bytes] | None:
    r"""The header fields, names in lower case, and the body of a plain request to the hot route; None if it is another.

    >>> whole_request(b"POST /get-online-features HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    ([(b'host', b'x'), (b'content-length', b'2')], b'{}')
    >>> whole_request(b"POST /get-online-features HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{}")
    """
    head = _HEAD.match(data, 0, LONGEST)
    if head is None:
        return None
    fields = [
        (name.lower(), value) for name, _, value in (line.partition(b": ") for line in head[1][:-2].split(b"\r\n"))
    ]
    named = dict(fields)
    length = named.get(b"content-length", b"")
    if len(named) < len(fields) or b"host" not in named or not length.isdigit() or not named.keys().isdisjoint(_ODD):
        return None
    if named.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    start = head.end()
    return (fields, data[start:]) if len(length) < 10 and len(data) == start + int(length) else None
