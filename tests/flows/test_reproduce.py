"""A training set can be made again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop import ROWS, day, model, profile, profiles

from gnomon import FeatureStore
from gnomon.clock import ManualClock
from gnomon.errors import RequestError, SourceError
from gnomon.flows.reproduce import SourceChangedWarning

ASKED = {"user_id": [1, 2, 3], "event_timestamp": [day(16)] * 3, "label": [0, 1, 0]}


@pytest.mark.parametrize("as_known", ["now", "then", "2024-01-12"])
@pytest.mark.parametrize("features", [["profile:age", "profile:city"], model])
@pytest.mark.parametrize("full", [False, True])
def test_the_same_answers_after_sources_and_definitions_moved_on(
    store: FeatureStore, repo: Path, clock: ManualClock, as_known: str, features: list[str], full: bool
) -> None:
    first = store.get_historical_features(ASKED, features, as_known=as_known, full_feature_names=full)
    path = first.persist(repo / "set.parquet")
    made = first.to_arrow()
    clock.set(day(25))
    pq.write_table(profiles((1, 16, 24, 99, "late"), (2, 3, 22, 98, "late")), repo / "profiles" / "b.parquet")
    store.apply([replace(profile, ttl=timedelta(days=1))])
    for again in (store.reproduce(path), store.reproduce(made)):
        assert again.to_arrow().to_pydict() == made.to_pydict()
        assert again.metadata["registry_version"] == first.metadata["registry_version"]


def test_a_changed_file_is_reported(store: FeatureStore, repo: Path) -> None:
    made = store.get_historical_features(ASKED, model).to_arrow()
    pq.write_table(profiles(*ROWS, (2, 7, 7, 42, "new")), repo / "profiles" / "a.parquet")
    with pytest.warns(SourceChangedWarning, match=r"source changed: .*a\.parquet"):
        again = store.reproduce(made)
    assert again.to_arrow()["age"].to_pylist() == [31, 42, 50]


def test_what_is_no_training_set_is_refused(store: FeatureStore, repo: Path) -> None:
    with pytest.raises(RequestError, match="says nothing of how it was made"):
        store.reproduce(pa.table(ASKED))
    with pytest.raises(RequestError, match="cannot be read"):
        store.reproduce(repo / "nowhere.parquet")


def test_files_that_came_since_do_not_count(store: FeatureStore, repo: Path) -> None:
    """Whatever the times of their rows: nothing in a file says when the file came."""
    first = store.get_historical_features(ASKED, model).to_arrow()
    pq.write_table(profiles((2, 7, 7, 42, "back-filled")), repo / "profiles" / "b.parquet")
    assert store.reproduce(first).to_arrow().to_pydict() == first.to_pydict()
    assert store.get_historical_features(ASKED, model).to_arrow()["age"].to_pylist() == [31, 42, 50]


def test_a_file_that_is_gone_is_an_error(store: FeatureStore, repo: Path) -> None:
    pq.write_table(profiles((2, 7, 7, 42, "x")), repo / "profiles" / "b.parquet")
    first = store.get_historical_features(ASKED, model).to_arrow()
    (repo / "profiles" / "b.parquet").unlink()
    with pytest.warns(SourceChangedWarning, match=r"b\.parquet"), pytest.raises(SourceError, match=r"b\.parquet"):
        store.reproduce(first).to_arrow()
