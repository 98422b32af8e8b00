"""A limit of rate: so many requests a second, and a second's worth of them at once.

The generic cell rate algorithm (ITU-T I.371): one number, the instant at which all that was let through would have come
at an even pace. It is a token bucket that needs no filling.
"""

from __future__ import annotations

from gnomon.server.problems import HttpError

__all__ = ["Rate"]

_SECOND = 1_000_000_000


class Rate:
    """Lets so many requests a second through.

    Args:
        limit: how many; 0 for any number.

    >>> rate = Rate(2)
    >>> [rate.wait(at) for at in (0, 0, 0, 500_000)]
    [0, 0, 500000000, 0]
    """

    __slots__ = ("_even", "_step", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._step = _SECOND // limit if limit else 0
        self._even = 0

    def wait(self, now: int) -> int:
        """Take one request in, or say how many ns it is too early for it.

        Args:
            now: the instant, µs.
        """
        at = now * 1000
        ahead = self._even - at
        if ahead < 0 or ahead > _SECOND + self._step:  # it was idle; or the clock was set back
            ahead = 0
        ahead += self._step
        if ahead > _SECOND:
            return ahead - _SECOND
        self._even = at + ahead
        return 0

    def exceeded(self, wait: int) -> HttpError:
        """The 429 that says when to come again."""
        seconds = str(-(-wait // _SECOND))
        return HttpError(
            429,
            f"more than {self.limit} requests a second came with this key.",
            hint="ask for many entities in one request, or have a key made with a higher --rate-limit.",
            headers=(
                ("retry-after", seconds),
                ("ratelimit-policy", f'"key";q={self.limit};w=1'),
                ("ratelimit", f'"key";r=0;t={seconds}'),
            ),
        )
