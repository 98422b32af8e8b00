"""Orders by several terms, and what stands beside its like in one."""

from __future__ import annotations

import numpy as np

from gnomon.core.kernel.columns import Ints, Yes

__all__ = ["order_of", "with_neighbours"]

WIDE = 2**62


def order_of(*terms: Ints) -> Ints:
    """The order by several terms, the first the most significant; terms are small and may be negative."""
    packed, span = np.zeros(len(terms[0]), np.int64), 1
    for term in reversed(terms):
        if not len(term):
            return np.empty(0, np.int64)
        least, greatest = int(term.min()), int(term.max())
        packed += (term - least) * span
        span *= greatest - least + 1
        if span >= WIDE:
            return np.lexsort(tuple(reversed(terms)))
    return np.argsort(packed)


def with_neighbours(same: Yes) -> Yes:
    """Which places of an order have one beside them that is alike, from whether each two neighbours are.

    >>> with_neighbours(np.array([False, True, True, False])).tolist()
    [False, True, True, True, False]
    """
    found = np.zeros(len(same) + 1, np.bool_)
    found[1:] |= same
    found[:-1] |= same
    return found
