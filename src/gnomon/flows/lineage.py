"""Lineage of one value: the events it is made of, their source, the view, the feature; an explanation as a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gnomon.clock import instant_text
from gnomon.contracts.registry import Snapshot
from gnomon.definitions.base import FrozenMap
from gnomon.definitions.views import FeatureView
from gnomon.errors import RequestError, listing
from gnomon.flows.explanation import MOST_SHOWN, Explanation, records, shown
from gnomon.flows.wording import place_text, refused
from gnomon.plan.events import FILE
from gnomon.plan.lineage import Edge, Lineage, Node, on_demand_lineage, source_nodes, static_lineage
from gnomon.plan.questions import Computation
from gnomon.plan.references import reference_of, resolve

__all__ = ["get_lineage"]

Explain = Callable[[str, Mapping[str, Any]], Explanation]
"""Explains a feature of an entity."""


def get_lineage(
    snapshot: Snapshot, feature: str, entity_id: Any = None, *, timestamp: Any = None, explain: Explain
) -> Lineage:
    """What a feature comes from; with an entity, what one value of it comes from.

    Args:
        snapshot: the definitions.
        feature: `view:feature`, `view@2:feature` or `view__feature`.
        entity_id: the join keys, or the value of the only one; None for the lineage of the definition.
        timestamp: the instant of the value; it needs an entity.
        explain: explains a feature of an entity.

    Raises:
        RequestError: the question cannot be understood.
        NotRegistered: the view is unknown.
        UnknownFeature: the view has no such feature.
    """
    reference = reference_of(snapshot.catalog, feature)
    meant = resolve(snapshot.catalog, [reference])
    if meant.computed:
        return _on_demand(snapshot, meant.computed[-1], entity_id)
    part = meant.views[0]
    view, name = part.view, part.features[0][0]
    if entity_id is None:
        if timestamp is not None:
            raise RequestError("timestamp= without entity_id=.", hint="say of whom: entity_id={'user_id': 7}.")
        return static_lineage(snapshot.catalog, view, name)
    return _of_value(explain(reference, _keys(view, entity_id)), view)


def _on_demand(snapshot: Snapshot, computation: Computation, entity_id: Any) -> Lineage:
    """What an on-demand feature is defined to be computed from."""
    view, feature = computation.view, computation.features[0][0]
    if entity_id is not None:
        raise refused(view, "the lineage of one value")
    return on_demand_lineage(snapshot.catalog, view, feature)


def _keys(view: FeatureView, entity_id: Any) -> Mapping[str, Any]:
    """The join keys, where there is only one also by its value alone."""
    if isinstance(entity_id, Mapping):
        return entity_id
    if len(view.join_keys) == 1:
        return {view.join_keys[0]: entity_id}
    raise RequestError(
        f"entity_id is {entity_id!r:.80}, and view {view.name!r} has {len(view.join_keys)} join keys.",
        instead=f"They are: {listing(view.join_keys) or 'none'}.",
        hint="pass a dict of them.",
    )


def _of_value(explained: Explanation, view: FeatureView) -> Lineage:
    """Events → source → view → feature."""
    sources, edges = source_nodes(view.source)
    made = [*_events(explained)]
    # What is in files comes from the first source: it is the only one, or it stands beside the log of the other.
    edges = [Edge(one.id, sources[0 if in_file else -1].id) for one, in_file in made] + edges
    of = Node(
        id=f"view:{view.id}",
        kind="view",
        name=view.id,
        facts=FrozenMap(fingerprint=explained.meaning.fingerprint, meaning=explained.meaning.words),
    )
    feature = Node(
        id=explained.feature,
        kind="feature",
        name=explained.feature,
        facts=FrozenMap(
            entity=dict(explained.entity),
            at=instant_text(explained.at),
            as_known=explained.as_known,
            value=shown(explained.value, explained.dtype),
            status=explained.status,
            agrees=explained.agrees,
        ),
    )
    edges += [Edge(sources[-1].id, of.id), Edge(of.id, feature.id)]
    return Lineage((*(one for one, _ in made), *sources, of, feature), tuple(edges))


def _events(explained: Explanation) -> Iterator[tuple[Node, bool]]:
    """The events as nodes, each with whether it is in a file; those too many to name are counted."""
    older = max(len(explained.events) - MOST_SHOWN, 0)
    logged = explained.events.slice(0, older)[FILE].null_count
    for count, in_file in ((older - logged, True), (logged, False)):
        if count:
            where = "files" if in_file else "the log"
            name = f"{count} older ones in {where}"
            yield Node(id=f"event:older in {where}", kind="event", name=name, facts=FrozenMap(count=count)), in_file
    for place, told in enumerate(records(explained.events.slice(older))):
        yield _event(place, told), "file" in told["place"]


def _event(place: int, told: dict[str, Any]) -> Node:
    where = place_text(told["place"])
    values = (f"{name} {'null' if value is None else value}" for name, value in told["values"].items())
    name = ", ".join([where, told["event_time"], *values])
    return Node(id=f"event:{place}", kind="event", name=name, facts=FrozenMap(told))
