from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import NOW, Client, context_of, project

from gnomon import FeatureStore
from gnomon.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[FeatureStore]:
    with project(tmp_path, clock) as store:
        yield store


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """For tests that change nothing: a project takes its time to make."""
    with project(tmp_path_factory.mktemp("shared")) as store:
        client = Client(context_of(store))
        yield client
        client.close()


@pytest.fixture
def client(store: FeatureStore) -> Iterator[Client]:
    client = Client(context_of(store))
    yield client
    client.close()
