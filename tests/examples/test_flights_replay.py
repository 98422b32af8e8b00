"""Flights as they became known: told in that order, read as they leave, and what is read is what history says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from kafka_server import Server, kafka  # noqa: F401

from gnomon import FeatureStore
from gnomon.clock import ManualClock
from gnomon.config import Backend, RepoConfig
from gnomon.errors import BackendError
from gnomon.examples.flights import arrivals, live, playback, replay

HOUR = 3_600_000_000
BLIZZARD = 38
"""8 February: hundreds are cancelled, and many late."""


@pytest.fixture(scope="module")
def flights(prepared: Path) -> pa.Table:
    return pq.read_table(prepared / "flights.parquet")


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[ManualClock], FeatureStore]:
    def store(clock: ManualClock) -> FeatureStore:
        config = RepoConfig(project="live", repo_path=tmp_path, online_store=Backend("memory"), cache_ttl_seconds=0)
        made = FeatureStore(tmp_path, config=config, clock=clock)
        made.apply(live.definitions(live.pushed()))
        return made

    return store


def test_flights_are_told_of_in_the_order_in_which_they_become_known(flights: pa.Table) -> None:
    told = arrivals.told(arrivals.days(flights, BLIZZARD, 1)).to_pylist()
    assert [one["known"] for one in told] == sorted(one["known"] for one in told)
    of_each: dict[int, list[dict[str, Any]]] = {}
    for one in told:
        of_each.setdefault(one["flight_id"], []).append(one)
    ends = {"landed", "diverted"}
    for some in of_each.values():
        statuses = [one["status"] for one in some]
        assert statuses[0] == "announced"
        assert statuses[1:] == ["cancelled"] or (statuses[1] == "left" and statuses[2] in ends)
    last = [some[-1] for some in of_each.values()]
    assert sum(one["operation"] == "delete" for one in last) == sum(one["status"] == "cancelled" for one in last) > 200
    corrected = [some for some in of_each.values() if len(some) == 3 and some[1]["arr_delay"] != some[2]["arr_delay"]]
    assert len(corrected) > 300


def test_what_is_told_now_and_then_waits_until_then(flights: pa.Table) -> None:
    day = arrivals.days(flights, BLIZZARD, 1)
    exactly, rarely = arrivals.told(day), arrivals.told(day, every=60)
    assert exactly.drop_columns(["known"]).equals(rarely.drop_columns(["known"]))
    waited = pc.subtract(rarely["known"], exactly["known"]).to_numpy()
    assert waited.min() == 0
    assert waited.max() == 59 * 60_000_000
    assert set((rarely["known"].to_numpy() % HOUR).tolist()) == {0}


def test_steps_have_each_event_once_and_as_many_reads_as_asked(flights: pa.Table) -> None:
    day = arrivals.days(flights, BLIZZARD, 1)
    steps = list(arrivals.steps(day, reads=50, skipped=0.5))
    assert sum(len(one.leaving) for one in steps) == 50
    instants = [one.at for one in steps]
    assert instants == sorted(set(instants))
    told = arrivals.told(day)
    before = told.filter(pc.less_equal(told["known"], instants[-1]))
    assert pa.concat_tables([one.events for one in steps]).equals(before.select(arrivals.TOLD))


def test_online_is_what_the_events_say_that_are_known(
    flights: pa.Table, opened: Callable[[ManualClock], FeatureStore]
) -> None:
    """Every airport, carrier and plane in the middle of the blizzard, counted by hand."""
    clock, day = ManualClock(), arrivals.days(flights, BLIZZARD, 1)
    steps = list(arrivals.steps(day, reads=40, skipped=0.3, every=5))
    steps = steps[: len(steps) * 2 // 3]
    with opened(clock) as store:
        played = playback.play(store, clock, steps, lambda events: store.push(live.SOURCE, events))
        assert played.is_faithful
        newest = {one["flight_id"]: one for step in steps for one in step.events.to_pylist()}
        counted = [one for one in newest.values() if one["operation"] != "delete"]
        for view, key, windows in (
            ("home_live", "origin", {"1h": 1, "3h": 3, "1d": 24, "7d": 168}),
            ("airline_live", "carrier", {"1h": 1, "3h": 3, "1d": 24, "7d": 168}),
            ("plane_live", "tailnum", {"1d": 24, "7d": 168}),
        ):
            keys = sorted({one[key] for one in newest.values()})
            named = ("flights", "share_late", "destinations")
            names = [f"{view}:{one}_{window}" for window in windows for one in named]
            response = store.get_online_features(names, {key: keys})
            found, at = response.to_arrow(), response.at
            for place, one in enumerate(keys):
                for window, hours in windows.items():
                    inside = [
                        event
                        for event in counted
                        if event[key] == one and at - hours * HOUR <= micros(event["scheduled_departure"]) < at
                    ]
                    late = [event["late"] for event in inside if event["late"] is not None]
                    assert found[f"flights_{window}"][place].as_py() == len(inside)
                    assert found[f"destinations_{window}"][place].as_py() == len({event["dest"] for event in inside})
                    assert found[f"share_late_{window}"][place].as_py() == (sum(late) / len(late) if late else None)


def test_a_clock_that_does_not_go_with_the_events_is_noticed(
    flights: pa.Table, opened: Callable[[ManualClock], FeatureStore]
) -> None:
    clock, day = ManualClock(), arrivals.days(flights, BLIZZARD, 1)
    steps = list(arrivals.steps(day, reads=5, every=60))[:6]
    with opened(clock) as store:

        def late(events: pa.Table) -> None:
            clock.advance("1s")
            store.push(live.SOURCE, events)

        played = playback.play(store, clock, steps, late)
        assert played.restamped == played.events > 0
        assert not played.is_faithful
        with pytest.raises(BackendError, match=r"events were delivered, and the log has"):
            playback.play(store, clock, steps[:1], lambda events: None)


def test_events_that_wait_are_lag_and_count_against_it(
    flights: pa.Table, opened: Callable[[ManualClock], FeatureStore]
) -> None:
    """Answers that do not have what was stamped agree with what they knew, and not with all that was known."""
    clock, day = ManualClock(), arrivals.days(flights, BLIZZARD, 1)
    steps = list(arrivals.steps(day, reads=30, skipped=0.5, every=5))
    with opened(clock) as store:
        half = len(steps) // 2
        pushed = iter(range(len(steps)))

        def lagging(events: pa.Table) -> None:
            store.push(live.SOURCE, events, to="online_and_offline" if next(pushed) < half else "offline")

        played = playback.play(store, clock, steps, lagging)
    assert played.verdict.agreed == played.verdict.compared
    assert played.disagreements == played.verdict.lagging > 0


def test_the_short_form_needs_no_broker(flights: pa.Table, tmp_path: Path) -> None:
    steps = list(arrivals.steps(arrivals.days(flights, 36, 1), reads=60, skipped=0.6, every=10))
    played = replay.replay(tmp_path, steps)
    assert played.is_faithful
    assert played.reads == 60
    assert played.verdict.compared == 60 * 46
    assert played.verdict.filled > 0.85  # of a single day: planes have hardly left before
    assert {"announced", "left", "landed"} <= set(played.told)
    assert json.loads(json.dumps(played.to_dict()))["events"] == played.events
    assert "100.0000% agree bit by bit" in str(played)


def test_the_program_says_what_was_found(installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = f"--days 1 --first 36 --reads 5 --every 120 --online memory --folder {tmp_path}"
    assert replay.main(told.split()) == 0
    said = capsys.readouterr().out
    assert "5 departures read online" in said
    assert "230 of 230 answers are what history gives again" in said


@pytest.mark.slow
def test_through_kafka_each_event_is_stamped_with_the_instant_it_became_known(
    flights: pa.Table,
    kafka: Server,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = f"--kafka {kafka.address} --days 1 --first 36 --reads 100 --skipped 0.5 --every 5 --online memory --json"
    assert replay.main([*told.split(), "--folder", str(tmp_path)]) == 0
    played = json.loads(capsys.readouterr().out)
    assert (played["disagreements"], played["restamped"], played["moved"], played["reads"]) == (0, 0, 0, 100)
    assert played["verify"]["agreed"] == played["verify"]["compared"] == 100 * 46
    assert played["verify"]["filled"] > 0.85
    assert not list(tmp_path.iterdir())
    assert not [name for name in kafka.admin().list_topics(timeout=10).topics if name.startswith("gnomon-flights")]


def micros(instant: Any) -> int:
    return int(instant.timestamp() * 1e6)
