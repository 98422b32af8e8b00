"""Requests for random entities, and the time that each takes.

    timed(lambda keys: [table[key] for key in keys], people=1_000_000)      # {"1": (p50, p99), "10": …}, µs

It needs nothing but Python, so that an interpreter of another environment can run it too.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["Spent", "features_asked", "timed"]

Spent = dict[str, tuple[float, float]]
"""By how many entities were asked for: p50 and p99 of what a request took, µs."""
REQUESTS = 2_000


def timed(
    ask: Callable[[Any], Any],
    people: int,
    sizes: Sequence[int],
    form: Callable[[int], Any] = lambda key: key,
) -> Spent:
    """What requests for so many entities take, for each size.

    Args:
        ask: answers a request.
        people: keys are below this.
        sizes: how many entities to ask for at once.
        form: makes of a key what `ask` takes a list of; done beforehand.
    """
    return {
        str(size): _percentiles(ask, [[form(key) for key in keys] for keys in _requests(size, people)])
        for size in sizes
    }


def features_asked(store: Any, references: list[str], people: int, sizes: Sequence[int]) -> Spent:
    """The same of a feature store, asked for these features of users."""
    return timed(
        lambda rows: store.get_online_features(references, rows).to_dict(), people, sizes, lambda key: {"user_id": key}
    )


def _requests(size: int, people: int) -> Iterator[list[int]]:
    """Fewer requests the larger they are."""
    chance = random.Random(size)
    for _ in range(max(REQUESTS * 10 // (size + 9), 50)):
        yield [chance.randrange(people) for _ in range(size)]


def _percentiles(ask: Callable[[Any], Any], asked: list[Any]) -> tuple[float, float]:
    """The first tenth of the requests is not counted."""
    spent = []
    for one in asked:
        began = time.perf_counter_ns()
        ask(one)
        spent.append((time.perf_counter_ns() - began) / 1_000)
    spent = sorted(spent[len(spent) // 10 :])
    return spent[len(spent) // 2], spent[int(len(spent) * 0.99)]
