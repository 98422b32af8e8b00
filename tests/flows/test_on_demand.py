"""On-demand features and defaults, from definition to training set to online answer."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal as PythonDecimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop import day

from gnomon import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
    agg,
    on_demand_feature_view,
)
from gnomon.clock import ManualClock
from gnomon.config import Backend, RepoConfig
from gnomon.errors import DefinitionError, RequestError, UnknownFeature
from gnomon.flows import finishing
from gnomon.plan.references import resolve
from gnomon.types import Array, Bool, Decimal, Float64, Int32, Int64, String, UnixTimestamp

user = Entity(name="user_id", value_type=Int64)
profile = FeatureView(
    name="profile",
    entities=[user],
    ttl="30d",
    source=FileSource(name="profiles", path="profiles.parquet", timestamp_field="at", delay="0s"),
    schema=[Field("age", Int64, default=-1), Field("city", String)],
)
payments = PushSource(
    name="payments",
    schema=[Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)],
    timestamp_field="at",
)
spend = FeatureView(
    name="spend",
    entities=[user],
    source=payments,
    aggregations=[agg.mean("amount", over="30d"), agg.sum("amount", over="30d", default=0.0), agg.count(over="30d")],
)
payment = RequestSource(name="payment", schema=[Field("paid", Float64), Field("shop", String)])
SEEN: list[Any] = []


@on_demand_feature_view(sources=[spend, payment], schema=[Field("ratio", Float64)])
def vs_mean(paid, amount_mean_30d):
    return paid / amount_mean_30d


@on_demand_feature_view(
    sources=[vs_mean, profile, payment],
    schema=[Field("odd", Bool, default=False), Field("words", String)],
    mode="python",
)
def judged(ratio, age, shop):
    return {"odd": None if ratio is None else ratio > 2, "words": f"{shop} {age}"}


small = OnDemandFeatureView(
    name="small",
    sources=[spend, payment],
    schema=[Field("next", Int32), Field("share", Float64)],
    mode="sql",
    expressions={"next": "count_30d + 1", "share": "paid / nullif(amount_sum_30d, 0)"},
)
model = FeatureService(name="model", features=[profile[["age"]], vs_mean, judged[["odd"]], small])

ASKED = {
    "user_id": [1, 2, 9],
    "paid": [30.0, 7.0, None],
    "shop": ["books", None, "toys"],
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(day(20))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    rows = {"user_id": [1, 2], "age": [30, None], "city": ["Aachen", "Bonn"], "at": [day(1), day(2)]}
    pq.write_table(pa.table(rows), tmp_path / "profiles.parquet")
    return tmp_path


@pytest.fixture
def store(repo: Path, clock: ManualClock) -> Iterator[FeatureStore]:
    config = RepoConfig(project="shop", repo_path=repo, online_store=Backend("memory"))
    with FeatureStore(repo, config=config, clock=clock) as made:
        made.apply([model])
        made.push("payments", {"user_id": [1, 1, 2], "amount": [10.0, 20.0, 0.0], "at": [day(3), day(4), day(5)]})
        clock.set(day(21))
        made.materialize(None, day(21))
        yield made


def spine(at: datetime, **columns: list[Any]) -> dict[str, list[Any]]:
    given = {**ASKED, **columns}
    return {**given, "event_timestamp": [at] * len(given["user_id"])}


def trained(store: FeatureStore, features: Any = "model", **options: Any) -> dict[str, list[Any]]:
    made = store.get_historical_features(spine(day(21)), features, **options).to_arrow().to_pydict()
    return {name: column for name, column in made.items() if name not in (*ASKED, "event_timestamp")}


def served(store: FeatureStore, features: Any = "model", **options: Any) -> dict[str, list[Any]]:
    made = store.get_online_features(features, entities_of(store, features), **options).to_dict()
    del made["user_id"]
    return made


def entities_of(store: FeatureStore, features: Any) -> dict[str, list[Any]]:
    """What a request for some features takes of what is asked."""
    meant = resolve(store.catalog(), features, full_feature_names=True)
    names = {"user_id", *(one.name for one in meant.given)}
    return {name: column for name, column in ASKED.items() if name in names}


EXPECTED = {
    "age": [30, -1, -1],
    "ratio": [2.0, None, None],
    "odd": [False, False, False],
    "next": [3, 2, 1],
    "share": [1.0, None, None],
}


def test_only_what_was_asked_for_appears(store):
    assert trained(store) == served(store) == EXPECTED
    assert list(trained(store)) == list(served(store)) == list(EXPECTED)


def test_statuses_tell_defaults_from_values_and_say_why(store):
    found = store.get_online_features("model", ASKED)
    assert {name: list(map(str, some)) for name, some in found.statuses.items()} == {
        "age": ["PRESENT", "NULL_VALUE", "NOT_FOUND"],
        "ratio": ["PRESENT", "INVALID", "INVALID"],
        "odd": ["PRESENT", "NULL_VALUE", "NULL_VALUE"],
        "next": ["PRESENT", "PRESENT", "PRESENT"],
        "share": ["PRESENT", "NULL_VALUE", "NULL_VALUE"],
    }


def test_it_happened_when_the_newest_of_its_inputs_did(store):
    found = store.get_online_features(["judged:odd", "vs_mean:ratio", "judged:words"], ASKED).event_timestamps
    assert found["odd"] == found["ratio"] == [day(4), day(5), None]
    asked = {"user_id": [1], "paid": [1.0]}
    assert store.get_online_features(["small:next"], asked).event_timestamps["next"] == [day(4)]


def test_what_is_too_old_is_the_default_and_says_so(store, clock):
    clock.set(day(1).replace(month=3))
    found = store.get_online_features(["profile:age", "judged:words"], ASKED)
    assert found.to_dict()["age"] == [-1, -1, -1]
    assert list(map(str, found.statuses["age"])) == ["OUTSIDE_MAX_AGE", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert found.to_dict()["words"] == ["books -1", "None -1", "toys -1"]
    assert found.to_arrow()["age"].to_pylist() == [-1, -1, -1]


def test_full_names_and_versions(store):
    store.apply(
        [OnDemandFeatureView(name="vs_mean", version=2, sources=[spend, payment], schema=vs_mean.schema, function=zero)]
    )
    asked = ["vs_mean@1:ratio", "vs_mean@2:ratio"]
    with pytest.raises(RequestError, match="several features would be called 'ratio'"):
        trained(store, asked)
    assert trained(store, ["vs_mean:ratio"]) == served(store, ["vs_mean:ratio"]) == {"ratio": [0.0, 0.0, 0.0]}
    assert trained(store, ["vs_mean@1:ratio"]) == {"ratio": [2.0, None, None]}
    assert list(served(store, ["judged:odd", "profile:age"], full_feature_names=True)) == [
        "judged__odd",
        "profile__age",
    ]
    with pytest.raises(UnknownFeature, match="did you mean 'ratio'"):
        trained(store, ["vs_mean:ration"])


def zero(paid, amount_mean_30d):
    return 0.0


def test_inputs_that_are_asked_for_too_are_fetched_once(store):
    asked = ["judged:odd", "vs_mean:ratio", "spend:amount_mean_30d", "spend:count_30d"]
    made = store.get_historical_features(spine(day(21)), asked)
    (rows, windows) = sorted(made.question.views, key=lambda part: part.view.name)
    assert windows.features == (("amount_mean_30d", "amount_mean_30d"), ("count_30d", "count_30d"))
    assert rows.features == (("age", "__0"),)
    assert trained(store, asked) == served(store, asked)


def test_a_view_twice_in_a_service(store):
    """Under two names; it is computed once."""
    arrays = OnDemandFeatureView(
        name="arrays", sources=[payment], schema=[Field("a", Float64)], mode="numpy", function=just_paid
    )
    twice = FeatureService(
        name="twice",
        features=[
            vs_mean,
            vs_mean.with_name("again"),
            arrays,
            arrays.with_name("other"),
            judged,
            judged.with_name("j"),
        ],
    )
    store.apply([twice])
    for made in (trained(store, "twice", full_feature_names=True), served(store, "twice", full_feature_names=True)):
        assert made["vs_mean__ratio"] == made["again__ratio"] == [2.0, None, None]
        assert made["arrays__a"] == made["other__a"] == [30.0, 7.0, None]
        assert made["judged__words"] == made["j__words"] == ["books 30", "None -1", "toys -1"]
    statuses = store.get_online_features("twice", entities_of(store, "twice"), full_feature_names=True).statuses
    assert statuses["vs_mean__ratio"] == statuses["again__ratio"] == ["PRESENT", "INVALID", "INVALID"]


def just_paid(paid):
    return paid


def test_an_exception_spoils_one_feature_of_one_row_and_is_told(store, caplog):
    with caplog.at_level(logging.WARNING, "gnomon.on_demand"):
        assert trained(store, ["vs_mean:ratio", "judged:words"])["words"] == ["books 30", "None -1", "toys -1"]
    (told,) = [one.getMessage() for one in caplog.records]
    assert "on-demand view 'vs_mean' cannot be computed for 2 of 3 rows" in told
    assert "'user_id': 2" in told
    assert "of inputs {'paid': 7.0, 'amount_mean_30d': 0.0}: ZeroDivisionError" in told


def test_of_many_requests_that_go_wrong_the_log_has_few(store, caplog):
    with caplog.at_level(logging.WARNING, "gnomon.on_demand"):
        for _ in range(120):
            served(store, ["vs_mean:ratio"])
    assert len(caplog.records) == 11
    assert "(so it was for 100 requests; of the next, few are told)" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("ask", [trained, served])
def test_when_strict_it_is_an_error(store, ask):
    with pytest.raises(RequestError, match=r"'vs_mean' cannot be computed for .*'user_id': 2") as told:
        ask(store, strict=True)
    assert told.value.view == "vs_mean"
    assert told.value.key["user_id"] == 2
    assert told.value.inputs == {"paid": 7.0, "amount_mean_30d": 0.0}
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def wrong(paid):
    return {"count": paid, "name": "x" if paid else 7, "more": 2**40}


def test_a_value_of_another_type_is_invalid_alone(store):
    schema = [Field("count", Int64), Field("name", String), Field("more", Int32)]
    view = OnDemandFeatureView(name="wrong", sources=[payment], schema=schema, function=wrong)
    store.apply([view])
    asked = ["wrong:count", "wrong:name", "wrong:more"]
    given = {"paid": [1.0, 1.5, None]}
    found = store.get_online_features(asked, given)
    assert found.to_dict() == {"count": [1, None, None], "name": ["x", "x", None], "more": [None] * 3}
    assert list(map(str, found.statuses["count"])) == ["PRESENT", "INVALID", "NULL_VALUE"]
    assert list(map(str, found.statuses["name"])) == ["PRESENT", "PRESENT", "INVALID"]
    made = store.get_historical_features({**given, "event_timestamp": [day(21)] * 3}, asked).to_arrow()
    assert made.select(asked and ["count", "name", "more"]).to_pydict() == found.to_dict()


@pytest.mark.parametrize("online", ["memory", "lmdb", "sqlite"])
def test_a_view_of_nothing_but_the_request(repo, clock, online):
    """Nothing is fetched; there need be no join key, and no event."""
    config = RepoConfig(project="shop", repo_path=repo, online_store=Backend(online))
    with FeatureStore(repo, config=config, clock=clock) as store:
        asks_of_the_request_alone(store)


def asks_of_the_request_alone(store):
    view = OnDemandFeatureView(
        name="alone", sources=[payment], schema=[Field("x", Float64)], mode="sql", expressions={"x": "paid * 2"}
    )
    store.apply([view])
    found = store.get_online_features(["alone:x"], [{"paid": 1}, {"paid": None}])
    assert found.to_dict() == {"x": [2.0, None]}
    assert found.event_timestamps == {"x": [None, None]}
    made = store.get_historical_features({"paid": [1, None], "event_timestamp": [day(1)] * 2}, ["alone:x"])
    assert made.to_arrow()["x"].to_pylist() == [2.0, None]
    assert len(store.get_online_features(["alone:x"], [])) == 0
    known = store.get_online_features(["alone:x"], [{"paid": 3}], known_through=True).known_through
    assert [str(one) for one in known] == ["through:"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user_id": 1}, "lacks the value 'paid', which on-demand view 'vs_mean' needs"),
        ({"paid": 1.0}, "lacks the join key 'user_id', which view 'spend' needs"),
        ({"user_id": 1, "paid": "much"}, "'paid' is 'much' in row 0, and on-demand view 'vs_mean' takes Float64"),
        ({"user_id": 1, "paid": True}, "takes Float64"),
        ({"user_id": 1, "paid": 1.0, "shops": "x"}, "has 'shops', which no view asked for needs"),
    ],
)
def test_values_of_a_request_that_do_not_fit(store, given, said):
    with pytest.raises(RequestError, match=said):
        store.get_online_features(["vs_mean:ratio"], [given])
    with pytest.raises(RequestError, match=said):
        store.get_online_features(["vs_mean:ratio"], {name: [value] for name, value in given.items()})


def test_columns_of_a_spine_that_do_not_fit(store):
    with pytest.raises(RequestError, match="no column 'paid', which on-demand view 'vs_mean' takes from the request"):
        store.get_historical_features({"user_id": [1], "event_timestamp": [day(21)]}, ["vs_mean:ratio"])
    given = {"user_id": [1, 2], "paid": ["1", "x"], "event_timestamp": [day(21)] * 2}
    with pytest.raises(
        RequestError, match=r"'paid', which on-demand view 'vs_mean' takes .*, row 0: '1' is no Float64"
    ):
        store.get_historical_features(given, ["vs_mean:ratio"])
    with pytest.raises(RequestError, match="the spine has a column 'ratio', and a feature is called so too"):
        store.get_historical_features(spine(day(21), ratio=[1, 2, 3]), ["vs_mean:ratio"])


def test_a_feature_and_a_value_of_the_request_of_one_name(store):
    source = RequestSource(name="aged", schema=[Field("age", Int64)])
    view = OnDemandFeatureView(
        name="older", sources=[source], schema=[Field("x", Int64)], mode="sql", expressions={"x": "age + 1"}
    )
    store.apply([view])
    with pytest.raises(RequestError, match="a feature is called 'age', and so is a value that on-demand view 'older'"):
        store.get_online_features(["profile:age", "older:x"], [{"user_id": 1, "age": 3}])
    found = store.get_online_features(["profile:age", "older:x"], [{"user_id": 1, "age": 3}], full_feature_names=True)
    assert found.to_dict() == {"user_id": [1], "profile__age": [30], "older__x": [4]}


def test_a_join_key_may_be_a_value_of_the_request_too(store):
    source = RequestSource(name="who", schema=[Field("user_id", Int64)])
    view = OnDemandFeatureView(
        name="even",
        sources=[source, profile],
        schema=[Field("x", Int64)],
        mode="sql",
        expressions={"x": "who__user_id % 2 + age"},
    )
    store.apply([view])
    assert store.get_online_features(["even:x"], {"user_id": [1, 2]}).to_dict() == {"user_id": [1, 2], "x": [31, -1]}
    made = store.get_historical_features({"user_id": [1, 2], "event_timestamp": [day(21)] * 2}, ["even:x"])
    assert made.to_arrow()["x"].to_pylist() == [31, -1]


def test_rows_over_time_have_no_values_of_a_request(store):
    with pytest.raises(RequestError, match="takes 'paid' from the request, which rows made for entities= lack"):
        store.get_historical_features(entities={"user_id": [1]}, features=["vs_mean:ratio"], start_date=day(1))
    view = OnDemandFeatureView(
        name="months", sources=[profile], schema=[Field("x", Int64)], mode="sql", expressions={"x": "age * 12"}
    )
    store.apply([view])
    made = store.get_historical_features(
        entities={"user_id": [1]}, features=["months:x"], start_date=day(1), end_date="2024-02-05"
    )
    assert made.to_arrow()["x"].to_pylist() == [360, -12]  # at the end of the ttl, too


def test_in_pieces_it_is_the_same(store, monkeypatch):
    whole = store.get_historical_features(spine(day(21)), "model").to_arrow()
    monkeypatch.setattr(finishing, "PIECE", 2)
    batches = list(store.get_historical_features(spine(day(21)), "model").to_reader())
    assert [len(batch) for batch in batches] == [2, 1]
    assert pa.Table.from_batches(batches).equals(whole)


def test_a_large_set_is_computed_piece_by_piece(store, monkeypatch):
    """No more rows are Python values at a time than a piece has, whatever the batches of the engine."""
    count = 50_000
    view = OnDemandFeatureView(
        name="counting", sources=[profile, payment], schema=[Field("x", Int64)], mode="numpy", function=noted
    )
    store.apply([view])
    SEEN.clear()
    given = {"user_id": [1] * count, "paid": [1.0] * count, "event_timestamp": [day(21)] * count}
    rows = sum(len(batch) for batch in store.get_historical_features(given, ["counting:x"]).to_reader())
    assert rows == sum(SEEN) == count
    assert max(SEEN) <= finishing.PIECE


def noted(age, paid):
    SEEN.append(len(age))
    return age


def test_a_token_gives_the_same_from_history(store, clock):
    response = store.get_online_features("model", ASKED, known_through=True)
    (token,) = {str(one) for one in response.known_through}
    assert "spend@1" in token
    assert "profile@1" in token
    clock.set(day(22))
    store.push("payments", {"user_id": [1], "amount": [1000.0], "at": [day(10)]})
    again = store.get_historical_features(spine(day(21)), "model", as_known=token).to_arrow()
    for name in EXPECTED:
        assert again[name].equals(response.to_arrow()[name]), name
    assert trained(store)["ratio"] != EXPECTED["ratio"]


def test_a_set_is_made_again(store, clock, tmp_path):
    made = store.get_historical_features(spine(day(20)), "model")
    path = made.persist(tmp_path / "set.parquet")
    clock.set(day(25))
    store.push("payments", {"user_id": [1], "amount": [1000.0], "at": [day(10)]})
    assert store.reproduce(path).to_arrow().equals(made.to_arrow())


def test_verify_holds_inputs_against_history_and_computes_again(store):
    response = store.get_online_features("model", ASKED, known_through=True)
    report = store.verify([response, response])
    assert report.agreed == report.compared > 0
    found = {one.view: (one.entities, one.compared, one.agreed, one.filled) for one in report.views}
    assert found["vs_mean@1"] == (6, 6, 6, 2)
    assert found["judged@1"] == (6, 6, 6, 2)
    assert found["small@1"] == (6, 12, 12, 8)


def moody(paid):
    SEEN.append(paid)
    return float(len(SEEN))


def test_verify_finds_a_function_of_chance(store):
    view = OnDemandFeatureView(name="moody", sources=[payment], schema=[Field("x", Float64)], function=moody)
    store.apply([view])
    response = store.get_online_features(
        ["moody:x", "profile:age"], entities_of(store, ["moody:x"]), known_through=True
    )
    report = store.verify(response)
    assert {one.view: one.causes for one in report.views} == {"moody@1": {"disagreement": 3}, "profile@1": {}}
    assert report.differences[0].feature == "moody@1:x"
    assert report.differences[0].entity == {"user_id": 1, "paid": 30.0}
    store.apply([OnDemandFeatureView(name="moody", sources=[payment], schema=[Field("x", Float64)], function=zero_of)])
    assert store.verify(response).causes == {"other version": 3}


def zero_of(paid):
    return 0.0


def test_the_registry_knows_them(store):
    assert [one.id for one in store.list_on_demand_feature_views()] == ["judged@1", "small@1", "vs_mean@1"]
    assert store.get_on_demand_feature_view("judged").wanted[0].feature == "ratio"
    assert "payment" in store.catalog().request_sources
    assert store.plan([model]).changes == ()


def test_a_default_is_no_reason_to_load_again(store):
    aged = FeatureView(
        **{name: getattr(profile, name) for name in ("name", "entities", "ttl", "source")},
        schema=[Field("age", Int64, default=18), Field("city", String, default="?")],
    )
    planned = store.apply([aged])
    assert "changes values" in str(planned)
    assert "schema.age.default: -1 → 18" in str(planned)
    assert planned.reload == ()
    assert "judged@1" in planned.affected
    assert served(store, ["profile:age", "profile:city"]) == {"age": [30, 18, 18], "city": ["Aachen", "Bonn", "?"]}
    counted = FeatureView(
        name="spend",
        entities=[user],
        source=payments,
        aggregations=[agg.mean("amount", over="30d", default=0.5), *spend.aggregations[1:]],
    )
    assert store.apply([counted]).reload == ()
    assert served(store, ["spend:amount_mean_30d"]) == {"amount_mean_30d": [15.0, 0.0, 0.5]}
    assert trained(store, ["spend:amount_mean_30d"]) == {"amount_mean_30d": [15.0, 0.0, 0.5]}


def test_a_sum_that_does_not_fit_is_its_default_and_verified(store, clock):
    cents = PushSource(
        name="cents", schema=[Field("user_id", Int64), Field("sum", Decimal(38, 2)), Field("at", UnixTimestamp)]
    )
    view = FeatureView(
        name="large",
        entities=[user],
        source=cents,
        aggregations=[agg.sum("sum", over="30d", name="total", default=PythonDecimal("0.50"))],
    )
    store.apply([view])
    most = PythonDecimal(10) ** 35
    store.push("cents", {"user_id": [1] * 20, "sum": [most * 9] * 20, "at": [day(3)] * 20})
    clock.set(day(22))
    store.materialize(None, day(22), ["large"])
    response = store.get_online_features(["large:total"], {"user_id": [1, 2]}, known_through=True)
    assert response.to_dict()["total"] == [PythonDecimal("0.50")] * 2
    assert list(map(str, response.statuses["total"])) == ["INVALID", "NULL_VALUE"]
    assert store.verify(response).causes == {}


def test_defaults_of_lists(store):
    view = FeatureView(
        name="cities",
        entities=[user],
        source=payments,
        aggregations=[agg.last_n("amount", 2, over="30d", default=[0.0]), agg.sum("amount", over="30d", name="total")],
    )
    store.apply([view])
    store.materialize(None, day(21), ["cities"])
    asked = ["cities:amount_last_2_30d", "cities:total"]
    expected = {"amount_last_2_30d": [[10.0, 20.0], [0.0], [0.0]], "total": [30.0, 0.0, None]}
    assert trained(store, asked) == served(store, asked) == expected


def test_explain_is_about_features_that_are_made_of_events(store):
    with pytest.raises(RequestError, match="its features are computed of others") as told:
        store.explain("judged:odd", {"user_id": 1})
    assert "ask for 'vs_mean@1:ratio'" in str(told.value)
    explained = store.explain("profile:age", {"user_id": 2})
    assert (explained.value, explained.agrees) == (None, True)
    assert "'age' of the latest row (null is shown as -1, its default)" in str(explained)


def test_lineage_goes_down_to_the_sources(store):
    said = str(store.get_lineage("judged:odd"))
    for line in (
        "feature vs_mean@1:ratio → function",
        "request value paid → function",
        "source payments → column amount (value) → aggregation mean('amount') over 30d",
        "feature judged@1:odd → service model",
    ):
        assert line in said
    assert "on-demand view judged@1" in str(store.get_lineage("profile:age"))
    assert "expression count_30d + 1 → feature small@1:next" in str(store.get_lineage("small:next"))
    with pytest.raises(RequestError, match="the lineage of one value is that of these"):
        store.get_lineage("judged:odd", {"user_id": 1})


def vectors(paid, age):
    return {"v": age * 1.0, "w": [[1.0], [2.0], [3.0]][: len(age)]}


def test_numpy_takes_masked_arrays(store):
    schema = [Field("v", Float64), Field("w", Array(Float64))]
    view = OnDemandFeatureView(name="arrays", sources=[profile, payment], schema=schema, mode="numpy", function=vectors)
    store.apply([view])
    found = served_of(store, ["arrays:v", "arrays:w"], ["user_id", "paid"])
    assert found == {"v": [30.0, -1.0, -1.0], "w": [[1.0], [2.0], [3.0]]}


def served_of(store: FeatureStore, features: list[str], columns: list[str]) -> dict[str, list[Any]]:
    made = store.get_online_features(features, {name: ASKED[name] for name in columns}).to_dict()
    return {name: column for name, column in made.items() if name not in columns}


def failing(paid, age):
    if 7.0 in paid:
        raise ValueError("seven")
    return age


def test_an_array_function_that_fails_fails_for_the_rows_that_make_it(store):
    view = OnDemandFeatureView(
        name="failing", sources=[profile, payment], schema=[Field("v", Int64)], mode="numpy", function=failing
    )
    store.apply([view])
    found = store.get_online_features(["failing:v"], {name: ASKED[name] for name in ("user_id", "paid")})
    assert found.to_dict()["v"] == [30, None, -1]
    assert list(map(str, found.statuses["v"])) == ["PRESENT", "INVALID", "PRESENT"]
    assert trained(store, ["failing:v"]) == {"v": [30, None, -1]}


def feast_frame(inputs):
    pd = pytest.importorskip("pandas")
    df = pd.DataFrame()
    df["val"] = inputs["paid"] + inputs["age"]
    return df


def feast_lists(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"val": [(paid or 0) + age for paid, age in zip(inputs["paid"], inputs["age"], strict=True)]}


def feast_single(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"val": (inputs["paid"] or 0) + inputs["age"]}


@pytest.mark.parametrize(
    ("function", "options", "expected"),
    [
        (feast_frame, {"mode": "pandas"}, [60.0, 6.0, None]),
        (feast_lists, {}, [60.0, 6.0, -1.0]),
        (feast_single, {"singleton": True}, [60.0, 6.0, -1.0]),
    ],
)
def test_functions_written_for_feast(store, function, options, expected):
    view = OnDemandFeatureView(
        name="of_feast",
        sources=[profile[["age"]], payment],
        schema=[Field("val", Float64)],
        function=function,
        entities=[user],
        **options,
    )
    store.apply([view])
    assert trained(store, ["of_feast:val"]) == served(store, ["of_feast:val"]) == {"val": expected}


FEATURES = """
from gnomon import Entity, FeatureView, Field, FileSource, RequestSource, on_demand_feature_view
from gnomon.types import Float64, Int64

profile = FeatureView(
    name="profile",
    entities=[Entity(name="user_id")],
    source=FileSource(path="profiles.parquet", timestamp_field="at", delay="0s"),
    schema=[Field("age", Int64)],
)
payment = RequestSource(name="payment", schema=[Field("paid", Float64)])


@on_demand_feature_view(sources=[profile, payment], schema=[Field("x", Float64)])
def per_year(paid, age):
    return paid / age
"""
ASKING = """
from gnomon import FeatureStore, GnomonError
import sys
try:
    store = FeatureStore(sys.argv[1])
    print(store.get_online_features(["per_year:x"], [{"user_id": 1, "paid": 60.0}]).to_dict()["x"])
except GnomonError as error:
    print(error)
"""


def elsewhere(repo: Path) -> str:
    """What another process, started somewhere else, says."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-c", ASKING, str(repo)]
    done = subprocess.run(words, cwd=repo.parent, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_another_process_finds_the_function_in_the_repo_and_only_that_one(repo: Path):
    (repo / "features.py").write_text(FEATURES)
    with FeatureStore(repo, clock=ManualClock(day(20))) as store:
        store.apply()
        store.materialize(None, day(20))
    assert elsewhere(repo) == "[2.0]\n"
    (repo / "features.py").write_text(FEATURES.replace("paid / age", "paid / age / 2"))
    said = elsewhere(repo)
    assert "on-demand feature view 'per_year': the code of 'features:per_year' is not what it was" in said
    with FeatureStore(repo, clock=ManualClock(day(20))) as store:
        planned = store.apply()
        assert [(one.id, one.changes_values) for one in planned.changes] == [("per_year@1", True)]
        assert planned.reload == ()
    assert elsewhere(repo) == "[1.0]\n"
    (repo / "features.py").unlink()
    assert "there is no function at 'features:per_year'" in elsewhere(repo)


def test_what_runs_is_what_is_registered(store):
    registered = store.get_on_demand_feature_view("vs_mean")
    assert registered.code.text.startswith("def vs_mean(paid, amount_mean_30d):")
    code = type(registered.code)(place=registered.code.place, hash="0" * 16, parameters=registered.code.parameters)
    store.apply([OnDemandFeatureView(name="other", sources=[spend, payment], schema=[Field("r", Float64)], code=code)])
    with pytest.raises(DefinitionError, match=r"on-demand feature view 'other': the code of .* is not what it was"):
        store.get_online_features(["other:r"], ASKED)
    with pytest.raises(DefinitionError, match="on-demand feature view 'other'"):
        store.get_historical_features(spine(day(21)), ["other:r"])
