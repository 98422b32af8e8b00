"""A view's table online, as it is fed: events of the log applied, history laid out, the mark moved on with them.

A ledger and the rows of a row view are fed alike. The mark says up to which position the table has the log; a step from
one position to the next is made only from where the mark is, by whoever comes first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.clock import MAX_MICROS, MIN_MICROS
from gnomon.contracts.engine import Engine
from gnomon.contracts.online import Merge, OnlineStore, Table
from gnomon.core.columns import as_numpy
from gnomon.core.keys import encode_keys
from gnomon.core.ledger.applying import Incoming, NeedsHistory, applying, laid_out, relaying
from gnomon.core.ledger.incoming import Batch
from gnomon.core.ledger.records import Records
from gnomon.core.ledger.shape import EVENT, KNOWN, Shape
from gnomon.core.marks import MARK, Mark, new_build
from gnomon.core.staircases import merging
from gnomon.definitions.codec import stored_fingerprint
from gnomon.definitions.sources import PushSource, Source
from gnomon.definitions.views import FeatureView
from gnomon.errors import BackendError, ConflictError
from gnomon.flows.ledgers import Building, ledger_of, put
from gnomon.flows.tables import entries_of, layout_of, remember_layout, table_of
from gnomon.plan.events import KNOWN as KNOWN_TIME
from gnomon.plan.events import POSITION, input_columns
from gnomon.plan.ledger import shape_of
from gnomon.plan.questions import EventsQuestion, LoadQuestion, LogPrefix

__all__ = ["Bounds", "Feed", "LedgerFeed", "Moved", "RowFeed", "feed_of"]

Entries = list[tuple[bytes, bytes]]
NONE: frozenset[int] = frozenset()
Advance = Callable[[int], None]
History = Callable[[int], LogPrefix]
Steps = Generator[Sequence[bytes], list[bytes | None], Mapping[bytes, bytes | None]]


class Moved(Exception):  # noqa: N818 - a signal, not an error
    """The table is at another position than was thought, or is not there.

    Args:
        mark: its mark.
    """

    def __init__(self, mark: Mark | None) -> None:
        super().__init__(mark)
        self.mark = mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a load takes of history.

    Args:
        prefix: the events of the log; None where the source has none.
        end: rows of files that happened after it are left out, µs.
        known: rows of files known after it are left out, µs.
        stamped: the known time of the log's last event, µs; None where there is none.
    """

    prefix: LogPrefix | None
    end: int
    known: int
    stamped: int | None = None

    @property
    def position(self) -> int:
        """The position of the log's last event."""
        return self.prefix.position if self.prefix else 0

    @property
    def newest(self) -> int:
        """The instant from which on answers are wanted, µs: all that is loaded is known by then."""
        return self.known if self.stamped is None else max(self.known, self.stamped)

    def logs(self, source: Source) -> Mapping[str, LogPrefix]:
        """The prefix as questions have it."""
        return {source.name: self.prefix} if self.prefix else {}


class Feed(ABC):
    """The table of one view.

    Args:
        project: the project's name.
        view: the view, resolved.
        engine: reads history.
        store: has the table.
        history: gives the log up to a position; None where the source has none.
    """

    def __init__(
        self,
        project: str,
        view: FeatureView,
        engine: Engine,
        store: OnlineStore,
        history: History | None = None,
    ) -> None:
        self.view, self._project, self._engine, self._store = view, project, engine, store
        self._history = history
        self.fingerprint = stored_fingerprint(view)

    table: Table

    def mark(self) -> Mark | None:
        """How far the table has got; None where it was never loaded."""
        ((raw,),) = self._store.read([(self.table, [MARK])])
        return Mark.from_bytes(raw)

    @abstractmethod
    def take(self, events: pa.RecordBatch, *, after: int, upto: int, stamped: int) -> None:
        """Apply the log's events from one position to another.

        Args:
            events: those that the view looks at, as `gnomon.flows.logged` has them.
            after: the position before the first of them.
            upto: the position of the last one.
            stamped: the known time of the last one, µs.

        Raises:
            Moved: the table is not at `after`; nothing was applied.
        """

    def passed_by(self, mark: Mark, stamped: int | None) -> bool:
        """Whether the log has an event that what was loaded ought to have known of.

        Args:
            mark: how far the table has got.
            stamped: the known time of the first event after that, µs; None where there is none.
        """
        return False

    @abstractmethod
    def take_unlogged(self, events: pa.RecordBatch, now: int) -> None:
        """Apply events that are in no log."""

    @abstractmethod
    def load(self, bounds: Bounds, advance: Advance) -> tuple[int, int]:
        """Put all of history in the place of all that is there: (rows read, values stored)."""

    @abstractmethod
    def begin(self) -> None:
        """Make an empty table, unless there is one: that of a source whose log is all it has."""

    def _is_at(self, mark: Mark | None, position: int) -> bool:
        """Whether a table is at a position, as this view has it."""
        return mark is not None and mark.position == position and mark.fingerprint == self.fingerprint

    def _at(self, mark: Mark | None, position: int) -> Mark:
        if mark is None or not self._is_at(mark, position):
            raise Moved(mark)
        return mark

    def _first_mark(self) -> Mark:
        return Mark(build=new_build(), fingerprint=self.fingerprint)


def feed_of(
    project: str, view: FeatureView, engine: Engine, store: OnlineStore, history: History | None = None
) -> Feed:
    """The feed of a view; its arguments are those of `Feed`."""
    return (LedgerFeed if view.aggregations else RowFeed)(project, view, engine, store, history)


class LedgerFeed(Feed):
    """The ledgers of a windowed view."""

    @cached_property
    def table(self) -> Table:  # type: ignore[override]
        """Where they are."""
        return ledger_of(self._project, self.view)

    @cached_property
    def shape(self) -> Shape:
        """What their records hold."""
        return shape_of(self.view)

    @cached_property
    def _columns(self) -> Mapping[str, str]:
        return {one.name: column for column, one in input_columns(self.view).items()}

    def take(self, events: pa.RecordBatch, *, after: int, upto: int, stamped: int) -> None:
        """As every feed."""
        builds: set[int] = set()

        def onward() -> Steps:
            (raw,) = yield [MARK]
            mark = self._at(Mark.from_bytes(raw), after)
            if builds - {mark.build}:  # an entity was laid out anew beside another load
                raise Moved(mark)
            return {MARK: replace(mark, position=upto, stamped=stamped).to_bytes()}

        changes = {key: applying(self.shape, key, one) for key, one in self._grouped(events, logged=True)}
        while True:
            try:
                self._store.amend(self.table, [*changes.values(), onward])
                return
            except NeedsHistory as wanted:
                mark = self._at(self.mark(), after)
                builds.add(mark.build)
                changes[wanted.entity] = self._relaid(wanted.entity, mark, events, upto, stamped)

    def take_unlogged(self, events: pa.RecordBatch, now: int) -> None:
        """As every feed."""

        def marked() -> Steps:
            (raw,) = yield [MARK]
            mark = Mark.from_bytes(raw) or self._first_mark()
            return {MARK: replace(mark, online_only=True).to_bytes()}

        changes = [applying(self.shape, key, one) for key, one in self._grouped(events, logged=False)]
        try:
            self._store.amend(self.table, [*changes, marked])
        except NeedsHistory:
            raise ConflictError(
                f"view {self.view.id!r} has events online that are known from later than now.",
                hint="is the clock of this machine behind? Push the events into the log, too: to='online_and_offline'.",
            ) from None

    def load(self, bounds: Bounds, advance: Advance) -> tuple[int, int]:
        """As every feed."""
        building = self._building(bounds)

        def entries() -> Iterator[Entries]:
            done = 0
            for some in building.entries(self._events(bounds, building)):
                yield some
                advance(building.rows - done)
                done = building.rows
            yield [(MARK, self._mark_of(bounds, building.latest).to_bytes())]

        stored = self._store.replace(self.table, entries(), put)
        return building.rows, stored

    def begin(self) -> None:
        """As every feed."""

        def first() -> Steps:
            (raw,) = yield [MARK]
            return {} if raw is not None else {MARK: self._first_mark().to_bytes()}

        self._store.amend(self.table, [first])

    def _first_mark(self) -> Mark:
        return replace(super()._first_mark(), shape=self.shape.id, kept=self.shape.kept)

    def _grouped(self, events: pa.RecordBatch, *, logged: bool) -> Iterator[tuple[bytes, Incoming]]:
        """Events entity by entity."""
        if not len(events):
            return
        batch = Batch(self.shape, events, self._columns)
        keys = self._keys(events)
        numbers: dict[bytes, int] = {}
        number = np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, len(keys))
        order = np.lexsort((batch.fields[:, KNOWN], batch.fields[:, EVENT], number))
        batch.sort(order)
        ordered = number[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        positions = as_numpy(events[POSITION])[order].tolist() if logged else [0] * len(events)
        known = batch.fields[:, KNOWN]
        oldest, newest = np.minimum.reduceat(known, starts).tolist(), np.maximum.reduceat(known, starts).tolist()
        spans = zip(starts.tolist(), [*starts[1:].tolist(), len(events)], strict=True)
        for key, common, (start, end), *bounds in zip(
            numbers, batch.commons(starts), spans, oldest, newest, strict=True
        ):
            deletes = NONE if batch.gone is None else frozenset(np.flatnonzero(batch.gone[start:end]).tolist())
            records = batch.records(start, end, common)
            yield key, Incoming(records, positions[start:end], (bounds[0], bounds[1]), deletes, logged)

    def _keys(self, events: pa.RecordBatch) -> list[bytes]:
        columns = [events[one.name] for one in self.view.entity_columns]
        if not columns:
            return [b""] * len(events)
        return encode_keys(columns, [one.dtype for one in self.view.entity_columns])

    def _relaid(
        self, entity: bytes, mark: Mark, events: pa.RecordBatch, upto: int, stamped: int
    ) -> Callable[[], Steps]:
        """The change that lays an entity's whole history out anew."""
        row = events.slice(self._keys(events).index(entity), 1)
        keys = pa.table({one.name: row[one.name] for one in self.view.entity_columns})
        bounds = self._bounds_again(mark, upto, stamped)
        building = self._building(bounds)
        found = {key: value for some in building.entries(self._events(bounds, building, keys)) for key, value in some}
        empty = laid_out(self.shape, entity, Records(self.shape), applied=upto, newest=bounds.newest)
        return relaying(self.shape, entity, found or empty, applied=upto)

    def _bounds_again(self, mark: Mark, upto: int, stamped: int) -> Bounds:
        assert self._history is not None, "only events of a log are applied"
        end, known = (stamped if one is None else one for one in (mark.end, mark.known))
        return Bounds(prefix=self._history(upto), end=end, known=known, stamped=stamped)

    def _building(self, bounds: Bounds) -> Building:
        told = {"position": bounds.position, "end": bounds.end, "known": bounds.known, "newest": bounds.newest}
        return Building(self.view, self.shape, **told)

    def _events(self, bounds: Bounds, building: Building, keys: pa.Table | None = None) -> Iterable[pa.RecordBatch]:
        logs = bounds.logs(self.view.source)
        question = EventsQuestion(view=self.view, logs=logs, keys=keys, places=building.needs_places)
        found: Iterable[pa.RecordBatch] = self._engine.events(question)
        return found

    def _mark_of(self, bounds: Bounds, latest: int | None) -> Mark:
        return replace(
            self._first_mark(),
            position=bounds.position,
            end=bounds.end,
            known=bounds.known,
            latest=latest,
            stamped=bounds.stamped,
        )


class RowFeed(Feed):
    """The rows of a row view."""

    @cached_property
    def table(self) -> Table:  # type: ignore[override]
        """Where they are."""
        return table_of(self._project, self.view)

    def take(self, events: pa.RecordBatch, *, after: int, upto: int, stamped: int) -> None:
        """As every feed."""
        oldest = pc.min(events[KNOWN_TIME]).as_py() if len(events) else None

        def onward(old: Mark | None) -> Mark | None:
            if old is None or not self._is_at(old, after):
                return None
            if self.passed_by(old, oldest):
                raise BackendError(
                    f"view {self.view.id!r}: the clock was behind that of its last load.",
                    hint="load it again: gnomon materialize-incremental.",
                )
            return replace(old, position=upto, stamped=stamped, reaching=None)

        if self._store.capabilities.atomic_batch:
            self._merge(events, stamped, onward)
            return
        build = self._announce(after, upto, stamped)
        self._merge(events, stamped, lambda old: onward(old) if old and old.build == build else None)
        moved = self.mark()
        if moved is None or moved.build != build or moved.position < upto:
            raise Moved(moved)

    def take_unlogged(self, events: pa.RecordBatch, now: int) -> None:
        """As every feed."""

        def marked(old: Mark | None) -> Mark:
            old = old or self._first_mark()
            return replace(old, newest=max(now, old.newest or now), online_only=True)

        self._merge(events, now, marked)

    def load(self, bounds: Bounds, advance: Advance) -> tuple[int, int]:
        """As every feed."""
        layout = layout_of(self.view)
        remember_layout(self._store, self.table, layout)
        newest = bounds.newest
        question = LoadQuestion(
            view=self.view,
            start=None,
            end=MAX_MICROS,  # rows of a later time wait for it, so none need be left out
            known=MAX_MICROS,
            now=newest,
            logs=bounds.logs(self.view.source),
        )
        rows, latest, seen = 0, None, None

        def entries() -> Iterator[Entries]:
            nonlocal rows, latest, seen
            for batch in self._engine.load(question):
                known = as_numpy(batch[KNOWN_TIME])
                if self._yields and len(batch) and int(known.max()) > newest:
                    latest = max(int(known.max()), newest if latest is None else latest)
                    batch = batch.filter(pa.array(known <= newest))
                if self._yields and len(batch):
                    known = as_numpy(batch[KNOWN_TIME])
                    seen = max(int(known.max()), MIN_MICROS if seen is None else seen)
                yield entries_of(self.view, layout, batch)
                rows += len(batch)
                advance(len(batch))
            mark = replace(
                self._first_mark(),
                position=bounds.position,
                stamped=bounds.stamped,
                known=newest if self._yields else None,
                latest=latest,
                seen=seen,
                newest=newest,
            )
            yield [(MARK, mark.to_bytes())]

        merge = merging(layout, newest)
        stored = self._store.replace(self.table, entries(), lambda old, new: new if old is None else merge(old, new))
        return rows, stored

    @property
    def _yields(self) -> bool:
        """Whether rows of files yield to the log's events with their ids: none may wait that might have to."""
        source = self.view.source
        return isinstance(source, PushSource) and bool(source.event_id) and source.batch_source is not None

    def passed_by(self, mark: Mark, stamped: int | None) -> bool:
        """As every feed."""
        return stamped is not None and mark.seen is not None and stamped <= mark.seen

    def begin(self) -> None:
        """As every feed."""
        remember_layout(self._store, self.table, layout_of(self.view))
        self._store.write(
            self.table, [(MARK, self._first_mark().to_bytes())], lambda old, new: new if old is None else None
        )

    def _announce(self, after: int, upto: int, stamped: int) -> int:
        """Say, before any row is merged, up to where rows may be from now on: of which build.

        Until the mark is there, nobody goes from where it is to anywhere else.
        """
        mark = self._at(self.mark(), after)

        def intent(old: Mark | None) -> Mark | None:
            if old is None or (old.build, old.position) != (mark.build, after) or old.reaching not in (None, upto):
                return None
            return replace(old, reaching=upto, newest=max(stamped, old.newest or stamped))

        if not self._store.write(self.table, [(MARK, MARK)], _marking(intent)):
            raise Moved(self.mark())
        return mark.build

    def _merge(self, events: pa.RecordBatch, now: int, onward: Callable[[Mark | None], Mark | None]) -> None:
        """Merge events, and move the mark on with them, unless it says that it is not the time for them.

        Rows that no answer from `now` on can need are dropped.
        """
        layout = layout_of(self.view)
        remember_layout(self._store, self.table, layout)
        entries = entries_of(self.view, layout, events) if len(events) else []
        if self._store.capabilities.atomic_batch:
            self._amend(entries, merging(layout, now), onward)
            return
        rows, is_time = merging(layout, now), False

        def merge(stored: bytes | None, incoming: bytes) -> bytes | None:
            nonlocal is_time
            if incoming == MARK:  # the first that is looked at, in each generation
                is_time = onward(Mark.from_bytes(stored)) is not None
                return None
            return rows(stored, incoming) if is_time else None

        self._store.write(self.table, [(MARK, MARK), *entries], merge)
        self._store.write(self.table, [(MARK, MARK)], _marking(onward))  # not before all rows are there

    def _amend(self, entries: Entries, merge: Merge, onward: Callable[[Mark | None], Mark | None]) -> None:
        """Merge rows and move the mark on in one step, or do nothing."""
        rows: dict[bytes, list[bytes]] = {}
        for key, value in entries:
            rows.setdefault(key, []).append(value)

        def marked() -> Steps:
            (raw,) = yield [MARK]
            mark = onward(Mark.from_bytes(raw))
            if mark is None:
                raise Moved(Mark.from_bytes(raw))
            return {MARK: mark.to_bytes()}

        self._store.amend(self.table, [*(partial(_merging, key, some, merge) for key, some in rows.items()), marked])


def _merging(key: bytes, values: Sequence[bytes], merge: Merge) -> Steps:
    """The change that merges values into what is stored under a key."""
    (stored,) = yield [key]
    merged = stored
    for one in values:
        merged = merge(merged, one) or merged
    return {} if merged == stored else {key: merged}


def _marking(onward: Callable[[Mark | None], Mark | None]) -> Merge:
    """The merge by which a table's mark changes; what comes in says nothing, and is no row."""

    def merge(stored: bytes | None, incoming: bytes) -> bytes | None:
        mark = onward(Mark.from_bytes(stored))
        return None if mark is None else mark.to_bytes()

    return merge
