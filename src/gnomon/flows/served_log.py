"""The served-row log: reading what was served, keeping it in order, and erasing an entity from it.

There is a log for each shape of a service's answers (`gnomon.flows.served_rows`): a service whose definition changes,
or two processes that go by different definitions, write to different logs. Read together, a column that one of them
has not is null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.clock import Clock, micros_of
from gnomon.contracts.log import KNOWN, POSITION, Log, Logs, LogStatus, Merged
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.logging import AT, VIEWS
from gnomon.errors import NotRegistered, RequestError, listing
from gnomon.flows.keep import TrimReport
from gnomon.flows.served_rows import INSTANT, parts_said, schema_of

__all__ = ["ServedLog", "service_of"]

NO_ROWS = schema_of({}, {})
"""The columns of a log that was never written to."""


@dataclass(frozen=True, slots=True)
class ServedLog:
    """What services answered.

    Args:
        logs: the logs of served rows.
        catalog: the definitions: which services there are.
    """

    logs: Logs
    catalog: Catalog

    def names(self, service: str | None = None) -> list[str]:
        """The logs of a service, oldest first, or the one of this name; or all.

        Raises:
            NotRegistered: there is no such service, nor a log of one of that name.
        """
        there = self.logs.names()
        if service is None:
            return there
        found = [name for name in there if service in (name, service_of(name))]
        if not found and service not in self.catalog.services:
            known = {*self.catalog.services, *map(service_of, there)}
            raise NotRegistered(kind="feature service", name=service, known=known)
        return sorted(found, key=lambda name: self.logs.log(name).status(AT).happened or ())

    def rows(self, service: str, start: int | None = None, end: int | None = None) -> pa.RecordBatchReader:
        """What a service answered, as it was written: an entity a row.

        Args:
            service: the service's name.
            start: answers of this instant (µs) or later.
            end: answers of before this instant (µs).

        Raises:
            NotRegistered: there is no such service, nor a log of one of that name.
            RequestError: a column changed its type within this time.
            BackendError: a log cannot be read.
        """
        readers = [self.logs.log(name).read() for name in self.names(service)]
        schema = _united([_own(reader.schema) for reader in readers], service)

        def batches() -> Iterator[pa.RecordBatch]:
            for reader in readers:
                for batch in reader:
                    some = _within(pa.Table.from_batches([batch]), start, end)
                    yield from _conformed(some, schema).to_batches()

        return pa.RecordBatchReader.from_batches(schema, batches())

    def status(self, service: str | None = None) -> dict[str, LogStatus]:
        """What the logs hold."""
        return {name: self.logs.log(name).status(AT) for name in self.names(service)}

    def merge(self, service: str | None = None) -> dict[str, Merged]:
        """Put small files of the logs together into larger ones."""
        return {name: self.logs.log(name).merge() for name in self.names(service)}

    def trim(self, clock: Clock, service: str | None = None, before: int | None = None) -> tuple[TrimReport, ...]:
        """Let the oldest rows go, by whole files.

        Args:
            clock: says what time it is.
            service: the service's name; has to be said where `before` is.
            before: rows of before this instant (µs) go; by default those that are older than the service retains.

        Raises:
            NotRegistered: there is no such service, nor a log of one of that name.
            RequestError: nothing says which rows.
        """
        if before is not None and service is None:
            raise RequestError("before= needs a service.", hint="name the feature service whose rows shall go.")
        limits = {
            name: before if before is not None else self._limit(name, clock.now()) for name in self.names(service)
        }
        if service is not None and before is None and self._retained(service_of(service)) is None:
            raise RequestError(
                f"nothing says how old rows of {service!r} have to be to go.",
                hint="say before=… (--before), or retain='90d' in its LoggingConfig.",
            )
        return tuple(self._trimmed(name, limit) for name, limit in limits.items() if limit is not None)

    def erase(self, entity: Mapping[str, Any], views: Sequence[str] | None = None) -> Iterator[tuple[str, int]]:
        """Let all rows about an entity go; by log, how many.

        Args:
            entity: join key → value.
            views: only logs in which one of these views, by id, is used; all by default.
        """
        for name in self.logs.names():
            log = self.logs.log(name)
            for columns in _columns_of(log, entity, views):
                yield name, log.erase(columns).events

    def _retained(self, service: str) -> timedelta | None:
        found = self.catalog.services.get(service)
        config = None if found is None else found.logging_config
        return None if config is None else config.retain

    def _limit(self, name: str, now: int) -> int | None:
        retained = self._retained(service_of(name))
        return None if retained is None else now - micros_of(retained)

    def _trimmed(self, name: str, limit: int) -> TrimReport:
        log = self.logs.log(name)
        log.seal()
        done = log.trim(limit, AT)
        return TrimReport(source=name, limit=limit, events=done.events, files=done.files, begins=done.begins)


def service_of(log: str) -> str:
    """The service whose answers a log has, by the log's name.

    >>> service_of("fraud_v1@1f3a99c0")
    'fraud_v1'
    """
    return log.partition("@")[0]


def _own(schema: pa.Schema) -> pa.Schema:
    """Without the log's own columns."""
    return pa.schema([one for one in schema if one.name not in (POSITION, KNOWN)])


def _united(schemas: Sequence[pa.Schema], service: str) -> pa.Schema:
    """The columns of all."""
    try:
        return pa.unify_schemas([one for one in schemas if len(one)]) if any(map(len, schemas)) else NO_ROWS
    except pa.ArrowException:
        types: dict[str, set[pa.DataType]] = {}
        for one in (one for schema in schemas for one in schema):
            types.setdefault(one.name, set()).add(one.type)
        changed = [name for name, found in types.items() if len(found) > 1]
        raise RequestError(
            f"what was served of {service!r} cannot be one table: {listing(changed)} changed in type.",
            hint="read its logs one by one: store.served('service@…'); gnomon log status --served names them.",
        ) from None


def _within(table: pa.Table, start: int | None, end: int | None) -> pa.Table:
    if start is not None:
        table = table.filter(pc.greater_equal(table[AT], pa.scalar(start, INSTANT)))
    if end is not None:
        table = table.filter(pc.less(table[AT], pa.scalar(end, INSTANT)))
    return table


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [table[one.name] if one.name in table.column_names else pa.nulls(len(table), one.type) for one in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _columns_of(log: Log, entity: Mapping[str, Any], views: Sequence[str] | None) -> list[dict[str, Any]]:
    """By which columns a log's rows may be about an entity: several, where a view is looked up in several ways."""
    first = next((batch for batch in log.read() if len(batch)), None)
    if first is None:
        return []
    parts = parts_said(first[VIEWS][0].as_py())
    if views is not None and not any(one.view in views for one in parts):
        return []
    found = [{one.keys[key]: value for key, value in entity.items()} for one in parts if {*entity} <= {*one.keys}]
    return [one for number, one in enumerate(found) if one not in found[:number]]
