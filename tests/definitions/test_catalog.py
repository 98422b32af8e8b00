"""Catalogs: everything that is reached, once, and looked up by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource
from gnomon.definitions.catalog import Catalog
from gnomon.errors import DefinitionError, NotRegistered, RequestError
from gnomon.testing.strategies import definitions
from gnomon.types import Int64

SOURCE = FileSource(path="users.parquet", timestamp_field="ts")


def profile(version: int = 1, entity: Entity | str = "user") -> FeatureView:
    entities = (entity,) if isinstance(entity, Entity) else (Entity(name=entity),)
    return FeatureView(name="profile", source=SOURCE, entities=entities, schema=(Field("age", Int64),), version=version)


@given(definitions())
def test_definitions_give_the_same_catalog_in_any_order_and_again(catalog: Catalog) -> None:
    everything = list(catalog.definitions.values())
    assert Catalog.of(everything[::-1]) == Catalog.of(everything + everything) == catalog


@given(definitions())
def test_what_refers_to_all_brings_all(catalog: Catalog) -> None:
    whole = Catalog.of([*catalog.services.values(), *catalog.views.values()])
    assert whole.views == catalog.views
    assert whole.sources.items() <= catalog.sources.items()


def test_an_entity_mentioned_by_name_becomes_the_one_defined() -> None:
    user = Entity(name="user", description="A card holder", value_type=Int64)
    for objects in ([profile(), user], [user, profile()]):
        catalog = Catalog.of(objects)
        assert catalog.entities == {"user": user}
        assert catalog.views["profile@1"].entities == (user,)
        assert catalog.views["profile@1"].entity_columns == (Field("user", Int64),)


def test_an_entity_mentioned_by_name_whose_keys_are_others_is_not_guessed_at() -> None:
    view = FeatureView(name="profile", source=SOURCE, entities=["user"], schema=[Field("user", Int64)])  # type: ignore[arg-type, list-item]
    with pytest.raises(DefinitionError, match="feature view 'profile': entity_columns names 'user'"):
        Catalog.of([view, Entity(name="user", join_keys=["user_id"])])  # type: ignore[arg-type]


def test_a_change_reaches_all_who_refer_to_it() -> None:
    catalog = Catalog.of([FeatureService(name="model", features=(profile()[["age"]],))])
    moved = FileSource(path="moved.parquet", name="users.parquet", timestamp_field="ts")
    changed = catalog.with_definitions({("FileSource", "users.parquet"): moved})
    assert changed.services["model"].features[0].view.source == moved
    assert catalog.services["model"].features[0].view.source == SOURCE


def test_what_is_still_referred_to_cannot_go() -> None:
    catalog = Catalog.of([profile()])
    with pytest.raises(DefinitionError, match=r"view 'profile' refers to data source 'users\.parquet'") as caught:
        catalog.with_definitions({("FileSource", "users.parquet"): None})
    assert "take out what refers to it" in str(caught.value)


def test_views_are_found_by_name_and_version() -> None:
    catalog = Catalog.of([profile(2), profile(10), profile(1)])
    assert catalog.view("profile").version == 10
    assert catalog.view("profile@2").version == 2


@pytest.mark.parametrize(
    ("reference", "error", "said"),
    [
        ("profil", NotRegistered, "did you mean 'profile'"),
        ("profile@3", NotRegistered, "profile@1"),
        ("profile@new", RequestError, "write profile@1"),
        ("profile@", RequestError, "write profile@1"),
        ("profile@²", RequestError, "write profile@1"),
        (None, RequestError, "None names no view"),
        (5, RequestError, "write 'name' or 'name@version'"),
        (["profile"], RequestError, "['profile'] names no view"),
    ],
)
def test_a_reference_to_no_view_says_what_there_is(reference: Any, error: type[RequestError], said: str) -> None:
    with pytest.raises(error) as caught:
        Catalog.of([profile()]).view(reference)
    assert said in str(caught.value)


def test_services_are_found_by_name() -> None:
    catalog = Catalog.of([FeatureService(name="model", features=(profile(),))])  # type: ignore[arg-type]
    assert catalog.service("model").features[0].view == profile()
    with pytest.raises(NotRegistered, match="did you mean 'model'"):
        catalog.service("modle")
