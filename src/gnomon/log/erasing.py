"""Erasing: sealed files that hold events of an entity are written again without them.

The new file has another name, and the old one goes as soon as the new one is durable: an event is in one of them or in
neither, and a reader that has the old one open reads on in it, undisturbed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.contracts.log import Erased
from gnomon.core.matching import about
from gnomon.log.folder import Sealed, parquet_name
from gnomon.log.rewriting import SCRATCH, plain, rows_of, sync_folder, write

__all__ = ["erase"]


def erase(
    folder: Path, sealed: Sequence[Sealed], covered: Sequence[Sealed], entity: Mapping[str, Any], now: int
) -> Erased:
    """Write the files that count again without an entity's events, and remove those that do not count.

    Args:
        folder: the log's folder.
        sealed: the files that count, in order.
        covered: those that do not, for others have their positions.
        entity: column → value.
        now: the instant, µs.
    """
    (folder / SCRATCH).unlink(missing_ok=True)  # a killed process may have left rows in it
    for one in covered:
        one.path.unlink()
    found = [(one, count) for one in sealed if (count := _count(one, entity))]
    for one, _ in found:
        _write_without(folder, one, entity, now)
    sync_folder(folder)
    last = sealed[-1].last if sealed else 0
    return Erased(events=sum(count for _, count in found), files=len(found), position=last)


def _count(one: Sealed, entity: Mapping[str, Any]) -> int:
    """How many of a file's events are about the entity."""
    with pq.ParquetFile(one.path) as file:
        if any(name not in file.schema_arrow.names for name in entity):
            return 0
        batches = file.iter_batches(columns=list(entity))
        return sum(pc.sum(about(pa.Table.from_batches([batch]), entity)).as_py() or 0 for batch in batches)


def _write_without(folder: Path, one: Sealed, entity: Mapping[str, Any], now: int) -> None:
    schema = plain(pq.read_schema(one.path))
    path = folder / parquet_name(one.first, one.last, one.writing + 1)
    rows = (table.filter(pc.invert(about(table, entity))) for table in rows_of([one]))
    write(path, schema, rows, now, erased=now)
    one.path.unlink()
    sync_folder(folder)
