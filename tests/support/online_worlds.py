"""Worlds for online reads: a source, views of it, and what is done and asked in which order, drawn at random.

A world is drawn as plain data and then played on a real store; what a view has by the contract is said here, from the
steps alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import strategies as st
from windowed_views import fits

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource
from gnomon.clock import ManualClock
from gnomon.core.expressions.writing import write
from gnomon.core.windows import FOREVER
from gnomon.definitions.aggregations import Aggregation
from gnomon.plan.questions import Through
from gnomon.testing.reference_windows import WindowEvent, united
from gnomon.testing.strategies import (
    EventTable,
    SourceEvent,
    aggregations,
    conditions,
    event_histories,
    event_tables,
    events_of,
    to_event_table,
    windows,
)
from gnomon.types import Array, String, UnixTimestamp

KINDS = ("log", "by id", "cutover", "files")
TTLS = [None, "1us", "1s", "1h", "365d"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """Something done.

    Args:
        now: the clock is set to it.
        verb: push, seal, load, reload, refresh or read.
        events: what is pushed.
        to: where to.
        end: of a load; None for the clock's now.
    """

    now: int
    verb: str
    events: tuple[SourceEvent, ...] = ()
    to: str = "online_and_offline"
    end: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """What is there, and what is done.

    Args:
        kind: one of `KINDS`: what the source is made of.
        table: what the source looks like.
        filed: the rows of files.
        cutover: where the log begins.
        keys: the join keys of the windowed view, and of the row view.
        made: the aggregations.
        ttl: of the row view.
        steps: what is done.
        asked: the keys that are read, in the table's join keys.
    """

    kind: str
    table: EventTable
    filed: list[SourceEvent]
    cutover: int | None
    keys: tuple[tuple[str, ...], tuple[str, ...]]
    made: list[Aggregation]
    ttl: str | None
    steps: list[Step]
    asked: list[tuple[Any, ...]]

    @property
    def by_id(self) -> bool:
        return self.table.event_id is not None

    def source(self) -> FileSource | PushSource:
        """The source, whose files `write` has written."""
        files = FileSource(
            path="events.parquet",
            name="files",
            timestamp_field=EventTable.TIMESTAMP,
            created_timestamp_column=EventTable.CREATED if self.table.created else "",
            delay=self.table.delay,
            event_id=EventTable.EVENT_ID if self.by_id else "",
            operation=EventTable.OPERATION if self.table.operation else "",
        )
        if self.kind == "files":
            return files
        fields = [Field(name, dtype) for name, dtype in {**self.table.keys, **self.table.inputs}.items()]
        fields.append(Field(EventTable.TIMESTAMP, UnixTimestamp))
        if self.table.event_id is not None:
            fields.append(Field(EventTable.EVENT_ID, self.table.event_id))
        if self.table.operation:
            fields.append(Field(EventTable.OPERATION, String))
        return PushSource(
            name="s",
            schema=fields,
            timestamp_field=EventTable.TIMESTAMP,
            event_id=EventTable.EVENT_ID if self.by_id else "",
            operation=EventTable.OPERATION if self.table.operation else "",
            batch_source=None if self.kind == "log" else files,
            cutover=self.cutover,
        )

    def views(self) -> list[FeatureView]:
        """The windowed view `w` and, of a source that has a log, the row view `r`."""
        source, of_windows, of_rows = self.source(), *map(_entities, self.keys)
        found = [FeatureView(name="w", entities=of_windows, source=source, aggregations=self.made)]
        if self.kind != "files":
            schema = [Field(name, dtype) for name, dtype in self.table.inputs.items()]
            found.append(FeatureView(name="r", entities=of_rows, source=source, schema=schema, ttl=self.ttl))
        return found

    def write(self, folder: Path) -> None:
        """Write the files."""
        if self.kind != "log":
            pq.write_table(to_event_table(self.filed, self.table), folder / "events.parquet")

    def batch(self) -> list[WindowEvent]:
        """The rows of the files."""
        return [] if self.kind == "log" else events_of(self.table, self.filed)

    def had(self, log: Sequence[WindowEvent], through: Through) -> list[WindowEvent]:
        """The rows that a token says, by the contract."""
        end, known = through.end, through.known
        filed = [
            one
            for one in self.batch()
            if one.event is not None
            and one.known is not None
            and (end is None or one.event <= end)
            and (known is None or one.known <= known)
        ]
        if self.kind == "files":
            return filed
        logged = list(log)[: through.position or 0]
        return logged if self.kind == "log" else united(logged, filed, by_id=self.by_id, cutover=self.cutover)

    def missed(self, log: Sequence[WindowEvent], through: Through, at: int) -> bool:
        """Whether something that was known at an instant is not among what a token says: lag."""
        if self.kind != "files" and (through.position or 0) < len(log):
            return True
        end = at if through.end is None else through.end
        known = at if through.known is None else through.known
        return any(
            one.known is not None
            and one.event is not None
            and one.known <= at
            and (one.event > end or one.known > known)
            for one in self.batch()
        )

    def of_key(self, events: Sequence[WindowEvent], keys: tuple[str, ...]) -> list[WindowEvent]:
        """The same events as a view with fewer join keys has them."""
        places = [list(self.table.keys).index(name) for name in keys]
        return [dataclasses.replace(one, key=tuple(one.key[place] for place in places)) for one in events]


def _entities(keys: Sequence[str]) -> list[Entity]:
    named = "_".join("".join(str(ord(letter)) for letter in one) for one in keys)
    return [Entity(name=f"e_{named}", join_keys=list(keys))] if keys else []


@st.composite
def worlds(draw: st.DrawFn, kinds: Sequence[str] = KINDS, max_size: int = 14) -> World:
    """A world.

    Args:
        draw: given by Hypothesis.
        kinds: what the source may be made of.
        max_size: at most so many events, before some are doubled.
    """
    kind = draw(st.sampled_from(kinds))
    table = draw(event_tables())
    if kind == "by id" and table.event_id is None:
        table = dataclasses.replace(table, event_id=String, operation=draw(st.booleans()))
    if kind == "cutover" and draw(st.booleans()):
        table = dataclasses.replace(table, event_id=None, operation=False)
    over = draw(st.lists(windows(), min_size=1, max_size=4))
    made = draw(aggregations(table.inputs, lengths=table.lengths, over=over))
    scalars = {name: dtype for name, dtype in table.inputs.items() if not isinstance(dtype, Array)}
    if scalars:
        where = write(draw(conditions(scalars).filter(lambda tree: fits(write(tree), scalars))))
        made = [dataclasses.replace(one, where=where) if draw(st.booleans()) else one for one in made]
    history = [_read_alike(one) for one in draw(event_histories(table, over, max_size=max_size))]
    parts = 0 if kind == "log" else len(history) if kind == "files" else draw(st.integers(0, len(history)))
    filed, rest = history[:parts], [one for one in history[parts:] if one.event is not None and None not in one.key]
    moments = _moments(table, history, made)
    names = tuple(table.keys)
    return World(
        kind=kind,
        table=table,
        filed=filed,
        cutover=draw(st.sampled_from(moments)) if kind == "cutover" else None,
        keys=(_some_of(draw, names), _some_of(draw, names)),
        made=made,
        ttl=draw(st.sampled_from(TTLS)),
        steps=draw(_steps(rest, moments, kind)),
        asked=list(dict.fromkeys([one.key for one in history]))[:4] or [tuple(None for _ in names)],
    )


def _some_of(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[str, ...]:
    return draw(st.sampled_from([names, names, names, names[:1], names[1:]]))


def _read_alike(one: SourceEvent) -> SourceEvent:
    """A delete of nothing is refused by push, and nothing is made of it in files."""
    return dataclasses.replace(one, operation=None) if one.id is None else one


def _moments(table: EventTable, history: Sequence[SourceEvent], made: Sequence[Aggregation]) -> list[int]:
    """Instants at which answers change, and those beside them."""
    found = set()
    for one in events_of(table, history):
        if one.event is not None and one.known is not None:
            ends = {edge for of in made for w in of.over for edge in (w.enter(one.event), w.leave(one.event))}
            found |= {one.event, one.known, *(ends - {FOREVER})}
    return sorted({at + near for at in found or {0} for near in (-1, 0, 1)})


@st.composite
def _steps(draw: st.DrawFn, events: Sequence[SourceEvent], moments: Sequence[int], kind: str) -> list[Step]:
    """Pushes of the events in order; loads and reads before, between and after them. Clocks step back, too."""
    nows = st.sampled_from(moments)
    ends = st.none() | nows
    others = ["load", "reload", "refresh", "read", "read", "read"]
    found: list[Step] = []
    left = list(events)
    for _ in range(draw(st.integers(1, 9))):
        verb = draw(st.sampled_from(others + ["push"] * 4 * bool(left) + ["seal"] * (kind != "files")))
        if verb == "push":
            size = draw(st.integers(1, len(left)))
            to = draw(st.sampled_from(["online_and_offline", "online_and_offline", "offline"]))
            found.append(Step(now=draw(nows), verb=verb, events=tuple(left[:size]), to=to))
            left = left[size:]
        else:
            found.append(Step(now=draw(nows), verb=verb, end=draw(ends)))
    return found


class Played:
    """A world on a store, step by step.

    Args:
        world: the world.
        store: the store; its views are applied.
        clock: its clock.

    Attributes:
        log: the events of the log, known at the stamps they have to have.
    """

    def __init__(self, world: World, store: FeatureStore, clock: ManualClock) -> None:
        self.world, self.store, self.clock = world, store, clock
        self.log: list[WindowEvent] = []
        self._last = -(2**63)

    def play(self, step: Step) -> None:
        """Do it; reads are left to the caller."""
        self.clock.set(step.now)
        end = step.now if step.end is None else step.end
        if step.verb == "push":
            report = self.store.push(
                "s", to_event_table(step.events, self.world.table).drop_columns(self._not_pushed), step.to
            )
            assert (report.appended, report.rejected) == (len(step.events), 0), report
            for one in events_of(self.world.table, step.events):
                self._last = max(step.now, self._last + 1)
                self.log.append(dataclasses.replace(one, known=self._last))
        elif step.verb == "seal":
            self.store.logs.log("s").seal()
        elif step.verb == "load":
            self.store.materialize(None, end)
        elif step.verb == "reload":
            self.store.materialize(None, end, replace=True)
        elif step.verb == "refresh":
            self.store.materialize_incremental(end)

    @property
    def _not_pushed(self) -> list[str]:
        return [EventTable.CREATED] if self.world.table.created else []
