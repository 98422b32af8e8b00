"""A windowed view's answer to a whole spine, from a stream of its events.

    parts.take(batches)                 # c, e, w, and the columns: split by key
    answered(parts, spine, …)           # part by part, into the rows' places

What an engine brings: batches with the columns `c` (the key's number), `e` and `w` (event and known time, µs; `w` may
be left out where it does not matter), `id` and `gone` (the event's id, and whether it is deleted, if the source says),
the aggregated columns as `f:` and their name, and for each condition a boolean column, `m:` and its text.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gnomon.core.columns import as_numpy, check_lengths
from gnomon.core.kernel.columns import Column, Ints, Yes, canonical_floats
from gnomon.core.kernel.part import AsKnown, Given, Inputs, Job, answer
from gnomon.core.kernel.parts import Answers, Parts, each
from gnomon.core.kernel.pieces import MOST_EVENTS, pieces
from gnomon.core.kernel.tracks import Track
from gnomon.types import FeatureType, from_arrow, to_arrow

__all__ = ["Brought", "Spine", "answered", "inputs_of"]

END_OF_TIME = 7 * 10**18
"""Instants further from the epoch, some 220,000 years, count as this far, so that windows around them fit int64."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What the batches hold.

    Args:
        columns: (name, type) of the aggregated columns.
        conditions: the conditions' texts.
        lengths: how many elements vectors have, by column.
        ties: columns that settle ties between versions.
        reach: how far back of an instant an event can count, µs; None if that has no bound, or if versions of one event
            may lie anywhere.
        most_events: so many are taken into memory at once, where that can be helped.
        delay: what known times are later than event times by, where there is no column `w`.
    """

    columns: Sequence[tuple[str, FeatureType]]
    conditions: Sequence[str]
    lengths: Mapping[str, int]
    ties: Sequence[str]
    reach: int | None
    delay: int
    most_events: int = MOST_EVENTS


class Spine:
    """The rows asked, in order of (part, key, instant).

    Args:
        key: per row the number of its key; negative where it has none and finds nothing.
        at: per row its instant, µs.
        parts: how many parts there are.

    Attributes:
        row: the rows that have a key, in that order.
    """

    def __init__(self, key: Ints, at: Ints, parts: int) -> None:
        self.parts = parts
        named = np.flatnonzero(key >= 0)
        at = np.clip(at, -END_OF_TIME, END_OF_TIME)
        keys = int(key.max(initial=0)) // parts + 1
        place = key[named] % parts * keys + key[named] // parts  # keys in order of their parts
        order = np.argsort(Track.scale(at[named], keys * parts).pack(place, at[named]))
        self.row = named[order]
        self._key, self._at = key[self.row], at[self.row]
        self._bounds = np.searchsorted(place[order], np.arange(parts + 1) * keys)

    def of(self, part: int) -> tuple[int, Ints, Ints]:
        """The rows of a part: the place of the first of them in this order, keys numbered within the part, instants."""
        rows = slice(self._bounds[part], self._bounds[part + 1])
        return int(rows.start), self._key[rows] // self.parts, self._at[rows]


def answered(
    parts: Parts, spine: Spine, brought: Brought, jobs: Sequence[Job], as_known: AsKnown, answers: Answers, threads: int
) -> None:
    """Answer every part, into `answers`: job by job, window by window.

    Args:
        parts: the events.
        spine: the rows asked.
        brought: what the events' batches hold.
        jobs: what is asked.
        as_known: how much hindsight is allowed.
        answers: where the values go.
        threads: how many parts are answered at a time.

    Raises:
        RequestError: a vector has not the length the view says.
    """
    nothing = pa.table({"c": pa.array([], pa.int64()), "e": pa.array([], pa.int64())})
    stop = threading.Event()

    def one(part: int) -> None:
        begin, key, at = spine.of(part)
        if not len(key):
            return
        events = parts.read(part)
        events = nothing if events is None else events
        for first, last, some in pieces(events, key, at, spine.parts, brought.reach, most=brought.most_events):
            asked, dense = np.unique(key[first:last], return_inverse=True)
            given = _given(some, brought, asked, spine.parts)
            for column, values in enumerate(answer(given, dense, at[first:last], len(asked), jobs, as_known)):
                if stop.is_set():
                    return
                answers.put(column, begin + first, values)

    # A large part alone takes as much memory as may be.
    large = [part for part in range(spine.parts) if parts.rows[part] > brought.most_events]
    each(1, one, large, stop)
    each(threads, one, [part for part in range(spine.parts) if part not in set(large)], stop)


def _given(table: pa.Table, brought: Brought, asked: Ints, parts: int) -> Given:
    def numbers(name: str) -> Ints:
        found: Ints = as_numpy(_array(table[name])).astype(np.int64)
        return found

    event = np.clip(numbers("e"), -END_OF_TIME, END_OF_TIME)
    known = numbers("w") if "w" in table.column_names else event + brought.delay
    has_ids = "id" in table.column_names
    return Given(
        key=np.searchsorted(asked, numbers("c") // parts),
        event=event,
        known=np.clip(known, -END_OF_TIME, END_OF_TIME),
        columns={name: _inputs(table, name, dtype, brought) for name, dtype in brought.columns},
        selected={where: _truth(table, f"m:{where}") for where in brought.conditions},
        ids=inputs_of(_array(table["id"])) if has_ids else None,
        deleted=_truth(table, "gone") if "gone" in table.column_names else None,
        ties=brought.ties if has_ids else (),
    )


def _inputs(table: pa.Table, name: str, dtype: FeatureType, brought: Brought) -> Inputs:
    there = f"f:{name}" in table.column_names
    array = _array(table[f"f:{name}"]) if there else pa.array([], to_arrow(dtype))
    if length := brought.lengths.get(name):
        check_lengths(name, array, length)
    return inputs_of(canonical_floats(array), dtype)


def inputs_of(array: pa.Array, dtype: FeatureType | None = None) -> Inputs:
    """A column of an Arrow array, floats in their one form."""
    kind = from_arrow(array.type) if dtype is None else dtype
    assert kind is not None
    if not array.null_count:
        return Inputs(Column(array, kind))
    there: Yes = as_numpy(array.is_valid())
    return Inputs(Column(array.drop_null(), kind), np.cumsum(there) - 1, there)


def _truth(table: pa.Table, name: str) -> Yes:
    if name not in table.column_names:
        return np.zeros(len(table), np.bool_)
    found: Yes = as_numpy(_array(table[name]).fill_null(False))
    return found


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
