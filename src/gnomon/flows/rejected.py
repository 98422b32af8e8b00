"""Rows that were pushed and not right: files of them are written again without one entity's.

A rejected row may hold anything, for that is why it was rejected: it is the entity's if its values can be cast to the
key's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.claims import left_behind
from gnomon.core.matching import about
from gnomon.errors import BackendError
from gnomon.flows.files import replacing, sync_folder

__all__ = ["erase_rejected"]


def erase_rejected(folder: Path, key: Mapping[str, Any]) -> int:
    """Remove an entity's rows from a source's files of rejected rows; how many there were.

    Args:
        folder: the source's folder of rejected rows.
        key: column → value.

    Raises:
        BackendError: a file cannot be read or written.
    """
    for scratch in left_behind(sorted(folder.glob(".*.tmp"))):  # half-written by a killed process
        scratch.unlink(missing_ok=True)
    count = sum(_without(path, key) for path in sorted(folder.glob("*.parquet")))
    sync_folder(folder)
    return count


def _without(path: Path, key: Mapping[str, Any]) -> int:
    """Write a file of rejected rows again without an entity's; one that has no others goes."""
    try:
        rows = _plain(pq.read_table(path))
        mask = about(rows, key)
        if count := pc.sum(mask).as_py() or 0:
            if count == len(rows):
                path.unlink()
            else:
                with replacing(path) as scratch:
                    pq.write_table(rows.filter(pc.invert(mask)), scratch)
        return int(count)
    except (OSError, pa.ArrowException) as wrong:
        raise BackendError(
            f"the rejected rows in {path} cannot be erased.", instead=str(wrong), hint="mend or remove the file."
        ) from wrong


def _plain(rows: pa.Table) -> pa.Table:
    """Without dictionaries: those keep values that no row has any more."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            rows = rows.set_column(place, field.name, rows[field.name].cast(field.type.value_type))
    return rows.replace_schema_metadata(None)
