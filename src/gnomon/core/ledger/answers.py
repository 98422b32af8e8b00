"""What is made of the events of a lane in a window, function by function: the same bits as any other path gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

from gnomon.core.aggregations import INVALID, Function
from gnomon.core.aggregations.counting import Count
from gnomon.core.aggregations.extremes import Max, Min
from gnomon.core.aggregations.summing import INT64, WIDEST, Mean, Sum
from gnomon.core.exact import Total, as_decimal, as_float
from gnomon.core.ledger.layouts import is_numeric, keeps_state, layout_of
from gnomon.core.ledger.shape import Job, Shape
from gnomon.core.ledger.stretches import Stretches
from gnomon.types import Decimal, FeatureType

__all__ = ["Answer", "answer_of"]

Answer = Callable[[Stretches], Any]
"""A lane's events in a window → the value: None for null, `INVALID` where the exact one does not fit."""


def answer_of(shape: Shape, job: Job) -> Answer:
    """How a job is answered."""
    function, lane = job.function, shape.lane(job)
    if isinstance(function, Count):
        return lambda stretches: stretches.count
    if is_numeric(shape, job):
        if isinstance(function, (Min, Max)):
            return _extreme(shape, job)
        return _sum_of_reals(function, lane.dtype) if lane.real else _sum_of_whole(function, lane.dtype)
    if keeps_state(shape, job):
        return _stateful(function, lane.dtype, layout_of(shape).state(job))
    return lambda stretches: function.result(function.of(stretches.events(), lane.dtype), lane.dtype)


def _sum_of_reals(function: Function, dtype: FeatureType) -> Answer:
    of_sum = isinstance(function, Sum)

    def answer(stretches: Stretches) -> float | None:
        count = stretches.count
        if not count:
            return None
        if stretches.finite:
            try:
                total: float = stretches.total
                return total + 0.0 if of_sum else total / count + 0.0
            except OverflowError:
                pass
        exact = Total()
        for one in stretches.terms():
            exact = exact.plus(Total.of(one, dtype))
        return function.result((count, exact), dtype)  # type: ignore[no-any-return]

    return answer


def _sum_of_whole(function: Function, dtype: FeatureType) -> Answer:
    if isinstance(function, Mean):
        return lambda stretches: as_float(stretches.total, dtype) / stretches.count + 0.0 if stretches.count else None
    if isinstance(dtype, Decimal):
        scale = dtype.scale
        return _when_any(lambda total: as_decimal(total, scale) if abs(total) < WIDEST else INVALID)
    return _when_any(lambda total: total if total in INT64 else INVALID)


def _when_any(shown: Callable[[int], Any]) -> Answer:
    return lambda stretches: shown(stretches.total) if stretches.count else None


def _extreme(shape: Shape, job: Job) -> Answer:
    lane = shape.lane(job)
    least = isinstance(job.function, Min)
    pick: Callable[..., Any] = min if least else max
    column = layout_of(shape).extremes(lane)[0 if least else 1]
    assert lane.place is not None
    shown = shape.decoders[lane.place]

    def answer(stretches: Stretches) -> Any:
        if not stretches.count:
            return None
        numbers = stretches.numbers
        if not stretches.finite:
            numbers = [one for one in numbers if one == one]
        found = [pick(numbers)] if numbers else []
        if stretches.rows and stretches.count > stretches.here:
            found.append(pick(stretches.column(column)))
        return shown(pick(found), b"") if found else math.nan

    return answer


def _stateful(function: Function, dtype: FeatureType, place: int) -> Answer:
    def answer(stretches: Stretches) -> Any:
        state = function.of(stretches.events(), dtype)
        kept = map(function.from_bytes, stretches.states(place))
        return function.result(reduce(function.merge, kept, state), dtype)

    return answer
