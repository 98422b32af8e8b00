"""A registry in SQL, over a file or a server: one transaction per call, and nothing kept between calls.

A commit inserts one row whose primary key is (project, version): of two made for one version the second has no place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from gnomon.contracts.plugins import Context
from gnomon.contracts.registry import Change, Commit, Run, Snapshot
from gnomon.definitions.catalog import Catalog
from gnomon.errors import BackendError, ConflictError, DefinitionError, NewerFormat, RequestError
from gnomon.registry import tables
from gnomon.registry.places import place_of

__all__ = ["FORMAT", "SqlRegistry"]

FORMAT = 1
"""The format of the tables; a registry of a higher one is refused."""
RUNS_KEPT = 100

Landed = Callable[[sa.Connection], bool]
"""Looks whether what was to be written is there."""


class SqlRegistry:
    """The registry on SQLite (one file) or PostgreSQL.

    Args:
        options: `path`: a file, relative to the repo, or a SQLAlchemy URL; by default `.gnomon/registry.db`.
            On PostgreSQL also `schema`, the schema its tables are in; by default the first of the search path.
        context: the repo it is made for.

    Raises:
        ConfigError: an option is unknown or the URL unusable.
        MissingExtra: it is on PostgreSQL, and psycopg is not installed.
    """

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._place = place_of(options, context.repo_path)

    def read(self, project: str, version: int | None = None) -> Snapshot:
        """A project's definitions at a version, by default the newest; a new project is empty, at version 0."""
        newest, rows = self._rows(tables.newest(project), tables.documents(project, version))
        last = newest[0].version if newest else 0
        if version is not None and not 0 <= version <= last:
            raise RequestError(
                f"project {project!r} has no version {version}.",
                instead=f"Its newest is {last}." if last else "Nothing was ever applied to it.",
                hint="`gnomon history` lists the versions.",
                version=version,
                newest=last,
            )
        return Snapshot(project=project, version=last if version is None else version, catalog=self._catalog(rows))

    def commit(self, project: str, changes: Sequence[Change], *, expected_version: int, at: int, by: str) -> int:
        """Put changes in, all or none, and return the new version."""
        if not changes:
            _expect(project, expected_version, self._rows(tables.newest(project))[0])
            return expected_version
        if len({(change.kind, change.id) for change in changes}) < len(changes):
            raise RequestError("a definition stands twice in one commit.", hint="merge its changes into one.")
        row = tables.commit_row(project, expected_version + 1, changes, at, by)
        with self._writing(_is_there(tables.commits, row)) as connection:
            _expect(project, expected_version, connection.execute(tables.newest(project)).all())
            self._insert_commit(connection, row)
            _put_in(connection, project, expected_version + 1, changes)
        return expected_version + 1

    def history(self, project: str, limit: int | None = None) -> list[Commit]:
        """The project's commits, newest first."""
        commits, documents = self._rows(*tables.history(project, limit))
        before = {(one.until, one.kind, one.id): one.document for one in documents}
        after = {(one.since, one.kind, one.id): one.document for one in documents}
        return [tables.commit_of(row, before, after) for row in commits]

    def record(self, project: str, run: Run) -> None:
        """Remember a finished materialization; each view keeps its last hundred, and only the last one's files."""
        runs, row = tables.runs, tables.run_row(project, run)
        mine = sa.and_(runs.c.project == project, runs.c.view == run.view)
        with self._writing(_is_there(runs, row)) as connection:
            connection.execute(sa.update(runs).where(mine).values(files="[]"))
            connection.execute(sa.insert(runs).values(row))
            surplus = sa.select(runs.c.id).where(mine).order_by(runs.c.id.desc()).offset(RUNS_KEPT).limit(1)
            if (oldest := connection.scalar(surplus)) is not None:
                connection.execute(sa.delete(runs).where(mine, runs.c.id <= oldest))

    def runs(self, project: str, view: str | None = None) -> list[Run]:
        """Materializations of one view (`name@version`) or of all, newest first."""
        asked = sa.select(tables.runs).where(tables.runs.c.project == project).order_by(tables.runs.c.id.desc())
        (rows,) = self._rows(asked if view is None else asked.where(tables.runs.c.view == view))
        return [tables.run_of(row._mapping) for row in rows]

    def forget(self, project: str) -> None:
        """Remove a project with its history and runs, and nothing of any other project."""
        known = sa.union(*(sa.select(one.c.project).where(one.c.project == project) for one in _ROOTS))
        if not self._rows(known)[0]:
            return
        with self._writing(lambda connection: not connection.execute(known).all()) as connection:
            for table in (tables.definitions, *_ROOTS):
                connection.execute(sa.delete(table).where(table.c.project == project))

    def projects(self) -> list[str]:
        """The projects that have ever committed something, ordered."""
        (rows,) = self._rows(sa.select(tables.commits.c.project).distinct())
        return sorted(row.project for row in rows)

    def close(self) -> None:
        """Release connections; closing twice is fine."""
        self._place.reader.dispose()
        self._place.writer.dispose()

    def _rows(self, *statements: sa.Select[Any] | sa.CompoundSelect[Any]) -> list[list[Any]]:
        """What statements find in one snapshot; nothing where no registry was made yet."""
        with self._guarded(), self._place.reader.begin() as connection:
            if not self._is_made(connection):
                return [[] for _ in statements]
            return [list(connection.execute(statement)) for statement in statements]

    @contextmanager
    def _writing(self, landed: Landed) -> Iterator[sa.Connection]:
        """A transaction that commits at its end, in tables made where there are none."""
        with self._guarded(), self._place.writer.connect() as connection:
            connection.begin()
            if not self._is_made(connection):
                self._make(connection)
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

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise self._place.broken(error) from error

    def _catalog(self, rows: Sequence[Any]) -> Catalog:
        try:
            return Catalog.from_documents(json.loads(row.document) for row in rows)
        except (ValueError, KeyError, TypeError, DefinitionError) as error:
            raise BackendError(
                f"{self._place.where} holds a definition that cannot be read: {error}",
                hint="a newer gnomon may have written it: upgrade (pip install -U gnomon), or restore a backup.",
                path=self._place.where,
            ) from error

    def _insert_commit(self, connection: sa.Connection, row: Mapping[str, Any]) -> None:
        try:
            connection.execute(sa.insert(tables.commits).values(row))
        except IntegrityError:  # somebody wrote who does not wait for others
            connection.rollback()
            project, version = row["project"], row["version"]
            _expect(project, version - 1, self._rows(tables.newest(project))[0])
            raise


_ROOTS = (tables.commits, tables.runs)
"""A project is known while it stands in one of these."""


def _is_there(table: sa.Table, row: Mapping[str, Any]) -> Landed:
    return lambda connection: connection.execute(tables.same(table, row)).first() is not None


def _expect(project: str, expected: int, newest: Sequence[Any]) -> None:
    found = newest[0].version if newest else 0
    if found != expected:
        raise ConflictError(
            f"project {project!r} is at version {found}, not at {expected}.",
            instead=tables.told(newest[0]) if newest else "Nothing was ever applied to it.",
            hint="see what changed with `gnomon history`, then run `gnomon plan` and apply again.",
            project=project,
            expected=expected,
            newest=found,
        )


def _put_in(connection: sa.Connection, project: str, version: int, changes: Sequence[Change]) -> None:
    """End the rows the changes replace and begin those they bring, if the changes were made for what is there."""
    standing = {(row.kind, row.id): row.document for row in connection.execute(tables.documents(project, None))}
    for change in changes:
        if standing.get((change.kind, change.id)) != tables.text_of(change.before):
            raise ConflictError(
                f"the change of {tables.named(change.kind, change.id)} was made for another state of {project!r}.",
                hint="read the project again, make the change anew and commit it.",
                project=project,
            )
    ends = [{"k": change.kind, "i": change.id} for change in changes if change.before is not None]
    begins = [
        {"project": project, "kind": one.kind, "id": one.id, "since": version, "document": tables.text_of(one.after)}
        for one in changes
        if one.after is not None
    ]
    if ends:
        connection.execute(tables.endings(project, version), ends)
    if begins:
        connection.execute(sa.insert(tables.definitions), begins)
