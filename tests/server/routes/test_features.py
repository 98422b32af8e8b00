"""The catalog over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from own_aggregations import GeometricMean
from served import PAYMENTS, Client, event
from shop import profile

from gnomon import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    RequestSource,
    agg,
    on_demand_feature_view,
)
from gnomon.definitions.codec import encode
from gnomon.types import Float64


def names(client: Client, **params: Any) -> list[str]:
    return [one["name"] for one in client.get("/features", **params).json()["features"]]


ALL = ["profile@1:age", "profile@1:city", "spend@1:count_30d", "spend@1:amount_sum_30d"]


def test_all_features_are_listed(shared: Client) -> None:
    found = shared.get("/features").json()
    assert (found["total"], found["registry_version"]) == (4, 1)
    assert found["features"][2] == {
        "name": "spend@1:count_30d",
        "feature": "count_30d",
        "view": "spend",
        "version": 1,
        "kind": "windowed",
        "type": "Int64",
        "entities": ["user_id"],
        "join_keys": ["user_id"],
        "source": "payments",
        "online": True,
        "description": "What users spend",
        "owner": "risk",
        "tags": {"team": "risk"},
    }


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, ALL),
        ({"view": "profile"}, ALL[:2]),
        ({"view": "spend@1"}, ALL[2:]),
        ({"view": "spend@2"}, []),
        ({"entity": "user_id"}, ALL),
        ({"entity": "user"}, []),
        ({"service": "model"}, ALL[:1]),
        ({"owner": "risk"}, ALL[2:]),
        ({"tag": "team"}, ALL[2:]),
        ({"tag": "team:risk"}, ALL[2:]),
        ({"tag": "team:fraud"}, []),
        ({"online": "false"}, []),
        ({"search": "SPEND"}, ALL[2:]),
        ({"search": "city"}, ALL[1:2]),
        ({"limit": 2}, ALL[:2]),
        ({"limit": 2, "offset": 3}, ALL[3:]),
        ({"offset": 9}, []),
    ],
)
def test_features_are_filtered_and_paged(shared: Client, params: dict[str, Any], found: list[str]) -> None:
    assert names(shared, **params) == found


def test_an_unknown_service_is_not_found(shared: Client) -> None:
    assert shared.get("/features", service="modal").status_code == 404


@pytest.mark.parametrize("path", ["spend:count_30d", "spend@1:count_30d", "spend%401%3Acount_30d", "spend__count_30d"])
def test_one_feature(shared: Client, path: str) -> None:
    found = shared.get(f"/features/{path}").json()
    assert found["name"] == "spend@1:count_30d"
    assert found["aggregation"] == {"function": "count", "column": None, "where": None, "window": "30d"}
    assert (found["ttl"], found["services"]) == (None, [])


def test_a_feature_of_a_row_view_says_its_ttl_and_services(shared: Client) -> None:
    found = shared.get("/features/profile:age").json()
    assert (found["ttl"], found["services"]) == ("30d", ["model"])
    assert "aggregation" not in found


@pytest.mark.parametrize(
    ("path", "status", "hint"),
    [
        ("spend:count_3d", 404, "did you mean 'count_30d'?"),
        ("spent:count_30d", 404, "did you mean 'spend'?"),
        ("spend@7:count_30d", 404, "did you mean 'spend@1'?"),
        ("spend@x:count_30d", 400, "write spend@1."),
        ("spend", 400, "write 'view:feature'"),
    ],
)
def test_what_is_not_there(shared: Client, path: str, status: int, hint: str) -> None:
    answer = shared.get(f"/features/{path}")
    assert answer.status_code == status
    error = answer.json()["error"]
    assert hint in error["hint"]
    assert error["request_id"] == answer.headers["x-request-id"]


def test_lineage_of_a_definition_and_of_a_value(client: Client) -> None:
    client.post("/push", {"push_source_name": "payments", "events": [event(1, 2.5, "2024-01-19T00:00:00Z")]})
    defined = client.get("/features/spend:amount_sum_30d/lineage").json()
    assert {"source", "column", "aggregation", "feature"} == {node["kind"] for node in defined["nodes"]}
    value = client.get("/features/spend:amount_sum_30d/lineage", entity="user_id=1").json()
    assert value["nodes"][0]["values"] == {"amount": 2.5}
    assert value["nodes"][-1]["value"] == 2.5
    before = client.get("/features/spend:amount_sum_30d/lineage", entity="user_id=1", at="2024-01-18T00:00:00Z").json()
    assert before["nodes"][-1]["value"] is None


def test_explain(client: Client) -> None:
    client.post("/push", {"push_source_name": "payments", "events": [event(1, 2.5, "2024-01-19T00:00:00Z")]})
    told = client.get("/explain", feature="spend:amount_sum_30d", entity="user_id=1").json()
    assert (told["value"], told["check"]["agrees"], told["events_inside"]) == (2.5, True, 1)
    assert client.get("/explain", feature="spend:amount_sum_30d", entity="user_id").status_code == 400
    assert client.get("/explain", feature="spend:amount_sum_30d").status_code == 400
    assert client.get("/explain").status_code == 422


NEW = FeatureView(
    name="spend2", entities=[Entity(name="user_id")], source=PAYMENTS, aggregations=[agg.count(over="1d")]
)


def test_registering_from_documents(client: Client, store: FeatureStore) -> None:
    asked = {"definitions": [encode(NEW)], "expected_version": 1}
    plan = client.post("/features", {**asked, "dry_run": True}).json()
    assert [(one["action"], one["id"]) for one in plan["changes"]] == [("add", "spend2@1")]
    assert (plan["base"], plan["version"], store.snapshot().version) == (1, None, 1)
    done = client.post("/features", asked).json()
    assert done["version"] == 2
    assert "spend2@1:count_1d" in names(client), "and is known at once"
    assert store.history(1)[0].by == "http"
    again = client.post("/features", asked)
    assert again.status_code == 409
    assert "version 2, not 1" in again.json()["error"]["message"]


def test_registering_changes_what_is_there(client: Client, store: FeatureStore) -> None:
    document = encode(profile) | {"ttl": "7d"}
    done = client.post("/features", {"definitions": [document]}).json()
    assert done["affected"] == ["profile@1"]
    assert client.get("/features/profile:age").json()["ttl"] == "7d"
    assert store.catalog().service("model").features[0].view.ttl is not None


REQUEST = RequestSource(name="payment", schema=[Field("amount", Float64)])


@on_demand_feature_view(sources=[REQUEST], schema=[Field("tripled", Float64)])
def tripled(amount: float) -> float:
    return amount * 3


def test_expressions_come_over_http_and_are_features_like_others(client: Client, store: FeatureStore) -> None:
    doubled = OnDemandFeatureView(
        name="doubled",
        sources=[REQUEST, profile],
        schema=[Field("doubled", Float64)],
        mode="sql",
        expressions={"doubled": "amount * 2 + coalesce(age, 0)"},
    )
    done = client.post("/features", {"definitions": [encode(REQUEST), encode(doubled)]})
    assert done.status_code == 200, done.text
    assert names(client, view="doubled") == ["doubled@1:doubled"]
    told = client.get("/features/doubled:doubled").json()
    assert {name: told[name] for name in ("kind", "type", "join_keys", "request", "source", "entities")} == {
        "kind": "on-demand",
        "type": "Float64",
        "join_keys": ["user_id"],
        "request": ["amount"],
        "source": "payment, profile",
        "entities": ["user_id"],
    }
    store.materialize_incremental()
    asked = [{"user_id": 1, "amount": 2.5}]
    assert store.get_online_features(["doubled:doubled", "profile:age"], asked).to_dict()["doubled"][0] > 5


OWN = FeatureView(
    name="own", entities=[Entity(name="user_id")], source=PAYMENTS,
    aggregations=[agg.custom(GeometricMean, "amount", over="1d")],
)  # fmt: skip


@pytest.mark.parametrize(
    ("document", "status", "told"),
    [
        (encode(OWN), 422, "whose code is in the repo"),
        ({"kind": "OnDemandFeatureView", "name": "x"}, 422, "has code, which cannot come over HTTP"),
        (encode(tripled), 422, "has code, which cannot come over HTTP"),
        (encode(tripled) | {"mode": "sql"}, 422, "not there"),
        ({"kind": "Nothing"}, 422, "no kind of definition 'Nothing'"),
        ({"name": "x"}, 422, "no kind of definition None"),
        ({"kind": ["Entity"]}, 422, "no kind of definition"),
        ({"kind": "Entity"}, 422, "lacks 'name'"),
        ({"kind": "Entity", "name": 7}, 422, ""),
        ({"kind": "Entity", "name": "x", "join_keys": {"a": 1}}, 422, ""),
        ({"kind": "FeatureView", "name": "x", "source": {"ref": "PushSource", "name": "y"}}, 422, "not there"),
        ({"kind": "FeatureView", "name": "x", "source": {"ref": ["PushSource"], "name": {}}}, 422, ""),
        ({"kind": "FeatureView", "name": "x", "source": {}}, 422, ""),
        (encode(FileSource(path="/etc/passwd", file_format="csv")), 422, "not in the repo"),
        (encode(FileSource(path="profiles/../../x.parquet")), 422, "not in the repo"),
        (encode(FileSource(path="s3://x/y.parquet")), 422, "not in the repo"),
    ],
)
def test_what_is_not_registered(shared: Client, document: Any, status: int, told: str) -> None:
    answer = shared.post("/features", {"definitions": [document]})
    assert answer.status_code == status, answer.text
    assert told in answer.json()["error"]["message"], answer.text


def test_a_source_that_is_not_there_is_its_authors_matter(shared: Client) -> None:
    source = FileSource(path="nowhere.parquet", timestamp_field="ts")
    view = FeatureView(name="lost", entities=[Entity(name="user_id")], source=source)
    answer = shared.post("/features", {"definitions": [encode(source), encode(view)]})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "DefinitionError")
