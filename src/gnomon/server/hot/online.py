"""The hot routes: `POST /get-online-features`, and `GET /features/online/…` for one entity."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
from time import perf_counter
from typing import Any, Protocol

from orjson import dumps

from gnomon.errors import DefinitionError
from gnomon.server.access.contract import Scope
from gnomon.server.context import Context
from gnomon.server.functions import not_here
from gnomon.server.hot.answering import MANY, Answering, Inquiry
from gnomon.server.hot.asked import Question, from_json, from_msgpack, from_url
from gnomon.server.hot.formats import Form, accepted
from gnomon.server.hot.patience import Gone, Patience, body_of_request, too_large
from gnomon.server.problems import HttpError, body_of, feast_body_of, status_of

__all__ = ["GET", "POST", "Online", "Reply"]

Reply = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, header fields and body."""

POST, GET = "/get-online-features", "/features/online/"
ENTITY = GET + "{entity}"
HUNG_UP = 499
WHOLE = "gnomon.whole"
"""The extension by which our own server takes an answer whole (`gnomon.server.protocol`)."""
NOTHING: dict[str, Any] = {}
CONTENT_TYPES = {form: form.value.encode() for form in Form}
SHORT = 64 * 1024
"""Longer bodies are waited for: reading one takes a while."""
UNDERSTOOD = {
    b"application/json": from_json,
    b"application/msgpack": from_msgpack,
    b"application/x-msgpack": from_msgpack,
    b"application/vnd.msgpack": from_msgpack,
    b"application/x-www-form-urlencoded": from_json,  # what curl calls any body it is not told the type of
    b"text/plain": from_json,
    b"": from_json,
}
_ID = re.compile(rb"[\x21-\x7e]{1,200}")

log = logging.getLogger("gnomon.server")


class Online:
    """Online reads over HTTP.

    Args:
        context: what the server's routes share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._patience = Patience(context.settings.timeout.total_seconds())
        self._answering = Answering(context, self._patience)
        self._short = min(SHORT, context.settings.max_body_bytes)
        self._prefix, self._numbers = secrets.token_hex(6).encode(), itertools.count(1)

    def close(self) -> None:
        """Wait for what was begun."""
        self._answering.close()

    def quick(self, scope: Any, body: bytes) -> Reply | None:
        """The answer to a request to the route `POST` that has come whole; None if it has to be waited for."""
        if self._answering.is_far or len(body) > self._short:
            return None
        began, context, headers = perf_counter(), self._context, dict(scope["headers"])
        question, wrong = None, None
        try:
            _check_method(scope["method"], "POST")
            question = _decoder(headers)(body)
        except Exception as found:  # said below, once it is known who asks
            wrong = found
        if question is not None and question.count >= MANY:
            return None
        context.metrics.begin()
        request_id, status = self._id(headers), 500
        try:
            context.access.check(scope["headers"], Scope.READ)
            if question is None:
                assert wrong is not None
                raise wrong
            asks = _inquiry(question, headers, request_id, began)
            answer = self._answering.at_once(asks)
            assert answer is not None, "what has to be waited for went another way"
            status, fields, body = 200, [(b"content-type", CONTENT_TYPES[asks.form])], answer
        except Exception as error:
            status, fields, body = _refusal(error, POST, request_id)
        finally:
            context.metrics.done(POST, status, perf_counter() - began)
        fields += (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id)
        return status, fields, body

    async def __call__(self, scope: Any, receive: Any, send: Any, route: str) -> None:
        """Answer a request, to the route `POST` or `GET`, as ASGI has it."""
        began, context, headers = perf_counter(), self._context, dict(scope["headers"])
        context.metrics.begin()
        request_id, status = self._id(headers), HUNG_UP
        try:
            try:
                context.access.check(scope["headers"], Scope.READ)
                question = await self._question(scope, receive, headers, route)
                asks = _inquiry(question, headers, request_id, began)
                body = self._answering.at_once(asks)
                if body is None:
                    body = await self._answering.later(asks)
                status, fields = 200, [(b"content-type", CONTENT_TYPES[asks.form])]
            except Gone:
                return
            except Exception as wrong:
                status, fields, body = _refusal(wrong, route, request_id)
                if _may_be_long(headers):
                    fields.append((b"connection", b"close"))  # what is left of the body is not waited for
            fields += (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id)
            whole = scope.get("extensions", NOTHING).get(WHOLE)
            if whole is None or not whole(status, fields, body):
                await send({"type": "http.response.start", "status": status, "headers": fields})
                await send({"type": "http.response.body", "body": body})
        finally:
            context.metrics.done(route if route is POST else ENTITY, status, perf_counter() - began)

    def _id(self, headers: dict[bytes, bytes]) -> bytes:
        """What a request is called: by the caller, if that can be written into a header; else by a new name."""
        given = headers.get(b"x-request-id")
        if given is not None and _ID.fullmatch(given):
            return given
        return b"%b-%x" % (self._prefix, next(self._numbers))

    async def _question(self, scope: Any, receive: Any, headers: dict[bytes, bytes], route: str) -> Question:
        """What is asked.

        Raises:
            Gone: the client hung up.
            HttpError: it cannot be read.
        """
        if route is GET:
            _check_method(scope["method"], "GET")
            return from_url(_tail(scope), scope.get("query_string", b""))
        _check_method(scope["method"], "POST")
        read, most = _decoder(headers), self._context.settings.max_body_bytes
        said = headers.get(b"content-length")
        if said is not None and len(said) > 6 and said.isdigit() and int(said) > most:
            raise too_large(most)
        return read(await body_of_request(receive, most, self._patience))


def _inquiry(question: Question, headers: dict[bytes, bytes], request_id: bytes, began: float) -> Inquiry:
    accept = headers.get(b"accept")
    form = Form.JSON if accept is None or accept == b"*/*" else accepted(accept)
    return Inquiry(question, form, headers, request_id, began, question.asked, question.count)


class _Reads(Protocol):
    def __call__(self, body: bytes) -> Question: ...


def _decoder(headers: dict[bytes, bytes]) -> _Reads:
    """What reads a body of the type that is said.

    Raises:
        HttpError: 415, nothing does.
    """
    said = headers.get(b"content-type", b"")
    read = UNDERSTOOD.get(said) or UNDERSTOOD.get(said.partition(b";")[0].strip().lower())
    packed = headers.get(b"content-encoding", b"identity").lower()
    if read is None or packed != b"identity":
        what = (said if read is None else packed).decode("latin-1")
        raise HttpError(
            415,
            f"the body is {what}.",
            hint="send application/json or application/msgpack, not compressed.",
        )
    return read


def _may_be_long(headers: dict[bytes, bytes]) -> bool:
    said = headers.get(b"content-length")
    return b"transfer-encoding" in headers or (said is not None and len(said) > 5)


def _check_method(method: str, right: str) -> None:
    if method != right:
        raise HttpError(
            405,
            f"this route takes {right}, not {method}.",
            hint=f"send {right}.",
            headers=(("allow", right),),
        )


def _tail(scope: Any) -> bytes:
    """What follows the route in the address, as it was sent."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].partition(GET.encode())[2]


def _refusal(wrong: Exception, route: str, request_id: bytes) -> Reply:
    """What is answered to a request that cannot be."""
    if isinstance(wrong, DefinitionError):
        wrong = not_here(wrong)
    status, named = status_of(wrong), request_id.decode()
    if status == 500:
        log.error("%s: %s failed", named, route, exc_info=wrong)
    elif status > 500:
        log.warning("%s: %s: %s", named, route, wrong)
    body = dumps(feast_body_of(wrong, named) if route is POST else body_of(wrong, named))
    fields = [
        (name.encode(), value.encode()) for name, value in (wrong.headers if isinstance(wrong, HttpError) else ())
    ]
    return status, [(b"content-type", CONTENT_TYPES[Form.JSON]), *fields], body
