"""Catalogs to compare: small ones from few names, so that two of them share much and differ in something.

Beside them stands `gnomon.testing.strategies.definitions`: every name there can be, and little in common.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from gnomon.definitions.catalog import Catalog
from gnomon.definitions.entities import Entity, Field
from gnomon.definitions.services import FeatureService
from gnomon.definitions.sources import FileSource
from gnomon.definitions.views import FeatureView
from gnomon.testing.strategies import definitions
from gnomon.types import Array, Decimal, Float32, Int32, Int64, String

__all__ = ["catalogs", "states"]

_TEXTS = st.sampled_from(["", "risk", "Ünïcödé → \n '\"", "a\x00b"])
_WORDS: dict[str, Any] = {
    "description": _TEXTS,
    "owner": _TEXTS,
    "tags": st.dictionaries(st.sampled_from(["team", "pii"]), _TEXTS),
}
_TYPES = st.sampled_from([Int32, Int64, String, Array(Float32), Decimal(18, 2)])
_FIELDS = st.lists(
    st.builds(Field, st.sampled_from(["age", "city", "größe x"]), _TYPES, _TEXTS),
    min_size=1,
    unique_by=lambda one: one.name,
)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """A catalog of up to three entities, sources, views and services."""
    entities = [
        draw(st.builds(Entity, name=st.just(name), value_type=st.sampled_from([None, Int64, String]), **_WORDS))
        for name in draw(_some("user", "card", "place"))
    ]
    sources = [
        draw(
            st.builds(
                FileSource,
                path=st.just(name),
                timestamp_field=st.sampled_from(["", "ts"]),
                delay=st.sampled_from([None, timedelta(0), timedelta(hours=36)]),
                field_mapping=st.sampled_from([{}, {"a:b": "age"}]),
                **_WORDS,
            )
        )
        for name in draw(_some("a.parquet", "b.csv"))
    ]
    views = [draw(_views(name, sources, entities)) for name in draw(_some("profile", "spend")) if sources]
    services = [
        FeatureService(name=name, features=draw(_parts(views)), description=draw(_TEXTS))
        for name in draw(_some("fraud", "churn"))
        if views
    ]
    return Catalog.of([*entities, *sources, *views, *services])


def states() -> st.SearchStrategy[list[Catalog]]:
    """The states a project goes through, one after the other; two that follow each other may be the same."""
    return st.lists(st.one_of(catalogs(), definitions()), max_size=6)


def _some(*names: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), unique=True)


def _views(name: str, sources: list[FileSource], entities: list[Entity]) -> st.SearchStrategy[FeatureView]:
    about = st.lists(st.sampled_from(entities), unique_by=lambda one: one.name) if entities else st.just([])
    return st.builds(
        FeatureView,
        name=st.just(name),
        source=st.sampled_from(sources),
        entities=about,
        schema=_FIELDS,
        ttl=st.sampled_from([None, timedelta(days=90)]),
        version=st.sampled_from([1, 2]),
        online=st.booleans(),
        **_WORDS,
    )


def _parts(views: list[FeatureView]) -> st.SearchStrategy[Any]:
    def part(view: FeatureView) -> st.SearchStrategy[Any]:
        picked = st.lists(st.sampled_from(view.feature_names), min_size=1, unique=True).map(view.__getitem__)
        renamed = picked.map(lambda one: one.with_name(f"other_{view.name}"))
        return st.one_of(st.just(view), picked, renamed)

    chosen = st.lists(st.sampled_from(views), min_size=1, unique_by=lambda one: one.name)
    return chosen.flatmap(lambda some: st.tuples(*map(part, some))).map(list)
