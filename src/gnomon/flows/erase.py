"""Erase: all that is kept of one entity goes, place by place, and that it went is written down.

    written down that it begins → online rows → rejected rows → logs → served rows → written down that it is done

Files of batch sources are the user's own: the report says which still have rows of the entity, and how many.

Online rows go first: of a view with further join keys, it takes the events to know which rows are the entity's. Each
place may be erased again, so one that was killed is completed by doing it all once more.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.clock import Clock, instant_text
from gnomon.contracts.engine import Engine
from gnomon.contracts.log import Logs
from gnomon.contracts.online import Change, OnlineStore
from gnomon.contracts.registry import Snapshot
from gnomon.core.casting import cast_key, cast_keys
from gnomon.core.keys import encode_key, encode_keys
from gnomon.core.ledger.applying import erasing
from gnomon.core.matching import about
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.sources import FileSource, PushSource, file_sources
from gnomon.definitions.views import FeatureView
from gnomon.errors import GnomonError, NotRegistered, RequestError, listing
from gnomon.flows.columns import rows_of_file
from gnomon.flows.entity import entity_key
from gnomon.flows.erasures import Erasures
from gnomon.flows.ledgers import ledger_of
from gnomon.flows.rejected import erase_rejected
from gnomon.flows.served_log import ServedLog
from gnomon.flows.tables import table_of
from gnomon.plan.ledger import shape_of

__all__ = ["Eraser", "ErasureReport", "LeftRows", "erase", "erase_online"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftRows:
    """Rows of the entity in a file that is the user's own.

    Args:
        source: the source it belongs to.
        path: the file.
        rows: how many.
    """

    source: str
    path: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """What was erased.

    Args:
        id: the erasure's number in the record.
        join_keys: the names of the join keys.
        done: when it was done, µs.
        removed: what went, by place: `log payments`, `rejected payments`, `online profile@1`, `served fraud@1f3a99c0`.
        left: files of batch sources that still have rows of the entity; they are the user's own, and untouched.
        notes: what the operator should know.
    """

    id: str
    join_keys: tuple[str, ...]
    done: int
    removed: Mapping[str, int]
    left: tuple[LeftRows, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def events(self) -> int:
        """How many events went from logs."""
        return sum(count for place, count in self.removed.items() if place.startswith("log "))

    def __str__(self) -> str:
        lines = [f"Erased, and written down as {self.id}, at {instant_text(self.done)}."]
        lines += [f"  {place}: {count}" for place, count in self.removed.items()] or ["  Nothing of it was kept."]
        if self.left:
            lines.append("Rows of it are still in files of yours; remove them, and load what is online anew:")
            lines += [f"  {one.path}: {one.rows} ({one.source})" for one in self.left]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {**asdict(self), "events": self.events}


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """The parts an erasure works with.

    Args:
        snapshot: the definitions.
        engine: says which files sources have.
        logs: the logs.
        served: the log of served rows.
        online: the online store; None where there is none.
        rejects: the folder of rejected rows.
        record: where it is written down.
        clock: says what time it is.
        by: who asks for it.
    """

    snapshot: Snapshot
    engine: Engine
    logs: Logs
    served: ServedLog
    online: OnlineStore | None
    rejects: Path
    record: Erasures
    clock: Clock
    by: str

    def places(self, sources: Sequence[str]) -> Places:
        """Where something of an entity may be, as far as these sources go; all of them where none is named.

        Raises:
            NotRegistered: there is no such source, nor a log of that name.
        """
        catalog, there = self.snapshot.catalog, self.logs.names()
        pushed = [one.name for one in catalog.sources.values() if isinstance(one, PushSource)]
        known = {*catalog.sources, *there}
        for name in sources:
            if name not in known:
                raise NotRegistered(kind="data source", name=name, known=known)
        rejected = [one.name for one in self.rejects.iterdir() if one.is_dir()] if self.rejects.exists() else []
        wanted = set(sources) or {*known, *rejected}
        return Places(
            logs=tuple(sorted({*there, *pushed} & wanted)),
            rejected=tuple(sorted({*rejected} & wanted)),
            views=(views := tuple(view for _, view in sorted(catalog.views.items()) if _stands_on(view, wanted))),
            served=tuple(view.id for view in views) if sources else None,
            batches=tuple(_batches(catalog, wanted)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where something of an entity may be.

    Args:
        logs: names of logs.
        rejected: names of sources with rejected rows.
        views: views that may be online.
        served: ids of views whose served rows may be of it; None for all there ever were.
        batches: sources of files.
    """

    logs: tuple[str, ...]
    rejected: tuple[str, ...]
    views: tuple[FeatureView, ...]
    served: tuple[str, ...] | None
    batches: tuple[FileSource, ...]


def erase(eraser: Eraser, entity: Mapping[str, Any], sources: Sequence[str] | None = None) -> ErasureReport:
    """Erase one entity.

    Args:
        eraser: the parts to work with.
        entity: join key → value.
        sources: names of sources; all by default.

    Raises:
        RequestError: it is no entity: a value is null, or no view and no push source has such a column.
        NotRegistered: there is no such source.
        BackendError: a log, a file or the online store cannot be written; erasing again completes it.
        ConflictError: somebody else writes to a log for too long.
    """
    names = [sources] if isinstance(sources, str) else list(sources or ())
    key = entity_key(eraser.snapshot.catalog, entity)
    places = eraser.places(names)
    begun = eraser.record.begin(key, names, eraser.clock.now(), eraser.by)
    for place, count in _removed(eraser, places, key):
        if count:
            eraser.record.removed(begun, place, count)
    left, notes = _left(eraser, places, key)
    done = eraser.record.end(begun, eraser.clock.now())
    return ErasureReport(
        id=done.id,
        join_keys=done.join_keys,
        done=done.done or 0,
        removed=done.removed,
        left=tuple(left),
        notes=tuple(notes),
    )


def erase_online(store: OnlineStore, project: str, view: FeatureView, keys: Sequence[bytes]) -> int:
    """Remove what a view keeps online of some keys; how many were there.

    A row view keeps one row a key, a windowed view a ledger of several parts.

    Args:
        store: the online store.
        project: the project.
        view: the view.
        keys: encoded keys.
    """
    if not view.aggregations:
        return store.delete(table_of(project, view), keys)
    shape, there = shape_of(view), 0

    def erased(key: bytes) -> Change:
        def change() -> Generator[Sequence[bytes], list[bytes | None], Mapping[bytes, bytes | None]]:
            nonlocal there
            puts = yield from erasing(shape, key)()
            there += bool(puts)
            return puts

        return change

    store.amend(ledger_of(project, view), [erased(key) for key in keys])
    return there


def _removed(eraser: Eraser, places: Places, key: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Remove it from place after place."""
    online = _tables_online(eraser, places, key)
    yield from _removed_online(eraser, online)
    for name in places.rejected:
        yield f"rejected {name}", erase_rejected(eraser.rejects / name, key)
    for name in places.logs:
        yield f"log {name}", eraser.logs.log(name).erase(key).events
    for name, count in eraser.served.erase(key, places.served):
        yield f"served {name}", count
    yield from _removed_online(eraser, online)  # again: what was fed from a log until a moment ago


def _tables_online(eraser: Eraser, places: Places, key: Mapping[str, Any]) -> list[tuple[FeatureView, list[bytes]]]:
    """The views that may have something of an entity online, and under which keys."""
    if eraser.online is None:
        return []
    there = eraser.online.tables(eraser.snapshot.project)
    views = [view for view in places.views if {*key} <= {*view.join_keys}]
    return [
        (view, _keys_online(eraser, view, key)) for view in views if table_of(eraser.snapshot.project, view) in there
    ]


def _removed_online(eraser: Eraser, tables: Sequence[tuple[FeatureView, list[bytes]]]) -> Iterator[tuple[str, int]]:
    for view, keys in tables:
        assert eraser.online is not None
        yield f"online {view.id}", erase_online(eraser.online, eraser.snapshot.project, view, keys)


def _keys_online(eraser: Eraser, view: FeatureView, key: Mapping[str, Any]) -> list[bytes]:
    """The encoded keys of a view that are the entity's: one, or all there are where the view has further join keys."""
    fields = view.entity_columns
    if {*view.join_keys} == {*key}:
        try:
            values = [cast_key(key[one.name], one.dtype, one.name) for one in fields]
        except RequestError:  # the view's type cannot hold the value, so no row has it
            return []
        return [encode_key(values, [one.dtype for one in fields])]
    found: set[bytes] = set()
    for rows in _rows_about(eraser, view, key):
        columns = [cast_keys(rows[one.name], one.dtype, one.name) for one in fields]
        whole = pa.table(columns, names=view.join_keys).drop_null()
        found |= {*encode_keys(whole.columns, [one.dtype for one in fields])} if len(whole) else set()
    return sorted(found)


def _rows_about(eraser: Eraser, view: FeatureView, key: Mapping[str, Any]) -> Iterator[pa.Table]:
    """The join keys of all rows of a view's source that are about an entity."""
    for source in file_sources(view.source):
        for file in eraser.engine.files(source):
            for rows in rows_of_file(eraser.engine, source, file.path, view.join_keys):
                if {*view.join_keys} <= {*rows.column_names}:
                    yield rows.filter(about(rows, key))
    if isinstance(view.source, PushSource):
        for batch in eraser.logs.log(view.source.name).read():
            if {*view.join_keys} <= {*batch.schema.names}:
                rows = pa.Table.from_batches([batch]).select(view.join_keys)
                yield rows.filter(about(rows, key))


def _left(eraser: Eraser, places: Places, key: Mapping[str, Any]) -> tuple[list[LeftRows], list[str]]:
    """The files of batch sources that have rows of the entity; and those that could not be looked into."""
    found, notes = [], []
    for source in places.batches:
        try:
            for file in eraser.engine.files(source):
                parts = rows_of_file(eraser.engine, source, file.path, list(key))
                if rows := sum(pc.sum(about(part, key)).as_py() or 0 for part in parts):
                    found.append(LeftRows(source=source.name, path=file.path, rows=rows))
        except GnomonError as wrong:
            notes.append(f"source {source.name!r} could not be looked into: {wrong.what}")
    known = {table_of(eraser.snapshot.project, view) for view in eraser.snapshot.catalog.views.values()}
    tables = eraser.online.tables(eraser.snapshot.project) if eraser.online is not None else []
    if strange := [table.name for table in tables if table not in known]:
        notes.append(f"online tables of views that are registered no more were not looked into: {listing(strange)}.")
    return found, notes


def _stands_on(view: FeatureView, names: set[str]) -> bool:
    return view.source.name in names or any(one.name in names for one in file_sources(view.source))


def _batches(catalog: Catalog, names: set[str]) -> Iterator[FileSource]:
    """The file sources among some sources, those beside logs included, each once."""
    found: dict[str, FileSource] = {}
    for _, source in sorted(catalog.sources.items()):
        for one in file_sources(source):
            if source.name in names or one.name in names:
                found.setdefault(one.name, one)
    yield from found.values()
