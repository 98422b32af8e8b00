"""Answers kept in this process for as long as a feature service says they may be old: `max_staleness`.

What is kept is what was sent, byte for byte, so it has the event timestamps it had. It is thrown away when it is too
old, when definitions change, and, those not asked for longest first, when all together are too large.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from datetime import timedelta
from typing import Any

from gnomon.clock import Clock, micros_of

__all__ = ["Cache"]

MOST_BYTES = 64 << 20
LARGEST = 1 << 20
ENTRY = 500
"""What an entry takes beside its body, about, in bytes."""


class Cache:
    """Answers by question, each with the instant it was made.

    Args:
        max_staleness: feature service → how old an answer to it may be.
        clock: says what time it is.
        most: how many bytes all answers may take.
    """

    def __init__(self, max_staleness: Mapping[str, timedelta], clock: Clock, most: int = MOST_BYTES) -> None:
        self._stale = {name: micros_of(one) for name, one in max_staleness.items()}
        self._clock, self._most = clock, most
        self._kept: OrderedDict[Hashable, tuple[int, bytes]] = OrderedDict()
        self._bytes = 0
        self.of: Any = None
        """Of which definitions the answers are."""

    def is_for(self, service: str) -> bool:
        """Whether answers of a service are kept at all."""
        return service in self._stale

    def get(self, service: str, key: Hashable, of: Any) -> bytes | None:
        """An answer that is not too old."""
        if of is not self.of:
            self._kept.clear()
            self.of, self._bytes = of, 0
        found = self._kept.get(key)
        if found is None:
            return None
        if not 0 <= self._clock.now() - found[0] <= self._stale[service]:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found[1]

    def put(self, key: Hashable, body: bytes, of: Any, at: int) -> None:
        """Keep an answer, if there is room for one so large, and it is of the newest definitions.

        Args:
            key: the question.
            body: what was answered.
            of: of which definitions.
            at: as of which instant, µs.
        """
        if of is not self.of or len(body) > min(LARGEST, self._most):
            return
        if key in self._kept:
            self._drop(key)
        self._kept[key] = at, body
        self._bytes += len(body) + ENTRY
        while self._bytes > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        self._bytes -= len(self._kept.pop(key)[1]) + ENTRY
