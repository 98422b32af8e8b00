"""Lineage: what a feature comes from, and who uses it, as a graph of nodes and edges.

>>> from gnomon import Entity, FeatureView, Field, FileSource, agg
>>> from gnomon.types import Float64, Int64
>>> spend = FeatureView(name="spend", entities=[Entity(name="user", value_type=Int64)],
...                     source=FileSource(path="payments.parquet", timestamp_field="at"),
...                     inputs=[Field("amount", Float64)], aggregations=[agg.sum("amount", over="7d")])
>>> print(static_lineage(Catalog.of([spend]), spend, "amount_sum_7d"))
source payments.parquet → column amount (value) → aggregation sum('amount') over 7d
source payments.parquet → column at (event time) → aggregation sum('amount') over 7d
source payments.parquet → column user (key) → aggregation sum('amount') over 7d
aggregation sum('amount') over 7d → feature spend@1:amount_sum_7d
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gnomon.core.expressions import parse
from gnomon.core.windows import words_of
from gnomon.definitions.base import FrozenMap
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.on_demand import Input, OnDemandFeatureView, RequestSource
from gnomon.definitions.sources import FileSource, PushSource, Source
from gnomon.definitions.views import FeatureView, Projection, View

__all__ = ["Edge", "Lineage", "Node", "on_demand_lineage", "source_nodes", "static_lineage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One thing in a lineage.

    Args:
        id: what tells it from others.
        kind: `event`, `source`, `column`, `aggregation`, `request value`, `function`, `expression`, `view`, `feature`,
            `on-demand view` or `service`.
        name: what it is called.
        facts: what there is to say of it.
    """

    id: str
    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=FrozenMap)

    @property
    def shown(self) -> str:
        """What it is, in a line."""
        value = f" = {self.facts['value']} ({self.facts['status']})" if "status" in self.facts else ""
        return f"{self.kind} {self.name}{value}"


@dataclass(frozen=True, slots=True)
class Edge:
    """One thing comes from another.

    Args:
        start: the id of what is used.
        end: the id of what is made of it.
        role: as what it is used: `key`, `event time`, `known time`, `event id`, `operation`, `value`, `where`; of an
            on-demand feature the name its function has for it; empty where that is plain.
    """

    start: str
    end: str
    role: str = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """A graph: what is made of what.

    Args:
        nodes: the things, in the order in which they come from each other.
        edges: what comes from what.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain data."""
        nodes = [{"id": one.id, "kind": one.kind, "name": one.name, **one.facts} for one in self.nodes]
        edges = [{"from": one.start, "to": one.end, **({"role": one.role} if one.role else {})} for one in self.edges]
        return {"nodes": nodes, "edges": edges}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in self._lines())
        return f"<ul>{items}</ul>"

    def _lines(self) -> Iterator[str]:
        """The edges, one after the other; a column stands between its source and what uses it."""
        named = {one.id: one for one in self.nodes}
        into = {edge.end: edge for edge in self.edges if named[edge.end].kind == "column"}
        for edge in self.edges:
            if named[edge.end].kind == "column":
                continue
            role = f" ({edge.role})" if edge.role else ""
            path = [named[edge.start].shown + role, named[edge.end].shown]
            if edge.start in into:
                path.insert(0, named[into[edge.start].start].shown)
            yield " → ".join(path)


def static_lineage(catalog: Catalog, view: FeatureView, feature: str) -> Lineage:
    """What a feature is defined to come from, and the on-demand views and services that use it.

    Args:
        catalog: the registered definitions.
        view: the feature's view.
        feature: its name.
    """
    source = view.source
    target = Node(id=f"{view.id}:{feature}", kind="feature", name=f"{view.id}:{feature}", facts=_facts(view, feature))
    maker = _maker(view, feature) or target
    sources, edges = source_nodes(source)
    columns = {}
    for role, column in _columns(view, feature):
        columns[column] = Node(id=f"{source.name}.{column}", kind="column", name=column)
        edges += [Edge(f"source:{source.name}", columns[column].id), Edge(columns[column].id, maker.id, role)]
    if maker is not target:
        edges.append(Edge(maker.id, target.id))
    services = _users(catalog, view, feature)
    edges += [Edge(target.id, one.id) for one in services]
    made = [maker] if maker is not target else []
    nodes = [*sources, *columns.values(), *made, target, *services]
    return Lineage(tuple(nodes), tuple(dict.fromkeys(edges)))


def on_demand_lineage(catalog: Catalog, view: OnDemandFeatureView, feature: str) -> Lineage:
    """What an on-demand feature is defined to be computed from, down to the sources, and the services that use it.

    Args:
        catalog: the registered definitions.
        view: the feature's view.
        feature: its name.
    """
    nodes, edges = dict[str, Node](), list[Edge]()
    target = _computed(nodes, edges, catalog, view, feature)
    services = _users(catalog, view, feature)
    edges += [Edge(target.id, one.id) for one in services]
    return Lineage((*nodes.values(), *services), tuple(dict.fromkeys(edges)))


def _computed(
    nodes: dict[str, Node], edges: list[Edge], catalog: Catalog, view: OnDemandFeatureView, feature: str
) -> Node:
    """An on-demand feature's node, after all that it comes from."""
    maker = _computation(view, feature)
    for one in view.wanted if view.mode != "sql" else _looked_at(view, feature):
        start = _input(nodes, edges, catalog, one)
        edges.append(Edge(start.id, maker.id, one.name if one.name != one.feature else ""))
    target = Node(id=f"{view.id}:{feature}", kind="feature", name=f"{view.id}:{feature}", facts=_facts(view, feature))
    nodes |= {maker.id: maker, target.id: target}
    edges.append(Edge(maker.id, target.id))
    return target


def _input(nodes: dict[str, Node], edges: list[Edge], catalog: Catalog, one: Input) -> Node:
    """An input's node, after all that it comes from."""
    source = one.source
    if isinstance(source, RequestSource):
        facts = FrozenMap({"type": str(one.dtype)})
        made = Node(id=f"request:{source.name}.{one.feature}", kind="request value", name=one.feature, facts=facts)
        nodes[made.id] = made
        return made
    if isinstance(source.view, OnDemandFeatureView):
        return _computed(nodes, edges, catalog, source.view, one.feature)
    assert isinstance(source.view, FeatureView)
    behind = static_lineage(Catalog(), source.view, one.feature)
    nodes.update({node.id: node for node in behind.nodes})
    edges += behind.edges
    return nodes[f"{source.view.id}:{one.feature}"]


def _computation(view: OnDemandFeatureView, feature: str) -> Node:
    """What makes an on-demand feature: a function, or an expression."""
    if view.code is not None:
        facts = FrozenMap({"place": view.code.place, "hash": view.code.hash, "mode": view.mode})
        return Node(id=f"function:{view.id}", kind="function", name=view.code.place, facts=facts)
    text = view.expressions[feature]
    return Node(id=f"expression:{view.id}:{feature}", kind="expression", name=text, facts=FrozenMap({"mode": "sql"}))


def _looked_at(view: OnDemandFeatureView, feature: str) -> list[Input]:
    """The inputs of one expression."""
    known, columns = view.inputs, parse(view.expressions[feature], value=True).columns
    return [known[name] for name in columns]


def _facts(view: View, feature: str) -> FrozenMap[str, Any]:
    dtypes = {one.name: str(one.dtype) for one in view.schema}
    return FrozenMap({"view": view.id, "type": dtypes.get(feature)})


def _maker(view: FeatureView, feature: str) -> Node | None:
    """The aggregation that makes a feature of a windowed view."""
    for one in view.aggregations:
        for name, window in zip(one.feature_names, one.over, strict=True):
            if name == feature:
                of = f"{one.function}({one.column and repr(one.column)})"
                where = f" where {one.where}" if one.where else ""
                return Node(
                    id=f"aggregation:{view.id}:{feature}",
                    kind="aggregation",
                    name=f"{of}{where} over {words_of(window)}",
                    facts=FrozenMap({"function": one.function, "window": words_of(window), "where": one.where or None}),
                )
    return None


def source_nodes(source: Source) -> tuple[list[Node], list[Edge]]:
    """A source, and before it the files beside its log, if it has some."""
    made = [_source(source)]
    if isinstance(source, PushSource) and source.batch_source is not None:
        made.insert(0, _source(source.batch_source))
    return made, [Edge(made[0].id, made[1].id)] if len(made) > 1 else []


def _source(source: Source) -> Node:
    facts = {"type": type(source).__name__, "path": source.path if isinstance(source, FileSource) else None}
    return Node(id=f"source:{source.name}", kind="source", name=source.name, facts=FrozenMap(facts))


def _columns(view: FeatureView, feature: str) -> Iterator[tuple[str, str]]:
    """The columns of the source that decide a feature's value, each with its role."""
    source = view.source
    if not view.aggregations:
        yield "value", feature
    for one in view.aggregations:
        if feature in one.feature_names:
            yield from (("value", one.column),) if one.column else ()
            yield from (("where", column) for column in one.columns if column != one.column)
    yield from (("event time", source.timestamp_field),) if source.timestamp_field else ()
    known = source.created_timestamp_column if isinstance(source, FileSource) else ""
    yield from (("known time", known),) if known else ()
    if view.aggregations:
        roles = {"event id": source.event_id, "operation": source.operation}
        yield from ((role, column) for role, column in roles.items() if column)
    yield from (("key", key) for key in view.join_keys)


def _users(catalog: Catalog, view: View, feature: str) -> list[Node]:
    """Who uses a feature: on-demand views, and services."""
    looking = [
        one
        for one in catalog.on_demand_views.values()
        for used in one.wanted
        if isinstance(used.source, Projection) and (used.source.view.id, used.feature) == (view.id, feature)
    ]
    views = [Node(id=f"view:{one.id}", kind="on-demand view", name=one.id) for one in dict.fromkeys(looking)]
    return [*views, *_services(catalog, view, feature)]


def _services(catalog: Catalog, view: View, feature: str) -> list[Node]:
    using = [
        one
        for one in catalog.services.values()
        if any(part.view.id == view.id and feature in part.feature_names for part in one.features)
    ]
    facts = [FrozenMap({"owner": one.owner} if one.owner else {}) for one in using]
    return [
        Node(id=f"service:{one.name}", kind="service", name=one.name, facts=told)
        for one, told in zip(using, facts, strict=True)
    ]
