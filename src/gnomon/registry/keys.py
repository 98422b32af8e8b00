"""API keys in SQL, in the registry's own database: a table beside its others, made with the first key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from gnomon.contracts.keys import ApiKey
from gnomon.contracts.plugins import Context
from gnomon.errors import ConflictError, NotRegistered
from gnomon.registry.database import Database, is_there
from gnomon.registry.places import place_of
from gnomon.registry.tables import key_of, key_row, keys

__all__ = ["SqlKeys"]


class SqlKeys:
    """The API keys on SQLite (one file) or PostgreSQL.

    Args:
        options: the registry's.
        context: the repo it is made for.

    Raises:
        ConfigError: an option is unknown or the URL unusable.
        MissingExtra: it is on PostgreSQL, and psycopg is not installed.
    """

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        self._database = Database(place_of(options, context.repo_path), later=keys)

    def all(self) -> list[ApiKey]:
        """All keys, revoked and expired ones too, in the order they were made."""
        (rows,) = self._database.rows(sa.select(keys).order_by(keys.c.created, keys.c.id))
        return [key_of(row._mapping) for row in rows]

    def add(self, key: ApiKey) -> None:
        """Keep a key."""
        row = key_row(key)
        with self._database.writing(is_there(keys, row)) as connection:
            try:
                connection.execute(sa.insert(keys).values(row))
            except IntegrityError:
                raise ConflictError(f"there is a key {key.id!r} already.", hint="make another.") from None

    def revoke(self, key_id: str, at: int) -> ApiKey:
        """End a key for good, and say what it was; one that was revoked before stays revoked since then."""
        mine = sa.select(keys).where(keys.c.id == key_id)

        def landed(connection: sa.Connection) -> bool:
            return connection.execute(mine.where(keys.c.revoked.is_not(None))).first() is not None

        with self._database.writing(landed) as connection:
            connection.execute(sa.update(keys).where(keys.c.id == key_id, keys.c.revoked.is_(None)).values(revoked=at))
            found: Any = connection.execute(mine).first()
            if found is None:
                known, look = connection.scalars(sa.select(keys.c.id)), "`gnomon keys list` shows those there are."
                raise NotRegistered(kind="key", name=key_id, known=known, otherwise=look)
        return key_of(found._mapping)

    def close(self) -> None:
        """Release connections; closing twice is fine."""
        self._database.close()
