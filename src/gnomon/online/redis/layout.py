"""Which key of Redis holds what. Every key of a project begins with `gnomon:<project>:`.

    gnomon:shop:{shop}:table:profile@1      STRING  the published generation, as "format name buckets", and suffix
    gnomon:shop:{shop}:notes:profile@1      HASH    notes
    gnomon:shop:{shop}:tables               SET     tables that have a published generation
    gnomon:shop:{shop}:filling              HASH    generation → who fills it; nobody: to be removed
    gnomon:shop:Yk3_w9Qe:<key>              STRING  a row
    gnomon:shop:Yk3_w9Qe=                   STRING  how many rows; a generation takes rows as long as this is there

On a cluster a generation's rows lie in 64 buckets, spread evenly over the slots by a hash tag before the key:
`gnomon:shop:Yk3_w9Qe:{12}<key>`, each with a counter of its own. One entity's rows share a slot, whatever the view; and
so do its parts, in a table that has parts: the last bytes of a key, as many as its suffix says, have no say there.

>>> generation = Generation("shop", "Yk3_w9Qe", buckets=1)
>>> generation.keys([b"7"]), generation.pointer
([b'gnomon:shop:Yk3_w9Qe:7'], b'1 Yk3_w9Qe 1')
"""

from __future__ import annotations

import re
import secrets
from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from urllib.parse import quote
from zlib import crc32

from gnomon.contracts.online import Table
from gnomon.errors import NewerFormat

__all__ = ["BUCKETS", "FORMAT", "Generation", "Meta", "fresh", "of_pointer", "tag_of"]

FORMAT = 2
"""The newest; a generation without parts is written as format 1, which every gnomon reads."""

BUCKETS = 64
"""Buckets of a generation on a cluster: a read of many keys is at most so many MGETs, sent together."""

SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class Meta:
    """Where a project's own notes lie; all in one slot.

    Args:
        project: the project's name.
    """

    project: str
    _prefix: str = field(init=False)

    def __post_init__(self) -> None:
        name = quote(self.project, safe="")
        object.__setattr__(self, "_prefix", f"gnomon:{name}:{{{name or '%'}}}:")

    @property
    def tables(self) -> bytes:
        """The set of published tables."""
        return f"{self._prefix}tables".encode()

    @property
    def filling(self) -> bytes:
        """The hash of generations that are being filled or removed."""
        return f"{self._prefix}filling".encode()

    def pointer(self, table: Table) -> bytes:
        """What says which generation is published."""
        return f"{self._prefix}table:{quote(table.name, safe='@')}".encode()

    def notes(self, table: Table) -> bytes:
        """The hash of a table's notes."""
        return f"{self._prefix}notes:{quote(table.name, safe='@')}".encode()


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of a table's rows.

    Args:
        project: the project's name.
        name: eight characters that no other generation has.
        buckets: over how many slots it is spread; 1 for a single server.
        suffix: so many last bytes of a key name a part of an entity.
        pointer: how a table's pointer names it.
    """

    project: str
    name: str
    buckets: int
    suffix: int = 0
    pointer: bytes = field(init=False)
    _prefixes: tuple[bytes, ...] = field(init=False)

    def __post_init__(self) -> None:
        pointer = f"2 {self.name} {self.buckets} {self.suffix}" if self.suffix else f"1 {self.name} {self.buckets}"
        object.__setattr__(self, "pointer", pointer.encode())
        start = f"{self._start}:".encode()
        prefixes = (start,) if self.buckets == 1 else tuple(start + b"{%s}" % tag for tag in _tags(self.buckets))
        object.__setattr__(self, "_prefixes", prefixes)

    @property
    def pattern(self) -> str:
        """What its rows, and nothing else, match in a scan."""
        return f"{self._start}:*"

    def bucket(self, key: bytes) -> int:
        """The bucket of a key."""
        if self.buckets == 1:
            return 0
        return crc32(key[: -self.suffix] if self.suffix else key) % self.buckets

    def keys(self, keys: Sequence[bytes]) -> list[bytes]:
        """Where the rows of keys lie."""
        prefixes = self._prefixes
        if len(prefixes) == 1:
            prefix = prefixes[0]
            return [prefix + key for key in keys]
        buckets, suffix = self.buckets, self.suffix
        if suffix:
            return [prefixes[crc32(key[:-suffix]) % buckets] + key for key in keys]
        return [prefixes[crc32(key) % buckets] + key for key in keys]

    def counter(self, bucket: int) -> bytes:
        """What counts the rows of a bucket."""
        start = f"{self._start}=".encode()
        return start if self.buckets == 1 else start + b"{%s}" % _tags(self.buckets)[bucket]

    def counters(self) -> list[bytes]:
        """All its counters."""
        return [self.counter(bucket) for bucket in range(self.buckets)]

    @property
    def _start(self) -> str:
        return f"gnomon:{quote(self.project, safe='')}:{self.name}"


def fresh(table: Table, buckets: int) -> Generation:
    """A generation that was never there."""
    return Generation(table.project, secrets.token_urlsafe(6), buckets, table.suffix)


def of_pointer(project: str, pointer: bytes) -> Generation:
    """The generation a pointer names.

    Raises:
        NewerFormat: a newer gnomon wrote it.
    """
    form, _, rest = pointer.decode().partition(" ")
    if int(form) > FORMAT:
        raise NewerFormat(path=f"the online store of project {project!r} in Redis", found=int(form), supported=FORMAT)
    name, *numbers = rest.split(" ")
    return Generation(project, name, *map(int, numbers))


@cache
def _tags(buckets: int) -> tuple[bytes, ...]:
    """For each bucket the first number whose slot lies in that bucket's part of the slots."""
    found: dict[int, bytes] = {}
    for number in count():
        tag = b"%d" % number
        # A slot is a CRC-16 of the tag: redis.io/docs/reference/cluster-spec, "Hash tags".
        found.setdefault(crc_hqx(tag, 0) % SLOTS * buckets // SLOTS, tag)
        if len(found) == buckets:
            return tuple(found[bucket] for bucket in range(buckets))
    raise AssertionError  # count() does not end


_TAG = re.compile(rb"\{([^}]+)\}")


def tag_of(key: bytes) -> bytes:
    """The part of a key that decides its slot, for keys made here."""
    found = _TAG.search(key)
    return found[1] if found else b""
