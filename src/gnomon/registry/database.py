"""The database a registry is in: one transaction per call, tables made by the first write, a format that is checked.

Definitions and runs (`sql`) and API keys (`keys`) are in one place, and made and guarded alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gnomon.errors import BackendError, NewerFormat
from gnomon.registry import tables
from gnomon.registry.places import Place

__all__ = ["FORMAT", "Database", "Landed", "is_there"]

FORMAT = 1
"""The format of the tables; a registry of a higher one is refused."""

Landed = Callable[[sa.Connection], bool]
"""Looks whether what was to be written is there."""


class Database:
    """Transactions at a place.

    Args:
        place: where it is.
        later: a table that older registries lack; it is made by the first write.
    """

    def __init__(self, place: Place, later: sa.Table | None = None) -> None:
        self._place, self._later = place, later

    def close(self) -> None:
        """Release connections."""
        self._place.reader.dispose()
        self._place.writer.dispose()

    def rows(self, *statements: sa.Select[Any] | sa.CompoundSelect[Any]) -> list[list[Any]]:
        """What statements find in one snapshot; nothing where no registry was made yet."""
        with self._guarded(), self._place.reader.begin() as connection:
            if not (self._is_made(connection) and self._has_later(connection)):
                return [[] for _ in statements]
            return [list(connection.execute(statement)) for statement in statements]

    @contextmanager
    def writing(self, landed: Landed) -> Iterator[sa.Connection]:
        """A transaction that commits at its end, in tables made where there are none."""
        with self._guarded(), self._place.writer.connect() as connection:
            connection.begin()
            if not self._is_made(connection):
                self._make(connection)
            if self._later is not None:
                self._later.create(connection, checkfirst=True)
            yield connection
            self._finish(connection, landed)

    def _make(self, connection: sa.Connection) -> None:
        schema = self._place.schema
        if schema is not None and not sa.inspect(connection).has_schema(schema):
            connection.execute(sa.schema.CreateSchema(schema))
        tables.metadata.create_all(connection)
        connection.execute(sa.insert(tables.meta).values(name="format", value=str(FORMAT)))

    def _finish(self, connection: sa.Connection, landed: Landed) -> None:
        """Commit; where the connection goes before the answer comes, see what became of it rather than try again."""
        try:
            connection.commit()
        except DBAPIError as lost:
            if not (lost.connection_invalidated and self._landed(landed)):
                raise

    def _landed(self, landed: Landed) -> bool:
        """Look as a writer does: behind the lock, so after the lost transaction has ended this way or that."""
        try:
            with self._place.writer.begin() as connection:
                return self._is_made(connection) and landed(connection)
        except SQLAlchemyError as error:
            raise self._place.unclear(error) from error

    def _is_made(self, connection: sa.Connection) -> bool:
        where = self._place.where
        if not sa.inspect(connection).has_table(tables.meta.name, schema=self._place.schema):
            return False
        found = connection.scalar(sa.select(tables.meta.c.value).where(tables.meta.c.name == "format"))
        if found is None or not str(found).isdigit():
            raise BackendError(
                f"{where} is no whole registry: it does not say its format.",
                hint="restore it from a backup, or point `registry` in feature_store.yaml elsewhere.",
                path=where,
            )
        if int(found) > FORMAT:
            raise NewerFormat(path=where, found=int(found), supported=FORMAT)
        return True

    def _has_later(self, connection: sa.Connection) -> bool:
        if self._later is None:
            return True
        return sa.inspect(connection).has_table(self._later.name, schema=self._place.schema)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise self._place.broken(error) from error


def is_there(table: sa.Table, row: Mapping[str, Any]) -> Landed:
    """Looks whether a row is in a table exactly so."""
    return lambda connection: connection.execute(tables.same(table, row)).first() is not None
