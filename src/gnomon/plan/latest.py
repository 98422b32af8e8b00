"""The rows an online store should have, as SQL: of every key the latest row usable by now, and all that still wait.

A narrow pass over keys and instants finds the greatest event time of each key; only its row is then fetched whole.
Ties are settled only where there are any. On 10M rows of 100k keys this takes a fifth of what ranking all rows does.

A whole load reads the source once for each pass and keeps nothing of it. What is new since an instant is little as a
rule: it is read once, into a table, where most of the time would go into finding it again.
"""

from __future__ import annotations

from gnomon.plan.as_of import Step, best_first
from gnomon.plan.questions import LoadQuestion
from gnomon.types import FeatureType

__all__ = ["latest_query", "latest_steps"]


def latest_steps(question: LoadQuestion, rows: str) -> list[Step]:
    """The statements that make `latest(k…, e, w, f…)` from the view's rows.

    Args:
        question: the view and the instants that bound the load.
        rows: a SELECT that gives the view's rows as k…, e, w, f….
    """
    keys, columns = _keys(question), ", ".join(_columns(question))
    of_key = f"partition by {', '.join(keys)}" if keys else ""
    within = f"select {columns} from ({rows}) where {_within(question)}"
    loaded = "select * from loaded" if question.start is not None else within
    usable = f"greatest(e, w) <= {question.now}"
    best = f"""
        create temp table best as select {", ".join([*keys, "max(e) as e"])} from ({loaded}) where {usable}
        {f"group by {', '.join(keys)}" if keys else ""} having count(*) > 0
    """
    latest = f"""
        create temp table latest as select {columns} from (select * from ({loaded}) where {usable})
        join best using ({", ".join([*keys, "e"])})
    """
    settled = f"""
        create or replace temp table latest as select * from latest
        qualify row_number() over ({of_key} order by {best_first(_schema(question))}) = 1
    """
    no_ties = "select (select count(*) from latest) = (select count(*) from best)"
    steps = [Step(best), Step(latest), Step(settled, unless=no_ties)]
    if question.start is not None:
        steps.insert(0, Step(f"create temp table loaded as {within}"))
    if max(question.end, question.known) > question.now:  # else all that happened and was known is usable
        steps.append(Step(f"insert into latest select * from ({loaded}) where not ({usable})"))
    return steps


def latest_query(question: LoadQuestion) -> str:
    """The rows of `latest`, by key: a store that keeps its keys in order is then written from one end to the other."""
    by_key = f"order by {', '.join(_keys(question))}" if question.view.join_keys else ""
    return f"select {', '.join(_columns(question))} from latest {by_key}"


def _keys(question: LoadQuestion) -> list[str]:
    return [f"k{place}" for place in range(len(question.view.join_keys))]


def _schema(question: LoadQuestion) -> list[tuple[str, FeatureType]]:
    return [(f"f{place}", field.dtype) for place, field in enumerate(question.view.schema)]


def _columns(question: LoadQuestion) -> list[str]:
    return [*_keys(question), "e", "w", *(name for name, _ in _schema(question))]


def _within(question: LoadQuestion) -> str:
    """The condition that a row belongs to the load; one whose key has a null part can never be asked for."""
    since = [] if question.start is None else [f"greatest(e, w) > {question.start}"]
    there = [f"{key} is not null" for key in _keys(question)]
    return " and ".join([f"e <= {question.end}", f"w <= {question.known}", *since, *there])
