"""A segment is a row of frames, each with its length and its checksums: what is whole can be told from what is not.

    frame   = header, payload, padding to 8 bytes
    header  = magic, CRC of the payload, its length, first position, known time (µs), CRC of the header
    payload = length of the notes, the notes (JSON), one Arrow IPC message

The first frame of a segment holds the schema of its events, each further one a record batch. Appends are made durable
one by one, so that at most the last frame can be torn; a whole frame behind a broken one means that something else
destroyed it.

>>> whole = frame(1, 5, {"rows": 0}, b"message")
>>> [(one.first, one.known, one.notes, bytes(one.message)) for one in frames(whole + whole[:20])]
[(1, 5, {'rows': 0}, b'message')]
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["HEADER", "Frame", "frame", "frames", "is_broken_inside"]

MAGIC = b"gnL1"
HEADER = struct.Struct("<4sIQQqI4x")
CHECKED = HEADER.size - 8
"""How many bytes of a header its own CRC covers."""
LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, whole.

    Args:
        first: the position of its first event.
        known: the known time of that event, µs; of a segment's first frame, that of the last event before it.
        notes: what its writer noted.
        message: the Arrow IPC message.
        end: where in the segment the next frame begins.
    """

    first: int
    known: int
    notes: Mapping[str, Any]
    message: memoryview
    end: int


def frame(first: int, known: int, notes: Mapping[str, Any], message: Any) -> bytes:
    """The bytes of a frame; its arguments are those of `Frame`."""
    text = json.dumps(notes, separators=(",", ":")).encode()
    text += b" " * (-(LENGTH.size + len(text)) % 8)  # messages begin at multiples of 8
    payload = b"".join((LENGTH.pack(len(text)), text, message))
    checked = HEADER.pack(MAGIC, zlib.crc32(payload), len(payload), first, known, 0)[:CHECKED]
    header = checked + LENGTH.pack(zlib.crc32(checked)) + bytes(4)
    return b"".join((header, payload, bytes(-len(payload) % 8)))


def frames(data: bytes | memoryview, at: int = 0) -> Iterator[Frame]:
    """The frames of a segment from a place on, up to the first that is not whole."""
    view = memoryview(data)
    while (found := _frame_at(view, at)) is not None:
        yield found
        at = found.end


def is_broken_inside(data: bytes, at: int) -> bool:
    """Whether the bytes from a place on, where no frame is whole, hold a whole frame further on."""
    view, at = memoryview(data), data.find(MAGIC, at + 1)
    while at >= 0:
        if _frame_at(view, at) is not None:
            return True
        at = data.find(MAGIC, at + 1)
    return False


def _frame_at(view: memoryview, at: int) -> Frame | None:
    if len(view) - at < HEADER.size:
        return None
    magic, checksum, length, first, known, own = HEADER.unpack_from(view, at)
    begin = at + HEADER.size
    end = begin + length + -length % 8
    if magic != MAGIC or own != zlib.crc32(view[at : at + CHECKED]) or end > len(view):
        return None
    payload = view[begin : begin + length]
    if zlib.crc32(payload) != checksum:
        return None
    (size,) = LENGTH.unpack_from(payload)
    notes = json.loads(bytes(payload[LENGTH.size : LENGTH.size + size]))
    return Frame(first, known, notes, payload[LENGTH.size + size :], end)
