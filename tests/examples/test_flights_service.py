"""The model service: what it reads is the training row, made by the same function, and so is its answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import uvicorn
from fastapi import FastAPI

from gnomon import FeatureStore
from gnomon.clock import ManualClock
from gnomon.examples.flights import serve, train
from gnomon.examples.flights.service import FACTS, SERVICE, learned, service

ASKED = ("tailnum", "carrier", "origin", "dest", "scheduled_departure", "distance")


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The address of an app that is served for real."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    ready = threading.Event()
    begin = server.startup

    async def started(*args: Any, **kwargs: Any) -> None:
        await begin(*args, **kwargs)
        ready.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def of_table(row: dict[str, Any]) -> dict[str, Any]:
    """What a caller says of a flight."""
    return {name: row[name].isoformat() if name == "scheduled_departure" else row[name] for name in ASKED}


@pytest.fixture
def store(repo: Path) -> Iterator[tuple[FeatureStore, ManualClock]]:
    clock = ManualClock(1_400_000_000_000_000)
    with FeatureStore(repo, clock=clock) as store:
        store.apply()
        yield store, clock


def test_hours_and_weekdays_are_those_of_new_york(store: tuple[FeatureStore, ManualClock]) -> None:
    table = train.training_set(store[0], train.THEN, SERVICE)
    assert len(table) > 300_000
    for name in ("hour", "weekday"):
        assert table[f"at_departure__{name}"].equals(table[name].cast(pa.int64()))


def test_a_prediction_is_made_of_the_training_row(store: tuple[FeatureStore, ManualClock]) -> None:
    features, clock = store
    model = learned(features)
    table = train.held_out(train.training_set(features, train.THEN, SERVICE))
    instant = serve.departures(table, 3)["event_timestamp"].cast(pa.int64())[-1].as_py()
    rows = table.filter(pc.equal(table["event_timestamp"].cast(pa.int64()), instant))
    names = [name for name in rows.column_names if "__" in name]
    clock.set(instant)
    features.materialize(None, instant)
    with running(service(features, model)) as address:
        answered = httpx.post(f"{address}/predict", json=[of_table(row) for row in rows.to_pylist()])
        assert answered.status_code == 200, answered.text
        found = answered.json()
        assert [one["features"] for one in found] == rows.select(names).to_pylist()
        assert [one["late"] for one in found] == model.likely(rows).tolist()
        assert sum(one["features"]["at_departure__plane_age"] is not None for one in found) > 0
        assert httpx.post(f"{address}/predict", json=[]).json() == []
        flight = of_table(rows.to_pylist()[0])
        read = httpx.post(
            f"{address}/features/get-online-features",
            json={
                "feature_service": SERVICE,
                "entities": {name: [value] for name, value in flight.items()},
                "full_feature_names": True,
            },
        ).json()
        answers = dict(zip(read["metadata"]["feature_names"], read["results"], strict=True))
        assert answers["at_departure__hour"]["values"] == [rows["at_departure__hour"][0].as_py()]
        assert httpx.post(f"{address}/predict", json=[{**flight, "distance": -1}]).status_code == 422
    assert set(FACTS) == {"distance", "carrier", "origin", "dest"}
