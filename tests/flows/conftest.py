"""A small repo on real files, and a clock to drive it by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from shop import ROWS, day, model, profiles

from gnomon import FeatureStore
from gnomon.clock import ManualClock
from gnomon.config import Backend, RepoConfig


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(day(20))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "profiles").mkdir()
    pq.write_table(profiles(*ROWS), tmp_path / "profiles" / "a.parquet")
    return tmp_path


@pytest.fixture
def store(repo: Path, clock: ManualClock) -> Iterator[FeatureStore]:
    config = RepoConfig(project="shop", repo_path=repo, online_store=Backend("memory"))
    with FeatureStore(repo, config=config, clock=clock) as made:
        made.apply([model])
        yield made
