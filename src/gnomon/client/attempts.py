"""When a question is asked again: a few times, after longer and longer pauses, and never so often that it does harm.

    steps = tried(again=True, …)
    next(steps)                     # None: send it
    steps.send(response_or_error)   # 0.07: pause so many seconds; then None again; at the end the outcome is returned

A budget bounds what is asked again to a part of what is asked, so that clients do not finish off a server in trouble.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import Random

import httpx

from gnomon.clock import Clock, to_micros
from gnomon.errors import RequestError

__all__ = ["ATTEMPTS", "Budget", "Outcome", "Retries", "retry_after", "tried"]

Outcome = httpx.Response | httpx.TransportError

ATTEMPTS = "gnomon.attempts"
"""Where a response says how often was asked for it."""
PASSING = (429, 502, 503, 504)
"""Statuses that may be others when asked again."""
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_REFUSED = 429
"""What a server says before it does anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a question is asked again.

    Args:
        attempts: how often it is asked at most, the first time included; 1 for no second time.
        base: seconds of the longest first pause; each further one may be twice as long. Pauses are drawn from 0 on.
        most: seconds of the longest pause, and the most that a server may ask to wait.
        budget: of all questions, which part may be asked again on the long run.
        reserve: how many may be, beyond that part, at a time.

    Raises:
        RequestError: one is not usable.
    """

    attempts: int = 3
    base: float = 0.1
    most: float = 5.0
    budget: float = 0.1
    reserve: int = 10

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.base, self.most, self.budget, self.reserve) < 0:
            raise RequestError(f"{self} cannot be followed.", hint="attempts is at least 1, the others at least 0.")


class Budget:
    """How many questions may be asked again now: a bucket that each question fills a little, and each repeat drains.

    Args:
        retries: how large it is, and how much a question fills.
    """

    def __init__(self, retries: Retries) -> None:
        self._most, self._part = float(retries.reserve), retries.budget
        self._left, self._lock = self._most, threading.Lock()

    def asked(self) -> None:
        """A question was asked for the first time."""
        with self._lock:
            self._left = min(self._most, self._left + self._part)

    def take(self) -> bool:
        """Whether one may be asked again; if so, that is counted."""
        with self._lock:
            # A hair less than one will do: ten times 0.1 is not quite 1.
            if self._left < 0.999999:
                return False
            self._left -= 1
            return True


def tried(
    *, again: bool, retries: Retries, budget: Budget, clock: Clock, chance: Random
) -> Generator[float | None, Outcome | None, Outcome]:
    """Say what to do next: None is to send, a number to pause; what came of sending is sent in.

    Args:
        again: whether asking twice does what asking once does.
        retries: how often.
        budget: how many questions more may be asked again.
        clock: says what time it is, where a server names an instant.
        chance: spreads pauses, so that clients do not come back all at once.
    """
    budget.asked()
    attempt = 0
    while True:
        outcome, attempt = (yield None), attempt + 1
        assert outcome is not None
        if isinstance(outcome, httpx.Response):
            outcome.extensions[ATTEMPTS] = attempt
        if attempt == retries.attempts or not _may_pass(outcome, again):
            return outcome
        wanted = retry_after(outcome, clock)
        if wanted > retries.most or not budget.take():
            return outcome
        yield wanted + chance.uniform(0, min(retries.most, retries.base * 2 ** (attempt - 1)))


def retry_after(outcome: Outcome, clock: Clock) -> float:
    """How many seconds the server asks to wait; 0 where it says nothing that can be read."""
    said = outcome.headers.get("retry-after", "") if isinstance(outcome, httpx.Response) else ""
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        return max(0.0, (to_micros(parsedate_to_datetime(said)) - clock.now()) / 1_000_000)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _may_pass(outcome: Outcome, again: bool) -> bool:
    if isinstance(outcome, httpx.Response):
        return outcome.status_code == _REFUSED or (again and outcome.status_code in PASSING)
    return again or isinstance(outcome, NEVER_SENT)
