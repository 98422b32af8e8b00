"""A registry in SQL: a definition is a row with the versions it holds from and until, so any earlier state is a filter.

    since ≤ version and (until is null or until > version)

A commit inserts one row whose primary key is (project, version): of two racing commits the second collides.
Transactions on SQLite begin explicitly, writing ones with BEGIN IMMEDIATE, as SQLAlchemy documents for its driver.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from gnomon.clock import instant_text
from gnomon.contracts.plugins import Context, check_options
from gnomon.contracts.registry import Change, Commit, Run, Snapshot
from gnomon.definitions.catalog import KIND_WORDS, Catalog
from gnomon.errors import (
    BackendError,
    ConfigError,
    ConflictError,
    DefinitionError,
    NewerFormat,
    RequestError,
    listing,
)
from gnomon.registry import sqlite

__all__ = ["FORMAT", "SqlRegistry"]

FORMAT = 1
"""The format of the tables; a registry of a higher one is refused."""
DEFAULT_PATH = ".gnomon/registry.db"
RUNS_KEPT = 100

_metadata = sa.MetaData()
_meta = sa.Table(
    "gnomon_meta",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_commits = sa.Table(
    "gnomon_commits",
    _metadata,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("changes", sa.Text, nullable=False),
)
_definitions = sa.Table(
    "gnomon_definitions",
    _metadata,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("since", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("until", sa.BigInteger),
    sa.Column("document", sa.Text, nullable=False),
)
_runs = sa.Table(
    "gnomon_runs",
    _metadata,
    # SQLite counts only a column of type INTEGER up by itself.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("view", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("start", sa.BigInteger),
    sa.Column("end", sa.BigInteger, nullable=False),
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("finished", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("replaced", sa.Boolean, nullable=False),
    sa.Column("files", sa.Text, nullable=False),
    sa.Index("gnomon_runs_of_view", "project", "view", "id"),
)


class SqlRegistry:
    """The registry on SQLite (one file) or PostgreSQL.

    Args:
        options: `path`: a file, relative to the repo, or a SQLAlchemy URL; by default `.gnomon/registry.db`.
        context: the repo it is made for.

    Raises:
        ConfigError: an option is unknown or the URL unusable.
    """

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        check_options("registry", options, ("path",))
        path = str(options.get("path") or DEFAULT_PATH)
        if "://" in path and not path.startswith("sqlite"):
            self._where, engine = _server(path)
            self._reader = self._writer = engine
            return
        file = context.repo_path / _file_of(path)
        self._where = str(file)
        self._reader, self._writer = _file_engine(file, write=False), _file_engine(file, write=True)

    def read(self, project: str, version: int | None = None) -> Snapshot:
        """A project's definitions at a version, by default the newest; a new project is empty, at version 0."""
        newest, rows = self._rows(_newest(project), _documents(project, version))
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
            self._expect(project, expected_version, self._rows(_newest(project))[0])
            return expected_version
        if len({(change.kind, change.id) for change in changes}) < len(changes):
            raise RequestError("a definition stands twice in one commit.", hint="merge its changes into one.")
        with self._writing() as connection:
            self._expect(project, expected_version, connection.execute(_newest(project)).all())
            version = expected_version + 1
            self._insert_commit(connection, project, version, changes, at, by)
            _put_in(connection, project, version, changes)
        return version

    def history(self, project: str, limit: int | None = None) -> list[Commit]:
        """The project's commits, newest first."""
        commits, documents = self._rows(*_history(project, limit))
        before = {(one.until, one.kind, one.id): one.document for one in documents}
        after = {(one.since, one.kind, one.id): one.document for one in documents}
        return [_commit(row, before, after) for row in commits]

    def record(self, project: str, run: Run) -> None:
        """Remember a finished materialization; each view keeps its last hundred, and only the last one's files."""
        mine = sa.and_(_runs.c.project == project, _runs.c.view == run.view)
        values = {**asdict(run), "project": project, "files": json.dumps(run.files)}
        with self._writing() as connection:
            connection.execute(sa.update(_runs).where(mine).values(files="[]"))
            connection.execute(sa.insert(_runs).values(values))
            surplus = sa.select(_runs.c.id).where(mine).order_by(_runs.c.id.desc()).offset(RUNS_KEPT).limit(1)
            if (oldest := connection.scalar(surplus)) is not None:
                connection.execute(sa.delete(_runs).where(mine, _runs.c.id <= oldest))

    def runs(self, project: str, view: str | None = None) -> list[Run]:
        """Materializations of one view (`name@version`) or of all, newest first."""
        asked = sa.select(_runs).where(_runs.c.project == project).order_by(_runs.c.id.desc())
        (rows,) = self._rows(asked if view is None else asked.where(_runs.c.view == view))
        return [_run(row._mapping) for row in rows]

    def forget(self, project: str) -> None:
        """Remove a project with its history and runs, and nothing of any other project."""
        (known,) = self._rows(sa.union(*(sa.select(one.c.project) for one in (_commits, _runs))))
        if project not in {row.project for row in known}:
            return
        with self._writing() as connection:
            for table in (_definitions, _commits, _runs):
                connection.execute(sa.delete(table).where(table.c.project == project))

    def projects(self) -> list[str]:
        """The projects that have ever committed something, ordered."""
        (rows,) = self._rows(sa.select(_commits.c.project).distinct())
        return sorted(row.project for row in rows)

    def close(self) -> None:
        """Release connections; closing twice is fine."""
        self._reader.dispose()
        self._writer.dispose()

    def _rows(self, *statements: sa.Select[Any] | sa.CompoundSelect[Any]) -> list[list[Any]]:
        """What statements find in one snapshot; nothing where no registry was made yet."""
        with self._guarded(), self._reader.begin() as connection:
            if not self._is_made(connection):
                return [[] for _ in statements]
            return [list(connection.execute(statement)) for statement in statements]

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._guarded(), self._writer.begin() as connection:
            if not self._is_made(connection):
                _metadata.create_all(connection)
                connection.execute(sa.insert(_meta).values(name="format", value=str(FORMAT)))
            yield connection

    def _is_made(self, connection: sa.Connection) -> bool:
        if not sa.inspect(connection).has_table(_meta.name):
            return False
        found = connection.scalar(sa.select(_meta.c.value).where(_meta.c.name == "format"))
        if found is None or not str(found).isdigit():
            raise BackendError(
                f"{self._where} is no whole registry: it does not say its format.",
                hint="restore it from a backup, or point `registry` in feature_store.yaml elsewhere.",
                path=self._where,
            )
        if int(found) > FORMAT:
            raise NewerFormat(path=self._where, found=int(found), supported=FORMAT)
        return True

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise _broken(self._where, error) from error

    def _catalog(self, rows: Sequence[Any]) -> Catalog:
        try:
            return Catalog.from_documents(json.loads(row.document) for row in rows)
        except (ValueError, KeyError, TypeError, DefinitionError) as error:
            raise BackendError(
                f"{self._where} holds a definition that cannot be read: {error}",
                hint="a newer gnomon may have written it: upgrade (pip install -U gnomon), or restore a backup.",
                path=self._where,
            ) from error

    def _insert_commit(
        self, connection: sa.Connection, project: str, version: int, changes: Sequence[Change], at: int, by: str
    ) -> None:
        row = {"project": project, "version": version, "at": at, "by": by, "changes": _write_changes(changes)}
        try:
            connection.execute(sa.insert(_commits).values(row))
        except IntegrityError:  # on a server another commit may come between looking and inserting
            connection.rollback()
            self._expect(project, version - 1, self._rows(_newest(project))[0])
            raise

    def _expect(self, project: str, expected: int, newest: Sequence[Any]) -> None:
        found = newest[0].version if newest else 0
        if found != expected:
            raise ConflictError(
                f"project {project!r} is at version {found}, not at {expected}.",
                instead=_told(newest[0]) if newest else "Nothing was ever applied to it.",
                hint="see what changed with `gnomon history`, then run `gnomon plan` and apply again.",
                project=project,
                expected=expected,
                newest=found,
            )


def _newest(project: str) -> sa.Select[Any]:
    mine = sa.select(_commits).where(_commits.c.project == project)
    return mine.order_by(_commits.c.version.desc()).limit(1)


def _documents(project: str, version: int | None) -> sa.Select[Any]:
    mine = sa.select(_definitions).where(_definitions.c.project == project)
    until = _definitions.c.until
    if version is None:
        return mine.where(until.is_(None))
    return mine.where(_definitions.c.since <= version, sa.or_(until.is_(None), until > version))


def _history(project: str, limit: int | None) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """The commits asked, and every document that began or ended with one of them."""
    commits = sa.select(_commits).where(_commits.c.project == project).order_by(_commits.c.version.desc())
    commits = commits if limit is None else commits.limit(max(limit, 0))
    asked = commits.subquery()
    oldest = sa.select(sa.func.min(asked.c.version)).scalar_subquery()
    touched = sa.or_(_definitions.c.since >= oldest, _definitions.c.until >= oldest)
    return commits, sa.select(_definitions).where(_definitions.c.project == project, touched)


def _put_in(connection: sa.Connection, project: str, version: int, changes: Sequence[Change]) -> None:
    """End the rows the changes replace and begin those they bring, if the changes were made for what is there."""
    standing = {(row.kind, row.id): row.document for row in connection.execute(_documents(project, None))}
    for change in changes:
        if standing.get((change.kind, change.id)) != _text(change.before):
            raise ConflictError(
                f"the change of {_named(change.kind, change.id)} was made for another state of project {project!r}.",
                hint="read the project again, make the change anew and commit it.",
                project=project,
            )
    ends = [{"k": change.kind, "i": change.id} for change in changes if change.before is not None]
    begins = [
        {"project": project, "kind": one.kind, "id": one.id, "since": version, "document": _text(one.after)}
        for one in changes
        if one.after is not None
    ]
    if ends:
        of = _definitions.c
        these = sa.and_(of.project == project, of.kind == sa.bindparam("k"), of.id == sa.bindparam("i"))
        connection.execute(sa.update(_definitions).where(these, of.until.is_(None)).values(until=version), ends)
    if begins:
        connection.execute(sa.insert(_definitions), begins)


def _commit(row: Any, before: Mapping[Any, str], after: Mapping[Any, str]) -> Commit:
    def change(facts: dict[str, Any]) -> Change:
        key = row.version, facts["kind"], facts["id"]
        was, now = (json.loads(documents.get(key, "null")) for documents in (before, after))
        return Change(**{**facts, "affects": tuple(facts["affects"])}, before=was, after=now)

    return Commit(version=row.version, at=row.at, by=row.by, changes=tuple(map(change, json.loads(row.changes))))


def _run(row: Mapping[str, Any]) -> Run:
    values = {one.name: row[one.name] for one in fields(Run)}
    return Run(**{**values, "files": tuple((path, size, time) for path, size, time in json.loads(row["files"]))})


def _write_changes(changes: Sequence[Change]) -> str:
    """What a commit's row says of its changes; the documents stand in their own rows."""
    facts = ("kind", "id", "changes_values", "affects")
    return json.dumps([{name: getattr(change, name) for name in facts} for change in changes])


def _text(document: dict[str, Any] | None) -> str | None:
    return None if document is None else json.dumps(document, sort_keys=True)


def _named(kind: str, name: str) -> str:
    return f"{KIND_WORDS.get(kind, kind)} {name}"


def _told(newest: Any) -> str:
    changed = listing(_named(one["kind"], one["id"]) for one in json.loads(newest.changes))
    return f"Version {newest.version} is by {newest.by}, {instant_text(newest.at)}: {changed}."


def _file_of(path: str) -> str:
    """The file a path or a `sqlite://` URL names."""
    if "://" not in path:
        return path
    url = _url(path)
    if not url.database or url.database == ":memory:" or url.query:
        raise ConfigError(
            f"registry: {path!r} names no file.", hint="write sqlite:///registry.db, or just registry.db."
        )
    return url.database


def _file_engine(file: Path, *, write: bool) -> sa.Engine:
    # A connection is opened for each transaction: 0.2 ms, and nothing is carried over a fork or a replaced file.
    engine = sa.create_engine(
        "sqlite://", creator=lambda: sqlite.connect(file, write=write), poolclass=sa.pool.NullPool
    )
    begin = "BEGIN IMMEDIATE" if write else "BEGIN"
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin) and None)
    return engine


def _server(path: str) -> tuple[str, sa.Engine]:
    url = _url(path)
    where = url.render_as_string(hide_password=True)
    if url.get_backend_name() != "postgresql":
        raise ConfigError(f"registry: {where} is neither SQLite nor PostgreSQL.", hint="use a file, or postgresql://…")
    try:
        return where, sa.create_engine(url, isolation_level="REPEATABLE READ", pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(f"registry: {where} needs a driver: {error}.", hint="pip install it.") from error


def _url(path: str) -> sa.URL:
    try:
        return sa.make_url(path)
    except ArgumentError:
        # The text may hold a password, so it is not repeated.
        raise ConfigError("registry: the path is no usable URL.", hint="write it as driver://user@host/name.") from None


_HINTS = {
    "not a database": "it may be Feast's registry, or damaged: point `registry` in feature_store.yaml to another file "
    "and apply again, or restore a backup.",
    "malformed": "it is damaged: restore a backup, or move it away and apply again (its history is lost then).",
    "locked": "another process holds it for long: find out which, and try again.",
    "readonly": "it may not be written: check its permissions and those of its folder.",
    "unable to open": "check that its folder is there and may be written, and that it is a file.",
    "full": "make room on the disk and try again; nothing was half-written.",
}


def _broken(where: str, error: Exception) -> BackendError:
    told = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    hint = next((hint for sign, hint in _HINTS.items() if sign in told), "check the registry's file or server.")
    return BackendError(f"the registry {where} cannot be used: {told.rstrip('.')}.", hint=hint, path=where)
