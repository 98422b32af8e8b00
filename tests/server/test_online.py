"""Online reads over HTTP, held against what Feast 0.67's server answers to the same requests about the same rows."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from http_server import HttpServer

from gnomon import FeatureStore

RECORDED = json.loads(Path(__file__).with_name("feast_answers.json").read_text(encoding="utf-8"))
NEVER = "1970-01-01T00:00:00Z"

OTHERWISE = {
    '{"features": ["v:i", "old:i"], "entities": {"user_id": [1, 9]}, "full_feature_names": true}': 200,  # an age limit
    '{"feature_service": "svc", "entities": {"user_id": [1, 9]}, "full_feature_names": true}': 200,
    '{"features": ["v:i"], "entities": {"user_id": []}}': 200,  # nothing about nobody
    '{"features": ["v:i"], "entities": {"user_id": [null]}}': 200,  # not found
    '{"features": ["v:i"], "entities": {"user_id": [1, null]}}': 200,
    '{"features": ["v@1:i"], "entities": {"user_id": [1]}}': 200,  # every view has versions
    '{"features": ["v:nope"], "entities": {"user_id": [1]}}': 404,  # as a view that is not there
    '{"features": ["v:i"], "entities": {"user_id": [1.5]}}': 400,  # Feast reads 1
    '{"features": ["v:i"], "entities": {"user_id": [true]}}': 400,
    '{"features": ["v:i"], "entities": {"user_id": [1], "more": [5]}}': 400,  # no view has this key
    '{"features": ["v:i"], "entities": {"user_id": [1]}, "surplus": 1}': 422,
}
"""Requests that gnomon answers otherwise than Feast does → its status."""


def named(answer: dict[str, Any]) -> dict[str, list[tuple[Any, str, str]]]:
    """Column → (value, status, instant) of each entity; a column's place among the features says nothing in Feast."""
    columns = (list(zip(*one.values(), strict=True)) for one in answer["results"])
    return dict(zip(answer["metadata"]["feature_names"], columns, strict=True))


def as_ours(name: str, theirs: list[tuple[Any, str, str]], ours: list[tuple[Any, str, str]]) -> list[Any]:
    """Feast's column, with what it loses put right: the status of nulls, fractions of instants, bits of integers."""
    made = []
    for (value, status, at), (mine, _, when) in zip(theirs, ours, strict=True):
        if status == "PRESENT" and mine is None:
            value, status = None, "NULL_VALUE"
        elif isinstance(mine, float) and name == "t":
            value = value + mine % 1
        elif name == "tl" and mine and isinstance(mine[0], float):
            value = [value[0] + mine[0] % 1]
        elif mine == 2**53 + 1:
            value = mine
        elif mine == "NaN":
            value = mine  # Feast makes null of it on its way through pandas
        made.append((value, status, when if at[:19] == when[:19] else at))
    return made


@pytest.mark.parametrize("recorded", RECORDED, ids=[json.dumps(one["asked"])[:100] for one in RECORDED])
def test_answers_are_feasts(server: HttpServer, recorded: dict[str, Any]) -> None:
    asked, status = recorded["asked"], recorded["status"]
    got = server.ask(**asked)
    if (otherwise := OTHERWISE.get(json.dumps(asked))) is not None:
        assert got.status_code == otherwise
    elif status == 200:
        ours, theirs = named(got.json()), named(recorded["answer"])
        assert ours == {name: as_ours(name, theirs[name], column) for name, column in ours.items()}
        assert len(ours) == len(theirs)
        keys = [name for name in recorded["answer"]["metadata"]["feature_names"] if name in asked["entities"]]
        assert got.json()["metadata"]["feature_names"][: len(keys)] == keys
    else:  # Feast has 500 for what the caller has to put right
        assert got.status_code == (400 if status == 500 else status)
        told = json.loads(got.json())  # as `FeastError.from_error_detail` reads it
        assert set(told) >= {"module", "class", "message"}
        if status == 404:
            assert told["class"] == json.loads(recorded["answer"])["class"]


def test_a_service_an_age_limit_and_full_names(server: HttpServer) -> None:
    answer = server.ask(feature_service="svc", entities={"user_id": [1, 9]}, full_feature_names=True).json()
    assert answer == {
        "metadata": {"feature_names": ["user_id", "v__i", "v__s", "old__i"]},
        "results": [
            {"values": [1, 9], "statuses": ["PRESENT"] * 2, "event_timestamps": [NEVER] * 2},
            {
                "values": [1, None],
                "statuses": ["PRESENT", "NOT_FOUND"],
                "event_timestamps": ["2024-01-01T12:00:00Z", NEVER],
            },
            {
                "values": ["a", None],
                "statuses": ["PRESENT", "NOT_FOUND"],
                "event_timestamps": ["2024-01-01T12:00:00Z", NEVER],
            },
            {
                "values": [None, None],
                "statuses": ["OUTSIDE_MAX_AGE", "NOT_FOUND"],
                "event_timestamps": ["2024-01-01T12:00:00Z", NEVER],
            },
        ],
    }


def test_answers_are_those_of_the_store(server: HttpServer, shop: Path) -> None:
    features = [f"v:{name}" for name in ("i", "i32", "s", "b", "il", "sl")] + ["spend:count_1d", "spend:amount_sum_1d"]
    for users in ([1], [1, 2, 3, 4, 9], list(range(50)), list(range(3000))):
        answer = named(server.ask(features=features, entities={"user_id": users}).json())
        with FeatureStore(shop) as store:
            right = store.get_online_features(features, {"user_id": users})
        assert {name: [one[0] for one in column] for name, column in answer.items()} == right.to_dict()
        statuses = {name: [one[1] for one in column] for name, column in answer.items() if name != "user_id"}
        assert statuses == {name: [str(one) for one in column] for name, column in right.statuses.items()}


def test_what_an_answer_knew_is_said_when_asked_for(server: HttpServer, shop: Path) -> None:
    answer = server.ask(feature_service="mixed", entities={"user_id": [1, 2]}, known_through=True).json()
    tokens = answer["metadata"]["known_through"]
    assert [token.startswith("through:spend@1=") for token in tokens] == [True, True]
    assert named(answer)["amount_sum_1d"][0][:2] == (6.5, "PRESENT")
    with FeatureStore(shop) as store:
        right = store.get_online_features("mixed", {"user_id": [1, 2]}, known_through=True).known_through
    assert [token.partition("v@1")[0] for token in tokens] == [str(one).partition("v@1")[0] for one in right]


def test_the_lean_form_has_values_alone(server: HttpServer) -> None:
    answer = server.ask(features=["v:i", "v:s"], entities={"user_id": [1, 4]}, lean=True).json()
    assert answer == {
        "metadata": {"feature_names": ["user_id", "i", "s"]},
        "results": [{"values": [1, 4]}, {"values": [1, None]}, {"values": ["a", None]}],
    }


def test_messagepack_both_ways(server: HttpServer) -> None:
    features = ["v:by", "v:f", "v:fl", "v:d", "v:t"]
    asked = msgspec.msgpack.encode({"features": features, "entities": {"user_id": [1, 2]}})
    got = server.post(asked, content_type="application/msgpack", accept="application/msgpack")
    assert got.headers["content-type"] == "application/msgpack"
    answer = msgspec.msgpack.decode(got.content)
    plain = server.ask(features=features, entities={"user_id": [1, 2]}).json()
    assert answer["metadata"] == plain["metadata"]
    values = [one["values"] for one in answer["results"]]
    assert values[1] == [b"\x00\xff", b""]
    assert values[2][0] == 0.1
    assert math.isnan(values[2][1])
    assert math.isnan(values[3][0][1])
    assert values[4] == ["1.00", "25.00"]
    for mine, theirs in zip(answer["results"], plain["results"], strict=True):
        assert (mine["statuses"], mine["event_timestamps"]) == (theirs["statuses"], theirs["event_timestamps"])


def test_arrow(server: HttpServer) -> None:
    got = server.ask(
        {"accept": "application/vnd.apache.arrow.stream"}, features=["v:i", "v:fl"], entities={"user_id": [1, 9]}
    )
    table = pa.ipc.open_stream(io.BytesIO(got.content)).read_all()
    assert table.column_names == ["user_id", "i", "fl", "i__status", "i__ts", "fl__status", "fl__ts"]
    assert table["i"].to_pylist() == [1, None]
    assert table["i__status"].to_pylist() == ["PRESENT", "NOT_FOUND"]
    assert table["fl"].type == pa.list_(pa.float64())
    lean = server.ask(
        {"accept": "application/vnd.apache.arrow.stream"}, features=["v:i"], entities={"user_id": [1]}, lean=True
    )
    assert pa.ipc.open_stream(io.BytesIO(lean.content)).read_all().column_names == ["user_id", "i"]


def test_one_entity_by_its_address(server: HttpServer) -> None:
    got = server.client.get("/features/online/user_id=1?features=v:i,v:s&features=v:b")
    assert got.status_code == 200
    assert got.json() == server.ask(features=["v:i", "v:s", "v:b"], entities={"user_id": [1]}).json()
    both = server.client.get("/features/online/a=x/n=1?features=two:z&full_feature_names=true&lean=true").json()
    assert both == {
        "metadata": {"feature_names": ["a", "n", "two__z"]},
        "results": [{"values": ["x"]}, {"values": [1]}, {"values": [1.5]}],
    }
    service = server.client.get("/features/online/user_id=1?feature_service=svc&full_feature_names=true")
    assert service.json()["metadata"]["feature_names"] == ["user_id", "v__i", "v__s", "old__i"]
    assert server.client.get("/features/online/a=x%2Fy/n=1?features=two:z").json()["results"][0]["values"] == ["x/y"]


@pytest.mark.parametrize(
    ("address", "status", "kind"),
    [
        ("user_id=1", 400, "HttpError"),
        ("user_id=1?features=nope:i", 404, "NotRegistered"),
        ("user_id=1?features=v:j", 404, "UnknownFeature"),
        ("user_id?features=v:i", 400, "HttpError"),
        ("?features=v:i", 400, "RequestError"),
        ("user_id=x?features=v:i", 400, "RequestError"),
        ("user_id=%ff?features=v:i", 400, "HttpError"),
        ("user_id=1?features=v:i&lean=perhaps", 400, "HttpError"),
        ("user_id=1?features=v:i&leen=true", 400, "HttpError"),
        ("user_id=1/user_id=2?features=v:i", 400, "HttpError"),
        ("user_id=1?features=v:i&lean=true&lean=false", 400, "HttpError"),
        ("user_id=1?features=v:i&entities=user_id", 400, "HttpError"),
    ],
)
def test_an_address_that_cannot_be_answered(server: HttpServer, address: str, status: int, kind: str) -> None:
    got = server.client.get(f"/features/online/{address}")
    assert (got.status_code, got.json()["error"]["type"]) == (status, kind)
    assert got.json()["error"]["request_id"] == got.headers["x-request-id"]


def test_a_request_has_an_id_its_own_or_a_new_one(server: HttpServer) -> None:
    asked = {"features": ["v:i"], "entities": {"user_id": [1]}}
    assert server.ask({"x-request-id": "mine-1"}, **asked).headers["x-request-id"] == "mine-1"
    first, second = (server.ask(**asked).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert server.ask({"x-request-id": "with space"}, **asked).headers["x-request-id"] != "with space"


def test_what_is_not_there(server: HttpServer) -> None:
    got = server.client.get("/nothing-here")
    assert got.status_code == 404
    assert "server" not in got.headers
    assert server.client.get("/get-online-features").status_code == 405
    assert server.client.get("/get-online-features").headers["allow"] == "POST"
    assert server.client.post("/features/online/user_id=1").status_code == 405
