"""Sources: where rows come from, and which of their columns say when.

>>> FileSource(path="data/profiles.parquet", timestamp_field="event_timestamp").name
'data/profiles.parquet'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, ClassVar

from gnomon.clock import instant_text, to_micros
from gnomon.definitions.base import (
    FrozenMap,
    check_column,
    check_duration,
    check_name,
    check_tags,
    check_texts,
    check_unreserved,
    describing,
    duplicates,
    listed,
    put,
)
from gnomon.definitions.entities import Field
from gnomon.errors import DefinitionError, RequestError, listing, nearest_hint
from gnomon.types import FeatureType, String, UnixTimestamp

__all__ = ["SOURCES", "FileSource", "PushSource", "Source", "file_sources"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSource:
    """Events that are pushed: `store.push` stamps each, once, with the instant it is known from, and keeps it in a log.

    Args:
        name: the source's name.
        schema: the columns of an event, join keys and event time included; taken from `batch_source` when left out.
        timestamp_field: the column of event times, a UnixTimestamp; where left out, the batch source's, or the only
            UnixTimestamp there is.
        event_id: the column that names an event, so that a later one with the same id corrects it (windowed views).
        operation: the column that says what an event does to earlier ones with its id: "upsert", as a null does, or
            "delete" (windowed views); it needs `event_id`.
        batch_source: files with further rows, such as those from before there was a log. Rows that are in both count
            once: with an `event_id`, a row of the files yields to the log's with its keys and id; with a `cutover`, it
            counts only if it happened before that.
        cutover: the instant from which on the log has every event: rows of the files that happened before it count, and
            events of the log that happened at or after it.
        description: for people.
        owner: for people.
        tags: for people; text to text.

    Raises:
        DefinitionError: an argument is unusable, or nothing says which rows of the batch source are in the log, too.

    >>> from gnomon.types import Float64, Int64
    >>> fields = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)]
    >>> PushSource(name="payments", schema=fields).timestamp_field
    'at'
    """

    what: ClassVar[str] = "push source"
    """What messages call it."""
    stream_type: ClassVar[str] = ""
    """The kind of stream that its events come from by themselves, if they do."""

    name: str
    schema: tuple[Field, ...] = ()
    timestamp_field: str = ""
    event_id: str = ""
    operation: str = ""
    batch_source: FileSource | None = None
    cutover: str = ""
    description: str = describing(default="")
    owner: str = describing(default="")
    tags: Mapping[str, str] = describing(default_factory=FrozenMap)

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            *,
            name: str,
            schema: Sequence[Field] | None = (),
            timestamp_field: str | None = "",
            event_id: str | None = "",
            operation: str | None = "",
            batch_source: FileSource | None = None,
            cutover: datetime | str | int | None = "",
            description: str = "",
            owner: str = "",
            tags: Mapping[str, str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        owner = f"{self.what} {check_name(self.what, self.name)!r}"
        schema = _checked_schema(owner, self.schema)
        batch = self.batch_source
        if batch is not None and not isinstance(batch, FileSource):
            raise DefinitionError(f"{owner}: batch_source is {batch!r}.", hint="batch_source is a FileSource.")
        if batch is None and not schema:
            raise DefinitionError(
                f"{owner} has no schema.", hint="schema=[Field(name='amount', dtype=Float64), …], or a batch_source."
            )
        if batch is not None and batch.name == self.name:
            raise DefinitionError(f"{owner}: its batch source is called so, too.", hint="give one another name.")
        said = {name: getattr(self, name) or "" for name in _PUSH_COLUMNS}
        columns = {name: said[name] or _of_batch(batch, name) for name in _PUSH_COLUMNS}
        for column in filter(None, columns.values()):
            check_column(owner, column)
        if columns["operation"] and not columns["event_id"]:
            raise DefinitionError(
                f"{owner} has an operation and no event_id.", hint="event_id= names the column that says which event."
            )
        if schema:
            columns["timestamp_field"] = columns["timestamp_field"] or _only_instant(owner, schema)
            _check_roles(owner, schema, columns)
        cutover = _checked_cutover(owner, self.cutover)
        _check_both(owner, batch, columns["event_id"], cutover)
        check_texts(owner, description=self.description, owner=self.owner)
        put(self, **columns, schema=schema, cutover=cutover, tags=check_tags(owner, self.tags))

    @property
    def where(self) -> str:
        """Where its events come from, for people."""
        return "pushed"

    @property
    def has_known_times(self) -> bool:
        """Whether rows say when they were known: the log's do, the files' may."""
        return self.batch_source is None or self.batch_source.has_known_times


Source = FileSource | PushSource
"""Any source a view can stand on."""


def file_sources(source: Source) -> tuple[FileSource, ...]:
    """The file sources in a source: itself, or what stands beside its log."""
    if isinstance(source, FileSource):
        return (source,)
    return () if source.batch_source is None else (source.batch_source,)


SOURCES = (FileSource, PushSource)

_PUSH_COLUMNS = ("timestamp_field", "event_id", "operation")

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


def _of_batch(batch: FileSource | None, argument: str) -> str:
    """What a batch source says of a column, by the name that views use."""
    column: str = getattr(batch, argument) if batch else ""
    return batch.field_mapping.get(column, column) if batch and column else ""


def _checked_schema(owner: str, given: Any) -> tuple[Field, ...]:
    fields = listed(owner, "schema", given)
    for one in fields:
        if not isinstance(one, Field):
            raise DefinitionError(f"{owner}: {one!r} is no Field.", hint="schema=[Field(name='age', dtype=Int64), …].")
        if one.default is not None:
            hint = "defaults stand on features: in a view's schema, or on its aggregations."
            raise DefinitionError(f"{owner}: {one.name!r} has a default.", hint=hint)
        check_unreserved(owner, one.name)
    if twice := duplicates(one.name for one in fields):
        raise DefinitionError(f"{owner}: column {twice[0]!r} stands twice.", hint="name each column once.")
    return fields


def _only_instant(owner: str, schema: Sequence[Field]) -> str:
    instants = [one.name for one in schema if one.dtype == UnixTimestamp]
    if len(instants) == 1:
        return instants[0]
    raise DefinitionError(
        f"{owner}: timestamp_field is left out, and {'no column is' if not instants else 'several columns are'} "
        f"a UnixTimestamp{'' if not instants else ': ' + listing(instants)}.",
        hint="name the column of event times: timestamp_field=….",
    )


def _check_roles(owner: str, schema: Sequence[Field], columns: Mapping[str, str]) -> None:
    """The columns that say something about an event are in its schema, and of a type that can say it."""
    types = {one.name: one.dtype for one in schema}
    wanted: dict[str, FeatureType | None] = {"timestamp_field": UnixTimestamp, "event_id": None, "operation": String}
    for argument, dtype in wanted.items():
        column = columns[argument]
        if column and column not in types:
            raise DefinitionError(
                f"{owner}: {argument} {column!r} is not in its schema.",
                instead=f"It has: {listing(types)}.",
                hint=nearest_hint(column, types, otherwise="add a Field of that name."),
            )
        if column and dtype is not None and types[column] != dtype:
            raise DefinitionError(
                f"{owner}: {argument} {column!r} is {types[column]}.", hint=f"declare it as {dtype}, or name another."
            )


def _checked_cutover(owner: str, cutover: Any) -> str:
    if cutover is None or cutover == "":
        return ""
    try:
        return instant_text(to_micros(cutover))
    except RequestError as wrong:
        raise DefinitionError(f"{owner}: cutover: {wrong.what}", hint=wrong.hint) from None


def _check_both(owner: str, batch: FileSource | None, event_id: str, cutover: str) -> None:
    """With a log and files it has to be said, in one way, which rows are in both."""
    if batch is None and cutover:
        raise DefinitionError(f"{owner} has a cutover and no batch_source.", hint="leave cutover out.")
    if batch is not None and not (event_id or cutover):
        raise DefinitionError(
            f"{owner} has a batch_source, and nothing says which of its rows are in the log, too.",
            hint="event_id= names a column by which they are told, or cutover= is the instant the log begins at.",
        )
