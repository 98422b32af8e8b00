"""Feature views and projections: what they make of their arguments."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from gnomon import Entity, FeatureView, Field, FileSource
from gnomon.definitions.views import Projection
from gnomon.errors import DefinitionError
from gnomon.types import Array, Float32, Int64, String

SOURCE = FileSource(path="users.parquet", timestamp_field="ts")
ROUTE = Entity(name="route", join_keys=["origin", "dest"])
AGE, CITY = Field("age", Int64), Field("city", String)


def view(**changes: Any) -> FeatureView:
    return FeatureView(**{"name": "profile", "source": SOURCE, "entities": ["user"], "schema": [AGE, CITY], **changes})


def test_fields_called_like_join_keys_are_no_features() -> None:
    made = view(entities=[ROUTE], schema=[Field("dest", String), AGE, Field("origin", Int64)])
    assert made.feature_names == ("age",)
    assert made.entity_columns == (Field("origin", Int64), Field("dest", String))
    assert made.join_keys == ("origin", "dest")


def test_a_key_typed_by_its_entity_needs_no_field() -> None:
    made = view(entities=[Entity(name="user", value_type=Int64)])
    assert made.entity_columns == (Field("user", Int64),)


def test_a_view_of_the_whole_world_has_no_keys() -> None:
    made = view(entities=[])
    assert (made.join_keys, made.entity_columns, made.feature_names) == ((), (), ("age", "city"))


def test_lists_left_out_may_be_none() -> None:
    assert view(schema=None, entities=None) == view(schema=[], entities=[])
    assert Entity(name="user", join_keys=None) == Entity(name="user")  # type: ignore[arg-type]


def test_the_older_name_for_schema() -> None:
    made = FeatureView(name="profile", source=SOURCE, entities=["user"], features=[AGE, CITY])
    assert made == view()
    assert made.features == made.schema


@pytest.mark.parametrize(
    ("ttl", "kept"),
    [(None, None), (timedelta(0), None), ("0s", None), ("90d", timedelta(days=90)), (timedelta(1), timedelta(1))],
)
def test_ttl(ttl: Any, kept: timedelta | None) -> None:
    assert view(ttl=ttl).ttl == kept


def test_a_copy_with_another_schema_has_that_and_no_other() -> None:
    assert dataclasses.replace(view(), schema=(CITY,)).feature_names == ("city",)
    assert dataclasses.replace(view(), schema=()).schema == ()
    assert dataclasses.replace(view(), ttl=timedelta(1)).schema == view().schema


def test_a_copy_about_other_entities_takes_no_key_for_a_feature() -> None:
    typed = view(schema=[Field("user", Int64), AGE])
    with pytest.raises(DefinitionError, match="entity_columns names 'user'"):
        dataclasses.replace(typed, entities=(ROUTE,))
    moved = dataclasses.replace(typed, entities=(ROUTE,), entity_columns=())
    assert moved.feature_names == ("age",)


def test_views_are_frozen_and_hashable() -> None:
    assert len({view(), view(), view(version=2)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        view().ttl = None  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"dataclasses\.replace"):
        view().tags["team"] = "risk"  # type: ignore[index]


def test_arguments_are_taken_by_value() -> None:
    schema, tags = [AGE], {"team": "risk"}
    made = view(schema=schema, tags=tags)
    schema.append(CITY)
    tags["team"] = "other"
    assert made.feature_names == ("age",)
    assert made.tags == {"team": "risk"}


def test_projections_pick_rename_and_rekey_in_any_order() -> None:
    one = view()[["city"]].with_name("from").with_join_key_map({"user": "sender"})
    other = view().with_join_key_map({"user": "sender"}).with_name("from")[["city"]]
    assert one == other
    assert hash(one) == hash(other)
    assert (one.name, one.feature_names, one.columns) == ("from", ("city",), ("sender",))


def test_a_whole_view_stands_for_todays_features_and_tomorrows() -> None:
    whole = view().with_name("all")
    assert whole.feature_names == ("age", "city")
    grown = dataclasses.replace(whole, view=view(schema=[AGE, CITY, Field("v", Array(Float32))]))
    assert grown.feature_names == ("age", "city", "v")


def test_a_projection_without_picks_is_of_all() -> None:
    assert (
        Projection(view=view()).feature_names == Projection(view=view(), features=()).feature_names == ("age", "city")
    )


def test_one_leading_underscore_is_free() -> None:
    assert view(schema=[Field("_age", Int64)]).feature_names == ("_age",)


def test_keys_may_swap_columns() -> None:
    back = view(entities=[ROUTE]).with_join_key_map({"origin": "dest", "dest": "origin"})
    assert back.columns == ("dest", "origin")
