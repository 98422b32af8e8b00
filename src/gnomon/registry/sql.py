"""A registry in SQL, over a file or a server: one transaction per call, and nothing kept between calls.

A commit inserts one row whose primary key is (project, version): of two made for one version the second has no place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from gnomon.contracts.plugins import Context
from gnomon.contracts.registry import Change, Commit, Run, Snapshot
from gnomon.definitions.catalog import Catalog
from gnomon.errors import BackendError, ConflictError, DefinitionError, RequestError
from gnomon.registry import tables
from gnomon.registry.database import FORMAT, Database, is_there
from gnomon.registry.places import place_of

__all__ = ["FORMAT", "SqlRegistry"]

RUNS_KEPT = 100


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
        self._database = Database(self._place)

    def read(self, project: str, version: int | None = None) -> Snapshot:
        """A project's definitions at a version, by default the newest; a new project is empty, at version 0."""
        newest, rows = self._database.rows(tables.newest(project), tables.documents(project, version))
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
            _expect(project, expected_version, self._database.rows(tables.newest(project))[0])
            return expected_version
        if len({(change.kind, change.id) for change in changes}) < len(changes):
            raise RequestError("a definition stands twice in one commit.", hint="merge its changes into one.")
        row = tables.commit_row(project, expected_version + 1, changes, at, by)
        with self._database.writing(is_there(tables.commits, row)) as connection:
            _expect(project, expected_version, connection.execute(tables.newest(project)).all())
            self._insert_commit(connection, row)
            _put_in(connection, project, expected_version + 1, changes)
        return expected_version + 1

    def history(self, project: str, limit: int | None = None) -> list[Commit]:
        """The project's commits, newest first."""
        commits, documents = self._database.rows(*tables.history(project, limit))
        before = {(one.until, one.kind, one.id): one.document for one in documents}
        after = {(one.since, one.kind, one.id): one.document for one in documents}
        return [tables.commit_of(row, before, after) for row in commits]

    def record(self, project: str, run: Run) -> None:
        """Remember a finished materialization; each view keeps its last hundred, and only the last one's files."""
        runs, row = tables.runs, tables.run_row(project, run)
        mine = sa.and_(runs.c.project == project, runs.c.view == run.view)
        with self._database.writing(is_there(runs, row)) as connection:
            connection.execute(sa.update(runs).where(mine).values(files="[]"))
            connection.execute(sa.insert(runs).values(row))
            surplus = sa.select(runs.c.id).where(mine).order_by(runs.c.id.desc()).offset(RUNS_KEPT).limit(1)
            if (oldest := connection.scalar(surplus)) is not None:
                connection.execute(sa.delete(runs).where(mine, runs.c.id <= oldest))

    def runs(self, project: str, view: str | None = None) -> list[Run]:
        """Materializations of one view (`name@version`) or of all, newest first."""
        asked = sa.select(tables.runs).where(tables.runs.c.project == project).order_by(tables.runs.c.id.desc())
        (rows,) = self._database.rows(asked if view is None else asked.where(tables.runs.c.view == view))
        return [tables.run_of(row._mapping) for row in rows]

    def forget(self, project: str) -> None:
        """Remove a project with its history and runs, and nothing of any other project."""
        known = sa.union(*(sa.select(one.c.project).where(one.c.project == project) for one in _ROOTS))
        if not self._database.rows(known)[0]:
            return
        with self._database.writing(lambda connection: not connection.execute(known).all()) as connection:
            for table in (tables.definitions, *_ROOTS):
                connection.execute(sa.delete(table).where(table.c.project == project))

    def projects(self) -> list[str]:
        """The projects that have ever committed something, ordered."""
        (rows,) = self._database.rows(sa.select(tables.commits.c.project).distinct())
        return sorted(row.project for row in rows)

    def close(self) -> None:
        """Release connections; closing twice is fine."""
        self._database.close()

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
            _expect(project, version - 1, self._database.rows(tables.newest(project))[0])
            raise


_ROOTS = (tables.commits, tables.runs)
"""A project is known while it stands in one of these."""


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
