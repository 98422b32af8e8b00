"""Where a registry is: a file or a server, and how transactions begin there.

Reading ones see one snapshot. Writing ones wait for each other before they look: on SQLite by BEGIN IMMEDIATE, on
PostgreSQL by a lock of the registry's own, taken first; what they then read is the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from gnomon.contracts.plugins import check_options
from gnomon.errors import BackendError, ConfigError
from gnomon.registry import postgres, sqlite

__all__ = ["Place", "place_of"]

DEFAULT_PATH = ".gnomon/registry.db"

_SERVERS = ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2")
"""How people write PostgreSQL, Feast's way included; whichever it is, psycopg 3 does the work."""

_POOLED = ("echo", "pool_pre_ping", "pool_recycle", "pool_size", "pool_timeout", "max_overflow")
"""Feast's settings for SQLAlchemy that change nothing here: connections are not pooled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a registry is.

    Args:
        where: its name for people, without a password.
        reader: begins transactions that read.
        writer: begins transactions that write, one at a time.
        schema: the schema its tables are in; None for the connection's own.
        hint: the next step after a driver's error.
    """

    where: str
    reader: sa.Engine
    writer: sa.Engine
    schema: str | None
    hint: Callable[[BaseException], str]

    def broken(self, error: Exception) -> BackendError:
        """What went wrong here, for the operator."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        # psycopg's diagnosis has the sentence alone; its text, and libpq's, go on for lines.
        told = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause)
        first = told.partition("\n")[0].rstrip(".")
        return BackendError(
            f"the registry {self.where} cannot be used: {first}.", hint=self.hint(cause), path=self.where
        )

    def unclear(self, error: Exception) -> BackendError:
        """The connection went while it committed, and nobody answers who knows whether it did."""
        return BackendError(
            f"the registry {self.where} was lost while it committed; whether it did is not known.",
            instead=self.broken(error).what,
            hint="when it is back, look at `gnomon history`, or `gnomon keys list`, before you try again.",
            path=self.where,
        )


def place_of(options: Mapping[str, Any], repo_path: Path) -> Place:
    """The place that a registry's options name.

    Args:
        options: `path`: a file, relative to the repo, or a URL; `schema`, of a server; and Feast's
            `sqlalchemy_config_kwargs`.
        repo_path: the repo's folder.

    Raises:
        ConfigError: an option is unknown or the URL unusable.
        MissingExtra: it is on PostgreSQL, and psycopg is not installed.
    """
    check_options("registry", options, ("path", "schema", "sqlalchemy_config_kwargs"))
    extra = options.get("sqlalchemy_config_kwargs") or {}
    check_options("registry: sqlalchemy_config_kwargs", extra, ("connect_args", *_POOLED))
    path, schema = str(options.get("path") or DEFAULT_PATH), options.get("schema")
    if path.startswith(tuple(f"{one}:" for one in _SERVERS)) or ("://" in path and not path.startswith("sqlite:")):
        return _server(_url(path), None if schema is None else str(schema), extra.get("connect_args") or {})
    if schema is not None:
        raise ConfigError("registry: a file has no schemas.", hint="remove `schema`, or use another file.")
    return _file(repo_path / _file_of(path))


def _file(file: Path) -> Place:
    reader, writer = _file_engine(file, write=False), _file_engine(file, write=True)
    return Place(where=str(file), reader=reader, writer=writer, schema=None, hint=sqlite.hint)


def _file_engine(file: Path, *, write: bool) -> sa.Engine:
    # A connection is opened for each transaction: 0.2 ms, and nothing is carried over a fork or a replaced file.
    engine = sa.create_engine(
        "sqlite://", creator=lambda: sqlite.connect(file, write=write), poolclass=sa.pool.NullPool
    )
    begin = "BEGIN IMMEDIATE" if write else "BEGIN"
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin) and None)
    return engine


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


def _server(url: sa.URL, schema: str | None, connect_args: Mapping[str, Any]) -> Place:
    where = _shown(url)
    if url.drivername not in _SERVERS:
        raise ConfigError(f"registry: {where} is neither SQLite nor PostgreSQL.", hint="use a file, or postgresql://…")
    postgres.check_installed()
    parameters: dict[str, Any] = {}
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: postgres.connect(parameters),
        poolclass=sa.pool.NullPool,
        use_native_hstore=False,
        execution_options={"schema_translate_map": {None: schema}} if schema else {},
    )
    parameters.update({**engine.dialect.create_connect_args(url)[1], **connect_args})
    postgres.check(parameters)
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    # Not REPEATABLE READ: its snapshot would be older than the lock that is waited for.
    writer = engine.execution_options(isolation_level="READ COMMITTED")
    sa.event.listen(reader, "begin", lambda connection: connection.exec_driver_sql(postgres.READING) and None)
    sa.event.listen(writer, "begin", lambda connection: _begin_writing(connection, schema))
    where = f"{where} (schema {schema})" if schema else where
    return Place(where=where, reader=reader, writer=writer, schema=schema, hint=postgres.hint)


def _begin_writing(connection: sa.Connection, schema: str | None) -> None:
    connection.exec_driver_sql(postgres.WRITING)
    connection.execute(sa.text(postgres.LOCK).bindparams(sa.bindparam("schema", schema, sa.Text)))


def _shown(url: sa.URL) -> str:
    open_ones = {name: value for name, value in url.query.items() if "password" not in name}
    return url.set(query=open_ones).render_as_string(hide_password=True)


def _url(path: str) -> sa.URL:
    # The text may hold a password, so it is not repeated; an @ after the first is most likely a part of one.
    hint = "write it as driver://user@host/name; in a password, @ : / ? # and % are percent-encoded."
    try:
        url = sa.make_url(path)
    except (ArgumentError, ValueError):
        raise ConfigError("registry: the path is no usable URL.", hint=hint) from None
    if any("@" in part for part in (url.host, url.database) if part) and url.get_backend_name() != "sqlite":
        raise ConfigError("registry: the URL has more than one @.", hint=hint)
    return url
