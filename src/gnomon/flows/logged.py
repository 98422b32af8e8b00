"""Events of a log as a view looks at them: the same columns that an engine's events have, for a few events at once.

What is left out here is what the time contract leaves out: events without a key or an event time, and those before a
source's cutover.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.clock import to_micros
from gnomon.contracts.log import KNOWN as STAMP
from gnomon.contracts.log import POSITION
from gnomon.core.casting import cast_keys
from gnomon.definitions.sources import PushSource
from gnomon.definitions.views import FeatureView
from gnomon.plan.events import EVENT, GONE, ID, KNOWN, condition_column, conditions_of, input_columns
from gnomon.types import FeatureType, UnixTimestamp, to_arrow

__all__ = ["Logged", "stamped"]


def stamped(events: pa.Table, first: int, known: int) -> pa.Table:
    """Events as a log has them, after it told the position and the known time of the first."""
    count = len(events)
    positions = pa.array(range(first, first + count), pa.int64())
    known_times = pa.array(range(known, known + count), pa.int64()).cast(pa.timestamp("us", "UTC"))
    return events.add_column(0, STAMP, known_times).add_column(0, POSITION, positions)


class Logged:
    """How a view looks at its log.

    Args:
        view: the view, resolved; its source has a log.
    """

    def __init__(self, view: FeatureView) -> None:
        assert isinstance(view.source, PushSource)
        self._view, self._source = view, view.source
        self._types = {one.name: one.dtype for one in view.source.schema}
        inputs = {one.name: one.dtype for one in view.inputs}
        self._conditions = (
            {where: (_columns_of(condition), condition.compile()) for where, condition in conditions_of(view).items()}
            if inputs or view.aggregations
            else {}
        )

    def events(self, table: pa.Table) -> pa.RecordBatch:
        """Some events of the log.

        Args:
            table: with positions, stamps and the source's own columns.

        Raises:
            RequestError: a value does not fit its declared type: the source changed.
        """
        view, source = self._view, self._source
        columns: dict[str, Any] = {
            one.name: cast_keys(self._column(table, one.name, one.dtype), one.dtype, one.name)
            for one in view.entity_columns
        }
        columns[EVENT] = self._column(table, source.timestamp_field, UnixTimestamp).cast(pa.int64())
        columns[KNOWN] = table[STAMP].cast(pa.int64())
        columns[POSITION] = table[POSITION]
        if source.event_id:
            columns[ID] = self._column(table, source.event_id, self._types[source.event_id])
        if source.operation:
            columns[GONE] = pc.fill_null(pc.equal(self._column(table, source.operation, None), "delete"), False)
        for column, one in input_columns(view).items():
            if column not in columns:
                columns[column] = self._column(table, one.name, one.dtype)
        found = self._that_count(pa.table(columns))
        for where in self._conditions:
            found = found.append_column(condition_column(where), self._truth(found, where))
        return found.combine_chunks().to_batches()[0] if len(found) else pa.RecordBatch.from_pylist([], found.schema)

    def _that_count(self, events: pa.Table) -> pa.Table:
        """Those with keys and event times, from the cutover on."""
        needed = [events[one.name] for one in self._view.entity_columns] + [events[EVENT]]
        counts = None
        for column in needed:
            if column.null_count:
                counts = column.is_valid() if counts is None else pc.and_(counts, column.is_valid())
        if self._source.cutover:
            later = pc.greater_equal(events[EVENT], to_micros(self._source.cutover))
            counts = later if counts is None else pc.and_kleene(counts, later)
        return events if counts is None else events.filter(counts)

    def _truth(self, events: pa.Table, where: str) -> pa.Array:
        """Of which events a condition is true."""
        names, selects = self._conditions[where]
        own = {one.name: column for column, one in input_columns(self._view).items()}
        columns = [_plain(events[own[name]]) for name in names]
        rows = zip(*columns, strict=True) if columns else ([()] * len(events))
        return pa.array([selects(dict(zip(names, row, strict=True))) is True for row in rows], pa.bool_())

    def _column(self, table: pa.Table, name: str, dtype: FeatureType | None) -> pa.ChunkedArray:
        """A column in its type; of nulls where the events are older than it."""
        if name not in table.column_names:
            return pa.chunked_array([pa.nulls(len(table), pa.string() if dtype is None else to_arrow(dtype))])
        column = table[name]
        return column if dtype is None or column.type == to_arrow(dtype) else column.cast(to_arrow(dtype))


def _columns_of(condition: Any) -> tuple[str, ...]:
    """The columns a condition looks at."""
    from gnomon.core.expressions import parse

    return parse(condition.text).columns


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """Values as conditions take them: instants as whole numbers."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return column.to_pylist()  # type: ignore[no-any-return]
