"""Versions of events: until when each one holds, and which ones never do.

Of one key and one id, the version with the greatest known time holds; of equally known ones that with the greatest
event time, then a delete rather than an event, then the one whose columns compare greatest. A version holds until the
next one is known. A delete holds like any other version, and is no event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gnomon.core.kernel.columns import Ints, Yes
from gnomon.core.kernel.orders import with_neighbours
from gnomon.core.windows import FOREVER

__all__ = ["superseded_at"]

Ties = Callable[[Ints], Sequence[Ints]]


def superseded_at(key: Ints, event: Ints, known: Ints, ids: Ints, has_id: Yes, ties: Ties) -> Ints:
    """For each event the instant at which a later version of it is known; `FOREVER` where there is none.

    A version that ties in known time with one that beats it is superseded as soon as it is known.

    Args:
        key: each event's key.
        event: event times.
        known: known times.
        ids: a number per event that tells its id apart.
        has_id: which events have an id; the others are events of their own.
        ties: for some events, numbers that compare as the values of columns do, the most significant column first;
            asked only where known times tie.
    """
    until = np.full(len(key), FOREVER)
    named = _of_ids_met_again(np.flatnonzero(has_id), ids)
    if len(named) < 2:
        return until
    at = named[np.lexsort((known[named], ids[named], key[named]))]
    one = ids[at]
    same = (one[1:] == one[:-1]) & (key[at[1:]] == key[at[:-1]])
    if not same.any():
        return until
    if (same & (known[at[1:]] == known[at[:-1]])).any():
        at = _settled(at, one, key, event, known, ties)
    older = np.flatnonzero(same)
    until[at[older]] = known[at[older + 1]]
    return until


def _of_ids_met_again(named: Ints, ids: Ints) -> Ints:
    """Those of some events whose id stands at another of them, too: few, as a rule."""
    order = named[np.argsort(ids[named])]
    same = ids[order[1:]] == ids[order[:-1]]
    return order[with_neighbours(same)] if len(order) else order


def _settled(at: Ints, one: Ints, key: Ints, event: Ints, known: Ints, ties: Ties) -> Ints:
    """The same versions, those with equal known times in the order in which they beat each other."""
    return at[np.lexsort((*reversed(ties(at)), event[at], known[at], one, key[at]))]
