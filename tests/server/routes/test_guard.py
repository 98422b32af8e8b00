"""Whatever goes wrong: the right status, one shape, nothing told of what is inside."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import Client, Keyed, context_of, event, project

from gnomon import FeatureStore
from gnomon.server.access.contract import Scope
from gnomon.server.metrics.counted import Counted
from gnomon.server.problems import FEAST_ROUTES, HttpError
from gnomon.server.routes.hands import Hands
from gnomon.server.settings import ServerSettings


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with project(tmp_path_factory.mktemp("keyed")) as store:
        client = Client(context_of(store, access=Keyed()))
        yield client
        client.close()


ROUTES = [
    ("GET", "/features", Scope.READ),
    ("GET", "/features/spend:count_30d", Scope.READ),
    ("GET", "/features/spend:count_30d/lineage", Scope.READ),
    ("POST", "/features", Scope.MANAGE),
    ("POST", "/features/batch", Scope.BATCH),
    ("GET", "/explain", Scope.BATCH),
    ("POST", "/push", Scope.WRITE),
    ("POST", "/write-to-online-store", Scope.WRITE),
    ("POST", "/materialize", Scope.MANAGE),
    ("POST", "/materialize-incremental", Scope.MANAGE),
    ("GET", "/jobs", Scope.MANAGE),
    ("GET", "/jobs/1", Scope.MANAGE),
    ("GET", "/metrics", Scope.METRICS),
]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_each_route_needs_its_scope(keyed: Client, method: str, path: str, scope: Scope) -> None:
    unknown = keyed.ask(method, path)
    assert (unknown.status_code, unknown.headers["www-authenticate"]) == (401, "Bearer")
    often = keyed.ask(method, path, headers={"authorization": "Bearer often"})
    assert (often.status_code, often.headers["retry-after"]) == (429, "3")
    for other in Scope:
        answer = keyed.ask(method, path, headers={"authorization": f"Bearer {other.value}"})
        assert (answer.status_code == 403) == (other != scope)
    error = unknown.json()
    told = json.loads(error)["message"] if path in FEAST_ROUTES else error["error"]["message"]
    assert told == "no key."


def test_events_are_shown_to_those_who_may_ask_why(keyed: Client) -> None:
    path, read = "/features/spend:count_30d/lineage", {"authorization": "Bearer read"}
    assert keyed.ask("GET", path, headers=read).status_code == 200
    assert keyed.ask("GET", path, headers=read, params={"entity": "user_id=1"}).status_code == 403


def test_each_route_is_in_that_list(shared: Client) -> None:
    document = shared.get("/openapi.json").json()["paths"]
    hot = {("POST", "/get-online-features"), ("GET", "/features/online/{entity}")}
    declared = {(method.upper(), path): one for path, methods in document.items() for method, one in methods.items()}
    templates = {("GET", "/jobs/{id}"): "/jobs/1", ("GET", "/features/{name}"): "/features/spend:count_30d"}
    templates["GET", "/features/{name}/lineage"] = "/features/spend:count_30d/lineage"
    scoped = {
        (method, templates.get((method, path), path)): one.get("x-scope")
        for (method, path), one in declared.items()
        if (method, path) not in hot
    }
    open_to_all = {("GET", path): None for path in ("/health", "/health/live", "/health/ready")}
    assert scoped == {(method, path): scope.value for method, path, scope in ROUTES} | open_to_all


def test_nobody_needs_a_key_to_ask_how_it_is(keyed: Client) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/docs", "/openapi.json"):
        assert keyed.get(path).status_code == 200


def test_who_registered_is_remembered(keyed: Client) -> None:
    document = {"kind": "Entity", "name": "shop", "join_keys": ["shop"]}
    headers = {"authorization": "Bearer manage"}
    assert keyed.post("/features", {"definitions": [document]}, headers=headers).status_code == 200
    assert keyed.context.store.history(1)[0].by == "ada"


def test_nothing_is_read_of_who_may_not_ask(keyed: Client) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x" * 1000

    assert keyed.ask("POST", "/push", content=body()).status_code == 401
    assert read <= 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large(store: FeatureStore, chunked: bool) -> None:
    client = Client(context_of(store, settings=ServerSettings(max_body_bytes=1000)))

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    for path in ("/features", "/features/batch", "/push"):
        answer = client.ask("POST", path, content=pieces() if chunked else b" " * 2000)
        assert answer.status_code == 413
        assert "1,000 bytes" in answer.text
    client.close()


def test_a_body_that_does_not_end(store: FeatureStore) -> None:
    client = Client(context_of(store, settings=ServerSettings(timeout=timedelta(milliseconds=50))))

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    assert client.ask("POST", "/features", content=body()).status_code == 408
    client.close()


def test_what_takes_too_long(store: FeatureStore) -> None:
    client = Client(context_of(store, settings=ServerSettings(timeout=timedelta(milliseconds=100))))
    wait = threading.Event()
    client.app.state.parts.jobs.all = lambda: wait.wait(60)
    answer = client.get("/jobs")
    wait.set()
    assert answer.status_code == 504
    assert "feature_server: timeout" in answer.json()["error"]["hint"]
    client.close()


def test_too_much_at_once() -> None:
    hands, wait = Hands(timedelta(seconds=30), threads=1, waiting=1), threading.Event()

    async def ask() -> list[Any]:
        begun = [asyncio.create_task(hands.run(lambda: wait.wait(60))) for _ in range(3)]
        with pytest.raises(HttpError) as refused:
            await begun[2]
        wait.set()
        return [refused.value.status, *await asyncio.gather(*begun[:2])]

    assert asyncio.run(ask()) == [503, True, True]
    assert asyncio.run(hands.run(lambda: 7)) == 7, "there is room again"
    hands.close()


def test_who_is_cancelled_before_its_turn_is_not_served() -> None:
    hands, wait, done = Hands(timedelta(seconds=30), threads=1), threading.Event(), []

    async def ask() -> None:
        first = asyncio.create_task(hands.run(lambda: wait.wait(60)))
        second = asyncio.create_task(hands.run(lambda: done.append(2)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        wait.set()
        await first

    asyncio.run(ask())
    asyncio.run(hands.run(lambda: done.append(3)))
    assert done == [3]
    hands.close()


def test_an_unexpected_error_tells_nothing_and_is_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        raise KeyError("a secret")

    client.app.state.parts.jobs.all = broken
    with caplog.at_level(logging.ERROR):
        answer = client.ask("GET", "/jobs", headers={"x-request-id": "mine-1"})
    assert answer.status_code == 500
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"] == "mine-1"
    assert "secret" not in answer.text
    assert "mine-1" in caplog.text
    assert "KeyError: 'a secret'" in caplog.text


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "é"])
def test_a_request_id_that_is_none_is_replaced(shared: Client, given: str) -> None:
    answer = shared.ask("GET", "/health/live", headers={"x-request-id": given.encode()})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/docs/assets/nothing.js", 404),
        ("DELETE", "/features", 405),
        ("GET", "/push", 405),
        ("POST", "/health", 405),
        ("GET", "/features//lineage", 400),
        ("GET", "/features/%00", 400),
        ("GET", "/features/\u00e9:\u00e9", 404),
        ("GET", "/features?limit=0", 422),
        ("GET", "/features?limit=many", 422),
        ("GET", "/features?offset=-1", 422),
    ],
)
def test_paths_and_methods_that_are_not_there(shared: Client, method: str, path: str, status: int) -> None:
    answer = shared.ask(method, path)
    assert answer.status_code == status, answer.text
    error = json.loads(answer.json()) if path in FEAST_ROUTES else answer.json()["error"]
    assert error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"feature_views": NaN}', b"7", b'"\\ud800"'])
@pytest.mark.parametrize("path", ["/features", "/features/batch", "/push", "/materialize", "/write-to-online-store"])
def test_bodies_that_are_no_documents(shared: Client, path: str, body: bytes) -> None:
    answer = shared.ask("POST", path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 200),
        ({"content-type": "Application/JSON; charset=utf-8"}, 200),
        ({}, 200),
        ({"content-type": "application/x-www-form-urlencoded"}, 200),  # curl -d
        ({"content-type": "text/plain"}, 200),
        ({"content-type": "text/csv"}, 415),
        (
            {"content-type": "application/json", "origin": "http://page.example"},
            200,
        ),  # a browser asks before it does so
        ({"content-type": "text/plain", "origin": "http://page.example"}, 415),
        ({"origin": "http://page.example"}, 415),
    ],
)
def test_what_a_body_is_said_to_be(shared: Client, headers: dict[str, str], status: int) -> None:
    body = b'{"definitions": [{"kind": "Entity", "name": "user_id", "value_type": "Int64"}], "dry_run": true}'
    assert shared.ask("POST", "/features", content=body, headers=headers).status_code == status


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_document_is_read_alike_whether_it_is_small_or_large(shared: Client, size: int) -> None:
    spaces, headers = b" " * size, {"content-type": "application/json"}
    answer = shared.ask("POST", "/push", content=b'{"push_source_name": 7}' + spaces, headers=headers)
    assert (answer.status_code, "valid string" in answer.text) == (422, True)
    answer = shared.ask("POST", "/push", content=b'{"push_source_name":' + spaces, headers=headers)
    assert (answer.status_code, "no JSON" in answer.text) == (400, True)


def test_nan_is_taken_as_python_writes_it(client: Client, store: FeatureStore) -> None:
    body = b'{"push_source_name": "payments", "df": {"user_id": [1], "amount": [NaN], "at": ["2024-01-19T00:00:00Z"]}}'
    assert client.ask("POST", "/push", content=body).json()["appended"] == 1
    asked = {"entity_df": {"user_id": [1], "event_timestamp": ["2024-01-20T00:00:00Z"]}}
    told = client.post("/features/batch", {**asked, "features": ["spend:amount_sum_30d"]}).json()
    assert told["columns"]["amount_sum_30d"] == ["NaN"]


def test_requests_are_counted_by_route_and_status(store: FeatureStore, tmp_path: Any) -> None:
    metrics = Counted(tmp_path / "run")
    client = Client(context_of(store, metrics=metrics))
    client.get("/features/spend:count_30d")
    client.get("/features/spend:x")
    client.get("/nowhere")
    client.post("/push", {"push_source_name": "payments", "events": [event(1, 2.5)]})
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [one for family in families for one in family.samples]
    counted = {tuple(one.labels.values()): one.value for one in samples if one.name == "gnomon_requests_total"}
    assert counted == {
        ("/features/{name}", "200"): 1,
        ("/features/{name}", "404"): 1,
        ("other", "404"): 1,
        ("/push", "200"): 1,
    }
    assert [one.value for one in samples if one.name == "gnomon_requests_in_flight"] == [1], "the scrape itself"
    lag = [one for one in samples if one.name == "gnomon_ingest_lag_events"]
    assert [(one.labels, one.value) for one in lag] == [({"source": "payments", "view": "spend@1"}, 0)]
    assert {one.labels["source"]: one.value for one in samples if one.name == "gnomon_log_position"} == {"payments": 1}
    client.close()
    metrics.close()


def message_of(answer: Any) -> dict[str, Any]:
    told = answer.json()
    return json.loads(told)["error"] if isinstance(told, str) else told["error"]


@pytest.mark.parametrize(
    ("path", "body", "unknown", "meant"),
    [
        ("/push", {"push_source_name": "payments", "events": [], "tto": "offline"}, "tto", "to"),
        ("/write-to-online-store", {"feature_view_name": "spend", "df": {}, "dff": {}}, "dff", "df"),
        ("/materialize", {"feature_view": ["spend"]}, "feature_view", "feature_views"),
        ("/materialize-incremental", {"end_tss": None}, "end_tss", "end_ts"),
        ("/features/batch", {"entity_df": {}, "as_knwn": "then"}, "as_knwn", "as_known"),
        ("/features", {"definitions": [{}], "dryrun": True}, "dryrun", "dry_run"),
    ],
)
def test_a_mistyped_field_is_an_error(
    shared: Client, path: str, body: dict[str, Any], unknown: str, meant: str
) -> None:
    answer = shared.post(path, body)
    assert answer.status_code == 422
    assert f"unknown field {unknown!r}" in message_of(answer)["message"]
    assert message_of(answer)["hint"] == f"did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("GET", "/features?vew=spend", "view"),
        ("GET", "/explain?feature=spend:count_30d&entity=user_id=1&as_knwn=then", "as_known"),
        ("GET", "/features/spend:count_30d/lineage?as_knwn=then", "as_known"),
        ("POST", "/features/batch?features=profile:age&as_knwn=then", "as_known"),
    ],
)
def test_a_mistyped_parameter_is_an_error(shared: Client, method: str, path: str, meant: str) -> None:
    answer = shared.ask(method, path)
    assert answer.status_code == 422
    assert "unknown parameter" in message_of(answer)["message"]
    assert message_of(answer)["hint"] == f"did you mean {meant!r}?"


def test_a_parameter_beside_a_document_is_an_error(shared: Client) -> None:
    answer = shared.post("/features/batch?as_known=then", {"entity_df": {}, "features": ["profile:age"]})
    assert (answer.status_code, "the query has 'as_known'" in answer.text) == (400, True)


FEASTS = [
    ("/push", {"push_source_name": "payments", "df": {}, "allow_registry_cache": False, "transform_on_write": True}),
    ("/write-to-online-store", {"feature_view_name": "spend", "df": {}, "transform_on_write": True}),
    ("/materialize", {"feature_views": [], "full_feature_names": False, "disable_event_timestamp": False}),
    ("/materialize-incremental", {"feature_views": [], "full_feature_names": False, "version": None}),
]


@pytest.mark.parametrize(("path", "body"), FEASTS)
def test_what_feasts_clients_say_besides_is_taken(shared: Client, path: str, body: dict[str, Any]) -> None:
    assert "unknown field" not in shared.post(path, body).text
