"""From a question to the body of its answer: out of the cache, from the store here, from a thread, or in rounds.

A store on this machine answers faster than a thread could be asked, so it is read in the event loop, except for many
entities at once, which would keep everybody else waiting. A store that is far away is read in rounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from time import perf_counter

from gnomon.contracts.registry import Snapshot
from gnomon.errors import RequestError
from gnomon.flows.responses import OnlineResponse, made_of
from gnomon.server.context import Context
from gnomon.server.hot.asked import Question, fitted
from gnomon.server.hot.cache import Cache
from gnomon.server.hot.formats import Form, arrow, msgpack
from gnomon.server.hot.patience import Patience, TooLate
from gnomon.server.hot.rounds import Rounds
from gnomon.server.hot.written import Forms
from gnomon.server.metrics import Quiet
from gnomon.server.problems import HttpError
from gnomon.server.recording import Ids

__all__ = ["MANY", "Answering", "Inquiry"]

SAID = (b"x-model-id", b"x-prediction-id")
MANY = 2_000
"""From so many entities on a request is answered in a thread: it takes milliseconds."""


@dataclass(slots=True)
class Inquiry:
    """A request, as far as it matters for its answer.

    Args:
        question: what it asks.
        form: what its answer is to be written in.
        headers: its header fields.
        id: what it is called.
        began: when it began, on the performance counter.
        asked: the features, or a service's name.
        count: how many entities it is about.
    """

    question: Question
    form: Form
    headers: Mapping[bytes, bytes]
    id: bytes
    began: float
    asked: list[str] | str
    count: int

    @property
    def ids(self) -> Ids:
        """What it is called, and by whom."""
        model, prediction = (self.headers.get(name, b"").decode("latin-1") for name in SAID)
        return Ids(self.id.decode(), model or None, prediction or None)


class Answering:
    """Answers questions.

    Args:
        context: what the server's routes share.
        patience: how long an answer may take.
    """

    def __init__(self, context: Context, patience: Patience) -> None:
        self._context, self._patience, store = context, patience, context.store
        self._forms = Forms()
        self._cache = Cache(context.settings.max_staleness, store.clock)
        self.is_far = store.online.capabilities.remote
        """Whether the store is read over a network, so that each answer has to be waited for."""
        self._rounds = Rounds(store.online.read) if self.is_far else None
        self._counted = not isinstance(context.metrics, Quiet)
        context.definitions.before.append(lambda found: store.reader.prepared(found))

    def close(self) -> None:
        """Wait for what was begun."""
        if self._rounds is not None:
            self._rounds.close()

    def at_once(self, asks: Inquiry) -> bytes | None:
        """The body of an answer; None if it has to be waited for.

        Raises:
            GnomonError: the question cannot be answered.
        """
        asked, most = asks.asked, self._context.settings.max_entities
        if asks.count > most:
            raise _too_many(asks.count, most)
        if type(asked) is str and self._cache.is_for(asked) and not self._is_recorded(asks):
            kept = self._kept(asked, asks)
            if kept is not None:
                return kept
        if self._rounds is not None or asks.count >= MANY:
            return None
        return self._here(asks)

    async def later(self, asks: Inquiry) -> bytes:
        """The same for what has to be waited for.

        Raises:
            HttpError: 504, it took too long.
            GnomonError: the question cannot be answered.
        """
        try:
            if self._rounds is None:
                return await self._patience.during(asyncio.to_thread(self._here, asks))
            return await self._patience.during(self._in_rounds(self._rounds, asks))
        except TooLate:
            raise _too_late(self._patience.seconds) from None

    def _here(self, asks: Inquiry) -> bytes:
        context, question = self._context, asks.question
        snapshot, recorded = context.definitions.snapshot, self._is_recorded(asks)
        known, full = question.known_through or recorded, question.full_feature_names
        while True:
            try:
                response = context.store.reader.read(snapshot, asks.asked, question.rows, full, known)
                return self._finished(asks, response, snapshot, recorded)
            except RequestError as wrong:
                if not fitted(question, wrong, snapshot):
                    raise

    async def _in_rounds(self, rounds: Rounds, asks: Inquiry) -> bytes:
        context, question = self._context, asks.question
        snapshot, recorded = context.definitions.snapshot, self._is_recorded(asks)
        known, full = question.known_through or recorded, question.full_feature_names
        while True:
            steps = context.store.reader.steps(snapshot, asks.asked, question.rows, full, known)
            try:
                wanted = next(steps)
                while True:
                    wanted = steps.send(await rounds.read(wanted))
            except StopIteration as done:
                response: OnlineResponse = done.value
                break
            except RequestError as wrong:
                if not fitted(question, wrong, snapshot):
                    raise
        if asks.count < MANY:
            return self._finished(asks, response, snapshot, recorded)
        return await asyncio.to_thread(self._finished, asks, response, snapshot, recorded)

    def _finished(self, asks: Inquiry, response: OnlineResponse, snapshot: Snapshot, recorded: bool) -> bytes:
        """The answer written down; kept, recorded and counted where that is wanted."""
        body, asked = self._written(asks, response), asks.asked
        if type(asked) is str:
            if recorded:
                self._context.recorder.keep(response, asked, asks.ids)
            elif self._cache.is_for(asked) and not asks.question.known_through:
                self._cache.put(_key(asks), body, snapshot, response.at)
        if self._counted:
            self._count(response, perf_counter() - asks.began)
        return body

    def _written(self, asks: Inquiry, response: OnlineResponse) -> bytes:
        question, form = asks.question, asks.form
        given = tuple(question.entities)
        if form is Form.JSON:
            return self._forms.write(response, given, question.lean, question.known_through)
        write = msgpack if form is Form.MSGPACK else arrow
        return write(response, given, question.lean, question.known_through)

    def _is_recorded(self, asks: Inquiry) -> bool:
        asked = asks.asked
        return type(asked) is str and self._context.recorder.wants(asked, asks.id.decode())

    def _kept(self, service: str, asks: Inquiry) -> bytes | None:
        """An answer to the same question that is not too old; none where it shall say what it knew."""
        if asks.question.known_through:
            return None
        try:
            kept = self._cache.get(service, _key(asks), self._context.definitions.snapshot)
        except TypeError:  # a list or a dict where a key should be: the read says so
            return None
        self._context.metrics.cached(service, kept is not None)
        return kept

    def _count(self, response: OnlineResponse, seconds: float) -> None:
        parts = made_of(response)
        for of, answer in zip(parts.views, parts.answers, strict=False):
            absent = 0 if answer.absent is None else sum(answer.absent)
            events = answer.instants()
            newest = max((one for one in events if one is not None), default=None)
            self._context.metrics.served(of.view, len(events), absent, seconds, newest)


def _key(asks: Inquiry) -> Hashable:
    """What the answers to one question have in common: all that their bytes depend on."""
    question = asks.question
    # 1, 1.0 and True are one key to a dict, and not to a reader.
    entities = tuple((name, tuple(values), tuple(map(type, values))) for name, values in question.entities.items())
    return question.feature_service, question.full_feature_names, question.lean, asks.form, entities


def _too_many(count: int, most: int) -> HttpError:
    return HttpError(
        413,
        f"the request is about {count:,} entities; {most:,} are allowed.",
        hint="ask for fewer at once, or raise max_entities under feature_server.",
    )


def _too_late(seconds: float) -> HttpError:
    return HttpError(
        504,
        f"the request was not answered in {seconds:g} seconds.",
        hint="see what keeps the online store busy, or raise timeout under feature_server.",
    )
