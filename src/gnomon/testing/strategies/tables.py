"""The same rows as files write them, and the same question as users hand it in.

A file may count time in s, ms, µs or ns and name any zone; a question may be a dict, an Arrow, pandas or Polars
table with naive or zoned instants. None of it may change an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from gnomon.clock import from_micros
from gnomon.definitions.sources import FileSource
from gnomon.definitions.views import FeatureView
from gnomon.testing.strategies.events import EventTable, SourceEvent
from gnomon.testing.strategies.histories import SourceRow
from gnomon.types import FeatureType, String, UnixTimestamp, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FileForm", "SpineForm", "files", "spine_forms", "to_event_table", "to_spine", "to_table"]

_ZONES = [None, "UTC", "+02:00", "-09:30", "Europe/Berlin"]


@dataclass(frozen=True, slots=True)
class FileForm:
    """How a source file writes its times.

    Args:
        unit: of its timestamps: "s", "ms", "us" or "ns".
        zone: the zone its timestamp columns name; None for naive ones, which are UTC.
    """

    unit: str = "us"
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class SpineForm:
    """How a user hands in a question.

    Args:
        container: "dict" (of columns), "arrow", "pandas" or "polars".
        zone: the zone of its instants; None for naive ones, which are UTC.
    """

    container: str = "arrow"
    zone: str | None = None


def files() -> st.SearchStrategy[FileForm]:
    """Every way a file may write its times; floor a history to its unit with `in_unit` first."""
    return st.builds(FileForm, unit=st.sampled_from(["us", "ms", "s", "ns"]), zone=st.sampled_from(_ZONES))


def spine_forms() -> st.SearchStrategy[SpineForm]:
    """Every container with every zone it can hold; Berlin's has instants that read alike and are not."""
    return st.sampled_from(
        [
            SpineForm(container, zone)
            for container in ("arrow", "dict", "pandas", "polars")
            for zone in _ZONES
            if container != "polars" or zone is None or zone[0] not in "+-"  # Polars knows no bare offsets
        ]
    )


def to_table(rows: Sequence[SourceRow], view: FeatureView, form: FileForm | None = None) -> pa.Table:
    """The table a source file of these rows holds: join keys, times and columns under their names in the file.

    Args:
        rows: the history, in whole units of the form (see `in_unit`).
        view: the view, resolved.
        form: how times are written. With nanoseconds every time gets some more of them, which the contract floors off.

    Raises:
        pyarrow.ArrowInvalid: a time is no whole number of the form's units.
    """
    import pyarrow as pa

    source, form = view.source, form or FileForm()
    assert isinstance(source, FileSource)
    columns: dict[str, pa.Array] = {}
    for place, key in enumerate(view.entity_columns):
        columns[key.name] = _column([row.key[place] for row in rows], key.dtype)
    for place, one in enumerate(view.schema):
        columns[one.name] = _column([row.values[place] for row in rows], one.dtype)
    columns[source.timestamp_field] = _times([row.event for row in rows], form)
    if source.created_timestamp_column:
        columns[source.created_timestamp_column] = _times([row.created for row in rows], form)
    written = {name: column for column, name in source.field_mapping.items()}
    return pa.table({written.get(name, name): column for name, column in columns.items()})


def to_event_table(rows: Sequence[SourceEvent], table: EventTable, form: FileForm | None = None) -> pa.Table:
    """The table a source file of these events holds, as `to_table` makes one of rows.

    Args:
        rows: the events, in whole units of the form (see `in_unit`).
        table: what the source looks like.
        form: how times are written.

    Raises:
        pyarrow.ArrowInvalid: a time is no whole number of the form's units.
    """
    import pyarrow as pa

    form = form or FileForm()
    columns = {
        name: _column([row.key[place] for row in rows], dtype) for place, (name, dtype) in enumerate(table.keys.items())
    }
    columns |= {name: _column([row.values[name] for row in rows], dtype) for name, dtype in table.inputs.items()}
    columns[table.TIMESTAMP] = _times([row.event for row in rows], form)
    if table.created:
        columns[table.CREATED] = _times([row.created for row in rows], form)
    if table.event_id is not None:
        columns[table.EVENT_ID] = _column([row.id for row in rows], table.event_id)
    if table.operation:
        columns[table.OPERATION] = _column([row.operation for row in rows], String)
    return pa.table(columns)


def to_spine(
    asked: Sequence[tuple[tuple[Any, ...], int]],
    columns: Mapping[str, FeatureType],
    form: SpineForm | None = None,
    *,
    instant: str = "event_timestamp",
) -> Any:
    """A question as a user hands it in.

    Args:
        asked: key values and the instant (µs) of each row.
        columns: names and types of the key columns, in the order of the key values.
        form: the container and the zone.
        instant: the name of the column of instants.
    """
    form = form or SpineForm()
    keys = {name: [key[place] for key, _ in asked] for place, name in enumerate(columns)}
    times = [at for _, at in asked]
    return _CONTAINERS[form.container](keys, columns, times, form.zone, instant)


def _arrow_spine(
    keys: Mapping[str, list[Any]], types: Mapping[str, FeatureType], times: list[int], zone: str | None, instant: str
) -> pa.Table:
    import pyarrow as pa

    made = {name: _column(values, types[name]) for name, values in keys.items()}
    return pa.table({**made, instant: pa.array(times, pa.timestamp("us", tz=zone))})


def _dict_spine(
    keys: Mapping[str, list[Any]], types: Mapping[str, FeatureType], times: list[int], zone: str | None, instant: str
) -> dict[str, list[Any]]:
    made = {name: [_spoken(one, types[name]) for one in values] for name, values in keys.items()}
    return {**made, instant: [_moment(at, zone) for at in times]}


def _pandas_spine(
    keys: Mapping[str, list[Any]], types: Mapping[str, FeatureType], times: list[int], zone: str | None, instant: str
) -> Any:
    import pandas as pd

    # Objects keep whole numbers whole beside nulls.
    made = {
        name: pd.Series([_spoken(one, types[name]) for one in values], dtype=object) for name, values in keys.items()
    }
    moments = pd.Series(times, dtype="int64").astype("datetime64[us]")
    if zone is not None:
        moments = moments.dt.tz_localize("UTC").dt.tz_convert(_zone(zone))
    return pd.DataFrame({**made, instant: moments})


def _polars_spine(
    keys: Mapping[str, list[Any]], types: Mapping[str, FeatureType], times: list[int], zone: str | None, instant: str
) -> Any:
    import polars as pl

    return pl.from_arrow(_arrow_spine(keys, types, times, zone, instant))


_CONTAINERS: dict[str, Callable[..., Any]] = {
    "arrow": _arrow_spine,
    "dict": _dict_spine,
    "pandas": _pandas_spine,
    "polars": _polars_spine,
}


def _column(values: list[Any], dtype: FeatureType) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, to_arrow(dtype))


def _times(instants: list[int | None], form: FileForm) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if form.unit == "ns":
        # 0 to 999 ns more than the whole µs, different from row to row.
        instants = [None if at is None else at * 1000 + place * 337 % 1000 for place, at in enumerate(instants)]
        return pa.array(instants, pa.timestamp("ns", tz=form.zone))
    exact = pa.array(instants, pa.timestamp("us", tz=form.zone))
    return pc.cast(exact, pa.timestamp(form.unit, tz=form.zone))


def _spoken(value: Any, dtype: FeatureType) -> Any:
    return from_micros(value) if dtype == UnixTimestamp and value is not None else value


def _moment(at: int, zone: str | None) -> datetime:
    aware = from_micros(at)
    return aware.replace(tzinfo=None) if zone is None else aware.astimezone(_zone(zone))


def _zone(name: str) -> tzinfo:
    if name[0] in "+-":
        hours, minutes = int(name[1:3]), int(name[4:6])
        span = timedelta(hours=hours, minutes=minutes)
        return timezone(span if name[0] == "+" else -span)
    return ZoneInfo(name)
