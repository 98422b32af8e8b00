"""Writing over HTTP: all of it through the log."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from served import NOW, Client, event

from gnomon import FeatureStore

AT = "2024-01-19T00:00:00Z"


def sums(store: FeatureStore, *users: int) -> list:
    return store.get_online_features(["spend:amount_sum_30d"], {"user_id": list(users)}).to_dict()["amount_sum_30d"]


def feast_error(answer: Any) -> dict[str, str]:
    """What Feast's client reads, `FeastError.from_error_detail(response.json())`."""
    detail = json.loads(answer.json())
    assert {"module", "class", "message"} <= set(detail)
    return detail


def test_a_push_as_feast_sends_it(client: Client, store: FeatureStore) -> None:
    df = {"user_id": [1, 2], "amount": [1.5, 2.5], "at": [AT, AT]}
    asked = {"push_source_name": "payments", "df": df, "to": "online_and_offline", "allow_registry_cache": True}
    report = client.post("/push", asked).json()
    assert (report["appended"], report["rejected"], report["first"], report["last"]) == (2, 0, 1, 2)
    assert report["online"] == [{"view": "spend@1", "position": 2, "behind": ""}]
    assert sums(store, 1, 2, 3) == [1.5, 2.5, None]


def test_events_one_by_one_of_which_one_does_not_fit(client: Client, store: FeatureStore) -> None:
    events = [event(1, 1.5, AT), {"user_id": "x", "amount": 3, "at": AT}, event(1, 2.5, AT)]
    report = client.post("/push", {"push_source_name": "payments", "events": events}).json()
    assert (report["appended"], report["rejected"]) == (2, 1)
    assert report["rejections"][0]["row"] == 1
    assert sums(store, 1) == [4.0]


def test_a_push_of_which_nothing_fits_is_an_error(client: Client, store: FeatureStore) -> None:
    df = {"user_id": [1, 2], "amount": [1.0, 2.0], "at": [None, "yesterday"]}
    answer = client.post("/push", {"push_source_name": "payments", "df": df})
    assert answer.status_code == 400
    assert "none of the 2 events fits" in feast_error(answer)["message"]
    assert store.logs.log("payments").position() == 0


def test_offline_reaches_only_the_log(client: Client, store: FeatureStore) -> None:
    asked = {"push_source_name": "payments", "events": [event(1, 1.5, AT)], "to": "offline"}
    assert client.post("/push", asked).json()["online"] == []
    assert store.logs.log("payments").position() == 1
    assert 'gnomon_ingest_lag_events{source="payments",view="spend@1"} 1' in client.get("/metrics").text


def test_events_sent_again_are_recognised(client: Client, store: FeatureStore) -> None:
    asked = {"push_source_name": "payments", "events": [event(1, 1.5, AT)], "offsets": {"till-1": 7}}
    assert client.post("/push", asked).json()["duplicate"] is False
    assert client.post("/push", asked).json()["duplicate"] is True
    assert sums(store, 1) == [1.5]


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ({"push_source_name": "payment", "events": [event(1, 1.0)]}, 404, "PushSourceNotFoundException"),
        ({"push_source_name": "payments"}, 400, "FeastError"),
        ({"push_source_name": "payments", "df": {}, "events": []}, 400, "FeastError"),
        ({"push_source_name": "payments", "df": {"user_id": [1]}}, 400, "FeastError"),
        ({"push_source_name": "payments", "df": {"user_id": 1}}, 422, "FeastError"),
        ({"push_source_name": "payments", "df": {"user_id": [1], "amount": [1.0, 2.0], "at": [AT]}}, 400, "FeastError"),
        ({"push_source_name": "payments", "df": "select 1"}, 422, "FeastError"),
        ({"push_source_name": "payments", "events": [event(1, 1.0)], "to": "nowhere"}, 422, "FeastError"),
        ({"push_source_name": "payments", "events": [event(1, 1.0)], "offsets": {"a": -1}}, 400, "FeastError"),
        ({}, 422, "FeastError"),
        ([], 422, "FeastError"),
    ],
)
def test_what_is_wrong_with_a_push(shared: Client, asked: Any, status: int, kind: str) -> None:
    answer = shared.post("/push", asked)
    assert answer.status_code == status, answer.text
    assert feast_error(answer)["class"] == kind


def test_writing_rows_of_a_view_as_feast_does(client: Client, store: FeatureStore) -> None:
    df = {"user_id": [1], "amount": [2.5], "event_timestamp": [AT], "created": [None]}
    answer = client.post("/write-to-online-store", {"feature_view_name": "spend", "df": df})
    assert (answer.status_code, answer.json()["appended"]) == (200, 1)
    assert sums(store, 1) == [2.5]
    rows = {"user_id": [1], "event_timestamp": [NOW]}
    assert store.get_historical_features(rows, ["spend:amount_sum_30d"]).to_arrow()["amount_sum_30d"][0].as_py() == 2.5


def test_a_view_of_files_cannot_be_written_to(shared: Client) -> None:
    answer = shared.post("/write-to-online-store", {"feature_view_name": "profile", "df": {"user_id": [1]}})
    assert answer.status_code == 400
    assert "stands on files" in feast_error(answer)["message"]
    answer = shared.post("/write-to-online-store", {"feature_view_name": "profil", "df": {"user_id": [1]}})
    assert (answer.status_code, feast_error(answer)["class"]) == (404, "FeatureViewNotFoundException")


def test_many_pushes_at_once_all_count(client: Client, store: FeatureStore) -> None:
    def push(number: int) -> int:
        return client.post("/push", {"push_source_name": "payments", "events": [event(1, 1.0, AT)]}).status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(push, range(30))) == {200}
    assert store.logs.log("payments").position() == 30
    assert sums(store, 1) == [30.0]
