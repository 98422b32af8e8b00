"""Loads over HTTP: begun, answered at once, and asked about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from served import Client, context_of
from waiting import until

from gnomon import FeatureStore


def ended(client: Client, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    path = answer.headers["location"]
    assert path == f"/jobs/{answer.json()['id']}"
    until(lambda: client.get(path).json()["status"] in ("done", "failed"))
    return client.get(path).json()


def ages(store: FeatureStore, *users: int) -> list:
    return store.get_online_features(["profile:age"], {"user_id": list(users)}).to_dict()["age"]


def test_a_load_as_feast_asks_for_it(client: Client, store: FeatureStore) -> None:
    asked = {"start_ts": "2024-01-01T00:00:00", "end_ts": "2024-01-12T00:00:00", "feature_views": ["profile"]}
    job = ended(client, client.post("/materialize", asked))
    assert job["status"] == "done"
    assert job["asked"] == {
        "feature_views": ["profile@1"],
        "start": "2024-01-01T00:00:00Z",
        "end": "2024-01-12T00:00:00Z",
    }
    assert job["report"]["views"][0]["rows"] == sum(one["rows"] for one in job["progress"])
    assert ages(store, 1, 3) == [31, 50]


def test_an_incremental_load_of_all_views(client: Client, store: FeatureStore) -> None:
    job = ended(client, client.post("/materialize-incremental", {"end_ts": "2024-01-20T00:00:00Z"}))
    assert [one["view"] for one in job["report"]["views"]] == ["profile@1", "spend@1"]
    assert ages(store, 1) == [31]
    again = ended(client, client.post("/materialize-incremental", {}))
    assert again["report"]["views"][0]["rows"] == 0
    assert {one["id"] for one in client.get("/jobs").json()["jobs"]} == {again["id"], job["id"]}


def test_another_worker_knows_of_it(client: Client, store: FeatureStore) -> None:
    job = ended(client, client.post("/materialize", {"version": "v1", "feature_views": ["profile"]}))
    other = Client(context_of(store))
    assert other.get(f"/jobs/{job['id']}").json() == job
    assert other.get("/jobs").json()["jobs"] == [job]
    other.close()


@pytest.mark.parametrize(
    ("path", "asked", "status", "told"),
    [
        ("/materialize", {"feature_views": ["profil"]}, 404, "no feature view named 'profil'"),
        ("/materialize", {"feature_views": ["profile"], "version": "v2"}, 404, "profile@2"),
        ("/materialize", {"feature_views": []}, 400, "feature_views is empty"),
        ("/materialize", {"version": "v2"}, 400, "version= goes with one view"),
        ("/materialize", {"start_ts": "2024-01-02", "end_ts": "2024-01-01"}, 400, "after end_ts"),
        ("/materialize", {"start_ts": "yesterday"}, 400, "yesterday"),
        ("/materialize-incremental", {"end_ts": "tomorrow"}, 400, "tomorrow"),
        ("/materialize-incremental", {"feature_views": "profile"}, 422, "feature_views"),
    ],
)
def test_what_is_wrong_is_said_at_once(shared: Client, path: str, asked: Any, status: int, told: str) -> None:
    answer = shared.post(path, asked)
    assert answer.status_code == status, answer.text
    assert told in json.loads(answer.json())["message"]
    assert shared.get("/jobs").json() == {"jobs": []}


def test_a_load_that_fails_says_why(client: Client, store: FeatureStore) -> None:
    (store.repo_path / "profiles" / "a.parquet").unlink()
    job = ended(client, client.post("/materialize", {"feature_views": ["profile"]}))
    assert (job["status"], job["error"]["type"]) == ("failed", "SourceError")


def test_a_job_that_is_not_there(shared: Client) -> None:
    assert shared.get("/jobs/1").status_code == 404
