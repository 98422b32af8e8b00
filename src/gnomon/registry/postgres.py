"""How a PostgreSQL server is reached: for each transaction anew, with a few tries to get through and none after that.

Before a connection stands nothing was said on it, so trying again is harmless. What fails later is reported instead:
whether it was done is the caller's to find out. A new connection costs milliseconds, and a registry is asked rarely;
so nothing is carried over a fork or the server's restart, and the server keeps nothing for clients that only wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from gnomon.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

__all__ = ["LOCK", "PAUSES", "READING", "SILENCE", "WRITING", "check", "check_installed", "connect", "hint"]

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.5)
"""Seconds between tries to connect: about as long as a server takes to recover from a crash."""

_PATIENCE: Mapping[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,  # ms until what was sent and never acknowledged counts as lost
    "application_name": "gnomon",
}

READING = "SET LOCAL statement_timeout = '60s'"
WRITING = (
    f"{READING}; SET LOCAL lock_timeout = '15s'; "
    # Less than the wait for a lock: whoever comes to see what became of a lost writer outlasts it.
    "SET LOCAL idle_in_transaction_session_timeout = '10s'"
)
"""What a transaction says first, so that no server and no client is waited for without end."""

SILENCE = 75.0
"""Seconds after which a server that says nothing is given up. It keeps to its own limits unless it is stuck, and its
system answers for it, so that the connection looks alive."""

_NAME = "'gnomon registry ' || coalesce(:schema, current_schema(), '')"
LOCK = f"SELECT pg_advisory_xact_lock(hashtextextended({_NAME}, 0))"
"""One writer per registry at a time, as on SQLite; held until it has committed or is gone."""

_PASSING = (
    "Connection refused",
    "Connection reset",
    "closed the connection unexpectedly",
    "is starting up",
    "is shutting down",
    "recovery mode",
    "not yet accepting connections",
    "too many clients",
    "connection slots are reserved",
    "terminating connection",
)
"""What a server says that may soon say something else."""

_LOST = "nothing was written: see that the server is up, and try again."

_HINTS = {
    "certificate": "check sslmode and the certificates named in `registry`.",
    "SSL": "check sslmode and the certificates named in `registry`.",
    "password authentication failed": "check user and password in `registry`; in a URL a password's @ : / ? # % are "
    "percent-encoded.",
    "no password supplied": "give one: `postgresql://user:${PASSWORD}@host/name`, PGPASSWORD or ~/.pgpass.",
    "pg_hba.conf": "the server's pg_hba.conf lets nobody in this way: allow user, database and address there, "
    "or ask for TLS with `?sslmode=require`.",
    "resolve host": "check the host in `registry`.",
    "Connection refused": "start the server, or check host and port in `registry`.",
    "no answer for": "the server is stuck: see what it is busy with (pg_stat_activity), and try again.",
    "timeout expired": "check host and port in `registry`, and whether a firewall stands between.",
    "does not exist": "make it (createdb, createuser), or check `registry`; gnomon makes its tables itself.",
    "too many clients": "raise the server's max_connections, put a pooler before it, or try again later.",
    "connection slots": "raise the server's max_connections, put a pooler before it, or try again later.",
}
"""Signs in what is said while connecting, where there are no codes; the first that fits."""

_HINTS_BY_CODE = {
    "42501": "grant the role USAGE and CREATE on the schema, and all rights on the tables gnomon_* and their sequence "
    "if others made them; or name a schema of the role's own with `schema:`.",
    "25006": "it is a replica, or set to read only: name the primary server in `registry`.",
    "3F000": "the search_path names no schema that is there: make it, or name one with `schema:`.",
    "55P03": "another process holds the registry for long: find out which (pg_stat_activity), and try again.",
    "57014": "the server is slow: see what it is busy with (pg_stat_activity), and try again.",
    "25P03": _LOST,
    "42P01": "a table is gone: restore a backup, or point `registry` elsewhere.",
    "42703": "a column is gone: restore a backup, or point `registry` elsewhere.",
    "53": "give the server room (disk, memory, connections) and try again; nothing was half-written.",
    "57P": _LOST,
    "08": _LOST,
}
"""By SQLSTATE or its beginning."""


def connect(parameters: Mapping[str, Any], pause: Callable[[float], None] = time.sleep) -> psycopg.Connection[Any]:
    """A connection that has begun nothing yet.

    Args:
        parameters: libpq's names and values; what they leave open libpq takes from its environment.
        pause: waits some seconds between two tries.

    Raises:
        psycopg.OperationalError: the server cannot be reached, not even a few tries later, or lets nobody in.
    """
    import psycopg

    for seconds in PAUSES:
        try:
            return _connect(parameters)
        except psycopg.OperationalError as error:
            if not any(sign in str(error) for sign in _PASSING):
                raise
        pause(seconds)
    return _connect(parameters)


def _connect(parameters: Mapping[str, Any]) -> psycopg.Connection[Any]:
    # Prepared statements outlive transactions, which poolers between here and the server cannot follow.
    return _impatient().connect(**{**_PATIENCE, **parameters}, prepare_threshold=None)


@cache
def _impatient() -> type[psycopg.Connection[Any]]:
    """The driver's connection, but for giving up a server that falls silent."""
    import psycopg

    class Impatient(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
            try:
                return super().wait(_while_heard(gen), *args, **kwargs)
            except TimeoutError as silent:
                self.pgconn.finish()  # the answer may yet come, and would be taken for that of the next question
                raise psycopg.OperationalError(str(silent)) from None

    return Impatient


def _while_heard(gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """What the driver waits with; it is told now and again that nothing came."""
    try:
        heard, wanted = time.monotonic(), next(gen)
        while True:
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE:
                raise TimeoutError(f"no answer for {SILENCE:g} seconds")
            wanted = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result


def check_installed() -> None:
    """See that the driver is there.

    Raises:
        MissingExtra: it is not.
    """
    try:
        import psycopg  # noqa: F401
    except ImportError as error:  # it, or the libpq it speaks through
        raise MissingExtra(package="psycopg", extra="postgres", purpose="a registry on PostgreSQL") from error


def check(parameters: Mapping[str, Any]) -> None:
    """See that the driver knows the parameters.

    Raises:
        ConfigError: one has no meaning.
    """
    import psycopg

    try:
        psycopg.conninfo.make_conninfo(**{name: value for name, value in parameters.items() if name != "context"})
    except psycopg.ProgrammingError as error:
        raise ConfigError(
            f"registry: {str(error).strip()}.", hint="check what stands after the ? of the URL."
        ) from None


def hint(error: BaseException) -> str:
    """The next step after a driver's error."""
    code = getattr(error, "sqlstate", None)
    if code is not None:
        found = (text for sign, text in _HINTS_BY_CODE.items() if code.startswith(sign))
    else:
        found = (text for sign, text in _HINTS.items() if sign in str(error))
    return next(found, _LOST if code is None and "connection" in str(error) else "look at the server's log.")
