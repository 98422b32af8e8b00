"""How a batch becomes compare-and-set calls: what each key's entries merge to, cut where slots and sizes ask for it.

>>> join = lambda stored, incoming: (stored or b"") + incoming
>>> wanted = chains([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
>>> merged(None, wanted[b"a"], join)
b'13'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gnomon.contracts.online import Merge
from gnomon.online.redis.connection import Call
from gnomon.online.redis.layout import Generation

__all__ = ["Chains", "Row", "Slice", "chains", "cut", "merged", "rows_of"]

LONGEST = 1_000
"""Rows of one call: about a millisecond in which others wait."""

LARGEST = 4 << 20
"""Bytes of one call, above which it gets no further row."""

Chains = Mapping[bytes, Sequence[bytes]]
"""Each key's entries, in their order."""

Row = tuple[bytes, bytes | None, bytes]
"""A key, what is stored under it, what is to be."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows that are stored in one step, or not at all.

    Args:
        bucket: theirs.
        rows: keys, what is expected to be there, what is to be.
    """

    bucket: int
    rows: Sequence[Row]

    def call(self, generation: Generation, guard: tuple[bytes, bytes], ttl: bytes) -> Call:
        """Keys and arguments of the script that stores it.

        Args:
            generation: where.
            guard: a key and the value it must have, besides the rows; two times b"" for none.
            ttl: seconds to live, or b"".
        """
        counter = generation.counter(self.bucket)
        keys = generation.keys([key for key, _, _ in self.rows])
        expected = [stored for _, stored, _ in self.rows]
        mask = b"".join(b"0" if stored is None else b"1" for stored in expected)
        arguments = [guard[1], ttl, mask if b"1" in mask else b""]
        if b"1" in mask:
            arguments += [stored or b"" for stored in expected]
        return [counter, guard[0] or counter, *keys], [*arguments, *(new for _, _, new in self.rows)]

    def again(self, generation: Generation, have: Sequence[bytes | None], wanted: Chains, merge: Merge) -> list[Slice]:
        """The same rows merged anew with what is there now; nothing, if all are up to date with that."""
        keys = [key for key, _, _ in self.rows]
        return cut(generation, rows_of(keys, have, wanted, merge))


def chains(entries: Sequence[tuple[bytes, bytes]]) -> Chains:
    """Entries by key."""
    if len(dict(entries)) == len(entries):
        return {key: (value,) for key, value in entries}
    found: dict[bytes, list[bytes]] = {}
    for key, value in entries:
        found.setdefault(key, []).append(value)
    return found


def merged(stored: bytes | None, chain: Sequence[bytes], merge: Merge) -> bytes | None:
    """What a key's entries make of what is stored; None if they leave it as it is."""
    changed = None
    for incoming in chain:
        value = merge(stored, incoming)
        if value is not None:
            stored = changed = value
    return changed


def rows_of(keys: Sequence[bytes], have: Iterable[bytes | None], wanted: Chains, merge: Merge) -> Iterator[Row]:
    """The rows that change, of some keys and what is stored under them."""
    for key, stored in zip(keys, have, strict=True):
        value = merged(stored, wanted[key], merge)
        if value is not None:
            yield key, stored, value


def cut(generation: Generation, rows: Iterable[Row]) -> list[Slice]:
    """Rows in slices: each within one bucket, and small enough not to keep others waiting."""
    done: list[Slice] = []
    under_way: dict[int, tuple[list[Row], list[int]]] = {}
    for row in rows:
        bucket = generation.bucket(row[0])
        some, size = under_way.get(bucket) or under_way.setdefault(bucket, ([], [0]))
        some.append(row)
        size[0] += len(row[0]) + len(row[1] or b"") + len(row[2])
        if len(some) >= LONGEST or size[0] >= LARGEST:
            done.append(Slice(bucket, some))
            del under_way[bucket]
    return done + [Slice(bucket, some) for bucket, (some, _) in under_way.items()]
