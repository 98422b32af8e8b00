"""Events as they are, in one SELECT; and what of it a windowed view's events need, too: versions and conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pyarrow as pa

from gnomon import types
from gnomon.core.expressions import TypedExpression
from gnomon.definitions.sources import Source
from gnomon.definitions.views import FeatureView
from gnomon.engines.duckdb.origins import Origin
from gnomon.engines.duckdb.scan import columns_of, quoted
from gnomon.plan.events import EVENT, GONE, ID, KNOWN, condition_column, conditions_of, input_columns
from gnomon.plan.questions import EventsQuestion

__all__ = ["KEYS", "condition_terms", "event_schema", "events_query", "is_delete", "keys_query", "version_columns"]

KEYS = "keys_asked"
"""The table of keys whose events are wanted, where not all are."""


def events_query(question: EventsQuestion, origin: Origin) -> str:
    """A SELECT of a view's events, ordered by join keys, event time and known time.

    Args:
        question: the view, and what is wanted of its events.
        origin: where they come from.
    """
    view = question.view
    keys = [f"k{place}" for place in range(len(view.join_keys))]
    rows = origin.rows(more=version_columns(view.source), places=question.places)
    terms = {name: f"p.{key}" for name, key in zip(view.join_keys, keys, strict=True)}
    terms |= {EVENT: "p.e", KNOWN: "p.w"}
    terms |= {ID: "p.id"} if view.source.event_id else {}
    terms |= {GONE: _gone(view)} if view.source.operation else {}
    of_inputs = {name: f"p.f{place}" for place, name in enumerate(input_columns(view))}
    terms |= {name: term for name, term in of_inputs.items() if name not in terms}
    places = {field.name: f"p.f{place}" for place, field in enumerate(columns_of(view))}
    conditions = condition_terms(conditions_of(view), places.__getitem__)
    terms |= {condition_column(where): term for where, term in conditions}
    terms |= {name: f"p.{quoted(name)}" for name in (origin.places if question.places else ())}
    there = " and ".join(f"p.{key} is not null" for key in keys) or "true"
    order = ", ".join([*(f"p.{key}" for key in keys), "p.e", "p.w"])
    # Names come later: to DuckDB, two that differ by case alone are one.
    selected = ", ".join(f"{term} as c{place}" for place, term in enumerate(terms.values()))
    return f"select {selected} from ({rows}) p{_of_keys(question, keys)} where {there} order by {order}"


def keys_query(view: FeatureView, origin: Origin, count: int, seed: int) -> str:
    """A SELECT of so many different keys, in an order that is random and the same for a seed.

    Args:
        view: the view; it has join keys.
        origin: where its rows come from.
        count: how many.
        seed: another one gives other keys.
    """
    keys = [f"k{place}" for place in range(len(view.join_keys))]
    there = " and ".join(f"{key} is not null" for key in keys)
    different = f"select distinct {', '.join(keys)} from ({origin.rows()}) where {there}"
    order = ", ".join([f"hash({', '.join(keys)}, {seed})", *keys])
    return f"select * from ({different}) order by {order} limit {count}"


def event_schema(question: EventsQuestion, origin: Origin, found: pa.Schema) -> pa.Schema:
    """The names and types of what `events_query` gives.

    Args:
        question: the view, and what is wanted of its events.
        origin: where they come from.
        found: DuckDB's types: ids, and what logs say besides, are as their source has them.
    """
    view = question.view
    named = {one.name: types.to_arrow(one.dtype) for one in view.entity_columns}
    named |= {EVENT: pa.int64(), KNOWN: pa.int64()}
    named |= {ID: found.types[len(named)]} if view.source.event_id else {}
    named |= {GONE: pa.bool_()} if view.source.operation else {}
    named |= {name: types.to_arrow(one.dtype) for name, one in input_columns(view).items() if name not in named}
    named |= {condition_column(where): pa.bool_() for where in conditions_of(view)}
    more = origin.places if question.places else ()
    return pa.schema([*named.items(), *zip(more, found.types[len(named) :], strict=True)])


def version_columns(source: Source) -> dict[str, str]:
    """What says which event a row is a version of, and what it does to it: name in the answer → column."""
    more = {"id": source.event_id, "op": source.operation}
    return {new: name for new, name in more.items() if name}


def is_delete(operation: str) -> str:
    """Whether an operation is a delete; what is neither that nor an upsert fails the query."""
    complaint = f"error(concat('the operation ', {operation}, ' is neither upsert nor delete'))"
    known = f"when {operation} is null or {operation} = 'upsert' then false when {operation} = 'delete' then true"
    return f"case {known} else {complaint} end"


def condition_terms(
    conditions: Mapping[str, TypedExpression], place: Callable[[str], str]
) -> Iterable[tuple[str, str]]:
    """Of each condition, by its text, whether it is true; null is not.

    Args:
        conditions: the conditions, by their text.
        place: gives the term that stands for a column.
    """
    return [(where, f"{condition.sql(place)} is true") for where, condition in conditions.items()]


def _gone(view: FeatureView) -> str:
    """Row views do not look at operations, so one that is unknown is no error to them."""
    return is_delete("p.op") if view.aggregations else "coalesce(p.op = 'delete', false)"


def _of_keys(question: EventsQuestion, keys: list[str]) -> str:
    if question.keys is None or not keys:
        return ""
    names = zip(keys, question.view.join_keys, strict=True)
    return f" semi join {KEYS} q on {' and '.join(f'p.{key} = q.{quoted(name)}' for key, name in names)}"
