"""The parts of an entity's ledger, and the keys they are kept under: the entity's key, a letter and a number.

    H 0   the head            S 0   the summary
    C n   chunk n             I id  the event time of the sealed event with an id

Under `P 0` of no entity, a table has its mark (`gnomon.core.marks`).
"""

from __future__ import annotations

import struct

__all__ = ["SUFFIX", "chunk_key", "head_key", "id_key", "summary_key"]

SUFFIX = 9
"""So many bytes of a key tell the part."""

_PART = struct.Struct(">cQ")
_HEAD, _SUMMARY = _PART.pack(b"H", 0), _PART.pack(b"S", 0)
_WORD = (1 << 64) - 1


def head_key(entity: bytes) -> bytes:
    """The key of the head."""
    return entity + _HEAD


def summary_key(entity: bytes) -> bytes:
    """The key of the summary."""
    return entity + _SUMMARY


def chunk_key(entity: bytes, number: int) -> bytes:
    """The key of a chunk."""
    return entity + _PART.pack(b"C", number)


def id_key(entity: bytes, event_id: int) -> bytes:
    """The key of what says when the sealed event with an id happened."""
    return entity + _PART.pack(b"I", event_id & _WORD)
