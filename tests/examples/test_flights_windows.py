"""The windowed features on the real year, against the oracle; and what hindsight does to them."""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gnomon import FeatureStore, FeatureView, Window
from gnomon.examples.flights import serve, train
from gnomon.testing.reference_windows import WindowEvent, windowed

AsKnown = Literal["now", "then"]

HOUR = 3_600_000_000
ASKED = {"plane_departures": 300, "airline_departures": 40, "home_departures": 10}
"""Keys and instants asked of each view: of the busier, fewer, for the oracle looks at every event in reach."""

VALUES = ("dep_delay", "cancelled", "dest")


class History:
    """A view's events by key, in order of time."""

    def __init__(self, table: pa.Table, key: str) -> None:
        self._events: dict[str, list[WindowEvent]] = {}
        columns = [table[name].to_pylist() for name in (key, "e", "w", *VALUES)]
        for one, event, known, *values in sorted(zip(*columns, strict=True), key=lambda row: row[1]):
            made = WindowEvent(key=(one,), event=event, known=known, values=dict(zip(VALUES, values, strict=True)))
            self._events.setdefault(one, []).append(made)

    def around(self, key: str, at: int, window: Window) -> list[WindowEvent]:
        """The key's events near a window, an hour too many at both ends: who is inside is for the oracle to say."""
        events = self._events[key]
        assert window.reach is not None
        first = bisect.bisect_left(events, at - window.reach - HOUR, key=lambda one: one.event or 0)
        return events[first : bisect.bisect_right(events, at + HOUR, key=lambda one: one.event or 0)]


@pytest.fixture(scope="module")
def flights(prepared: Path) -> pa.Table:
    table = pq.read_table(prepared / "flights.parquet")
    for name, column in (("e", "scheduled_departure"), ("w", "arrived_at")):
        table = table.append_column(name, table[column].cast(pa.int64()))
    return table


def some(flights: pa.Table, count: int) -> pa.Table:
    """Keys of flights from all over the year, and instants: half of them departures, half when most are in the air."""
    chance = random.Random(count)
    named = flights.filter(pc.is_valid(flights["tailnum"]))
    taken = named.take(pa.array(chance.sample(range(named.num_rows), count)))
    later = pa.array([chance.randrange(3 * HOUR) if place % 2 else 0 for place in range(count)])
    return taken.select(["tailnum", "carrier", "origin"]).append_column("at", pc.add(taken["e"], later))


def expected(view: FeatureView, history: History, key: str, at: int, as_known: AsKnown) -> Iterator[tuple[str, Any]]:
    """Each feature of a view as the oracle has it."""
    dtypes = {one.name: one.dtype for one in view.inputs}
    for one in view.aggregations:
        for name, window in zip(one.feature_names, one.over, strict=True):
            answer = windowed(
                history.around(key, at, window),
                (key,),
                at,
                window=window,
                function=one.function,
                arguments=one.arguments,
                column=one.column,
                dtypes=dtypes,
                as_known=as_known,
            )
            yield name, answer.value


@pytest.mark.parametrize("name", ASKED)
def test_windowed_features_are_the_oracles(repo: Path, flights: pa.Table, name: str) -> None:
    asked = some(flights, ASKED[name])
    spine = asked.append_column("event_timestamp", asked["at"].cast(pa.timestamp("us", "UTC"))).drop_columns(["at"])
    differing = 0
    with FeatureStore(repo) as store:
        store.apply()
        view = store.get_feature_view(name)
        (key,) = view.join_keys
        history = History(flights.filter(pc.is_in(flights[key], asked[key].combine_chunks())), key)
        references = [f"{name}:{feature}" for feature in view.feature_names]
        found = {
            as_known: store.get_historical_features(spine, references, as_known=as_known).to_arrow().to_pylist()
            for as_known in ("now", "then")
        }
    for place, (one, at) in enumerate(zip(asked[key].to_pylist(), asked["at"].to_pylist(), strict=True)):
        rows = {as_known: found[as_known][place] for as_known in ("now", "then")}
        for as_known, row in rows.items():
            for feature, value in expected(view, history, one, at, as_known):
                assert (row[feature], type(row[feature])) == (value, type(value)), (one, at, as_known, feature)
        differing += rows["now"] != rows["then"]
    assert differing > len(asked) / 3  # it is the second clock, too, that is put to the test


@pytest.mark.parametrize(
    ("as_known", "plane_worst", "last_hour"), [("now", 205, (27, 239, 5 / 27)), ("then", -5, (0, None, None))]
)
def test_what_one_flight_may_see_of_the_hour_before(
    repo: Path, as_known: AsKnown, plane_worst: int, last_hour: tuple[Any, ...]
) -> None:
    """By 19:05 on 7 October 27 flights were to leave LaGuardia within an hour, and none of them has landed."""
    flight = {"tailnum": ["N755EV"], "carrier": ["EV"], "origin": ["LGA"], "dest": ["ROC"]}
    asked = {**flight, "event_timestamp": ["2013-10-07T19:05:00-04:00"]}
    with FeatureStore(repo) as store:
        store.apply()
        found = store.get_historical_features(asked, "late_arrival_windows", as_known=as_known, full_feature_names=True)
        row = found.to_arrow().to_pylist()[0]
    assert row["plane_departures__dep_delay_max_24h"] == plane_worst
    names = ("departures", "dep_delay_max", "share_cancelled")
    assert tuple(row[f"home_departures__{name}_1h"] for name in names) == last_hour


def test_of_its_own_last_hour_a_plane_knows_nothing_then(repo: Path, flights: pa.Table) -> None:
    spine = (
        "select tailnum, scheduled_departure as event_timestamp from 'data/flights.parquet' where tailnum is not null"
    )
    with FeatureStore(repo) as store:
        store.apply()
        found = store.get_historical_features(spine, ["plane_departures:departures_1h"], as_known="then").to_arrow()
    assert pc.unique(found["departures_1h"]).to_pylist() == [0]


def test_a_model_does_without_columns_that_have_no_value() -> None:
    count = 600
    facts = {"hour": [7, 8, 9] * 200, "weekday": 1, "distance": 100, "carrier": "UA", "origin": "JFK", "dest": "BOS"}
    made = {name: one if isinstance(one, list) else [one] * count for name, one in facts.items()}
    rows = {"month": [1] * count, "late": [False, False, True] * 200, "view__a": [1.0] * count}
    table = pa.table({**made, **rows, "view__none": pa.nulls(count, pa.float64())})
    model = train.Model.fitted(table)
    assert model.columns == (*train.FACTS, "view__a")
    assert model.auc(table) == 1


def test_the_service_with_windows_finds_nothing_before_a_load(repo: Path) -> None:
    with FeatureStore(repo) as store:
        store.apply()
        asked = {name: ["x"] for name in serve.KEYS}
        answer = store.get_online_features("late_arrival_windows", asked, full_feature_names=True)
        assert {one for column in answer.statuses.values() for one in column} == {"NOT_FOUND"}
