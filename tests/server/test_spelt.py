"""What JSON has no word for, sent over HTTP as answers have it: it does what the value itself does in process."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

import gnomon.server
from gnomon import Entity, FeatureStore, FeatureView, Field, PushSource, RequestSource, agg, on_demand_feature_view
from gnomon.clock import ManualClock
from gnomon.types import Bool, Bytes, Float64, Int64, UnixTimestamp

NOW = datetime(2024, 1, 20, tzinfo=timezone.utc)
AT = "2024-01-19T00:00:00Z"
KEY, OTHER = b"\x00\xff", b"abc"
TEXT = base64.b64encode(KEY).decode()
EVENTS = PushSource(
    name="events",
    schema=[Field("key", Bytes), Field("amount", Float64), Field("raw", Bytes), Field("at", UnixTimestamp)],
    timestamp_field="at",
)
SPEND = FeatureView(
    name="spend",
    entities=[Entity(name="key", value_type=Bytes)],
    source=EVENTS,
    aggregations=[agg.sum("amount", over="30d"), agg.last("raw", over="30d")],
)
ASKED = RequestSource(
    name="asked", schema=[Field("x", Float64), Field("sent", Bytes), Field("yes", Bool), Field("n", Int64)]
)


@on_demand_feature_view(sources=[SPEND, ASKED], schema=[Field("made", Float64)])
def scaled(x, sent, yes, n, amount_sum_30d):
    return None if x is None else x * len(sent) * n * (1 if yes else -1) + 0 * amount_sum_30d


@pytest.fixture
def store(tmp_path: Any) -> Iterator[FeatureStore]:
    with FeatureStore(tmp_path, clock=ManualClock(NOW)) as store:
        store.apply([SPEND, scaled])
        yield store


def ask(store: FeatureStore, method: str, path: str, document: Any = None, **given: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        app = gnomon.server.app(store)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return await client.request(method, path, json=document, **given)

    return asyncio.run(asked())


def event(**other: Any) -> dict[str, Any]:
    return {"key": TEXT, "amount": 2.5, "raw": "YWJj", "at": AT} | other


@pytest.mark.parametrize("form", ["df", "events"])
def test_bytes_are_pushed_as_base64(store: FeatureStore, form: str) -> None:
    rows: Any = [event()] if form == "events" else {name: [one] for name, one in event().items()}
    report = ask(store, "POST", "/push", {"push_source_name": "events", form: rows}).json()
    assert (report["appended"], report["rejected"]) == (1, 0)
    found = store.get_online_features(["spend:amount_sum_30d", "spend:raw_last_30d"], {"key": [KEY]}).to_dict()
    assert found == {"key": [KEY], "amount_sum_30d": [2.5], "raw_last_30d": [b"abc"]}


def test_a_text_that_is_no_base64_is_no_bytes(store: FeatureStore) -> None:
    events = [event(), event(key="no base64")]
    answer = ask(store, "POST", "/push", {"push_source_name": "events", "events": events})
    assert (answer.status_code, "a text in base64" in answer.text) == (400, True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), Decimal("2.50"), Decimal("1E+3")])
def test_a_number_that_json_has_not_does_what_it_does_in_process(store: FeatureStore, value: Any) -> None:
    text = str(value) if isinstance(value, Decimal) else json.dumps(value)
    answer = ask(store, "POST", "/push", {"push_source_name": "events", "events": [event(amount=text)]})
    assert answer.json()["appended"] == 1, answer.text
    store.push("events", [{"key": OTHER, "amount": value, "raw": b"", "at": AT}])
    sums = store.get_online_features(["spend:amount_sum_30d"], {"key": [KEY, OTHER]}).to_dict()["amount_sum_30d"]
    assert repr(sums[0]) == repr(sums[1])


def test_rows_of_a_view_are_read_as_pushes_are(store: FeatureStore) -> None:
    df = {name: [one] for name, one in event(amount="NaN").items()}
    assert (
        ask(store, "POST", "/write-to-online-store", {"feature_view_name": "spend", "df": df}).json()["appended"] == 1
    )


@pytest.fixture
def pushed(store: FeatureStore) -> FeatureStore:
    store.push("events", [{"key": KEY, "amount": 2.5, "raw": b"abc", "at": AT}], "online_and_offline")
    return store


def test_bytes_are_keys_as_base64(pushed: FeatureStore) -> None:
    online = {"features": ["spend:amount_sum_30d"], "entities": {"key": [TEXT, "YWJj", None]}}
    answer = ask(pushed, "POST", "/get-online-features", online).json()
    assert [one["values"] for one in answer["results"]] == [[TEXT, "YWJj", None], [2.5, None, None]]
    path = f"/features/online/key={TEXT.replace('/', '%2F')}?features=spend:raw_last_30d"
    assert ask(pushed, "GET", path).json()["results"][1]["values"] == ["YWJj"]
    rows = {"key": [TEXT], "event_timestamp": ["2024-01-20T00:00:00Z"]}
    batch = ask(pushed, "POST", "/features/batch", {"entity_df": rows, "features": ["spend:raw_last_30d"]}).json()
    assert (batch["columns"]["key"], batch["columns"]["raw_last_30d"]) == ([TEXT], ["YWJj"])


def test_why_a_value_of_a_key_of_bytes_is_what_it_is(pushed: FeatureStore) -> None:
    params = {"feature": "spend:amount_sum_30d", "entity": f"key={TEXT}"}
    told = ask(pushed, "GET", "/explain", params=params).json()
    assert (told["value"], told["entity"]) == (2.5, {"key": TEXT})
    lineage = ask(pushed, "GET", "/features/spend:amount_sum_30d/lineage", params={"entity": f"key={TEXT}"})
    assert lineage.status_code == 200


def test_a_key_that_is_neither_is_refused(pushed: FeatureStore) -> None:
    answer = ask(
        pushed, "POST", "/get-online-features", {"features": ["spend:amount_sum_30d"], "entities": {"key": ["?"]}}
    )
    assert (answer.status_code, "takes Bytes" in answer.text) == (400, True)


GIVEN = {"sent": [b"abc"], "yes": [True], "n": [2]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("NaN", float("nan")), ("-Infinity", float("-inf")), ("2.5", Decimal("2.5")), (1.5, 1.5), (None, None)],
)
def test_values_of_requests_are_read_by_their_types(pushed: FeatureStore, text: Any, value: Any) -> None:
    features = ["scaled:made"]
    expected = pushed.get_online_features(features, {"key": [KEY], "x": [value], **GIVEN}).to_dict()["made"]
    sent = {"key": [TEXT], "x": [text], **GIVEN, "sent": ["YWJj"]}
    online = ask(pushed, "POST", "/get-online-features", {"features": features, "entities": sent}).json()
    rows = sent | {"event_timestamp": ["2024-01-20T00:00:00Z"]}
    batch = ask(pushed, "POST", "/features/batch", {"entity_df": rows, "features": features}).json()
    as_json = [None if one is None else text_of(one) for one in expected]
    assert online["results"][-1]["values"] == batch["columns"]["made"] == as_json


def text_of(value: float) -> Any:
    return value if abs(value) < float("inf") else json.dumps(value)


def test_an_address_has_texts_only(pushed: FeatureStore) -> None:
    path = f"/features/online/key={TEXT.replace('/', '%2F')}/x=2.5/sent=YWJj/yes=true/n=2?features=scaled:made"
    assert ask(pushed, "GET", path).json()["results"][-1]["values"] == [15.0]
    wrong = ask(pushed, "GET", path.replace("x=2.5", "x=much"))
    assert (wrong.status_code, "'x' is 'much'" in wrong.text) == (400, True)
    document = {
        "features": ["scaled:made"],
        "entities": {"key": [TEXT], **GIVEN, "sent": ["YWJj"], "x": [1], "n": ["2"]},
    }
    assert ask(pushed, "POST", "/get-online-features", document).status_code == 400, "a document has numbers"


def test_messagepack_has_bytes(pushed: FeatureStore) -> None:
    body = msgspec.msgpack.encode({"features": ["spend:amount_sum_30d"], "entities": {"key": [KEY]}})
    headers = {"content-type": "application/msgpack"}
    answer = ask(pushed, "POST", "/get-online-features", content=body, headers=headers)
    assert answer.json()["results"][1]["values"] == [2.5]
