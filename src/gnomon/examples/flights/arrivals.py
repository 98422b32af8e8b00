"""What becomes known of each flight, in the order in which it becomes known: announced, left, landed or called off.

    table = told(pq.read_table("data/flights.parquet"))     # 987,196 rows, `known` going up

A flight is one event, told of up to three times: a later telling corrects the earlier one, hours after the instant that
both are about. The tables say when a flight left and landed; two instants they do not have, and these are made up:

* it is announced three hours ahead, so that its event is dated in the future for that long;
* its delay at the gate is guessed when it leaves, to be the one it left with, and put right when it lands.

A flight that was called off is deleted at the instant it was due. Those without a plane are left out: of the cancelled
ones some never had one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Step", "days", "steps", "told"]

ANNOUNCED = 3 * 3_600_000_000
"""How long before it is due to leave a flight is announced, µs."""
MINUTE, DAY = 60_000_000, 86_400_000_000
LATE = 30
"""Minutes from which on a flight is late."""

FACTS = ("flight_id", "tailnum", "carrier", "origin", "dest", "scheduled_departure")
TOLD = (*FACTS, "status", "dep_delay", "arr_delay", "late", "operation")
"""The columns of an event."""


def told(flights: pa.Table, every: int = 1) -> pa.Table:
    """The events of some flights, with `known`, µs, in the order of it.

    Args:
        flights: the table of flights.
        every: in minutes: what becomes known in between is told at the next multiple of it.
    """
    flights = flights.filter(pc.is_valid(flights["tailnum"]))
    due = _micros(flights["scheduled_departure"])
    left = flights.filter(pc.invert(flights["cancelled"]))
    left_at = _micros(left["scheduled_departure"]) + left["dep_delay"].to_numpy() * MINUTE
    off = flights.filter(flights["cancelled"])
    status = pc.if_else(left["diverted"], "diverted", "landed")
    parts = [
        _telling(flights, due - ANNOUNCED, "announced", None, None),
        _telling(left, left_at, "left", left["dep_delay"], left["dep_delay"]),
        _telling(left, np.maximum(_micros(left["arrived_at"]), left_at), status, left["dep_delay"], left["arr_delay"]),
        _telling(off, _micros(off["arrived_at"]), "cancelled", None, None, operation="delete"),
    ]
    table = pa.concat_tables(parts)
    exactly = table["known"].to_numpy()
    known = -(-exactly // (every * MINUTE)) * (every * MINUTE)
    table = table.set_column(table.num_columns - 1, "known", pa.array(known))
    return table.take(pa.array(np.argsort(exactly, kind="stable")))


def _telling(
    flights: pa.Table,
    known: npt.NDArray[np.int64],
    status: str | pa.ChunkedArray,
    dep_delay: pa.ChunkedArray | None,
    arr_delay: pa.ChunkedArray | None,
    operation: str = "upsert",
) -> pa.Table:
    """One telling of each flight."""
    count = flights.num_rows
    nothing = pa.nulls(count, pa.int64())
    arrival = nothing if arr_delay is None else arr_delay
    columns = {
        **{name: flights[name] for name in FACTS},
        "status": pa.repeat(status, count) if isinstance(status, str) else status,
        "dep_delay": nothing if dep_delay is None else dep_delay,
        "arr_delay": arrival,
        "late": pc.greater(arrival, LATE),
        "operation": pa.repeat(operation, count),
        "known": pa.array(known),
    }
    return pa.table(columns)


def days(flights: pa.Table, first: int, count: int) -> pa.Table:
    """The flights that are due to leave on some days, counted in UTC from 10:00, before the first of a New York day.

    Args:
        flights: the table of flights.
        first: the first of the days, counted from 1 January, which is 0.
        count: how many days.
    """
    due = flights["scheduled_departure"].cast(pa.int64())
    start = 1_357_034_400_000_000 + first * DAY  # 2013-01-01T10:00Z, or 05:00 in New York
    inside = pc.and_(pc.greater_equal(due, start), pc.less(due, start + count * DAY))
    return flights.filter(inside)


@dataclass(frozen=True, slots=True)
class Step:
    """What there is at one instant.

    Args:
        at: the instant, µs.
        events: what becomes known at it; may be nothing.
        leaving: the flights due to leave at it that are to be asked about; may be none.
    """

    at: int
    events: pa.Table
    leaving: list[dict[str, str]]


def steps(flights: pa.Table, *, reads: int, skipped: float = 0.0, every: int = 1) -> Iterator[Step]:
    """Instant after instant what becomes known and who is to leave, until the last of the flights is due to leave.

    Args:
        flights: the flights, of which each becomes known.
        reads: so many of them are asked about, evenly spread; all, if there are fewer.
        skipped: none of the first ones, to this share, are asked about: there is little to know yet.
        every: all is told at full minutes, these many of them apart: what comes between waits for the next.
    """
    events = told(flights, every)
    asked = _asked(flights, reads, skipped)
    known, due = events["known"].to_numpy(), _micros(asked["scheduled_departure"])
    events, rows = events.select(TOLD).combine_chunks(), asked.select(["tailnum", "carrier", "origin"]).to_pylist()
    end = _micros(flights["scheduled_departure"]).max()
    instants = np.unique(np.concatenate([known[known <= end], due]))
    cuts = zip(
        instants.tolist(),
        *(np.searchsorted(known, instants, side=side).tolist() for side in ("left", "right")),
        *(np.searchsorted(due, instants, side=side).tolist() for side in ("left", "right")),
        strict=True,
    )
    for at, first, last, head, tail in cuts:
        yield Step(at, events.slice(first, last - first), rows[head:tail])


def _asked(flights: pa.Table, reads: int, skipped: float) -> pa.Table:
    """Some flights, ordered by when they are due."""
    there = flights.filter(pc.is_valid(flights["tailnum"])).sort_by("scheduled_departure")
    first = int(there.num_rows * skipped)
    count = min(reads, there.num_rows - first)
    return there.take(pa.array(np.linspace(first, there.num_rows - 1, num=count, dtype=np.int64)))


def _micros(moments: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    micros: npt.NDArray[np.int64] = moments.cast(pa.int64()).to_numpy()
    return micros
