"""The online store in one SQLite file: no server, no package beyond Python's own.

One table holds the rows of every generation; another says which generation of a table is published, and is read in
the same statement, or transaction, as the rows. The file keeps a write-ahead log: readers see a snapshot and wait for
nobody, a batch is one transaction, synced before `write` returns.

>>> import tempfile
>>> from gnomon.contracts.online import Table
>>> folder = tempfile.TemporaryDirectory()
>>> store, table = SqliteStore({"path": f"{folder.name}/online.db"}), Table("demo", "profile@1")
>>> store.write(table, [(b"key", b"value")], merge=lambda stored, incoming: incoming)
1
>>> store.read([(table, [b"key", b"other"])])
[[b'value', None]]
>>> store.close()
>>> folder.cleanup()
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from gnomon.contracts.online import Asked, Change, Merge, OnlineCapabilities, Table
from gnomon.contracts.plugins import Context, check_options
from gnomon.errors import BackendError, ConfigError, NewerFormat
from gnomon.online import owners
from gnomon.online.amending import in_one_step

__all__ = ["SqliteStore"]

Entries = Sequence[tuple[bytes, bytes]]

FORMAT = 1
APPLICATION = 0x676E6F6D  # "gnom": SQLite's own place for saying whose file it is
DEFAULT_PATH = ".gnomon/online.db"
WAIT = 60.0
"""Seconds a writer waits for the one before it."""

POLL = 0.001
"""Seconds between two tries."""

SLICE = 20_000
"""Rows removed in one transaction, so that removing a generation keeps other writers waiting for milliseconds."""

MOST = 512
"""Keys looked up in one statement."""

_SETUP = """
CREATE TABLE published (project TEXT, name TEXT, generation INTEGER NOT NULL, count INTEGER NOT NULL,
                        PRIMARY KEY (project, name)) WITHOUT ROWID;
CREATE TABLE note (project TEXT, name TEXT, note TEXT, value BLOB NOT NULL,
                   PRIMARY KEY (project, name, note)) WITHOUT ROWID;
CREATE TABLE filling (generation INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL);
CREATE TABLE entry (generation INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (generation, key)) WITHOUT ROWID;
"""
_OF = "(SELECT generation FROM published WHERE project = ? AND name = ?)"
_PUT = "INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
_REMOVE = "DELETE FROM entry WHERE generation = ? AND key = ?"
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteStore:
    """Tables in a SQLite file.

    Args:
        options: `path` of the file, by default `.gnomon/online.db`, relative to the repo.
        context: the repo it is made for.

    Raises:
        ConfigError: an option is not one.
        BackendError: the file cannot be used, or is something else.
        NewerFormat: a newer gnomon wrote it.
    """

    capabilities = OnlineCapabilities(
        persistent=True, shared=True, atomic_request=True, atomic_batch=True, remote=False
    )

    def __init__(self, options: Mapping[str, Any] | None = None, context: Context | None = None) -> None:
        options = options or {}
        check_options("online_store of type sqlite", options, ("path",))
        path = options.get("path", DEFAULT_PATH)
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise ConfigError(f"online_store: path is {path!r}.", hint="path is a file, relative to the repo.")
        if str(path).startswith(":memory:"):
            raise ConfigError(
                "online_store: path ':memory:' would be a store per connection.", hint="use `type: memory`."
            )
        self._file = _File((context.repo_path if context else Path()) / path)

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        """As the contract says."""
        db = self._file.borrow()
        try:
            if len(asked) == 1 and len(asked[0][1]) <= MOST:  # one statement is a snapshot by itself
                return [_values(db, *asked[0])]
            db.execute("BEGIN")
            return [_values(db, table, keys) for table, keys in asked]
        except sqlite3.Error as wrong:
            raise self._file.failure(wrong) from wrong
        finally:
            self._file.give_back(db)

    def write(self, table: Table, entries: Entries, merge: Merge) -> int:
        """As the contract says."""
        with self._file.writing() as db:
            generation, count = _pointer(db, table) or (_new_generation(db), 0)
            changed, fresh = _merge_into(db, generation, count, entries, merge)
            _point(db, table, generation, count + fresh)
            return changed

    def amend(self, table: Table, changes: Sequence[Change]) -> None:
        """As the contract says."""
        with self._file.writing() as db:
            generation, count = _pointer(db, table) or (0, 0)  # none has the number 0, so nothing is found in it
            effect = in_one_step(
                changes, lambda keys: list(map(_found(db, "?", (generation,), list(dict.fromkeys(keys))).get, keys))
            )
            if effect:
                generation = generation or _new_generation(db)
                db.executemany(_REMOVE, [(generation, key) for key in effect.gone])
                db.executemany(_PUT, [(generation, *entry) for entry in sorted(effect.puts.items())])
                _point(db, table, generation, count + effect.more)

    def replace(self, table: Table, batches: Iterable[Entries], merge: Merge) -> int:
        """As the contract says."""
        self._sweep()
        with self._file.writing() as db:
            generation = _new_generation(db, keep=True)
            owners.begin(self._named(generation))
            _mark(db, generation, _this_process())
        count = 0
        try:
            for entries in batches:
                with self._file.writing() as db:
                    self._renew(db, generation)
                    count += _merge_into(db, generation, count, entries, merge)[1]
            with self._file.writing() as db:
                self._renew(db, generation)
                if old := _pointer(db, table):
                    _mark(db, old[0], "")
                _point(db, table, generation, count)
                db.execute("DELETE FROM filling WHERE generation = ?", (generation,))
        except BaseException:
            owners.end(self._named(generation))  # from here on it is anybody's to remove
            with contextlib.suppress(BackendError):
                self._sweep()
            raise
        owners.end(self._named(generation))
        self._sweep()
        return count

    def delete(self, table: Table, keys: Sequence[bytes]) -> int:
        """As the contract says."""
        with self._file.writing() as db:
            if (found := _pointer(db, table)) is None:
                return 0
            before, (generation, count) = db.total_changes, found
            db.executemany(_REMOVE, [(generation, key) for key in set(keys)])
            gone = db.total_changes - before
            _point(db, table, generation, count - gone)
            return gone

    def drop(self, table: Table) -> None:
        """As the contract says."""
        names = (table.project, table.name)
        with self._file.writing() as db:
            if found := _pointer(db, table):
                _mark(db, found[0], "")
            db.execute("DELETE FROM published WHERE project = ? AND name = ?", names)
            db.execute("DELETE FROM note WHERE project = ? AND name = ?", names)
        self._sweep()

    def tables(self, project: str) -> list[Table]:
        """As the contract says."""
        found = self._rows("SELECT name FROM published WHERE project = ?", project)
        return [Table(project, name) for name in sorted(name for (name,) in found)]

    def count(self, table: Table) -> int:
        """As the contract says."""
        found = self._rows("SELECT count FROM published WHERE project = ? AND name = ?", table.project, table.name)
        return found[0][0] if found else 0

    def note(self, table: Table, name: str, value: bytes) -> None:
        """As the contract says."""
        with self._file.writing() as db:
            db.execute("INSERT OR REPLACE INTO note VALUES (?, ?, ?, ?)", (table.project, table.name, name, value))

    def notes(self, table: Table) -> dict[str, bytes]:
        """As the contract says."""
        return dict(
            self._rows("SELECT note, value FROM note WHERE project = ? AND name = ?", table.project, table.name)
        )

    def close(self) -> None:
        """As the contract says."""
        self._file.close()

    def _rows(self, sql: str, *values: str) -> list[Any]:
        db = self._file.borrow()
        try:
            return db.execute(sql, values).fetchall()
        except sqlite3.Error as wrong:
            raise self._file.failure(wrong) from wrong
        finally:
            self._file.give_back(db)

    def _named(self, generation: int) -> str:
        return f"{self._file.path}#{generation}"

    def _renew(self, db: sqlite3.Connection, generation: int) -> None:
        moved = db.execute("UPDATE filling SET owner = ? WHERE generation = ?", (_this_process(), generation))
        if not moved.rowcount:
            raise BackendError(
                f"{self._file.path}: this load was taken for dead and its rows were removed.",
                hint="run the same command again.",
            )

    def _sweep(self) -> None:
        """Remove generations nobody will publish any more, in slices."""
        for generation, owner in self._rows("SELECT generation, owner FROM filling"):
            if owners.lives(self._named(generation), owner, _now()):
                continue
            removed = SLICE
            while removed == SLICE:
                with self._file.writing() as db:
                    removed = db.execute(
                        "DELETE FROM entry WHERE generation = ?1 AND key IN"
                        " (SELECT key FROM entry WHERE generation = ?1 LIMIT ?2)",
                        (generation, SLICE),
                    ).rowcount
                    if removed < SLICE:
                        db.execute("DELETE FROM filling WHERE generation = ?", (generation,))


class _File:
    """Connections to one file, lent to a thread at a time, and none of them open across a fork.

    SQLite keeps in memory what the process has locked. A child that inherits this believes to hold locks that only
    its parent has; so the file is let go before a fork, and opened anew on both sides.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._open = True
        self.forked()
        _FILES.add(self)
        self.give_back(self.borrow())  # so that a file that cannot be used says so at once

    def forked(self) -> None:
        """Start with no connection, and locks that nobody holds."""
        self._free: list[sqlite3.Connection] = []
        self._users: list[int] = []
        self._gate, self._forking = threading.Condition(threading.RLock()), False
        self._turn, self._writer = threading.Lock(), threading.RLock()

    def borrow(self) -> sqlite3.Connection:
        """A connection that is this thread's until it is given back."""
        with self._gate:
            while self._forking:
                self._gate.wait()
            if not self._open:
                raise BackendError("this online store is closed.", hint="make a new one.")
            db = self._free.pop() if self._free else self._connect()
            self._users.append(threading.get_ident())
            return db

    def give_back(self, db: sqlite3.Connection) -> None:
        """Return a connection; what it has not committed is undone."""
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.rollback()
        with self._gate:
            self._users.remove(threading.get_ident())
            if self._open:
                self._free.append(db)
            else:
                db.close()
            self._gate.notify_all()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that changes something: synced when the block ends, undone when it raises."""
        with self._turn:  # who waits holds the turn, so a thread that writes on and on lets others in between
            self._writer.acquire()
        try:
            db = self.borrow()
            try:
                _begin(db)
                yield db
                db.execute("COMMIT")
            except sqlite3.Error as wrong:
                raise self.failure(wrong) from wrong
            finally:
                self.give_back(db)
        finally:
            self._writer.release()

    def close(self) -> None:
        """Close what is free now, and the rest as it comes back."""
        with self._gate:
            self._open = False
            self._close_free()

    def hold(self) -> None:
        """Before a fork: wait until no other thread uses the file, close it, and let nobody open it."""
        self._gate.acquire()
        self._forking = True
        while any(one != threading.get_ident() for one in self._users):
            self._gate.wait()
        self._close_free()

    def release(self) -> None:
        """After a fork, in the parent: go on."""
        self._forking = False
        self._gate.notify_all()
        self._gate.release()

    def failure(self, wrong: sqlite3.Error) -> BackendError:
        """What went wrong, in our words."""
        code = getattr(wrong, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return BackendError(
                f"{self.path}: the disk is full or failing; nothing was stored.",
                instead=str(wrong),
                hint="make room, then run the same command again.",
                path=str(self.path),
            )
        hint = "check that the folder exists, is writable and is on a local disk."
        if code in _BROKEN:
            hint = f"delete {self.path} with its -wal and -shm files and load again: gnomon materialize --replace."
        elif code == sqlite3.SQLITE_BUSY:
            hint = f"another process has been writing for more than {WAIT:.0f} s: wait for it, then try again."
        return BackendError(f"{self.path}: SQLite failed: {wrong}.", hint=hint, path=str(self.path))

    def _close_free(self) -> None:
        while self._free:
            self._free.pop().close()

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        except OSError as wrong:
            raise BackendError(f"{self.path}: {wrong}.", hint="name a file in a folder that can be written.") from wrong
        except sqlite3.Error as wrong:
            raise self.failure(wrong) from wrong
        try:
            _prepare(db, self.path)
        except sqlite3.Error as wrong:
            db.close()
            raise self.failure(wrong) from wrong
        except BaseException:
            db.close()
            raise
        return db


_FILES: weakref.WeakSet[_File] = weakref.WeakSet()
_HELD: list[_File] = []


def _before_fork() -> None:
    _HELD.extend(_FILES)
    for one in _HELD:
        one.hold()


def _after_fork_in_parent() -> None:
    while _HELD:
        _HELD.pop().release()


def _after_fork_in_child() -> None:
    while _HELD:
        _HELD.pop().forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Set a new connection up, and check whose file it is; a new file is laid out."""
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA cache_size = -16384")
    db.execute("PRAGMA journal_size_limit = 67108864")
    if _format(db, path) == 0:
        _lay_out(db, path)


def _lay_out(db: sqlite3.Connection, path: Path) -> None:
    _patiently(db, "PRAGMA journal_mode = WAL")
    _begin(db)
    if _format(db, path) == 0:  # nobody was faster
        for statement in _SETUP.split(";")[:-1]:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
    db.execute("COMMIT")


def _begin(db: sqlite3.Connection) -> None:
    _patiently(db, "BEGIN IMMEDIATE")


def _patiently(db: sqlite3.Connection, sql: str) -> None:
    """Run a statement that waits for other processes.

    SQLite's own waiting looks every tenth of a second, and so hardly ever gets between the batches of a busy writer.
    """
    deadline = time.monotonic() + WAIT
    db.execute("PRAGMA busy_timeout = 0")
    while True:
        try:
            db.execute(sql)
            db.execute(f"PRAGMA busy_timeout = {WAIT * 1000:.0f}")
            return
        except sqlite3.OperationalError as wrong:
            if wrong.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(POLL)


def _format(db: sqlite3.Connection, path: Path) -> int:
    """The file's format; 0 for an empty file."""
    (owner,), (found,) = (db.execute(f"PRAGMA {what}").fetchone() for what in ("application_id", "user_version"))
    if owner != APPLICATION:
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,) or owner:
            raise BackendError(
                f"{path} is a SQLite file of another program.",
                hint="give online_store another path, or move that file away.",
                path=str(path),
            )
        return 0
    if found > FORMAT:
        raise NewerFormat(path=str(path), found=found, supported=FORMAT)
    return int(found)


def _values(db: sqlite3.Connection, table: Table, keys: Sequence[bytes]) -> list[bytes | None]:
    found = _found(db, _OF, (table.project, table.name), keys)
    return list(map(found.get, keys))


def _found(
    db: sqlite3.Connection, generation: str, values: tuple[Any, ...], keys: Sequence[bytes]
) -> dict[bytes, bytes]:
    """The values of keys in a generation; statements come in few lengths, so that SQLite has them ready."""
    found: dict[bytes, bytes] = {}
    for start in range(0, len(keys), MOST):
        some = keys[start : start + MOST]
        places = 1 << (len(some) - 1).bit_length()
        filler = (some[-1],) * (places - len(some))
        sql = f"SELECT key, value FROM entry WHERE generation = {generation} AND key IN (?{', ?' * (places - 1)})"
        found.update(db.execute(sql, (*values, *some, *filler)).fetchall())
    return found


def _merge_into(db: sqlite3.Connection, generation: int, count: int, entries: Entries, merge: Merge) -> tuple[int, int]:
    """(values changed, keys that are new) after merging entries into a generation that has `count` keys."""
    if not entries:
        return 0, 0
    placed = sorted(entries, key=itemgetter(0))
    keys = list(dict.fromkeys(map(itemgetter(0), placed)))
    greatest = "SELECT key FROM entry WHERE generation = ? ORDER BY key DESC LIMIT 1"
    last = db.execute(greatest, (generation,)).fetchone() if count else None
    # Greater than all there is: nothing to look up.
    have = _found(db, "?", (generation,), keys) if last and last[0] >= keys[0] else {}
    known, changed = set(have), {}
    for key, incoming in placed:
        value = merge(have.get(key), incoming)
        if value is not None:
            have[key] = changed[key] = value
    db.executemany(_PUT, [(generation, key, value) for key, value in changed.items()])
    return len(changed), len(changed.keys() - known)


def _pointer(db: sqlite3.Connection, table: Table) -> tuple[int, int] | None:
    sql = "SELECT generation, count FROM published WHERE project = ? AND name = ?"
    found: tuple[int, int] | None = db.execute(sql, (table.project, table.name)).fetchone()
    return found


def _point(db: sqlite3.Connection, table: Table, generation: int, count: int) -> None:
    db.execute("INSERT OR REPLACE INTO published VALUES (?, ?, ?, ?)", (table.project, table.name, generation, count))


def _new_generation(db: sqlite3.Connection, keep: bool = False) -> int:
    """A number never given before; its mark stays only if it is to be filled over several transactions."""
    generation = db.execute("INSERT INTO filling (owner) VALUES ('')").lastrowid or 0
    if not keep:
        db.execute("DELETE FROM filling WHERE generation = ?", (generation,))
    return generation


def _mark(db: sqlite3.Connection, generation: int, owner: str) -> None:
    db.execute("INSERT OR REPLACE INTO filling VALUES (?, ?)", (generation, owner))


def _this_process() -> str:
    return f"{owners.process()}|{_now() + owners.LEASE}"


def _now() -> int:
    return int(time.time())
