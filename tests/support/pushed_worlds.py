"""Pushed events and files beside them, drawn at random, and what of them a view has by the contract.

Known times are worked out here from the clock alone: its now, or one µs after the last.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, Window, agg
from gnomon.clock import ManualClock
from gnomon.testing.reference import AsKnown
from gnomon.testing.reference_windows import WindowEvent, united
from gnomon.types import Int64, String, UnixTimestamp

FIELDS = [Field("k", Int64), Field("n", Int64), Field("at", UnixTimestamp), Field("id", String), Field("op", String)]
DTYPES = {"n": Int64}
WINDOWS = {"near": Window("20us"), "ever": Window(None)}
INSTANT = pa.timestamp("us", "UTC")

times = st.integers(0, 60)
events = st.builds(
    WindowEvent,
    key=st.tuples(st.sampled_from([1, 2])),
    event=times,
    known=times,
    values=st.fixed_dictionaries({"n": st.sampled_from([None, 1, 2, 4, 8, 16])}),
    id=st.sampled_from(["a", "b", None]),
    delete=st.booleans(),
)


@dataclasses.dataclass(frozen=True)
class World:
    """What is there, and what is asked.

    Args:
        pushes: of each, when by the clock (it may step back), the events, and whether the log is sealed after it.
        files: rows of the batch source; None without one.
        by_id: whether the source has an event id and an operation.
        cutover: where the log begins.
    """

    pushes: list[tuple[int, list[WindowEvent], bool]]
    files: list[WindowEvent] | None
    by_id: bool
    cutover: int | None
    asked: list[tuple[int, int]]
    as_known: AsKnown


@st.composite
def worlds(draw: st.DrawFn) -> World:
    files = draw(st.none() | st.lists(events, min_size=1, max_size=6))
    by_id = draw(st.booleans())
    needs_cutover = files is not None and not by_id
    pushes = st.lists(st.tuples(times, st.lists(events, max_size=4), st.booleans()), max_size=4)
    return World(
        pushes=draw(pushes),
        files=files,
        by_id=by_id,
        cutover=draw(times) if needs_cutover or (files is not None and draw(st.booleans())) else None,
        asked=draw(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 90)), min_size=1, max_size=8)),
        as_known=draw(st.sampled_from(["now", "then"]) | times),
    )


def views_of(source: PushSource) -> list[FeatureView]:
    """A row view and a windowed one of the same events."""
    entity = Entity(name="k")
    sums = [agg.sum("n", over=window, name=name) for name, window in WINDOWS.items()]
    return [
        FeatureView(name="latest", entities=[entity], source=source, schema=[Field("n", Int64)]),
        FeatureView(name="spent", entities=[entity], source=source, aggregations=sums),
    ]


def source_of(world: World, folder: Path) -> PushSource:
    files = None
    if world.files is not None:
        table = table_of(world.files, "op" if world.by_id else "")
        known = pa.array([one.known for one in world.files], pa.int64()).cast(INSTANT)
        pq.write_table(table.append_column("created", known), folder / "old.parquet")
        files = FileSource(path="old.parquet", timestamp_field="at", created_timestamp_column="created")
    schema = FIELDS if world.by_id else FIELDS[:4]
    roles = {"event_id": "id", "operation": "op"} if world.by_id else {}
    return PushSource(name="s", schema=schema, batch_source=files, cutover=world.cutover, timestamp_field="at", **roles)


def table_of(rows: list[WindowEvent], operation: str) -> pa.Table:
    columns: dict[str, Any] = {
        "k": pa.array([one.key[0] for one in rows], pa.int64()),
        "n": pa.array([one.values["n"] for one in rows], pa.int64()),
        "at": pa.array([one.event for one in rows], pa.int64()).cast(INSTANT),
        "id": pa.array([one.id for one in rows], pa.string()),
    }
    if operation:
        columns[operation] = pa.array(["delete" if is_delete(one) else None for one in rows], pa.string())
    return pa.table(columns)


def is_delete(one: WindowEvent) -> bool:
    return one.delete and one.id is not None  # a delete of nothing is refused by push


def pushed(store: FeatureStore, clock: ManualClock, world: World) -> list[WindowEvent]:
    """Push all of it; the events with the known times they have to have."""
    last, made = -1, []
    for now, some, seal in world.pushes:
        clock.set(now)
        report = store.push("s", table_of(some, "op" if world.by_id else ""))
        assert (report.appended, report.rejected) == (len(some), 0)
        for one in some:
            last = max(now, last + 1)
            made.append(as_read(dataclasses.replace(one, known=last), world))
        if seal:
            store.logs.log("s").seal()
    return made


def batch(world: World) -> list[WindowEvent]:
    return [as_read(one, world) for one in world.files or ()]


def as_read(one: WindowEvent, world: World) -> WindowEvent:
    if not world.by_id:
        return dataclasses.replace(one, id=None, delete=False)
    return dataclasses.replace(one, delete=is_delete(one))


def rows_of(world: World, log: list[WindowEvent]) -> list[WindowEvent]:
    """The rows of the views: log and files put together."""
    if world.files is None:
        return log
    return united(log, batch(world), by_id=world.by_id, cutover=world.cutover)
