"""Health: alive while it answers, ready while what is behind it does."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from served import Client, Keyed, context_of

from gnomon import FeatureStore
from gnomon.errors import BackendError
from gnomon.server.routes.ready import Readiness


class Part:
    """A part that may be broken, and counts how often it is looked at."""

    def __init__(self) -> None:
        self.wrong: Exception | None = None
        self.looks = 0

    def __call__(self) -> None:
        self.looks += 1
        if self.wrong is not None:
            raise self.wrong


def reasons(readiness: Readiness) -> dict[str, str]:
    return asyncio.run(readiness.reasons())


def test_a_part_that_breaks_and_comes_back() -> None:
    part = Part()
    readiness = Readiness({"store": part, "registry": Part()}, every=0)
    assert reasons(readiness) == {}
    part.wrong = BackendError("the store is away.")
    assert reasons(readiness) == {"store": "the store is away."}
    part.wrong = ValueError("odd")
    assert reasons(readiness) == {"store": "ValueError: odd"}
    part.wrong = None
    assert reasons(readiness) == {}
    readiness.close()


def test_it_is_looked_at_once_for_a_while() -> None:
    part = Part()
    readiness = Readiness({"store": part}, every=60)
    for _ in range(5):
        assert reasons(readiness) == {}
    assert part.looks == 1
    readiness.close()


def test_a_part_that_hangs_is_not_ready_and_holds_nobody_up() -> None:
    wait, looks = threading.Event(), []

    def hanging() -> None:
        looks.append(1)
        wait.wait(60)

    readiness = Readiness({"store": hanging}, every=0, patience=0.05)
    for _ in range(3):
        assert reasons(readiness) == {"store": "no answer within 0.05 seconds."}
    assert len(looks) == 1, "nor does it hold more than one thread"
    wait.set()
    readiness.close()


def broken(client: Client) -> Client:
    def check() -> None:
        raise BackendError("/data/online is gone.")

    client.app.state.parts.readiness._parts["online store"]._check = check
    return client


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_ready(client: Client, store: FeatureStore, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "project": store.project, "registry_version": 1}
    assert client.get("/health/live").json() == {"status": "live"}


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_not_ready(client: Client, path: str) -> None:
    answer = broken(client).get(path)
    assert answer.status_code == 503
    assert answer.json()["reasons"] == {"online store": "/data/online is gone."}
    assert client.get("/health/live").status_code == 200


def test_strangers_are_told_where_and_not_what(store: FeatureStore) -> None:
    client = broken(Client(context_of(store, access=Keyed())))
    told: Any = client.get("/health").json()
    assert told["reasons"] == {"online store": "it does not answer as it should."}
    known = client.ask("GET", "/health", headers={"authorization": "Bearer metrics"}).json()
    assert known["reasons"] == {"online store": "/data/online is gone."}
    client.close()


def test_a_broken_registry_is_told(client: Client, store: FeatureStore) -> None:
    path = Path(store.repo_path) / ".gnomon" / "registry.db"
    store.registry.close()
    path.write_bytes(b"no registry" * 1000)
    assert "registry" in client.get("/health").json()["reasons"]
