"""What both clients share: how a server is reached, who asks, how often is asked again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import httpx

from gnomon import __version__
from gnomon.client.attempts import Budget, Outcome, Retries, tried
from gnomon.client.calls import Call
from gnomon.client.lanes import Lanes
from gnomon.client.problems import away, error_of
from gnomon.clock import Clock, SystemClock
from gnomon.errors import RequestError

__all__ = ["Connection", "Key"]

T = TypeVar("T")
Key = str | Callable[[], str] | None
"""An API key, or a token; or what gives the one that is good now."""

CONNECT = 2.0
"""Seconds to wait for a connection, at most."""


@dataclass(kw_only=True, repr=False)
class Connection:
    """What a client knows of its server, but for how to send.

    Args:
        base_url: the server's address.
        api_key: who asks.
        timeout: seconds that an online read may take, each time it is tried.
        slow_timeout: seconds that anything else may take.
        connections: how many at most.
        retries: how often is asked again.
        headers: header fields of every request.
        model_id: which model asks, for the log of what was served.
        producer: what pushes are told apart by.
        clock: says what time it is.
        chance: spreads pauses.
    """

    base_url: str
    api_key: Key
    timeout: float
    slow_timeout: float
    connections: int
    retries: Retries
    headers: Mapping[str, str]
    model_id: str | None
    producer: str | None
    clock: Clock = field(default_factory=SystemClock)
    chance: Random = field(default_factory=Random)

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.base_url)
        except (httpx.InvalidURL, TypeError):
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            raise RequestError(
                f"{self.base_url!r:.200} is no address of a server.", hint="write http://127.0.0.1:6566."
            )
        self.budget = Budget(self.retries)
        self.lanes = Lanes(self.producer, self.clock)

    @property
    def options(self) -> dict[str, Any]:
        """What httpx is told."""
        return {
            "limits": httpx.Limits(max_connections=self.connections, max_keepalive_connections=self.connections),
            "timeout": self.timeout,
        }

    def request(self, build: Callable[..., httpx.Request], call: Call[Any]) -> httpx.Request:
        """The request of a question, with an id that stays the same however often it is sent.

        Args:
            build: makes one, as httpx's clients do.
            call: the question.
        """
        seconds = self.slow_timeout if call.slow else self.timeout
        headers = {"user-agent": f"gnomon/{__version__}", "x-request-id": secrets.token_hex(8)}
        headers |= {**self.headers, **call.headers}
        if (key := self.api_key() if callable(self.api_key) else self.api_key) is not None:
            headers["authorization"] = f"Bearer {key}"
        return build(
            call.method,
            f"{self.base_url}{call.path}",
            params=call.params or None,
            content=call.body,
            headers=headers,
            timeout=httpx.Timeout(seconds, connect=min(seconds, CONNECT)),
        )

    def ids(self, request_id: str | None, prediction_id: str | None) -> dict[str, str | None]:
        """What a question is called, as header fields."""
        return {"x-request-id": request_id, "x-model-id": self.model_id, "x-prediction-id": prediction_id}

    def tried(self, call: Call[Any]) -> Generator[float | None, Outcome | None, Outcome]:
        """The steps of a question."""
        return tried(again=call.again, retries=self.retries, budget=self.budget, clock=self.clock, chance=self.chance)

    def answered(self, call: Call[T], outcome: Outcome) -> T:
        """The answer in what came back.

        Raises:
            GnomonError: there is none, or it is an error.
        """
        return call.read(self.response(call, outcome))

    def response(self, call: Call[Any], outcome: Outcome) -> httpx.Response:
        """What came back, if it is an answer.

        Raises:
            GnomonError: it is none.
        """
        if isinstance(outcome, httpx.TransportError):
            raise away(self.base_url, outcome)
        if not call.is_answered(outcome):
            raise error_of(outcome)
        return outcome
