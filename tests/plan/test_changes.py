from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource, Window, agg
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.codec import fingerprint
from gnomon.errors import DefinitionError
from gnomon.plan.changes import Change, affected_views, apply_changes, diff, differences, render
from gnomon.testing.catalogs import catalogs
from gnomon.testing.strategies import definitions
from gnomon.types import Float64, Int32, Int64

user = Entity(name="user")
source = FileSource(path="users.parquet", timestamp_field="ts")
view = FeatureView(name="profile", entities=[user], source=source, schema=[Field("age", Int32), Field("x", Float64)])


def changed(**values: object) -> list[Change]:
    return list(diff(Catalog.of([view]), Catalog.of([replace(view, **values)])))  # type: ignore[arg-type]


@given(catalogs() | definitions(), catalogs() | definitions())
def test_applying_the_difference_gives_the_other(a: Catalog, b: Catalog) -> None:
    there, back = diff(a, b), diff(b, a)
    assert apply_changes(a, there) == b
    assert apply_changes(b, back) == a
    assert bool(there) == (a != b)
    assert [(one.kind, one.id, one.after, one.before) for one in there] == [
        (one.kind, one.id, one.before, one.after) for one in back
    ]


@given(catalogs(), catalogs())
def test_every_view_that_answers_differently_is_named_by_a_change(a: Catalog, b: Catalog) -> None:
    named = {name for change in diff(a, b) for name in change.affects}
    both = a.views.keys() & b.views.keys()
    assert named == {name for name in both if fingerprint(a.views[name]) != fingerprint(b.views[name])}
    assert named == set(affected_views(a, b))


@given(catalogs(), catalogs())
def test_a_change_can_be_printed_and_stored(a: Catalog, b: Catalog) -> None:
    for change in diff(a, b):
        assert render(change).startswith({"add": "+ ", "change": "~ ", "remove": "- "}[change.action])
        assert json.loads(json.dumps([change.before, change.after])) == [change.before, change.after]
        if change.action == "change":
            assert differences(change.before or {}, change.after or {})


def test_a_wider_type_changes_values() -> None:
    (change,) = changed(schema=(Field("age", Int64), Field("x", Float64)))
    assert render(change) == "~ feature view profile@1 (changes values)\n    schema.age.dtype: Int32 → Int64"
    assert change.affects == ("profile@1",)


def test_words_only_describe() -> None:
    (change,) = changed(description="who they are", tags={"team": "risk"})
    assert not change.changes_values
    assert change.affects == ()
    assert render(change).splitlines() == [
        "~ feature view profile@1 (only describes)",
        "    description: not set → 'who they are'",
        "    tags: not set → {team: risk}",
    ]


def test_a_source_names_the_views_that_stand_on_it() -> None:
    slower = replace(source, delay="1h")  # type: ignore[arg-type]
    (change,) = changed(source=slower)
    assert (change.kind, change.changes_values, change.affects) == ("FileSource", True, ("profile@1",))
    assert render(change).splitlines()[-1] == "    changes the values of profile@1"


def test_an_entity_names_the_views_about_it_but_not_for_words() -> None:
    (words,) = changed(entities=(replace(user, owner="risk"),))
    assert (words.kind, words.changes_values, words.affects) == ("Entity", False, ())
    (key,) = changed(entities=(replace(user, join_keys=("user_id",)),))
    assert (key.kind, key.affects) == ("Entity", ("profile@1",))


def test_columns_are_told_apart_by_name_and_order_is_a_change() -> None:
    (change,) = changed(schema=(Field("x", Float64), Field("y", Int64), Field("age", Int32)))
    assert render(change).splitlines()[1:] == [
        "    schema.y: not set → Int64",
        "    schema (order): [age, x] → [x, y, age]",
    ]
    (change,) = changed(schema=(Field("x", Float64),))
    assert render(change).splitlines()[1:] == ["    schema.age: Int32 → not set"]


def test_a_service_says_which_part_changed() -> None:
    one = FeatureService(name="model", features=[view])
    other = FeatureService(name="model", features=[view[["age"]], view.with_name("again")])
    (change,) = diff(Catalog.of([one]), Catalog.of([other]))
    assert render(change).splitlines()[1:] == [
        "    features.profile.features: not set → [age]",
        "    features.again: not set → {view: profile@1, name: again}",
    ]


def test_new_and_removed_are_not_marked() -> None:
    assert [render(one) for one in diff(Catalog(), Catalog.of([user]))] == ["+ entity user"]
    assert [render(one) for one in diff(Catalog.of([user]), Catalog())] == ["- entity user"]


def test_what_is_still_referred_to_cannot_be_taken_out() -> None:
    gone = [one for one in diff(Catalog.of([view]), Catalog()) if one.kind == "Entity"]
    with pytest.raises(DefinitionError, match="refers to entity 'user', which is not there"):
        apply_changes(Catalog.of([view]), gone)


def windowed(*aggregations: agg.Aggregation) -> Catalog:
    return Catalog.of([replace(view, schema=(), aggregations=aggregations)])


def test_a_changed_aggregation_is_told_by_what_changed_in_it() -> None:
    before = windowed(
        agg.count(over=["1d", "7d"]),
        agg.sum("x", over="7d", where="ok", name="good"),
        agg.last_n("x", 3, over=Window("1d", offset="7d", closed="right")),
    )
    after = windowed(
        agg.count(over=["1d", Window("7d", hop="1h")]),
        agg.sum("x", over="7d", where="not ok", name="good"),
        agg.max("x", over=Window("5m", kind="tumbling"), where="ok"),
    )
    (change,) = diff(before, after)
    assert render(change).splitlines() == [
        "~ feature view profile@1 (changes values)",
        "    aggregations.count().over: [1d, 7d] → [1d, 7d hop 1h]",
        "    aggregations.good.where: ok → 'not ok'",
        "    aggregations.last_n(x, n=3): last_n(x, n=3) over 1d offset 7d closed right → not set",
        "    aggregations.max(x): not set → max(x) over 5m tumbling where ok",
    ]


def test_aggregations_alike_but_for_their_windows_are_told_apart() -> None:
    before = windowed(agg.sum("x", over="1d"), agg.sum("x", over="7d"))
    (change,) = diff(before, windowed(agg.sum("x", over="1d"), agg.sum("x", over=Window(None))))
    assert render(change).splitlines()[1:] == [
        "    aggregations.sum(x) over 7d: sum(x) over 7d → not set",
        "    aggregations.sum(x) over lifetime: not set → sum(x) over lifetime",
    ]


def test_the_order_of_aggregations_is_the_order_of_features() -> None:
    one, other = agg.count(over="1d"), agg.sum("x", over="1d")
    (change,) = diff(windowed(one, other), windowed(other, one))
    assert change.changes_values
    assert render(change).splitlines()[1] == "    aggregations (order): [count(), sum(x)] → [sum(x), count()]"
