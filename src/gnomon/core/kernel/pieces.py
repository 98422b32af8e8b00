"""Pieces: a part too large for memory, taken a few keys at a time, and a large key a stretch of time at a time.

A stretch's rows need the events from the first row's instant less the windows' reach to the last row's instant, so the
events of neighbouring stretches overlap by the reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from gnomon.core.columns import as_numpy
from gnomon.core.kernel.columns import Ints, Yes

__all__ = ["MOST_EVENTS", "pieces"]

MOST_EVENTS = 1 << 20
"""So many events are taken into memory at once, where that can be helped."""
BINS = 1 << 12
"""In so many stretches of time of equal length the events of a large key are counted."""

Piece = tuple[int, int, pa.Table]
"""First row, the row after the last one, and the events they need."""


def pieces(
    events: pa.Table, key: Ints, at: Ints, numbered: int, reach: int | None, *, most: int = MOST_EVENTS
) -> Iterator[Piece]:
    """The rows of a part, piece by piece, with the events each piece needs.

    Args:
        events: with the columns `c` and `e`; its batches may lie in a file.
        key: per row its key, `c` divided by `numbered`; going up.
        at: per row its instant, going up within a key.
        numbered: what `c` is divided by.
        reach: how far back of an instant an event can count, µs; None if that has no bound, or if versions of one event
            may lie anywhere.
        most: so many events a piece may have, where that can be helped.
    """
    if len(events) <= most:
        yield 0, len(key), events
        return
    asked, first = np.unique(key, return_index=True)
    ends = np.append(first[1:], len(key))
    counts = sum(
        np.bincount(np.searchsorted(asked, as_numpy(batch.column("c")) // numbered), minlength=len(asked))
        for batch in events.to_batches()
    )
    for low, high in _groups(np.asarray(counts).tolist(), most):
        begin, end = int(first[low]), int(ends[high - 1])
        some = _of_keys(events, int(asked[low]), int(asked[high - 1]), numbered)
        if high - low > 1 or reach is None:
            yield begin, end, some.combine_chunks()
            continue
        for start, stop in _stretches(some, at[begin:end], reach, most):
            rows = at[begin + start : begin + stop]
            yield begin + start, begin + stop, _between(some, int(rows[0]) - reach, int(rows[-1]))


def _groups(counts: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Stretches of keys that together have few enough events; a key with too many is alone."""
    low = held = 0
    for place, count in enumerate(counts):
        if place > low and held + count > most:
            yield low, place
            low, held = place, 0
        held += count
    yield low, len(counts)


def _of_keys(events: pa.Table, low: int, high: int, numbered: int) -> pa.Table:
    def kept(batch: pa.RecordBatch) -> Yes:
        key = as_numpy(batch.column("c")) // numbered
        found: Yes = (key >= low) & (key <= high)
        return found

    return _filtered(events, kept)


def _between(events: pa.Table, low: int, high: int) -> pa.Table:
    def kept(batch: pa.RecordBatch) -> Yes:
        event = as_numpy(batch.column("e"))
        found: Yes = (event >= low) & (event <= high)
        return found

    return _filtered(events, kept).combine_chunks()


def _filtered(events: pa.Table, kept: Callable[[pa.RecordBatch], Yes]) -> pa.Table:
    batches = (batch.take(pa.array(np.flatnonzero(kept(batch)))) for batch in events.to_batches())
    return pa.Table.from_batches(batches, schema=events.schema)


def _stretches(events: pa.Table, at: Ints, reach: int, most: int) -> Iterator[tuple[int, int]]:
    """Stretches of one key's rows whose events are few enough, as far as counts by bins tell.

    Where the windows of one row hold nearly so many or more, a stretch takes a quarter more than they do: it would
    get on by a few rows at a time else, and read the same events again for each.
    """
    low = int(at[0]) - reach
    width = -(-(int(at[-1]) + 1 - low) // BINS)
    before = np.concatenate([[0], np.cumsum(_counted(events, low, width))])

    def place(instant: Ints) -> Ints:
        return np.clip((instant - low) // width, 0, BINS - 1)

    begun, ended = before[place(at - reach)], before[place(at) + 1]
    start = 0
    while start < len(at):
        inside = int(ended[start] - begun[start])
        stop = int(np.searchsorted(ended, begun[start] + max(most, inside + inside // 4), side="right"))
        stop = max(stop, start + 1)
        yield start, stop
        start = stop


def _counted(events: pa.Table, low: int, width: int) -> Ints:
    """How many events are in each of the bins, which are so wide and begin at an instant."""
    counts = np.zeros(BINS, np.int64)
    for batch in events.to_batches():
        place = (as_numpy(batch.column("e")) - low) // width
        counts += np.bincount(place[(place >= 0) & (place < BINS)], minlength=BINS)
    return counts
