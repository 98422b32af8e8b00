"""Push: events are checked, row by row; those that are right enter the log, the others are kept aside, with reasons.

What makes a row right is said in `gnomon.flows.rows`. What is wrong with the table as a whole, such as a column too
few, is an error, and nothing of it is pushed.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.clock import Clock, instant_text
from gnomon.contracts.engine import Engine
from gnomon.contracts.log import NO_OFFSETS, Appended, Logs
from gnomon.contracts.registry import Snapshot
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.entities import Field
from gnomon.definitions.sources import PushSource
from gnomon.errors import BackendError, NotRegistered, RequestError, listing, nearest_hint
from gnomon.flows.feed import Fed, Feeder
from gnomon.flows.files import replacing
from gnomon.flows.logged import stamped
from gnomon.flows.rows import Lengths, checked, checked_pieces, join_keys, vector_lengths
from gnomon.flows.spine import Spine, read_spine

__all__ = ["PushReport", "Rejection", "push"]

MOST_SHOWN = 100
"""A report names so many rejected rows; the file has all."""
TO = ("online_and_offline", "online", "offline")
OPERATIONS = ("upsert", "delete")
Cast = Callable[[pa.ChunkedArray], pa.ChunkedArray]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was not pushed.

    Args:
        row: its number in what was given, from 0.
        reason: what is wrong with it.
    """

    row: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What became of a push.

    Args:
        source: the push source.
        appended: how many events entered the log.
        rejected: how many did not.
        first: the position of the first event appended.
        last: the position of the last one; less than `first` where there is none.
        known: from which instant (µs) the first event counts as known; each further event has one µs more.
        duplicate: whether all of it was there before, by its offsets.
        rejections: the first hundred rows rejected, with reasons.
        rejected_file: a Parquet file with all rows rejected; empty where there are none.
        online: how far each view of the source is online, where that was asked for.
    """

    source: str
    appended: int
    rejected: int
    first: int
    last: int
    known: int
    duplicate: bool = False
    rejections: tuple[Rejection, ...] = ()
    rejected_file: str = ""
    online: tuple[Fed, ...] = ()

    def __str__(self) -> str:
        behind = [f"  {one.view} is not online yet: {one.behind}" for one in self.online if one.behind]
        if self.duplicate:
            return "\n".join([f"{self.source}: nothing appended, all of it was there before.", *behind])
        line = f"{self.source}: {self.appended} events appended"
        if self.appended and self.first:
            line += f", positions {self.first} to {self.last}, known from {instant_text(self.known)}"
        elif self.appended:
            line = f"{self.source}: {self.appended} events online, and in no log"
        if not self.rejected:
            return "\n".join([line + ".", *behind])
        reasons = Counter(one.reason for one in self.rejections)
        told = [f"  {count} × {reason}" for reason, count in reasons.most_common(5)]
        return "\n".join([line + f"; {self.rejected} rejected, kept in {self.rejected_file}:", *told, *behind])

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {**asdict(self), "rejections": [asdict(one) for one in self.rejections]}


def push(
    snapshot: Snapshot,
    engine: Engine,
    logs: Logs,
    source: str | PushSource,
    df: Any,
    *,
    to: str = "offline",
    offsets: Mapping[str, int] = NO_OFFSETS,
    rejects: Path,
    feeder: Feeder | None = None,
    clock: Clock | None = None,
) -> PushReport:
    """Check events, and append those that are right to their source's log.

    Args:
        snapshot: the definitions.
        engine: reads paths and queries.
        logs: the logs.
        source: the push source, or its name.
        df: the events: a pandas, Polars or Arrow table, a dict of columns, a list of dicts, a path or a query.
        to: "offline": into the log, which training reads; "online_and_offline": besides, the views of the source are
            fed from it; "online": these are fed, and no history has the events.
        offsets: producer → the offset of its last event among these, so that events sent again are recognised.
        rejects: the folder for rows that are not right.
        feeder: feeds what is online, if that is asked for.
        clock: stamps events that enter no log.

    Raises:
        NotRegistered: there is no such push source.
        RequestError: the table does not fit the source, or `to` is unknown.
        BackendError: the log cannot be written; nothing was appended.
        ConflictError: somebody else is writing for too long, or a part of the events is in the log already.
    """
    _check_to(to)
    _check_offsets(offsets)
    known = _registered(snapshot.catalog, source)
    log = logs.log(known.name)
    if offsets and all(offset <= log.offsets().get(producer, offset - 1) for producer, offset in offsets.items()):
        at, fed = log.position(), feeder.feed(known.name) if feeder else ()
        return PushReport(
            source=known.name, appended=0, rejected=0, first=at + 1, last=at, known=0, duplicate=True, online=fed
        )
    given = _given(df, engine)
    if given.columns or given.rows:
        _check_names(given, known)
    keys, lengths = join_keys(snapshot.catalog, known), vector_lengths(snapshot.catalog, known)
    events, reasons = _checked(df, given, known, keys, lengths)
    file = _kept_aside(df, given, reasons, rejects / known.name) if reasons else ""
    if to == "online":
        assert feeder is not None, "whoever asks for it brings it"
        assert clock is not None
        done = Appended(first=0, last=len(events) - 1, known=clock.now())
        fed = feeder.unlogged(known.name, stamped(events, 0, done.known)) if len(events) else ()
    else:
        done = log.append(events, offsets)
        fed = _fed(feeder, known.name, events, done)
    return PushReport(
        source=known.name,
        appended=done.last - done.first + 1,
        rejected=len(reasons),
        first=done.first,
        last=done.last,
        known=done.known,
        duplicate=done.duplicate,
        rejections=tuple(Rejection(row, reasons[row]) for row in sorted(reasons)[:MOST_SHOWN]),
        rejected_file=file,
        online=fed,
    )


def _checked(
    df: Any, given: Spine, source: PushSource, keys: Mapping[str, Field], lengths: Lengths
) -> tuple[pa.Table, dict[int, str]]:
    """The rows that are right; columns that no one type of Arrow holds are looked at value by value."""
    if None not in given.columns.values():
        return checked(given.columns, given.rows, source, keys, lengths)
    pieces = {name: [_loose(df, name) if column is None else column] for name, column in given.columns.items()}
    return checked_pieces(pieces, given.rows, source, keys, {}, lengths)


def _loose(df: Any, name: str) -> list[Any]:
    """A column's values as they were given: only what is Python's own can be of several types."""
    return [row.get(name) for row in df] if isinstance(df, list) else list(df[name])


def _fed(feeder: Feeder | None, source: str, events: pa.Table, done: Appended) -> tuple[Fed, ...]:
    if feeder is None:
        return ()
    if done.duplicate or not len(events):
        return feeder.feed(source)
    return feeder.appended(source, stamped(events, done.first, done.known))


def _given(df: Any, engine: Engine) -> Spine:
    """The events as columns, in whatever form they come."""
    try:
        return read_spine(df, engine)
    except RequestError as wrong:
        raise RequestError(
            f"the events cannot be read: {type(df).__name__ if not isinstance(df, (str, Path)) else df}.",
            instead=wrong.instead,
            hint="pass a pandas, Polars or Arrow table, a dict of columns, a list of dicts, a Parquet or CSV path or a "
            "SELECT.",
        ) from wrong


def _check_to(to: str) -> None:
    if to not in TO:
        raise RequestError(f"push(to={to!r}) is unknown.", hint=f"use one of {listing(TO)}.")


def _check_offsets(offsets: Any) -> None:
    """Refuse offsets that are no whole numbers by producers' names."""
    if not isinstance(offsets, Mapping) or not all(
        isinstance(name, str) and type(offset) is int and offset >= 0 for name, offset in offsets.items()
    ):
        raise RequestError(
            f"offsets is {offsets!r:.80}.",
            hint="offsets is a dict: producer → the offset of its last event, a whole number from 0: {'till-4': 1017}.",
        )


def _registered(catalog: Catalog, source: str | PushSource) -> PushSource:
    name = source.name if isinstance(source, PushSource) else source
    found = catalog.sources.get(name)
    if isinstance(found, PushSource):
        return found
    known = [one.name for one in catalog.sources.values() if isinstance(one, PushSource)]
    raise NotRegistered(kind="push source", name=str(name), known=known)


def _check_names(given: Spine, source: PushSource) -> None:
    names = [one.name for one in source.schema]
    lacking = [name for name in names if name not in given.columns and name != source.operation]
    if lacking:
        raise RequestError(
            f"the events have no column {lacking[0]!r}, which push source {source.name!r} has.",
            instead=f"They have: {listing(given.columns)}.",
            hint=nearest_hint(lacking[0], given.columns, otherwise="add it, with nulls where there is no value."),
            column=lacking[0],
        )
    more = [name for name in given.columns if name not in names]
    if more:
        raise RequestError(
            f"the events have a column {more[0]!r}, which push source {source.name!r} has not.",
            instead=f"It has: {listing(names)}.",
            hint="leave the column out, or add a Field to the source's schema and apply it.",
            column=more[0],
        )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _kept_aside(df: Any, given: Spine, reasons: Mapping[int, str], folder: Path) -> str:
    """Write rejected rows as they were given, with their numbers and reasons; the file's path."""
    rows = sorted(reasons)
    table = pa.table(
        {
            name: [_text(_loose(df, name)[row]) for row in rows] if column is None else column.take(rows)
            for name, column in given.columns.items()
        }
    )
    table = table.append_column("__row", pa.array(rows, pa.int64()))
    table = table.append_column("__reason", pa.array([reasons[row] for row in rows]))
    path = folder / f"{secrets.token_hex(8)}.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as wrong:
        raise BackendError(f"{folder} cannot be made.", instead=str(wrong), hint="is the repo writable?") from wrong
    with replacing(path) as scratch:
        try:
            pq.write_table(table, scratch)
        except pa.ArrowNotImplementedError:  # there is nothing in a struct of nothing
            pq.write_table(_with_texts(table), scratch)
    return str(path)


def _with_texts(table: pa.Table) -> pa.Table:
    """A table whose columns of lists and structs are texts."""
    columns = {
        name: [_text(one) for one in column.to_pylist()] if pa.types.is_nested(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pa.table(columns)
