"""The example as a repo: it can be copied, its definitions fit its data, and its replay sees what differs."""

from __future__ import annotations

import warnings
from pathlib import Path

import pyarrow as pa
import pytest

from gnomon import FeatureStore
from gnomon.clock import ManualClock
from gnomon.errors import RequestError
from gnomon.examples.flights import demo, serve, train


def test_its_definitions_apply_as_they_stand(repo: Path) -> None:
    with FeatureStore(repo) as store:
        applied = store.apply()
        assert (len(applied.changes), applied.notes) == (24, ())
        assert not store.plan().changes
        service = store.get_feature_service("late_arrival")
    assert [part.columns for part in service.features if part.view.name == "airport_facts"] == [("origin",), ("dest",)]


@pytest.mark.parametrize(("as_known", "delay"), [("now", 210), ("then", -30)])
def test_what_one_flight_may_see_of_its_plane(repo: Path, as_known: str, delay: int) -> None:
    """ExpressJet 5383 to Rochester is due to leave at 23:05Z and will be 210 minutes late.

    Its plane is in the air then, 258 minutes late, until 23:44Z; what is known of it is that it was early that morning.
    """
    flight = {"tailnum": ["N755EV"], "carrier": ["EV"], "origin": ["LGA"], "dest": ["ROC"]}
    asked = {**flight, "event_timestamp": ["2013-10-07T23:05:00Z"]}
    with FeatureStore(repo) as store, warnings.catch_warnings():
        warnings.simplefilter("error")
        store.apply()
        found = store.get_historical_features(asked, "late_arrival", as_known=as_known, full_feature_names=True)
        row = found.to_arrow().to_pylist()[0]
    assert row["plane_last_flight__arr_delay"] == delay
    assert (row["from_airport__alt"], row["to_airport__alt"]) == (22, 559)


def test_replays_agree_and_can_be_repeated(repo: Path) -> None:
    clock = ManualClock()
    with FeatureStore(repo, clock=clock) as store:
        store.apply()
        clock.set(1_400_000_000_000_000)
        asked = serve.departures(train.held_out(train.training_set(store, train.THEN, serve.SERVICE)), 3)
        first, second = (serve.replay(store, clock, asked) for _ in range(2))
    assert first.disagreements == second.disagreements == 0
    assert first.values == asked.num_rows * first.features > 0
    assert first.answered.equals(second.answered)
    assert first.answered.column_names == asked.column_names
    assert first.present / first.values > 0.9


def test_a_replay_sees_rows_that_knew_too_much(repo: Path) -> None:
    clock = ManualClock()
    with FeatureStore(repo, clock=clock) as store:
        store.apply()
        clock.set(1_400_000_000_000_000)
        hindsight = serve.departures(train.held_out(train.training_set(store, train.JOINS[1], serve.SERVICE)), 2)
        found = serve.replay(store, clock, hindsight)
    assert set(found.differences) >= {"plane_last_flight__arr_delay", "lane_last_flight__arr_delay"}
    assert found.to_dict()["disagreements"] == sum(found.differences.values()) > 0


@pytest.mark.parametrize(
    ("one", "other", "differences"),
    [
        ([1.0, None, float("nan")], [1.0, None, float("nan")], 0),
        ([0.0], [-0.0], 1),
        ([None], [0.0], 1),
        ([1.0], [1.0000000000000002], 1),
        ([7, None], [7, 7], 1),
        ([7], [7.0], 1),
    ],
)
def test_differences_are_counted_to_the_bit(one: list[float], other: list[float], differences: int) -> None:
    assert serve.differing(pa.chunked_array([one]), pa.chunked_array([other])) == differences


def test_nothing_in_the_folder_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text("mine = 1\n")
    with pytest.raises(RequestError, match=r"already has features\.py"):
        demo.run(tmp_path, quiet=True)
    assert (tmp_path / "features.py").read_text() == "mine = 1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["features.py"]
