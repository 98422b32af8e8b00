"""A question about a windowed view, worked out: which columns of which events are needed, and what is made of them.

The kernel (`gnomon.core.kernel`) does the computing; an engine brings it the events. So an engine knows of a window
only how far back it reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gnomon.core.aggregations.vectors import Vector
from gnomon.core.expressions import TypedExpression
from gnomon.core.kernel.part import Job
from gnomon.core.windows import FOREVER
from gnomon.definitions.views import FeatureView
from gnomon.plan.questions import AsKnown, ViewQuestion
from gnomon.types import FeatureType

__all__ = ["WindowedPlan", "lengths_of", "windowed_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedPlan:
    """What answers a question about a windowed view.

    Args:
        view: the view, resolved.
        jobs: the aggregations to compute.
        names: (feature, type) of each answer, job by job, window by window.
        columns: the columns of events that are aggregated, in name order.
        ties: those that settle which of two versions holds, in name order; empty where events have no versions.
        conditions: the conditions, by their text.
        lengths: how many elements vectors have, by column.
        reach: how far back of an instant an event can count, µs; None if that has no bound, or if versions of one event
            may lie anywhere.
        since: events before this instant (µs) cannot count; None where any may.
        until: events after this instant (µs) cannot count; None where any may.
        known_matters: whether known times decide anything.
    """

    view: FeatureView
    jobs: tuple[Job, ...]
    names: tuple[tuple[str, FeatureType], ...]
    columns: tuple[str, ...]
    ties: tuple[str, ...]
    conditions: Mapping[str, TypedExpression]
    lengths: Mapping[str, int]
    reach: int | None
    since: int | None
    until: int | None
    known_matters: bool


def windowed_plan(question: ViewQuestion, as_known: AsKnown, span: tuple[int, int]) -> WindowedPlan:
    """The plan for the features asked of one view.

    Args:
        question: the view and the features asked.
        as_known: how much hindsight is allowed.
        span: the least and the greatest instant asked, in µs.
    """
    view = question.view
    asked = {feature for feature, _ in question.features}
    types = {one.name: one.dtype for one in view.inputs}
    dtypes = {one.name: one.dtype for one in view.schema}
    jobs, names = [], []
    conditions: dict[str, TypedExpression] = {}
    for one in view.aggregations:
        wanted = [pair for pair in zip(one.feature_names, one.over, strict=True) if pair[0] in asked]
        if wanted:
            jobs.append(Job(one.made(), one.column, one.where, tuple(dict.fromkeys(window for _, window in wanted))))
            names += [(name, dtypes[name]) for name, _ in wanted]
            if condition := one.condition(types):
                conditions[one.where] = condition
    versioned = bool(view.source.event_id)
    reaches = [window.reach for job in jobs for window in job.windows]
    reach = None if versioned or None in reaches else max(one or 0 for one in reaches)
    ties = tuple(sorted(types)) if versioned else ()
    return WindowedPlan(
        view=view,
        jobs=tuple(jobs),
        names=tuple(names),
        columns=tuple(sorted({*ties, *(job.column for job in jobs if job.column)})),
        ties=ties,
        conditions=conditions,
        lengths=lengths_of(view),
        reach=reach,
        since=None if reach is None else max(span[0] - reach, -FOREVER),
        until=None if versioned else span[1],
        known_matters=versioned or as_known != "now" or any(job.function.needs_order for job in jobs),
    )


def lengths_of(view: FeatureView) -> dict[str, int]:
    """How many elements vectors have that are aggregated element by element, by column."""
    made = ((one.column, one.made()) for one in view.aggregations)
    return {column: function.length for column, function in made if isinstance(function, Vector)}
