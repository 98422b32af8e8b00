"""Catalogs: entities, sources, views and services that hang together, with every field given now and then."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from gnomon.core.functions import Code
from gnomon.definitions import agg
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.entities import Entity, Field
from gnomon.definitions.formats import AvroFormat, JsonFormat
from gnomon.definitions.on_demand import OnDemandFeatureView, RequestSource
from gnomon.definitions.services import FeatureService
from gnomon.definitions.sources import FileSource, PushSource, Source
from gnomon.definitions.streams import KafkaSource, RedisStreamSource
from gnomon.definitions.views import FeatureView, Projection
from gnomon.testing.strategies.aggregations import aggregations
from gnomon.testing.strategies.values import feature_types, key_types
from gnomon.types import Array, Bool, String, UnixTimestamp

__all__ = ["definitions"]

_LETTERS = string.ascii_letters + "_"
_names = st.text(_LETTERS + string.digits + ".-", max_size=5).flatmap(
    lambda rest: st.sampled_from(_LETTERS).map(lambda first: first + rest)
)
_columns = st.one_of(
    _names,
    st.text(st.characters(codec="utf-8", exclude_characters=":"), min_size=1, max_size=4).filter(str.isprintable),
)
_words = st.text(st.characters(codec="utf-8"), max_size=6)
_spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4000))
_about: dict[str, st.SearchStrategy[Any]] = {
    "description": _words,
    "owner": _words,
    "tags": st.dictionaries(st.one_of(_words, st.sampled_from(["ref", "kind", "name"])), _words, max_size=2),
}


@st.composite
def definitions(draw: st.DrawFn, max_size: int = 3) -> Catalog:
    """A catalog in which everything referred to is there.

    Args:
        draw: given by Hypothesis.
        max_size: at most so many entities, sources, views and services each.
    """
    entities = draw(_unique(_entities(), max_size))
    files = draw(_unique(_sources(), max_size))
    pushed = draw(_unique(_push_sources(files), max_size))
    sources = [*files, *(one for one in pushed if one.name not in {other.name for other in files})]
    views = draw(_unique(_views(entities, sources), max_size, by=lambda view: view.id)) if sources else []
    given = draw(_unique(_request_sources(), max_size))
    computed = draw(_unique(_on_demand(views, given), max_size, by=lambda view: view.id)) if given else []
    services = draw(_unique(_services([*views, *computed]), max_size)) if views or computed else []
    return Catalog.of([*entities, *sources, *views, *given, *computed, *services])


def _unique(strategy: st.SearchStrategy[Any], max_size: int, by: Any = lambda one: one.name) -> Any:
    return st.lists(strategy, max_size=max_size, unique_by=by)


def _entities() -> st.SearchStrategy[Entity]:
    keys = st.lists(_columns, max_size=3, unique=True)
    return st.builds(Entity, name=_names, join_keys=keys, value_type=st.none() | key_types(), **_about)


def _sources() -> st.SearchStrategy[FileSource]:
    mapping = st.dictionaries(_words, _columns, max_size=2).filter(lambda one: len(set(one.values())) == len(one))
    return st.builds(
        FileSource,
        path=_words.map(lambda text: f"data/{text}.parquet"),
        timestamp_field=st.sampled_from(["", "ts", "happened at"]),
        created_timestamp_column=st.sampled_from(["", "created"]),
        delay=st.none() | _spans,
        event_id=st.sampled_from(["", "id"]),
        name=st.one_of(st.just(""), _names),
        file_format=st.sampled_from(["", "parquet", "csv"]),
        field_mapping=mapping,
        **_about,
    )


_STREAMED: list[tuple[Any, dict[str, Any]]] = [
    (PushSource, {}),
    (KafkaSource, {"kafka_bootstrap_servers": "k1:9092", "topic": "t", "message_format": AvroFormat("{}")}),
    (RedisStreamSource, {"stream": "s", "group": "g", "message_format": JsonFormat("ms")}),
]
"""Push sources, and sources that are push sources to all that does not read their streams."""


@st.composite
def _push_sources(draw: st.DrawFn, files: list[FileSource]) -> PushSource:
    batch = draw(st.sampled_from([None, *(one for one in files if not one.event_id)]))
    columns = [Field("at", UnixTimestamp), Field("id", draw(key_types())), Field("amount", draw(feature_types()))]
    whole = [*columns, *(Field(one, UnixTimestamp) for one in ("ts", "happened at")), Field("what", String)]
    event_id = draw(st.sampled_from(["", "id"]))
    made, where = draw(st.sampled_from(_STREAMED))
    source: PushSource = made(
        name="pushed." + draw(_names),
        schema=() if batch and draw(st.booleans()) else whole,
        timestamp_field=draw(st.sampled_from(["at", "ts"])),
        event_id=event_id,
        operation=draw(st.sampled_from(["", "what"])) if event_id else "",
        batch_source=batch,
        cutover=draw(st.datetimes()) if batch else None,
        **where,
        **{name: draw(strategy) for name, strategy in _about.items()},
    )
    return source


@st.composite
def _views(draw: st.DrawFn, entities: list[Entity], sources: list[Source]) -> FeatureView:
    about = draw(_entity_choices(entities))
    keys = {key for entity in about for key in entity.join_keys}
    declared = [
        Field(key, draw(key_types()))
        for one in about
        if one.value_type is None
        for key in one.join_keys[:1]
        if _free(key)
    ]
    fields = st.builds(
        Field,
        name=_columns.filter(lambda name: name not in keys and _free(name)),
        dtype=feature_types(),
        description=_about["description"],
        tags=_about["tags"],
    )
    some = draw(st.lists(fields, max_size=3, unique_by=lambda one: one.name))
    features: dict[str, Any] = {"schema": some, "ttl": draw(st.none() | _spans)}
    if draw(st.booleans()):
        features = draw(_windowed([one for one in some if not one.name.startswith("f")], keys))
    return FeatureView(
        name=draw(_names),
        source=draw(st.sampled_from(sources)),
        entities=tuple(about),
        online=draw(st.booleans()),
        version=draw(st.integers(1, 3)),
        **{**features, "schema": [*declared, *features["schema"]]},
        **{name: draw(strategy) for name, strategy in _about.items()},
    )


@st.composite
def _windowed(draw: st.DrawFn, columns: list[Field], keys: set[str]) -> dict[str, Any]:
    """What makes a view a windowed one, with the types of none, some or all of the columns that are looked at.

    Args:
        draw: given by Hypothesis.
        columns: what may be looked at; none is called like the features that are drawn, `f0`, `f1`, ….
        keys: the view's join keys.
    """
    types = {one.name: one.dtype for one in columns}
    lengths = {name: 2 for name, dtype in types.items() if isinstance(dtype, Array) and draw(st.booleans())}
    made = [one for one in draw(aggregations(types, lengths=lengths)) if keys.isdisjoint(one.feature_names)]
    chosen = [replace(one, where=draw(_conditions(columns))) for one in made] or [agg.count(over="1h", name="of all")]
    used = {column for one in chosen for column in one.columns}
    known = [one for one in columns if one.name in used and draw(st.booleans())]
    told = draw(st.sampled_from(["schema", "inputs"]))
    if told == "inputs":
        known = [Field(one.name, one.dtype) for one in columns if one.name in used]
    return {"schema": (), "aggregations": tuple(chosen), told: tuple(known)}


def _conditions(columns: list[Field]) -> st.SearchStrategy[str]:
    single = [one.name.replace('"', '""') for one in columns if not isinstance(one.dtype, Array)]
    return st.sampled_from(["", *(f'"{name}" is not null' for name in single)])


def _free(name: str) -> bool:
    return not name.startswith("__")  # a field so called is refused


def _entity_choices(entities: list[Entity]) -> st.SearchStrategy[list[Entity]]:
    """Some of the entities whose join keys do not clash."""

    def apart(chosen: list[Entity]) -> list[Entity]:
        taken: set[str] = set()
        kept = []
        for one in chosen:
            if taken.isdisjoint(one.join_keys):
                taken.update(one.join_keys)
                kept.append(one)
        return kept

    chosen = st.lists(st.sampled_from(entities), max_size=2) if entities else st.just([])
    return chosen.map(apart)


def _request_sources() -> st.SearchStrategy[RequestSource]:
    fields = st.builds(Field, name=_columns.filter(_free), dtype=feature_types())
    schema = st.lists(fields, min_size=1, max_size=3, unique_by=lambda one: one.name)
    return st.builds(RequestSource, name=_names.map(lambda name: f"given.{name}"), schema=schema, **_about)


@st.composite
def _on_demand(draw: st.DrawFn, views: list[FeatureView], given: list[RequestSource]) -> OnDemandFeatureView:
    """A view of a request source, and perhaps of a view, with a function that is nowhere, or with expressions."""
    request = draw(st.sampled_from(given))
    sources: list[Any] = [request]
    if views:
        sources += draw(st.lists(_projections(views), max_size=1))
    looked_at = draw(st.lists(st.sampled_from([f"{request.name}__{one.name}" for one in request.schema]), min_size=1))
    fields = [Field(f"out of it {place}", Bool) for place in range(draw(st.integers(1, 2)))]
    made: dict[str, Any] = {"mode": draw(st.sampled_from(["python", "numpy", "pandas"]))}
    text = draw(_words)
    made["code"] = Code(place="repo.of_it:f", hash=draw(_words), text=text, parameters=tuple(dict.fromkeys(looked_at)))
    if draw(st.booleans()) and not any(isinstance(one.dtype, Array) for one in request.schema):
        column = looked_at[0].replace('"', '""')
        made = {"mode": "sql", "expressions": {one.name: f'"{column}" is null' for one in fields}}
    return OnDemandFeatureView(
        name=f"computed.{draw(_names)}",
        sources=sources,
        schema=fields,
        singleton=draw(st.booleans()),
        version=draw(st.integers(1, 3)),
        **made,
        **{name: draw(strategy) for name, strategy in _about.items()},
    )


def _services(views: list[Any]) -> st.SearchStrategy[FeatureService]:
    parts = st.lists(_projections(views), min_size=1, max_size=3, unique_by=lambda part: part.name)
    return st.builds(FeatureService, name=_names, features=parts, **_about)


@st.composite
def _projections(draw: st.DrawFn, views: list[Any]) -> Projection:
    view = draw(st.sampled_from(views))
    picked = draw(st.lists(st.sampled_from(view.feature_names), unique=True)) if view.feature_names else []
    # Mapped columns get a prefix no drawn join key has by chance, so that no two keys look at one column.
    renamed = draw(st.sets(st.sampled_from(view.join_keys))) if view.join_keys else set()
    return Projection(
        view=view,
        features=tuple(picked),
        name=draw(st.one_of(st.just(""), _names)),
        join_key_map={key: f"mapped column of {key}" for key in sorted(renamed)},
    )
