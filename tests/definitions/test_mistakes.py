"""Every mistake in a definition is reported when it is made, naming the object and what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource, Window, agg
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.views import Projection
from gnomon.errors import GnomonError
from gnomon.types import Array, Decimal, Float64, Int64, String

SOURCE = FileSource(path="users.parquet", timestamp_field="ts")
USER = Entity(name="user", join_keys=["user_id"])


def entity(**changes: Any) -> Entity:
    return Entity(**{"name": "user", **changes})


def source(**changes: Any) -> FileSource:
    return FileSource(**{"path": "users.parquet", **changes})


def view(**changes: Any) -> FeatureView:
    return FeatureView(**{"name": "profile", "source": SOURCE, "entities": [USER], **changes})


def service(*features: Any, **changes: Any) -> FeatureService:
    return FeatureService(**{"name": "model", "features": list(features), **changes})


AGE = Field("age", Int64)
PROFILE = view(schema=[AGE])

MISTAKES: list[tuple[Callable[[], Any], str, str]] = [
    # (the mistake, what the message says, what the hint says)
    (
        lambda: view(aggregations=[agg.count(over="1d"), agg.count(over="1d", where="late")]),
        r"features would be called 'count_1d': of count\(\), count\(\) where late",
        "name='…'",
    ),
    (
        lambda: view(aggregations=[agg.count(over=["1d", Window("1d", hop="1h")], name="trips")]),
        r"features would be called 'trips_1d': of two windows of 'trips'",
        "one aggregation for each of these windows, each with a name",
    ),
    (lambda: entity(name=""), "entity name ''", "start with a letter"),
    (lambda: entity(name="a b"), "entity name 'a b'", "letters, digits"),
    (lambda: entity(name="user:id"), "entity name 'user:id'", "letters, digits"),
    (lambda: entity(name="user@2"), "entity name 'user@2'", "letters, digits"),
    (lambda: entity(name="user\n"), r"entity name 'user\\n'", "letters, digits"),
    (lambda: entity(name=None), "entity name None", "letters, digits"),
    (lambda: entity(join_keys="user_id"), "entity 'user': join_keys is 'user_id'", r"join_keys=\["),
    (lambda: entity(join_keys={"b", "a"}), "entity 'user': join_keys is {", r"join_keys=\["),
    (lambda: entity(join_keys={"a": "b"}), "entity 'user': join_keys is {'a': 'b'}", r"join_keys=\["),
    (lambda: entity(join_keys=["a", "b", "a"]), "entity 'user': join key 'a' stands twice", "once"),
    (lambda: entity(join_keys=[7]), "entity 'user': 7", "use a text"),
    (lambda: entity(join_keys=["a:b"]), "entity 'user': 'a:b'", "without ':'"),
    (lambda: entity(value_type=Float64), "entity 'user': a join key cannot be Float64", "value_type=Int64"),
    (lambda: entity(value_type=Array(Int64)), r"entity 'user': a join key cannot be Array\(Int64\)", "declare"),
    (lambda: entity(value_type="number"), "entity 'user': 'number' is no type", "gnomon.types"),
    (lambda: entity(tags=["risk"]), r"entity 'user': tags is \['risk'\]", "dict"),
    (lambda: entity(tags={"level": 3}), "entity 'user': tags has 'level': 3", "str"),
    (lambda: entity(owner=None), "entity 'user': owner is None", "text"),
    (lambda: entity(description=5), "entity 'user': description is 5", "text"),
    (lambda: Field("", Int64), "field '': ''", "text"),
    (lambda: Field(5, Int64), "field 5: 5", "text"),  # type: ignore[arg-type]
    (lambda: Field("a:b", Int64), "field 'a:b'", "without ':'"),
    (lambda: Field("age", int), "field 'age': <class 'int'> is no type", "Int32, Int64"),  # type: ignore[arg-type]
    (lambda: Field("age", Decimal), "field 'age': the type Decimal is incomplete", r"Decimal\(18, 2\)"),  # type: ignore[arg-type]
    (lambda: source(path=""), "file source '': path is ''", "a folder or a glob"),
    (lambda: source(path=5), "file source '': path is 5", "a folder or a glob"),
    (lambda: source(path=b"a"), "file source .*: path is b'a'", "a folder or a glob"),
    (lambda: source(timestamp_field=5), "file source 'users.parquet': 5", "text"),
    (lambda: source(delay="soon"), "file source 'users.parquet': delay: 'soon' is no duration", "units"),
    (lambda: source(delay=5), "file source 'users.parquet': delay: 5 is no duration", "units"),
    (lambda: source(delay=timedelta(-1)), "file source 'users.parquet': delay is -1 day", "zero or more"),
    (
        lambda: source(timestamp_field="t", created_timestamp_column="t"),
        "file source 'users.parquet': timestamp_field and created_timestamp_column are both 't'",
        "delay",
    ),
    (lambda: source(file_format="xls"), "file source 'users.parquet': file_format 'xls'", "'parquet' or 'csv'"),
    (lambda: source(field_mapping={"a": "c", "b": "c"}), "field_mapping gives two columns one name", "its own"),
    (lambda: source(field_mapping={"a": 5}), "file source 'users.parquet': field_mapping has 'a': 5", "str"),
    (lambda: source(field_mapping="a"), "file source 'users.parquet': field_mapping is 'a'", "dict"),
    (lambda: source(name=5), "name is 5", "text"),
    (lambda: source(name="s", tags="x"), "file source 's': tags is 'x'", "dict"),
    (lambda: view(name="my view"), "feature view name 'my view'", "letters"),
    (lambda: view(source="users.parquet"), "feature view 'profile': source is 'users.parquet'", "FileSource"),
    (lambda: view(entities="user"), "feature view 'profile': entities is 'user'", r"entities=\["),
    (lambda: view(entities=USER), "feature view 'profile': entities is Entity", r"entities=\["),
    (lambda: view(entities=[7]), "feature view 'profile': 7 is no entity", "Entity"),
    (lambda: view(entities=["a b"]), "entity name 'a b'", "letters"),
    (lambda: view(entities=[USER, USER]), "feature view 'profile': join key 'user_id' stands twice", "once"),
    (lambda: view(schema=AGE), "feature view 'profile': schema is Field", r"schema=\["),
    (lambda: view(schema=["age"]), "feature view 'profile': 'age' is no Field", "Field"),
    (lambda: view(schema=[AGE, AGE]), "feature view 'profile': feature 'age' stands twice", "once"),
    (lambda: view(schema=[AGE, Field("age", String)]), "feature view 'profile': feature 'age' stands twice", "once"),
    (
        lambda: view(schema=[Field("user_id", Int64), Field("user_id", String)]),
        "feature view 'profile': join key 'user_id' stands twice",
        "once",
    ),
    (
        lambda: view(schema=[AGE], features=[Field("city", String)]),
        "feature view 'profile': schema and features",
        "schema",
    ),
    (lambda: view(schema=[Field("__event", Int64)]), "feature view 'profile': '__event' is reserved", "field_mapping"),
    (lambda: view(features=[Field("__x", Int64)]), "feature view 'profile': '__x' is reserved", "field_mapping"),
    (
        lambda: view(entities=["__k"], schema=[Field("__k", Int64)]),
        "feature view 'profile': '__k' is reserved",
        "field_mapping",
    ),
    (lambda: PROFILE[[]], "view 'profile': no feature is picked", "leave the brackets out"),
    (lambda: PROFILE[None], "view 'profile': no feature is picked", "leave the brackets out"),  # type: ignore[index]
    (lambda: PROFILE.with_name("p")[()], "view 'p': no feature is picked", "leave the brackets out"),
    (lambda: view(entity_columns=["user_id"]), "feature view 'profile': 'user_id' is no Field", "Field"),
    (lambda: view(entity_columns=[AGE]), "feature view 'profile': entity_columns names 'age'", "join key"),
    (
        lambda: view(schema=[Field("user_id", Float64)]),
        "feature view 'profile': join key 'user_id': a join key cannot be Float64",
        "value_type=Int64",
    ),
    (
        lambda: view(entities=[entity(value_type=Int64)], schema=[Field("user", String)]),
        "feature view 'profile': join key 'user' is String in the schema and Int64 in its entity",
        "once",
    ),
    (lambda: view(ttl="90 days"), "feature view 'profile': ttl: '90 days' is no duration", "units"),
    (lambda: view(ttl=90), "feature view 'profile': ttl: 90 is no duration", "units"),
    (lambda: view(ttl=timedelta(-1)), "feature view 'profile': ttl is -1 day", "zero means for ever"),
    (lambda: view(version=0), "feature view 'profile': version is 0", "from 1"),
    (lambda: view(version="1"), "feature view 'profile': version is '1'", "from 1"),
    (lambda: view(version=True), "feature view 'profile': version is True", "from 1"),
    (lambda: view(online="no"), "feature view 'profile': online is 'no'", "True or False"),
    (lambda: view(description=None), "feature view 'profile': description is None", "text"),
    (lambda: PROFILE["age"], "view 'profile': features is 'age'", r"features=\["),
    (lambda: PROFILE[["agee"]], "view 'profile' has no feature 'agee'", "did you mean 'age'"),
    (lambda: PROFILE[["age", "age"]], "view 'profile': feature 'age' stands twice", "once"),
    (lambda: PROFILE[[7]], "view 'profile': 7 is not usable", "text"),  # type: ignore[list-item]
    (lambda: PROFILE.with_name("a b"), "projection name 'a b'", "letters"),
    (lambda: PROFILE.with_join_key_map({"id": "x"}), "view 'profile': join_key_map names 'id'", "join key of the view"),
    (lambda: PROFILE.with_join_key_map({"user_id": "a:b"}), "view 'profile': 'a:b'", "without ':'"),
    (lambda: PROFILE.with_join_key_map("x"), "view 'profile': join_key_map is 'x'", "dict"),  # type: ignore[arg-type]
    (lambda: Projection(view="profile"), "projection of 'profile', which is no view", "FeatureView"),  # type: ignore[arg-type]
    (
        lambda: view(entities=["a", "b"]).with_join_key_map({"a": "b"}),
        "view 'profile': two join keys look at column 'b'",
        "apart",
    ),
    (lambda: service(), "feature service 'model' has no features", r"features=\["),
    (lambda: service(features=PROFILE), "feature service 'model': features is FeatureView", r"features=\["),
    (lambda: service("profile"), "feature service 'model': 'profile' is no view", "list of views"),
    (lambda: service(PROFILE, name="my model"), "feature service name 'my model'", "letters"),
    (lambda: service(PROFILE, PROFILE[["age"]]), "feature service 'model': two of its views .* 'profile'", "with_name"),
    (lambda: Catalog.of([5]), "5 is no definition", "FeatureService"),
    (lambda: Catalog.of([entity(), entity(join_keys=["a"]), entity(join_keys=["b"])]), "entity 'user'", "another name"),
    (lambda: Catalog.of([PROFILE, view(ttl="1d")]), "both called feature view 'profile@1'", "another name"),
    (
        lambda: Catalog.of([source(), source(timestamp_field="t")]),
        "both called data source 'users.parquet'",
        "another name",
    ),
]


@pytest.mark.parametrize(("mistake", "said", "hint"), MISTAKES, ids=[said[:60] for _, said, _ in MISTAKES])
def test_a_mistake_names_the_object_and_the_fix(mistake: Callable[[], Any], said: str, hint: str) -> None:
    with pytest.raises(GnomonError, match=said) as caught:
        mistake()
    assert caught.match(f"Hint: .*({hint})")
