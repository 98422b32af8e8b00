"""How pushes are told apart, so that one that is sent again is known by the server, and not appended twice.

A log keeps a number per producer that only goes up. Pushes that are under way at once may come in another order than
they were sent in, so each has a producer to itself, a lane, until it is through; then the next one takes it.
"""

from __future__ import annotations

import secrets

from gnomon.clock import Clock
from gnomon.errors import BackendError, GnomonError

__all__ = ["Lane", "Lanes"]


class Lane:
    """A producer, as a log knows it.

    Args:
        name: what the log calls it.
    """

    def __init__(self, name: str) -> None:
        self.name, self._last = name, -1

    def next(self, now: int) -> dict[str, int]:
        """The offset of the next push: the time in µs, or one more than the last one's; so it goes up over restarts."""
        self._last = max(self._last + 1, now)
        return {self.name: self._last}


class Lanes:
    """The lanes of a client.

    Args:
        producer: how their names begin; two clients that push at the same time must not share it.
        clock: says what time it is.
    """

    def __init__(self, producer: str | None, clock: Clock) -> None:
        self._producer, self._clock = producer or f"client-{secrets.token_hex(6)}", clock
        self._made = 0
        self._free: list[Lane] = []

    def take(self) -> tuple[Lane, dict[str, int]]:
        """A lane that nobody else is on, and the offset of the push."""
        try:
            lane = self._free.pop()
        except IndexError:
            self._made += 1
            lane = Lane(f"{self._producer}/{self._made}")
        return lane, lane.next(self._clock.now())

    def give_back(self, lane: Lane) -> None:
        """Its push is through."""
        self._free.append(lane)

    def failed(self, lane: Lane, offsets: dict[str, int], error: GnomonError) -> None:
        """Its push is not through; where nobody knows whether it is, the error says by which offsets it would be known.

        Then nothing else may come on that lane: the next push would have a greater offset, and this one, sent once
        more, would pass for there.
        """
        if isinstance(error, BackendError):
            error.facts["offsets"] = offsets
            error.offsets = offsets  # type: ignore[attr-defined]
        else:
            self.give_back(lane)
