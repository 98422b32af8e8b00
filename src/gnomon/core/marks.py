"""The mark in a table of the online store that says how far it has got, under a key of its own.

It says which history the rows are made of: rows of files that happened by `end` and were known by `known`, and the
log's events up to `position`. A table that is loaded anew is another *build*, so that who feeds it from the log sees
that it has to go on from there.
"""

from __future__ import annotations

import json
import random
import struct
from dataclasses import asdict, dataclass
from functools import lru_cache

from gnomon.errors import NewerFormat

__all__ = ["MARK", "Mark", "new_build"]

FORMAT = 1
MARK = b"P" + bytes(8)
"""The mark's key in its table: keys of entities begin with a small letter, or with a part's great one."""
_STAMP = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a table has got.

    Args:
        build: names the load that made the table.
        fingerprint: the view's, when it was loaded.
        shape: the shape of the ledger's records; 0 for rows.
        position: the log's last event that was applied; 0 where none was.
        end: rows of files that happened after this instant (µs) were left out; None where there are no files.
        known: rows of files that were known after this instant (µs) were left out; None where there are no files.
        latest: the latest event or known time of any row of the files (µs), left out or not; None where there is none.
        stamped: the known time of the log's last event that was applied, µs; None where none was.
        kept: so long after it happened an event is kept at least, µs; None for ever.
        seen: the greatest known time of any row loaded, µs; None where there is none, or nobody asks.
        newest: what no answer from this instant (µs) on can need was dropped; None where nothing was.
        online_only: whether events were pushed that no history has.
    """

    build: int
    fingerprint: str
    shape: int = 0
    position: int = 0
    end: int | None = None
    known: int | None = None
    latest: int | None = None
    stamped: int | None = None
    kept: int | None = None
    seen: int | None = None
    newest: int | None = None
    online_only: bool = False

    def to_bytes(self) -> bytes:
        """The mark as it is kept; it never begins with the same 16 bytes twice."""
        stamp = _STAMP.pack(random.getrandbits(64), random.getrandbits(64))
        return stamp + json.dumps({"format": FORMAT, **asdict(self)}).encode()

    @staticmethod
    @lru_cache(maxsize=256)  # a request looks at the marks of all its views, and they seldom change
    def from_bytes(raw: bytes | None) -> Mark | None:
        """What `to_bytes` wrote; None where nothing was.

        Raises:
            NewerFormat: a newer gnomon wrote it.
        """
        if raw is None:
            return None
        said = json.loads(raw[_STAMP.size :])
        if (form := said.pop("format")) > FORMAT:
            raise NewerFormat(path="a table of the online store", found=form, supported=FORMAT)
        return Mark(**said)


def new_build() -> int:
    """A number that names a load."""
    return random.SystemRandom().getrandbits(53)
