"""How much memory an answer takes, about; told in a few µs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gnomon.flows.responses import Asked, OnlineResponse
from gnomon.types import Array, Bytes, FeatureType, String

__all__ = ["Weights"]

RESPONSE, CELL, ELEMENT = 2_000, 80, 40
"""Bytes for an answer, for a value in it with its status and its event time, and for an element of an array."""
MOST_QUESTIONS = 1_000

Wide = tuple[tuple[int, int, Callable[[Any], int]], ...]
"""(part, place, weight of a value) of the features whose values are of no fixed size."""


class Weights:
    """Weighs answers; what a question has of wide features is worked out once."""

    def __init__(self) -> None:
        self._wide: dict[int, tuple[object, Wide]] = {}

    def of(self, response: OnlineResponse) -> int:
        """About how many bytes an answer takes."""
        order = response._order
        known = self._wide.get(id(order))
        if known is None:
            if len(self._wide) >= MOST_QUESTIONS:
                self._wide.clear()
            known = self._wide[id(order)] = order, _wide(order)
        cells = len(response) * (len(order) + len(response._keys))
        found = RESPONSE + CELL * cells
        for part, place, weight in known[1]:
            found += sum(weight(value) for value in response._answers[part].columns[place] if value is not None)
        return found


def _wide(order: dict[str, Asked]) -> Wide:
    weighed = ((asked.part, asked.place, _weight(asked.dtype)) for asked in order.values())
    return tuple((part, place, weight) for part, place, weight in weighed if weight is not None)


def _weight(dtype: FeatureType) -> Callable[[Any], int] | None:
    if isinstance(dtype, Array):
        element = _weight(dtype.element)
        if element is None:
            return lambda values: ELEMENT * len(values)
        return lambda values: sum(ELEMENT + element(one) for one in values if one is not None)
    return len if dtype in (String, Bytes) else None
