"""Merging: many small sealed files become few large ones, with every row as it was.

A file that covers others stands for them from the moment it has its name; those are removed by a later merge, some time
after, so that whoever took their names can go on reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.contracts.log import Merged
from gnomon.log.folder import Sealed, parquet_name
from gnomon.log.reading import conformed
from gnomon.log.rewriting import erased_at, plain, rows_of, sync_folder, write, written_at

__all__ = ["Limits", "merge"]

GROWTH = 4
"""A file is written again only together with at least a quarter of its size: so each row is, a few times at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large merged files get, and how long those stay that they stand for.

    Args:
        bytes: how large, about.
        events: how many events they have at most.
        grace: how long, µs.
    """

    bytes: int
    events: int
    grace: int


@dataclass(frozen=True, slots=True)
class Part:
    """A file that may be merged with its neighbours."""

    file: Sealed
    bytes: int
    events: int
    schema: pa.Schema
    erased: int | None


def merge(folder: Path, sealed: Sequence[Sealed], covered: Sequence[Sealed], limits: Limits, now: int) -> Merged:
    """Merge the files that count, and remove those that others have stood for long enough.

    Args:
        folder: the log's folder.
        sealed: the files that count, in order.
        covered: those that do not, for others have their positions.
        limits: how large files get.
        now: the instant, µs.
    """
    groups = list(_groups([_part(one) for one in sealed], limits))
    made = [_merged(folder, group, now) for group in groups]
    covered = [*covered, *(part.file for group in groups for part in group)]
    removed = _removed(folder, covered, [*made, *sealed], now - limits.grace)
    return Merged(files=sum(map(len, groups)), into=len(groups), removed=removed)


def _part(file: Sealed) -> Part:
    told = pq.read_metadata(file.path)
    schema = told.schema.to_arrow_schema()
    return Part(file, file.path.stat().st_size, told.num_rows, plain(schema), erased_at(schema))


def _groups(parts: Sequence[Part], limits: Limits) -> Iterator[list[Part]]:
    """Neighbours that go into one file."""
    group: list[Part] = []
    for part in parts:
        if group and not _go_together([*group, part], limits):
            yield from _worth_it(group)
            group = []
        group.append(part)
    yield from _worth_it(group)


def _go_together(parts: Sequence[Part], limits: Limits) -> bool:
    """Whether one file can hold them, and every value as it is."""
    if sum(one.bytes for one in parts) > limits.bytes or sum(one.events for one in parts) > limits.events:
        return False
    try:
        return bool(pa.unify_schemas([one.schema for one in parts]))
    except pa.ArrowException:  # a column changed its type
        return False


def _worth_it(group: list[Part]) -> Iterator[list[Part]]:
    while len(group) > 1 and group[0].bytes > GROWTH * sum(one.bytes for one in group[1:]):
        group = group[1:]
    if len(group) > 1:
        yield group


def _merged(folder: Path, group: Sequence[Part], now: int) -> Sealed:
    first, last = group[0].file.first, group[-1].file.last
    made = Sealed(folder / parquet_name(first, last), first, last)
    schema = pa.unify_schemas([one.schema for one in group])
    rows = (conformed(table, schema) for table in rows_of(one.file for one in group))
    write(made.path, schema, rows, now, max((one.erased for one in group if one.erased is not None), default=None))
    return made


def _removed(folder: Path, covered: Sequence[Sealed], standing: Sequence[Sealed], limit: int) -> int:
    """Remove the files that others have stood for since an instant, or before it."""
    removed = 0
    for one in covered:
        cover = next(other for other in standing if other.first <= one.first and one.last <= other.last)
        since = written_at(cover.path)
        if since is None or since <= limit:
            one.path.unlink()
            removed += 1
    if removed:
        sync_folder(folder)
    return removed
