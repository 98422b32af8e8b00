"""Templates: a folder of ordinary files each, copied with the project's name put in, and data made to go with them.

The data is the same to the last byte for the same hour: four bike stations, a week of hourly readings, all of
them known by now and the last of them fresh.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gnomon.clock import from_micros
from gnomon.config import project_name
from gnomon.errors import RequestError, listing, nearest_hint

__all__ = ["Made", "names", "write"]

TEMPLATES = Path(__file__).parent.parent / "templates"
PLACEHOLDER = "my_project"
"""The project's name in a template, so that a template is itself a project that works."""

HOUR = 3_600_000_000
STATIONS, HOURS = 4, 7 * 24


@dataclass(frozen=True, slots=True)
class Made:
    """What was made.

    Args:
        folder: the new repo.
        project: its project's name.
        files: the files written, relative to it.
    """

    folder: Path
    project: str
    files: tuple[str, ...]


def names() -> list[str]:
    """The templates there are."""
    return sorted(path.name for path in TEMPLATES.iterdir() if (path / "feature_store.yaml").exists())


def write(template: str, folder: Path, *, now: int) -> Made:
    """Make a new repo from a template.

    Args:
        template: its name.
        folder: where; made if it is not there.
        now: an instant in µs; the last reading is of an hour before its full hour.

    Raises:
        RequestError: there is no such template, a file is in the way, or the folder cannot be written.
    """
    if template not in names():
        raise RequestError(
            f"there is no template {template!r}.",
            instead=f"There are: {listing(names())}.",
            hint=nearest_hint(template, names(), otherwise="leave --template out."),
        )
    project = project_name(folder)
    texts = {path.name: path.read_text(encoding="utf-8") for path in (TEMPLATES / template).iterdir() if path.is_file()}
    files = (*sorted(texts), "trips.csv", "data/stations.parquet")
    if taken := [name for name in files if (folder / name).exists()]:
        raise RequestError(
            f"{folder} already has {listing(taken)}, and nothing is overwritten.",
            hint="name another folder: gnomon init other_name.",
        )
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text.replace(PLACEHOLDER, project), encoding="utf-8")
        _write_data(folder, now - now % HOUR - HOUR)
    except OSError as failed:
        hint = "choose a folder you may write to, on a disk with room."
        raise RequestError(f"{folder} cannot be written: {failed.strerror}.", hint=hint) from failed
    return Made(folder, project, files)


def _write_data(folder: Path, end: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    station, event, known, bikes, docks = zip(*_readings(end), strict=True)
    instants = pa.timestamp("us", tz="UTC")
    readings = pa.table(
        {
            "station_id": pa.array(station, pa.int64()),
            "event_timestamp": pa.array(event, instants),
            "created": pa.array(known, instants),
            "bikes": pa.array(bikes, pa.int64()),
            "full_share": pa.array([b / (b + d) for b, d in zip(bikes, docks, strict=True)], pa.float64()),
        }
    )
    pq.write_table(readings, folder / "data" / "stations.parquet")
    lines = "".join(f"{one},{from_micros(at).isoformat()},{taken}\n" for one, at, taken in _trips(end))
    (folder / "trips.csv").write_text(f"station_id,event_timestamp,bike_taken\n{lines}", encoding="utf-8")


def _readings(end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Per station and hour: event time, known time some minutes later, bikes there, docks free."""
    for hour in range(HOURS):
        event = end - (HOURS - 1 - hour) * HOUR
        for station in range(1, STATIONS + 1):
            docks = 10 + 5 * station
            wave = abs((hour + 5 * station) % 24 - 12)
            bikes = (docks * wave + 7 * hour * station % 13) // 14
            late = (hour * station) % 7 * HOUR // 20
            yield station, event, event + late, bikes, docks - bikes


def _trips(end: int) -> Iterator[tuple[int, int, int]]:
    """Per trip: the station, the instant somebody came for a bike, and whether they rode away on one."""
    for trip in range(40):
        station = 1 + trip % STATIONS
        yield station, end - (trip * 4 + 2) * HOUR + trip * 61_000_000, int((trip * 5 + station) % 7 > 1)
