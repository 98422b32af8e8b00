"""The head of an entity's ledger: what was applied to it, and the newest records.

Each change gives a head a new version and a new random number: its first 16 bytes differ from all before, by which a
store can tell whether it changed.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

from gnomon.core.ledger.records import Records
from gnomon.core.ledger.shape import Shape
from gnomon.errors import BackendError, NewerFormat

__all__ = ["NEVER", "Head"]

FORMAT = 1
NEVER = -(1 << 63)
"""The newest known time where nothing is known."""

_HEAD = struct.Struct("<QQqqqqQIII4x")


@dataclass(slots=True)
class Head:
    """A head.

    Args:
        records: the newest records.
        applied: the position of the log's last event that was applied; 0 where none was.
        newest: the newest known time of what was applied, µs.
        chunks: how many sealed chunks there are.
        next_chunk: the number of the next one; 0 where none was ever sealed.
        version: how often it was changed.
    """

    records: Records
    applied: int = 0
    newest: int = NEVER
    chunks: int = 0
    next_chunk: int = 0
    version: int = 0

    @classmethod
    def from_bytes(cls, shape: Shape, raw: bytes | None) -> Head:
        """What `to_bytes` wrote; of None, the head of an entity of which nothing is known.

        Raises:
            NewerFormat: a newer gnomon wrote it.
            BackendError: it is of another shape: the view changed since.
        """
        if raw is None:
            return cls(Records(shape))
        version, _, applied, newest, shape_id, common, next_chunk, count, chunks, form = _HEAD.unpack_from(raw)
        if form > FORMAT:
            raise NewerFormat(path="a ledger of the online store", found=form, supported=FORMAT)
        if shape_id != shape.id:
            raise BackendError(
                "the online store has the view's events as an older definition of it needed them.",
                hint="load the view again: gnomon materialize-incremental.",
            )
        end = _HEAD.size + count * shape.size
        return cls(
            Records(shape, memoryview(raw)[_HEAD.size : end], raw[end:], common),
            applied,
            newest,
            chunks,
            next_chunk,
            version,
        )

    def to_bytes(self) -> bytes:
        """The head, as it is kept: another version of it each time."""
        records = self.records
        fixed = _HEAD.pack(
            self.version + 1,
            random.getrandbits(64),
            self.applied,
            self.newest,
            records.shape.id,
            records.common,
            self.next_chunk,
            len(records),
            self.chunks,
            FORMAT,
        )
        return b"".join((fixed, records.rows, records.heap))
