"""The held-out months again, online: what is read at each departure is what the training row of that flight says.

    python train.py && python serve.py       # compares with training/late_arrival/then.parquet, which train.py makes

A clock is set to an instant; the online store is brought up to it, not a microsecond further; the flights that
leave then are asked for, as a service in production would. Loaded exactly up to T, an online answer at T is the
`as_known="then"` answer at T, bit for bit. Loaded less often, it would lag by what had not been loaded yet.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon import FeatureStore
from gnomon.clock import ManualClock

__all__ = ["Replay", "departures", "differing", "replay"]

SERVICE = "late_arrival"
KEYS = ("tailnum", "carrier", "origin", "dest")
INSTANTS = 40
SINGLE_READS = 1_000


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found.

    Args:
        instants: at how many instants the store was loaded and asked.
        flights: how many flights were asked for.
        features: how many features each has.
        values: how many feature values were compared.
        present: how many of them are not null.
        differences: of each feature that differs anywhere, in how many values.
        load_ms: median time to bring the online store up to an instant, all views of the service.
        read_us: median time of a read of one flight, all features, in this process.
        answered: the flights' own columns beside the features as read online.
    """

    instants: int
    flights: int
    features: int
    values: int
    present: int
    differences: dict[str, int]
    load_ms: float
    read_us: float
    answered: pa.Table

    @property
    def disagreements(self) -> int:
        """How many values differ."""
        return sum(self.differences.values())

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        figures = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "answered"}
        return {**figures, "disagreements": self.disagreements}

    def __str__(self) -> str:
        return (
            f"{self.values:,} values compared, {self.disagreements:,} disagree "
            f"({self.flights:,} flights × {self.features} features; {self.present / self.values:.1%} not null)"
        )


def replay(
    store: FeatureStore, clock: ManualClock, expected: pa.Table, advanced: Callable[[], object] = lambda: None
) -> Replay:
    """Set the clock to each departure in turn, load, read, and compare with the training rows.

    Args:
        store: a store that goes by `clock`, its definitions applied.
        clock: is moved forwards.
        expected: rows of an `as_known="then"` training set, whose instants are the departures to replay.
        advanced: is called after each instant.
    """
    names = [name for name in expected.column_names if "__" in name]
    instants = pc.unique(expected["event_timestamp"]).cast(pa.int64()).to_numpy()
    asked, answers = [], []
    loads: list[float] = []
    for instant in sorted(instants.tolist()):
        rows = expected.filter(pc.equal(expected["event_timestamp"].cast(pa.int64()), instant))
        loads.append(load(store, clock, instant, anew=not loads))
        response = store.get_online_features(SERVICE, rows.select(KEYS).to_pydict(), full_feature_names=True)
        asked.append(rows)
        answers.append(response.to_arrow().select(names))
        advanced()
    rows, read = pa.concat_tables(asked), pa.concat_tables(answers)
    counts = {name: differing(rows[name], read[name]) for name in names}
    return Replay(
        instants=len(instants),
        flights=rows.num_rows,
        features=len(names),
        values=rows.num_rows * len(names),
        present=sum(len(column) - column.null_count for column in read.columns),
        differences={name: count for name, count in counts.items() if count},
        load_ms=statistics.median(loads) * 1e3,
        read_us=single_read_us(store, rows),
        answered=pa.table({name: (read if name in names else rows)[name] for name in expected.column_names}),
    )


def load(store: FeatureStore, clock: ManualClock, instant: int, *, anew: bool) -> float:
    """Bring what the service reads up to an instant, in place of what was there if `anew`; seconds it took."""
    views = sorted({part.view.name for part in store.get_feature_service(SERVICE).features})
    clock.set(instant)
    views = sorted({one.view.name for one in store.get_feature_service(SERVICE).features})
    began = time.perf_counter()
    if anew:
        store.materialize(None, instant, views, replace=True)
    else:
        store.materialize_incremental(instant, views)
    return time.perf_counter() - began


def departures(table: pa.Table, count: int = INSTANTS) -> pa.Table:
    """All flights that leave at one of at most `count` instants, from the first to the last.

    Every so-manyth flight lends its instant, so that busy hours weigh as they do in the data.
    """
    instants = table["event_timestamp"].combine_chunks().sort()
    places = np.linspace(0, len(instants) - 1, num=count, dtype=np.int64)
    return table.filter(pc.is_in(table["event_timestamp"], pc.unique(instants.take(pa.array(places)))))


def differing(expected: pa.ChunkedArray, read: pa.ChunkedArray) -> int:
    """In how many places two columns of numbers differ in any bit; null is null, and NaN is NaN."""
    if expected.type != read.type:
        return len(expected)
    one, other = bits(expected), bits(read)
    missing, gone = expected.is_null().to_numpy(), read.is_null().to_numpy()
    return int(((missing != gone) | (~missing & (one != other))).sum())


def bits(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The bits of each number, all NaN being one and the same; of no meaning where it is null."""
    numbers = pc.fill_null(column, 0).to_numpy()
    if numbers.dtype.kind == "f":
        numbers = np.where(np.isnan(numbers), np.nan, numbers)
    bits: npt.NDArray[np.int64] = numbers.view(np.int64)
    return bits


def single_read_us(store: FeatureStore, rows: pa.Table) -> float:
    """The median time of one read of one flight, in µs."""
    keys = [[row] for row in rows.select(KEYS).to_pylist()]
    times = []
    for place in range(SINGLE_READS):
        began = time.perf_counter_ns()
        store.get_online_features(SERVICE, keys[place % len(keys)], full_feature_names=True).to_dict()
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1e3


def main() -> None:
    """Replay some departures of the held-out months into a fresh online store."""
    table = pq.read_table(Path("training") / SERVICE / "then.parquet", filters=[("month", ">", 9)])
    clock = ManualClock()
    with FeatureStore(".", clock=clock) as store:
        found = replay(store, clock, departures(table))
    print(found)
    print(f"Loading up to an instant takes {found.load_ms:.0f} ms, reading a flight {found.read_us:.0f} µs.")


if __name__ == "__main__":
    main()
