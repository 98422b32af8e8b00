"""The hot routes: `POST /get-online-features`, and `GET /features/online/…` for one entity.

A store on this machine answers faster than a thread could be asked, so it is read in the event loop, except for many
entities at once, which would keep everybody else waiting. A store that is far away is read in rounds.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
from collections.abc import Hashable
from time import perf_counter
from typing import Any, Protocol

from orjson import dumps

from gnomon.contracts.registry import Snapshot
from gnomon.errors import RequestError
from gnomon.flows.responses import OnlineResponse, made_of
from gnomon.server.access.contract import Scope
from gnomon.server.context import Context
from gnomon.server.hot.asked import Question, fitted, from_json, from_msgpack, from_url
from gnomon.server.hot.cache import Cache
from gnomon.server.hot.formats import Form, accepted, arrow, msgpack
from gnomon.server.hot.patience import Gone, Patience, TooLate, body_of_request
from gnomon.server.hot.rounds import Rounds
from gnomon.server.hot.written import Forms
from gnomon.server.metrics import Quiet
from gnomon.server.problems import HttpError, body_of, feast_body_of, status_of
from gnomon.server.recording import Ids

__all__ = ["Online"]

POST, GET = "/get-online-features", "/features/online/"
MANY = 2_000
"""From so many entities on a request is answered in a thread: it takes milliseconds."""
HUNG_UP = 499
CONTENT_TYPES = {form: form.value.encode() for form in Form}
UNDERSTOOD = {
    b"application/msgpack": from_msgpack,
    b"application/x-msgpack": from_msgpack,
    b"application/vnd.msgpack": from_msgpack,
    b"application/json": from_json,
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
        self._context, store = context, context.store
        settings = context.settings
        self._forms = Forms()
        self._patience = Patience(settings.timeout.total_seconds())
        self._cache = Cache(settings.max_staleness, store.clock)
        self._rounds = Rounds(store.online.read) if store.online.capabilities.remote else None
        self._counted = not isinstance(context.metrics, Quiet)
        self._prefix, self._numbers = secrets.token_hex(6), itertools.count(1)
        context.definitions.before.append(lambda found: context.store.reader.prepared(found))

    def close(self) -> None:
        """Wait for what was begun."""
        if self._rounds is not None:
            self._rounds.close()

    async def post(self, scope: Any, receive: Any, send: Any) -> None:
        """`POST /get-online-features`."""
        await self._serve(scope, receive, send, POST, b"POST")

    async def get(self, scope: Any, receive: Any, send: Any) -> None:
        """`GET /features/online/user_id=7?features=view:feature`."""
        await self._serve(scope, receive, send, GET + "{entity}", b"GET")

    async def _serve(self, scope: Any, receive: Any, send: Any, route: str, method: bytes) -> None:
        began, context = perf_counter(), self._context
        context.metrics.begin()
        headers = dict(scope["headers"])
        request_id = self._request_id(headers.get(b"x-request-id"))
        status, kind = HUNG_UP, b"application/json"
        more: list[tuple[bytes, bytes]] = []
        try:
            try:
                context.access.check(scope["headers"], Scope.READ)
                _check_method(scope["method"], method.decode())
                if method == b"POST":
                    read = _decoder(headers)
                    most = context.settings.max_body_bytes
                    question = read(
                        await body_of_request(receive, headers.get(b"content-length"), most, self._patience)
                    )
                else:
                    question = from_url(_tail(scope), scope.get("query_string", b""))
                form = accepted(headers.get(b"accept"))
                body = await self._answer(question, form, headers, request_id, began)
                status, kind = 200, CONTENT_TYPES[form]
            except Gone:
                return
            except Exception as wrong:
                status, body, more = self._refusal(wrong, route, request_id)
            fields = [
                (b"content-type", kind),
                (b"content-length", b"%d" % len(body)),
                (b"x-request-id", request_id),
                *more,
            ]
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": body})
        finally:
            context.metrics.done(route, status, perf_counter() - began)

    async def _answer(
        self, question: Question, form: Form, headers: dict[bytes, bytes], request_id: bytes, began: float
    ) -> bytes:
        context, asked = self._context, question.asked
        service = asked if isinstance(asked, str) else ""
        self._check_count(question.count)
        snapshot = context.definitions.snapshot
        wanted = service != "" and context.recorder.wants(service, request_id.decode())
        key = None
        if service and not wanted and not question.known_through and self._cache.is_for(service):
            key, kept = self._kept(service, question, form, snapshot)
            if kept is not None:
                return kept
        known = question.known_through or wanted
        while True:
            try:
                response, body = await self._read(snapshot, asked, question, known, form)
                break
            except RequestError as wrong:
                if not fitted(question, wrong, snapshot):
                    raise
        if key is not None:
            self._cache.put(key, body, snapshot, response.at)
        if wanted:
            context.recorder.keep(response, service, _ids(headers, request_id))
        if self._counted:
            self._count(response, perf_counter() - began)
        return body

    async def _read(
        self, snapshot: Snapshot, asked: list[str] | str, question: Question, known: bool, form: Form
    ) -> tuple[OnlineResponse, bytes]:
        """An answer and its body: from here, from a thread, or in rounds."""
        if self._rounds is not None:
            answered = self._in_rounds(self._rounds, snapshot, asked, question, known)
            try:
                response = await self._patience.during(answered)
            except TooLate:
                raise self._too_late() from None
            if question.count < MANY:
                return response, self._written(response, question, form)
            return response, await asyncio.to_thread(self._written, response, question, form)
        if question.count < MANY:
            return self._here(snapshot, asked, question, known, form)
        in_thread = asyncio.to_thread(self._here, snapshot, asked, question, known, form)
        try:
            return await self._patience.during(in_thread)
        except TooLate:
            raise self._too_late() from None

    def _here(
        self, snapshot: Snapshot, asked: list[str] | str, question: Question, known: bool, form: Form
    ) -> tuple[OnlineResponse, bytes]:
        reader = self._context.store.reader
        response = reader.read(snapshot, asked, question.rows, question.full_feature_names, known)
        return response, self._written(response, question, form)

    async def _in_rounds(
        self, rounds: Rounds, snapshot: Snapshot, asked: list[str] | str, question: Question, known: bool
    ) -> OnlineResponse:
        reader = self._context.store.reader
        steps = reader.steps(snapshot, asked, question.rows, question.full_feature_names, known)
        wanted = next(steps)
        try:
            while True:
                wanted = steps.send(await rounds.read(wanted))
        except StopIteration as done:
            response: OnlineResponse = done.value
            return response

    def _written(self, response: OnlineResponse, question: Question, form: Form) -> bytes:
        given = tuple(question.entities)
        if form is Form.JSON:
            return self._forms.write(response, given, question.lean, question.known_through)
        write = msgpack if form is Form.MSGPACK else arrow
        return write(response, given, question.lean, question.known_through)

    def _kept(
        self, service: str, question: Question, form: Form, snapshot: Snapshot
    ) -> tuple[Hashable | None, bytes | None]:
        """Under what an answer is kept, and one that is; nothing for keys that no answer can have."""
        entities = tuple((name, tuple(values)) for name, values in question.entities.items())
        key = service, question.full_feature_names, question.lean, form, entities
        try:
            kept = self._cache.get(service, key, snapshot)
        except TypeError:  # a list or a dict where a key should be: the read says so
            return None, None
        self._context.metrics.cached(service, kept is not None)
        return key, kept

    def _count(self, response: OnlineResponse, seconds: float) -> None:
        parts = made_of(response)
        for of, answer in zip(parts.views, parts.answers, strict=False):
            absent = 0 if answer.absent is None else sum(answer.absent)
            newest = max((one for one in answer.instants() if one is not None), default=None)
            self._context.metrics.served(of.view, len(answer.events), absent, seconds, newest)

    def _check_count(self, count: int) -> None:
        most = self._context.settings.max_entities
        if count > most:
            raise HttpError(
                413,
                f"the request is about {count:,} entities; {most:,} are allowed.",
                hint="ask for fewer at once, or raise max_entities under feature_server.",
            )

    def _request_id(self, given: bytes | None) -> bytes:
        """The caller's own, if it is one that can be written into a header; else a new one."""
        if given is not None and _ID.fullmatch(given):
            return given
        return f"{self._prefix}-{next(self._numbers):x}".encode()

    def _refusal(self, wrong: Exception, route: str, request_id: bytes) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """Status, body and header fields of an error."""
        status, named = status_of(wrong), request_id.decode()
        if status >= 500:
            expected = status != 500
            log.log(
                logging.WARNING if expected else logging.ERROR,
                "%s: %s %s: %s", named, route, status, wrong, exc_info=None if expected else wrong,
            )  # fmt: skip
        body = dumps(feast_body_of(wrong, named) if route == POST else body_of(wrong, named))
        fields = wrong.headers if isinstance(wrong, HttpError) else ()
        return status, body, [(name.encode(), value.encode()) for name, value in fields]

    def _too_late(self) -> HttpError:
        seconds = self._patience.seconds
        return HttpError(
            504,
            f"the request was not answered in {seconds:g} seconds.",
            hint="see what keeps the online store busy, or raise timeout under feature_server.",
        )


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
        what = said.decode("latin-1") if read is None else packed.decode("latin-1")
        raise HttpError(
            415, f"the body is {what}.", hint="send application/json or application/msgpack, not compressed."
        )
    return read


def _check_method(method: str, right: str) -> None:
    if method != right:
        raise HttpError(
            405, f"this route takes {right}, not {method}.", hint=f"send {right}.", headers=(("allow", right),)
        )


def _tail(scope: Any) -> bytes:
    """What follows the route in the address, as it was sent."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].partition(GET.encode())[2]


def _ids(headers: dict[bytes, bytes], request_id: bytes) -> Ids:
    model, prediction = (headers.get(name, b"").decode("latin-1") for name in (b"x-model-id", b"x-prediction-id"))
    return Ids(request=request_id.decode(), model=model, prediction=prediction)
