"""Definitions say what they leave open by looking at their source: columns, types, which one is the time.

What they do say is held against the source, so that a mistake is an error now and not a wrong value later. A declared
type may differ from the column's where no value changes, or the change is what the declared type means:

* a whole number as any wider or narrower whole number, and as a decimal: one that does not fit fails loudly when read;
* any number as Float64 or Float32: it is rounded, which is what declaring a float says;
* a decimal as one with more digits; without a fraction also as a whole number;
* nothing else: a fraction cut off or a text parsed would be a silently different value.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gnomon.definitions.base import duplicates
from gnomon.definitions.catalog import Catalog, Key
from gnomon.definitions.codec import Definition, kind_of
from gnomon.definitions.entities import Field, check_key_type
from gnomon.definitions.sources import FileSource, PushSource, Source, file_sources
from gnomon.definitions.views import FeatureView
from gnomon.errors import DefinitionError, listing, nearest_hint
from gnomon.types import String, arrow_schema, fits, fits_key, from_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from gnomon.contracts.engine import Engine

__all__ = ["Resolved", "fits", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A catalog with nothing left open.

    Args:
        catalog: every view looked at has its schema and key types, every source its event time.
        notes: what its author should know, a sentence each.
    """

    catalog: Catalog
    notes: tuple[str, ...]


def resolve(catalog: Catalog, engine: Engine, *, only: Container[Key] | None = None) -> Resolved:
    """Fill in what views and sources leave open, and check what they say.

    Args:
        catalog: the definitions.
        engine: reads the sources' columns.
        only: look only at the definitions with these keys, and at the sources of such views; None for all.

    Raises:
        DefinitionError: a column is not there, of an unfit type, or cannot be told from others.
        SourceError: a source cannot be read.
    """
    views = [view for view in catalog.views.values() if only is None or ("FeatureView", view.id) in only]
    wanted = {view.source.name for view in views}
    wanted |= {one.name for one in catalog.sources.values() if only is None or (kind_of(one), one.name) in only}
    sources = [one for one in catalog.sources.values() if one.name in wanted]
    found, schemas = _sources(sources, engine)
    notes = list(_known_time_note(found.values()))
    changed: dict[Key, Definition | None] = {(kind_of(source), name): source for name, source in found.items()}
    notes += _ignored_versions_notes(views)
    for view in views:
        source = found[view.source.name]
        changed["FeatureView", view.id] = _view(replace(view, source=source), schemas[source.name], notes)
    return Resolved(catalog=catalog.with_definitions(changed), notes=tuple(notes))


def _sources(sources: Iterable[Source], engine: Engine) -> tuple[dict[str, Source], dict[str, pa.Schema]]:
    """Sources and what they stand on with nothing left open, and their columns, each by name."""
    files = {one.name: one for source in sources for one in file_sources(source)}
    schemas = {name: engine.schema(source) for name, source in files.items()}
    found: dict[str, Source] = {name: _source(source, schemas[name]) for name, source in files.items()}
    for source in sources:
        if isinstance(source, PushSource):
            found[source.name] = made = _pushed(source, found, schemas)
            schemas[source.name] = arrow_schema((one.name, one.dtype) for one in made.schema)
    return found, schemas


def _pushed(source: PushSource, found: Mapping[str, Source], schemas: Mapping[str, pa.Schema]) -> PushSource:
    """A push source with its columns, which its batch source has, too."""
    if source.batch_source is None:
        return source
    owner, schema = f"push source {source.name!r}", schemas[source.batch_source.name]
    batch = found[source.batch_source.name]
    assert isinstance(batch, FileSource)
    if not source.schema:
        known = batch.created_timestamp_column
        columns = [(one.name, from_arrow(one.type)) for one in schema if one.name != known and _is_usable(one.name)]
        fields = tuple(Field(name, dtype) for name, dtype in columns if dtype is not None)
        source = replace(source, schema=fields, timestamp_field=source.timestamp_field or batch.timestamp_field)
    for one in source.schema:
        if one.name in schema.names or one.name != source.operation:  # files without operations have upserts
            _check_declared(f"{owner}: column", one, _type(owner, "column", one.name, schema))
    if batch.timestamp_field != source.timestamp_field:
        raise DefinitionError(
            f"{owner}: its event time is {source.timestamp_field!r}, and that of its batch source "
            f"{batch.timestamp_field!r}.",
            hint="they are one column: rename that of the files with field_mapping.",
        )
    return replace(source, batch_source=batch)


def _ignored_versions_notes(views: Iterable[FeatureView]) -> Iterator[str]:
    named = sorted(view.id for view in views if view.source.event_id and not view.aggregations)
    if named:
        yield (
            f"the sources of {listing(named)} name an event_id; row views do not look at it, so a row that corrects or "
            "deletes an event is a row like any other there."
        )


def _source(source: FileSource, schema: pa.Schema) -> FileSource:
    owner = f"file source {source.name!r}"
    if twice := duplicates(schema.names):
        raise DefinitionError(f"{owner} has two columns {twice[0]!r}.", hint="rename one with field_mapping.")
    event = _mapped(source, source.timestamp_field, schema) or _only_timestamp(owner, source, schema)
    known = _mapped(source, source.created_timestamp_column, schema)
    event_id = _mapped(source, source.event_id, schema)
    operation = _mapped(source, source.operation, schema)
    for argument, column in (("timestamp_field", event), ("created_timestamp_column", known)):
        if column:
            _check_instant(f"{owner}: {argument} {column!r}", _type(owner, argument, column, schema))
    if event_id and from_arrow(kind := _type(owner, "event_id", event_id, schema)) is None:
        raise DefinitionError(f"{owner}: event_id {event_id!r} is {kind}.", hint="use a column of texts or numbers.")
    if operation and from_arrow(kind := _type(owner, "operation", operation, schema)) != String:
        hint = "use a column of the texts 'upsert' and 'delete'."
        raise DefinitionError(f"{owner}: operation {operation!r} is {kind}.", hint=hint)
    return replace(
        source, timestamp_field=event, created_timestamp_column=known, event_id=event_id, operation=operation
    )


def _mapped(source: FileSource, column: str, schema: pa.Schema) -> str:
    """A column by the name views use, where its author wrote the one in the files."""
    return column if column in schema.names else source.field_mapping.get(column, column)


def _only_timestamp(owner: str, source: FileSource, schema: pa.Schema) -> str:
    import pyarrow.types as t

    others = {source.created_timestamp_column, source.field_mapping.get(source.created_timestamp_column)}
    columns = [one for one in schema if one.name not in others]
    instants = [one.name for one in columns if t.is_timestamp(one.type)]
    instants = instants or [one.name for one in columns if t.is_date(one.type)]
    if len(instants) == 1:
        return str(instants[0])
    raise DefinitionError(
        f"{owner}: timestamp_field is left out, and {'no column is' if not instants else 'several columns are'} "
        f"a timestamp{'' if not instants else ': ' + listing(instants)}.",
        instead=f"Its columns: {listing(f'{one.name} ({one.type})' for one in schema)}.",
        hint="name the column of event times: FileSource(timestamp_field=…).",
    )


def _check_instant(what: str, kind: pa.DataType) -> None:
    import pyarrow.types as t

    if t.is_timestamp(kind) or t.is_date(kind):
        return
    hint = "store it as a timestamp; in CSV write ISO-8601, such as 2024-01-31T12:00:00Z."
    if t.is_integer(kind) or t.is_floating(kind):
        hint = "a number does not say whether it is seconds or milliseconds: store it as a timestamp in the file."
    raise DefinitionError(f"{what} is {kind}, not a timestamp.", hint=hint)


def _type(owner: str, role: str, column: str, schema: pa.Schema) -> pa.DataType:
    if column in schema.names:
        return schema.field(column).type
    raise DefinitionError(
        f"{owner}: {role} {column!r} is not in the source.",
        instead=f"It has: {listing(schema.names)}.",
        hint=nearest_hint(column, schema.names, otherwise="name a column it has; field_mapping can rename one."),
    )


def _known_time_note(sources: Iterable[Source]) -> Iterator[str]:
    timeless = sorted(one.name for one in sources if isinstance(one, FileSource) and not one.has_known_times)
    if timeless:
        yield (
            f"of {listing(timeless)} nothing says when rows were known, so as_known='then' equals 'now' for them; "
            "a created_timestamp_column or a delay would say it."
        )


def _view(view: FeatureView, schema: pa.Schema, notes: list[str]) -> FeatureView:
    owner = f"feature view {view.name!r}"
    declared = {one.name: one for one in view.entity_columns}
    keys = tuple(_key(owner, key, declared.get(key), schema) for key in view.join_keys)
    if view.aggregations:
        inputs = tuple(_input(owner, view, column, schema) for column in view.columns)
        return replace(view, inputs=inputs, entity_columns=keys)
    for one in view.schema:
        _check_declared(f"{owner}: feature", one, _type(owner, "feature", one.name, schema))
    features = view.schema or tuple(_inferred(owner, view, schema, notes))
    if not features:
        raise DefinitionError(
            f"{owner} has no features: its source has no column left for one.",
            instead=f"The source has: {listing(schema.names)}.",
            hint="a view needs at least one column besides join keys and times.",
        )
    return replace(view, schema=features, entity_columns=keys)


def _input(owner: str, view: FeatureView, column: str, schema: pa.Schema) -> Field:
    """A column that aggregations look at, with its type."""
    declared = {one.name: one for one in view.inputs}.get(column)
    users = [one for one in view.aggregations if column in one.columns]
    owner = f"{owner}: aggregation {listing(dict.fromkeys(one.shown for one in users))}"
    role = "column" if any(one.column == column for one in users) else "where: column"
    kind = _type(owner, role, column, schema)
    if declared is not None:
        _check_declared(f"{owner}: {role}", declared, kind)
        return declared
    if (found := from_arrow(kind)) is None:
        raise DefinitionError(
            f"{owner}: {role} {column!r} is {kind}, which no type holds.",
            hint="use another column, or store its parts apart.",
        )
    return Field(column, found)


def _key(owner: str, key: str, declared: Field | None, schema: pa.Schema) -> Field:
    kind = _type(owner, "join key", key, schema)
    found = from_arrow(kind)
    what = f"{owner}: join key {key!r}"
    if found is None:
        raise DefinitionError(f"{what} is {kind}, which no type holds.", hint="use a column of texts or numbers.")
    if declared is None:
        return Field(key, check_key_type(what, found))
    if fits_key(found, declared.dtype):
        return declared
    raise DefinitionError(f"{what} is declared {declared.dtype}, but the source has {found}.", hint=f"declare {found}.")


def _check_declared(what: str, declared: Field, kind: pa.DataType) -> None:
    import pyarrow.types as t

    found = from_arrow(kind)
    if t.is_null(kind) or (found is not None and fits(found, declared.dtype)):
        return
    what = f"{what} {declared.name!r} is declared {declared.dtype}, but the source has "
    if found is None:
        raise DefinitionError(f"{what}{kind}, which no type holds.", hint="leave it out, or store its parts apart.")
    raise DefinitionError(
        f"{what}{found}, and that cast could change values.",
        hint=f"declare dtype={found}, or store the column as {declared.dtype}.",
    )


def _inferred(owner: str, view: FeatureView, schema: pa.Schema, notes: list[str]) -> Iterator[Field]:
    source = view.source
    taken = {*view.join_keys, source.timestamp_field, source.event_id}
    taken |= {source.created_timestamp_column} if isinstance(source, FileSource) else {source.operation}
    for column in schema:
        if column.name in taken or column.name.startswith("__index_level_"):  # pandas leaves its index there
            continue
        dtype = from_arrow(column.type)
        if dtype is None:
            notes.append(f"{owner}: column {column.name!r} is left out: no type holds {column.type}.")
        elif not _is_usable(column.name):
            notes.append(f"{owner}: column {column.name!r} is left out: its name cannot be a feature's.")
        else:
            yield Field(column.name, dtype)


def _is_usable(name: str) -> bool:
    """Whether a column's name can be a feature's."""
    return bool(name) and ":" not in name and name.isprintable() and not name.startswith("__")
