"""What is stored for one entity: its row of now, and the rows that wait for their time, like steps of a staircase.

A row can be used from v = max(event time, known time) on. The answer at T is, of the rows with v ≤ T, the one greatest
in (event time, known time, columns). So rows in order of v whose (event time, known time) also rise are all there is
to keep: a row that a greater one precedes can never be the answer, and neither can one before the row of now.

>>> from gnomon.core.rows import Layout
>>> from gnomon.types import Int64
>>> layout = Layout([("age", Int64)])
>>> merge = merging(layout, now=100)
>>> stored = merge(None, layout.pack(90, 90, [41]))
>>> stored = merge(stored, layout.pack(120, 95, [42]))            # dated in the future: it waits
>>> merge(stored, layout.pack(80, 80, [40])) is None              # older than what is there: nothing changes
True
>>> [layout.values(at(stored, instant)) for instant in (100, 119, 120)]
[[41], [41], [42]]
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from gnomon.core.ordering import row_key
from gnomon.core.rows import HEAD, ROW, STAIRCASE, Layout, instants
from gnomon.errors import NewerFormat

__all__ = ["at", "joined", "merging", "steps"]

_STEPS = struct.Struct("<HI")


def merging(layout: Layout, now: int) -> Callable[[bytes | None, bytes], bytes | None]:
    """The function that merges an incoming value into a stored one, as `gnomon.contracts.online.Merge` asks.

    At the same `now`, the order in which rows arrive, and their splitting into batches, makes no difference to any
    answer from `now` on.

    Args:
        layout: the layout of incoming rows. Of two rows with one event time and known time, the greater in columns
            stays; if the stored one is of another layout, the incoming one.
        now: rows that an answer from this instant (µs) on cannot need are dropped.
    """
    head = HEAD.unpack_from

    def merge(stored: bytes | None, incoming: bytes) -> bytes | None:
        if stored is None:
            return incoming
        form, _, event, known = head(stored)
        form_in, _, event_in, known_in = head(incoming)
        # Nearly always one row meets one row, and neither waits: the two headers decide.
        if form == ROW == form_in and event <= now and known <= now and event_in <= now and known_in <= now:
            if event_in > event or (event_in == event and known_in > known):
                return incoming
            if event_in < event or known_in < known or incoming == stored:
                return None
        return _merge(stored, incoming)

    def _merge(stored: bytes, incoming: bytes) -> bytes | None:
        before = steps(stored)
        rows = {instants(row): row for row in before}
        for row in steps(incoming):
            other = rows.get(instants(row))
            if other is None or _wins(layout, row, other):
                rows[instants(row)] = row
        kept = _staircase(rows, now)
        return None if set(kept) <= set(before) else joined(kept)

    return merge


def at(value: bytes, instant: int) -> bytes | None:
    """The row usable at an instant (µs), or None if all of them still wait."""
    found = None
    for row in steps(value):
        if max(instants(row)) > instant:
            break
        found = row
    return found


def steps(value: bytes) -> list[bytes]:
    """The rows of a stored value, in the order in which they become usable.

    Raises:
        NewerFormat: this gnomon does not know the value's format.
    """
    form, count = _STEPS.unpack_from(value)
    if form == ROW:
        return [value]
    if form != STAIRCASE:
        raise NewerFormat(path="a row of the online store", found=form, supported=STAIRCASE)
    ends = struct.unpack_from(f"<{count}I", value, _STEPS.size)
    return [value[start:end] for start, end in zip((_STEPS.size + 4 * count, *ends), ends, strict=False)]


def joined(rows: list[bytes]) -> bytes:
    """The stored value of one or more rows, given in the order in which they become usable."""
    if len(rows) == 1:
        return rows[0]
    ends, end = [], _STEPS.size + 4 * len(rows)
    for row in rows:
        end += len(row)
        ends.append(end)
    return _STEPS.pack(STAIRCASE, len(rows)) + struct.pack(f"<{len(ends)}I", *ends) + b"".join(rows)


def _staircase(rows: dict[tuple[int, int], bytes], now: int) -> list[bytes]:
    """The rows that can still be an answer: (event time, known time) names a row, as ties are settled already."""
    rising: list[tuple[int, int]] = []
    for pair in sorted(rows, key=lambda pair: (max(pair), pair)):
        if rising and pair < rising[-1]:
            continue
        # An equal v, or both usable by now: the greater row is the only one asked for.
        if rising and (max(rising[-1]) == max(pair) or max(pair) <= now):
            rising.pop()
        rising.append(pair)
    return [rows[pair] for pair in rising]


def _wins(layout: Layout, row: bytes, other: bytes) -> bool:
    if row == other:
        return False
    if not _all_of(layout, (row, other)):
        return True
    return row_key(layout.values(row), layout.dtypes) > row_key(layout.values(other), layout.dtypes)


def _all_of(layout: Layout, rows: Iterable[bytes]) -> bool:
    return all(HEAD.unpack_from(row)[1] == layout.id for row in rows)
