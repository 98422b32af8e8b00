"""Whole ledgers from history: a view's events, key by key, laid out as the online store keeps them.

building = Building(view, position=log.position(), end=end, known=now)
store.replace(table, building.entries(engine.events(…)), put)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.contracts.online import Table
from gnomon.core.columns import as_numpy
from gnomon.core.kernel.columns import canonical_floats
from gnomon.core.kernel.part import ranks_with_nulls
from gnomon.core.kernel.versions import superseded_at
from gnomon.core.kernel.windowed import inputs_of
from gnomon.core.keys import encode_keys
from gnomon.core.ledger.applying import laid_out
from gnomon.core.ledger.incoming import Batch
from gnomon.core.ledger.parts import SUFFIX
from gnomon.core.ledger.shape import FLAGS, HAS_ID, ID, Shape
from gnomon.core.windows import FOREVER
from gnomon.definitions.sources import FileSource
from gnomon.definitions.views import FeatureView
from gnomon.plan.events import EVENT, GONE, KNOWN, POSITION, input_columns

__all__ = ["Building", "ledger_of", "put"]

Entries = list[tuple[bytes, bytes]]
Ints = npt.NDArray[np.int64]


def ledger_of(project: str, view: FeatureView) -> Table:
    """The table of a windowed view's version in a project."""
    return Table(project, view.id, suffix=SUFFIX)


def put(stored: bytes | None, incoming: bytes) -> bytes:
    """What is laid out takes the place of what was."""
    return incoming


class Building:
    """A load of a windowed view.

    Args:
        view: the view, resolved.
        shape: what its records hold.
        position: the log's last event that is among the events.
        end: rows of files that happened after it are left out, µs.
        known: rows of files known after it are left out, µs.
        newest: answers are wanted from then on, µs.

    Attributes:
        rows: how many events were laid out.
        latest: the latest event or known time of any row of the files, µs; None so far.
    """

    def __init__(self, view: FeatureView, shape: Shape, *, position: int, end: int, known: int, newest: int) -> None:
        self._view, self._shape = view, shape
        self._position, self._end, self._known, self._newest = position, end, known, newest
        self._columns = {one.name: column for column, one in input_columns(view).items()}
        self._keys = [one.name for one in view.entity_columns]
        self.rows = 0
        self.latest: int | None = None

    @property
    def needs_places(self) -> bool:
        """Whether events have to say where they are from: bounds are for rows of files, not for events of a log."""
        source = self._view.source
        return not isinstance(source, FileSource) and source.batch_source is not None

    def entries(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Entries]:
        """The entries of the store, from a view's events in order of keys, event times and known times."""
        for some in self._whole_keys(batches):
            kept = self._within(some)
            if len(kept):
                yield self._laid_out(kept)

    def _whole_keys(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same events, in batches that have all of each key."""
        held: list[pa.RecordBatch] = []
        for batch in batches:
            if not len(batch):
                continue
            last = int(self._starts(batch)[-1])
            if last or (held and self._starts(_one([held[-1].slice(len(held[-1]) - 1), batch.slice(0, 1)]))[-1]):
                yield from [_one([*held, batch.slice(0, last)])] if held or last else []
                held = []
            held.append(batch.slice(last))
        if held:
            yield _one(held)

    def _starts(self, batch: pa.RecordBatch) -> Ints:
        """The places at which another key begins, 0 among them."""
        changed = np.zeros(len(batch), np.bool_)
        changed[0] = True
        for name in self._keys:
            column = batch[name]
            changed[1:] |= as_numpy(pc.not_equal(column.slice(1), column.slice(0, len(column) - 1)))
        return np.flatnonzero(changed)

    def _within(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Without rows of files that are out of bounds; and how late they get is noted."""
        event, known = as_numpy(batch[EVENT]), as_numpy(batch[KNOWN])
        if POSITION in batch.schema.names:
            of_file = as_numpy(batch[POSITION].is_null())
        else:
            of_file = np.full(len(batch), isinstance(self._view.source, FileSource))
        if of_file.any():
            latest = int(max(event[of_file].max(), known[of_file].max()))
            self.latest = latest if self.latest is None else max(self.latest, latest)
        out = of_file & ((event > self._end) | (known > self._known))
        return batch.filter(pa.array(~out)) if out.any() else batch

    def _laid_out(self, batch: pa.RecordBatch) -> Entries:
        if self._shape.versioned:
            batch = self._versions_that_hold(batch)
        if not len(batch):
            return []
        self.rows += len(batch)
        starts = self._starts(batch)
        first = batch.take(pa.array(starts))
        events, ends = Batch(self._shape, batch, self._columns), [*starts[1:].tolist(), len(batch)]
        keys = [b""]  # of a view without entities
        if self._keys:
            keys = encode_keys([first[name] for name in self._keys], [one.dtype for one in self._view.entity_columns])
        entries: Entries = []
        for key, common, start, end in zip(keys, events.commons(starts), starts.tolist(), ends, strict=True):
            records = events.records(start, end, common)
            parts = laid_out(self._shape, key, records, applied=self._position, newest=self._newest)
            entries += [(name, value) for name, value in parts.items() if value is not None]
        return entries

    def _versions_that_hold(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The last version of each event, deleted ones left out."""
        key = np.zeros(len(batch), np.int64)
        key[self._starts(batch)[1:]] = 1
        fields = Batch(self._shape, batch, self._columns).fields
        until = superseded_at(
            np.cumsum(key),
            as_numpy(batch[EVENT]),
            as_numpy(batch[KNOWN]),
            fields[:, ID],
            (fields[:, FLAGS] & HAS_ID) != 0,
            partial(self._ties, batch),
        )
        holds = until == FOREVER
        if GONE in batch.schema.names:
            holds &= ~as_numpy(batch[GONE])
        return batch.filter(pa.array(holds))

    def _ties(self, batch: pa.RecordBatch, places: Ints) -> list[Ints]:
        """What settles which of two versions holds, when their times do not."""
        deleted = [as_numpy(batch[GONE])[places].astype(np.int64)] if GONE in batch.schema.names else []
        types = {one.name: one.dtype for one in self._view.inputs}
        columns = ((batch[self._columns[name]], types[name]) for name in sorted(types))
        inputs = [inputs_of(canonical_floats(column), dtype) for column, dtype in columns]
        return deleted + [ranks_with_nulls(one, places) for one in inputs]


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
