"""Sources: where rows come from, and which of their columns say when.

>>> FileSource(path="data/profiles.parquet", timestamp_field="event_timestamp").name
'data/profiles.parquet'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from os import PathLike, fspath
from typing import TYPE_CHECKING

from gnomon.definitions.base import FrozenMap, check_column, check_duration, check_tags, check_texts, describing, put
from gnomon.errors import DefinitionError

__all__ = ["FileSource", "Source"]

FORMATS = ("parquet", "csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """Rows in files: one Parquet or CSV file, a folder, a glob, a folder of `date=…` folders.

    Args:
        path: the file, folder or glob; relative paths start at the repo.
        timestamp_field: the column of event times; where left out, the only timestamp column there is.
        created_timestamp_column: the column of known times, if the rows carry one.
        delay: how long after its event time a row is known, where it carries no known time: "1h" or a timedelta ≥ 0.
        event_id: the column that names an event, so that a later row with the same id corrects it (windowed views).
        operation: the column that says what a row does to its event: "upsert", as a null does, or "delete" (windowed
            views); it needs `event_id`.
        name: the source's name; by default its path.
        file_format: "parquet" or "csv"; by default from the path's ending, else Parquet.
        field_mapping: column in the files → name used in views.
        description: for people.
        owner: for people.
        tags: for people; text to text.

    Raises:
        DefinitionError: an argument is unusable, or one column is given two parts that exclude each other.
    """

    path: str
    timestamp_field: str = ""
    created_timestamp_column: str = ""
    delay: timedelta | None = None
    event_id: str = ""
    operation: str = ""
    name: str = ""
    file_format: str = ""
    field_mapping: Mapping[str, str] = field(default_factory=FrozenMap)
    description: str = describing(default="")
    owner: str = describing(default="")
    tags: Mapping[str, str] = describing(default_factory=FrozenMap)

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            *,
            path: str | PathLike[str],
            timestamp_field: str | None = "",
            created_timestamp_column: str | None = "",
            delay: timedelta | str | None = None,
            event_id: str | None = "",
            operation: str | None = "",
            name: str | None = "",
            file_format: str | None = "",
            field_mapping: Mapping[str, str] | None = None,
            description: str = "",
            owner: str = "",
            tags: Mapping[str, str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        path = fspath(self.path) if isinstance(self.path, (str, PathLike)) else ""
        owner = f"file source {self.name or path!r}"
        if not path or not isinstance(path, str):
            raise DefinitionError(f"{owner}: path is {self.path!r}.", hint="path is a file, a folder or a glob.")
        columns = {name: getattr(self, name) or "" for name in _COLUMN_ARGUMENTS}
        for column in filter(None, columns.values()):
            check_column(owner, column)
        if columns["timestamp_field"] and columns["timestamp_field"] == columns["created_timestamp_column"]:
            raise DefinitionError(
                f"{owner}: timestamp_field and created_timestamp_column are both {self.timestamp_field!r}.",
                hint="leave created_timestamp_column out; a delay says how much later rows are known.",
            )
        if columns["operation"] and not columns["event_id"]:
            raise DefinitionError(
                f"{owner} has an operation and no event_id.", hint="event_id= names the column that says which event."
            )
        check_texts(owner, name=self.name, description=self.description, owner=self.owner)
        put(
            self,
            **columns,
            path=path,
            name=self.name or path,
            delay=_checked_delay(owner, self.delay),
            file_format=_checked_format(owner, self.file_format, path),
            field_mapping=_checked_mapping(owner, self.field_mapping),
            tags=check_tags(owner, self.tags),
        )

    @property
    def has_known_times(self) -> bool:
        """Whether rows say, or a delay says for them, when they were known."""
        return bool(self.created_timestamp_column) or self.delay is not None


Source = FileSource
"""Any source a view can stand on."""

_COLUMN_ARGUMENTS = ("timestamp_field", "created_timestamp_column", "event_id", "operation")


def _checked_delay(owner: str, delay: timedelta | str | None) -> timedelta | None:
    if delay is None:
        return None
    checked = check_duration(owner, "delay", delay)
    if checked < timedelta(0):
        raise DefinitionError(
            f"{owner}: delay is {checked}.", hint="a row cannot be known before it happens: a delay is zero or more."
        )
    return checked


def _checked_format(owner: str, file_format: str, path: str) -> str:
    if file_format in FORMATS:
        return file_format
    if file_format:
        raise DefinitionError(f"{owner}: file_format {file_format!r} is unknown.", hint="use 'parquet' or 'csv'.")
    return "csv" if path.lower().endswith((".csv", ".csv.gz", ".tsv")) else "parquet"


def _checked_mapping(owner: str, mapping: Mapping[str, str] | None) -> FrozenMap[str, str]:
    checked = check_tags(owner, mapping, "field_mapping")
    for name in checked.values():
        check_column(owner, name)
    if len(set(checked.values())) < len(checked):
        raise DefinitionError(f"{owner}: field_mapping gives two columns one name.", hint="give each its own.")
    return checked
