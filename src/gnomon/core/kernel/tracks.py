"""Tracks: instants of many keys in one sorted array, so that "how many before t, of that key" is one search.

A key's small number and an instant are packed into one int64. Where the instants lie too far apart for that, their
ranks are packed instead. Needles are searched fastest in order: of one key after the other, instants going up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnomon.core.kernel.columns import Ints

__all__ = ["Track"]

ROOM = 2**62


@dataclass(frozen=True, slots=True)
class Track:
    """Sorted (key, instant) pairs.

    Args:
        packed: the pairs, each in one number, sorted.
        base: the least instant, where instants are packed as they are.
        span: what a key is multiplied by.
        ranks: the different instants in order, where ranks are packed; None where they are not needed.
    """

    packed: Ints
    base: int
    span: int
    ranks: Ints | None = None

    @classmethod
    def of(cls, key: Ints, instant: Ints, keys: int) -> Track:
        """The track of pairs that are sorted already.

        Args:
            key: from 0 to `keys` − 1, going up.
            instant: going up within a key.
            keys: how many keys there are.
        """
        made = cls.scale(instant, keys)
        return cls(made.pack(key, instant), made.base, made.span, made.ranks)

    @classmethod
    def scale(cls, instant: Ints, keys: int) -> Track:
        """An empty track on which these instants can be packed."""
        nothing = np.empty(0, np.int64)
        if not len(instant):
            return cls(nothing, 0, 1)
        base, last = int(instant.min()), int(instant.max())
        span = last - base + 2
        if span * max(keys, 1) < ROOM:
            return cls(nothing, base, span)
        ranks = np.unique(instant)
        return cls(nothing, 0, len(ranks) + 1, ranks)

    def pack(self, key: Ints, instant: Ints) -> Ints:
        """(key, instant) pairs, each as one number; instants beyond the track's stand just outside it."""
        if self.ranks is not None:
            return key * self.span + np.searchsorted(self.ranks, instant)
        return key * self.span + (np.clip(instant, self.base, self.base + self.span - 1) - self.base)

    def before(self, key: Ints, instant: Ints) -> Ints:
        """How many pairs come before each (key, instant): those of lesser keys, and of the key those before it."""
        return np.searchsorted(self.packed, self.pack(key, instant))
