"""What is served over HTTP is in the served-row log, and is made again from history."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_shop import make_shop, spend, v

import gnomon.server
from gnomon import FeatureService, FeatureStore, Field, LoggingConfig, RequestSource, on_demand_feature_view
from gnomon.types import Float64, Int64

IDS = {"x-request-id": "r1", "x-model-id": "m", "x-prediction-id": "p"}


@on_demand_feature_view(
    sources=[RequestSource(name="payment", schema=[Field("amount", Float64)]), spend],
    schema=[Field("more_than_usual", Float64), Field("payments", Int64)],
)
def compared(amount: float | None, count_1d: int | None) -> dict[str, float | int | None]:
    many = count_1d or 0
    return {"more_than_usual": None if amount is None else amount - many, "payments": many + 1}


LOGGED = FeatureService(name="logged", features=[v[["i", "s"]], compared, spend], logging_config=LoggingConfig())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    with FeatureStore(make_shop(tmp_path)) as store:
        store.apply([LOGGED])
        yield store


def asked(app: Any, **headers: str) -> Any:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gnomon") as client:
            entities = {"user_id": [1, 2, 77], "amount": [2.5, None, 4]}
            return await client.post(
                "/get-online-features", json={"feature_service": "logged", "entities": entities}, headers=headers
            )

    found = asyncio.run(ask())
    assert found.status_code == 200, found.text
    return found.json()


def test_what_was_served_is_logged_and_made_again(store: FeatureStore) -> None:
    app = gnomon.server.app(store)
    answers = asked(app, **IDS)
    rows = store.served("logged").to_pylist()
    assert [(one["request_id"], one["model_id"], one["prediction_id"]) for one in rows] == [("r1", "m", "p")] * 3
    by_name = dict(zip(answers["metadata"]["feature_names"], answers["results"], strict=True))
    for name in ("i", "s", "more_than_usual", "payments", "count_1d"):
        assert [one[name] for one in rows] == by_name[name]["values"]
        assert [one[f"{name}__status"] for one in rows] == by_name[name]["statuses"]
    report = store.verify_log("logged")
    assert (report.compared, report.differences) == (report.agreed, ())
    assert {one.view for one in report.views} >= {"v@1", "spend@1", "compared@1"}
    assert report.compared >= 3 * 5


def test_services_that_come_later_are_logged_too(store: FeatureStore) -> None:
    app = gnomon.server.app(store)
    store.apply([FeatureService(name="logged", features=LOGGED.features)])
    assert app.context.definitions.refresh()
    asked(app, **IDS)
    assert store.served_stats() == {}
    store.apply([LOGGED])
    assert app.context.definitions.refresh()
    asked(app, **IDS)
    assert store.served("logged").num_rows == 3
