"""The online store in an LMDB folder: one writer and any number of readers, in any number of processes.

Readers see a snapshot and never wait. Each table's rows lie under its generation's number, and one small entry says
which generation is published; it is read in the same transaction as the rows. LMDB is told not to sync by itself:
each batch is one transaction and one sync (`gnomon.online.trust` has the rest of that thought).

    r generation 0 key → value; r generation 1 blake2b(key) → value, for keys LMDB finds too long
    mt table → generation, count;  mn table name → note;  mg generation → who fills it, or nobody;  mformat;  mlast

>>> import tempfile
>>> from gnomon.contracts.online import Table
>>> store, table = LmdbStore({"path": tempfile.mkdtemp()}), Table("demo", "profile@1")
>>> store.write(table, [(b"key", b"value")], merge=lambda stored, incoming: incoming)
1
>>> store.read([(table, [b"key", b"other"])])
[[b'value', None]]
>>> store.close()
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from gnomon.contracts.online import Asked, Change, Merge, OnlineCapabilities, Table
from gnomon.contracts.plugins import Context, check_options
from gnomon.errors import BackendError, ConfigError, NewerFormat
from gnomon.online.amending import in_one_step
from gnomon.online.gate import Gate
from gnomon.online.trust import WriterMark, boot_id, is_alive, left_behind, torn

__all__ = ["LmdbStore"]

T = TypeVar("T")
Entries = Sequence[tuple[bytes, bytes]]

FORMAT = 1
DEFAULT_PATH = ".gnomon/online.lmdb"
DEFAULT_MAP_SIZE = 1 << 30
READERS = 1024
LONGEST = 511 - 6
SLICE = 20_000
"""Rows removed in one transaction, so that removing a generation keeps other writers waiting for milliseconds."""

# Run in a process of its own, since reading behind the end of a mapped file kills the reader. A compacting copy reads
# each page in use, the list of free pages too, and fails when they do not add up.
_READ_ALL = """
import lmdb, os, sys
with lmdb.open(sys.argv[1], readonly=True) as env, open(os.devnull, "wb") as nowhere:
    env.copyfd(nowhere.fileno(), compact=True)
"""

_POINTER = struct.Struct(">IQ")
# LMDB reports a write cut short, which a full disk causes, as an input/output error.
_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class LmdbStore:
    """Tables in an LMDB folder.

    Args:
        options: `path` of the folder, by default `.gnomon/online.lmdb`, relative to the repo; `map_size`, the most
            bytes it may take before the map is grown (it grows by itself).
        context: the repo it is made for.

    Raises:
        BackendError: the folder is not usable, or not to be trusted after a crash of the machine.
        NewerFormat: a newer gnomon wrote it.
    """

    capabilities = OnlineCapabilities(
        persistent=True, shared=True, atomic_request=True, atomic_batch=True, remote=False
    )

    def __init__(self, options: Mapping[str, Any] | None = None, context: Context | None = None) -> None:
        options = options or {}
        check_options("online_store of type lmdb", options, ("path", "map_size"))
        map_size = options.get("map_size", DEFAULT_MAP_SIZE)
        if not isinstance(map_size, int) or isinstance(map_size, bool) or map_size < 1 << 16:
            raise ConfigError(f"online_store: map_size is {map_size!r}.", hint="map_size is a number of bytes ≥ 65536.")
        path = options.get("path", DEFAULT_PATH)
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise ConfigError(f"online_store: path is {path!r}.", hint="path is a folder, relative to the repo.")
        base = context.repo_path if context else Path()
        self._env: _Environment | None = _acquire(base / path, map_size)
        self._table_keys: dict[Table, bytes] = {}

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        """As the contract says."""
        env = self._env or _closed()
        for _ in range(3):
            try:
                with env.gate, env.handle().begin() as txn:
                    return [self._values(txn, table, keys) for table, keys in asked]
            except lmdb.Error as wrong:
                env.recover(wrong)
        raise BackendError(f"{env.path}: LMDB kept failing.", hint="see the log for the first failure.")

    def write(self, table: Table, entries: Entries, merge: Merge) -> int:
        """As the contract says."""
        env, key = self._env or _closed(), self._key(table)

        def work(txn: Any) -> int:
            generation, count = _pointer(txn, key) or (_new_generation(txn), 0)
            changed, fresh = _merge_into(txn, generation, count, entries, merge)
            txn.put(key, _POINTER.pack(generation, count + fresh))
            return changed

        return env.transact(work)

    def amend(self, table: Table, changes: Sequence[Change]) -> None:
        """As the contract says."""
        env, key = self._env or _closed(), self._key(table)

        def work(txn: Any) -> None:
            generation, count = _pointer(txn, key) or (0, 0)  # none has the number 0, so nothing is found in it
            effect = in_one_step(changes, partial(_stored, txn, generation.to_bytes(4, "big")))
            if not effect:
                return
            generation = generation or _new_generation(txn)
            for one in effect.gone:
                txn.delete(_place(generation, one))
            if effect.puts:
                txn.cursor().putmulti(_placed(generation, list(effect.puts.items())))
            txn.put(key, _POINTER.pack(generation, count + effect.more))

        env.transact(work)

    def replace(self, table: Table, batches: Iterable[Entries], merge: Merge) -> int:
        """As the contract says."""
        env, key, count = self._env or _closed(), self._key(table), 0
        env.sweep()
        generation = env.transact(lambda txn: _claim(env, txn))
        try:
            for entries in batches:
                count += env.transact(partial(_fill, generation, count, entries, merge))
            env.transact(lambda txn: _publish(txn, key, generation, count))
        except BaseException:
            with contextlib.suppress(BackendError):
                env.transact(lambda txn: txn.put(_mark(generation), b""))
                env.sweep()
            raise
        env.sweep()
        return count

    def delete(self, table: Table, keys: Sequence[bytes]) -> int:
        """As the contract says."""
        env, key = self._env or _closed(), self._key(table)

        def work(txn: Any) -> int:
            if (found := _pointer(txn, key)) is None:
                return 0
            gone: int = sum(txn.delete(_place(found[0], one)) for one in set(keys))
            txn.put(key, _POINTER.pack(found[0], found[1] - gone))
            return gone

        return env.transact(work)

    def drop(self, table: Table) -> None:
        """As the contract says."""
        env, key = self._env or _closed(), self._key(table)

        def work(txn: Any) -> None:
            if found := _pointer(txn, key):
                txn.put(_mark(found[0]), b"")
                txn.delete(key)
            for name in [name for name, _ in _under(txn, _note_key(table, ""))]:
                txn.delete(name)

        env.transact(work)
        env.sweep()

    def tables(self, project: str) -> list[Table]:
        """As the contract says."""
        env, prefix = self._env or _closed(), b"mt" + _sized(project)
        found = env.view(lambda txn: [key for key, _ in _under(txn, prefix)])
        return [Table(project, key[len(prefix) :].decode()) for key in found]

    def count(self, table: Table) -> int:
        """As the contract says."""
        env, key = self._env or _closed(), self._key(table)
        found = env.view(lambda txn: _pointer(txn, key))
        return found[1] if found else 0

    def note(self, table: Table, name: str, value: bytes) -> None:
        """As the contract says."""
        env, key = self._env or _closed(), _checked(_note_key(table, name))
        env.transact(lambda txn: txn.put(key, value))

    def notes(self, table: Table) -> dict[str, bytes]:
        """As the contract says."""
        env, prefix = self._env or _closed(), _checked(_note_key(table, ""))
        found = env.view(lambda txn: list(_under(txn, prefix)))
        return {key[len(prefix) :].decode(): value for key, value in found}

    def close(self) -> None:
        """As the contract says."""
        env, self._env = self._env, None
        if env is not None:
            _release(env)

    def _key(self, table: Table) -> bytes:
        key = self._table_keys.get(table)
        if key is None:
            key = self._table_keys[table] = _checked(b"mt" + _sized(table.project) + table.name.encode())
        return key

    def _values(self, txn: Any, table: Table, keys: Sequence[bytes]) -> list[bytes | None]:
        found = txn.get(self._key(table))
        return [None] * len(keys) if found is None else _stored(txn, found[:4], keys)


class _Environment:
    """One LMDB environment: LMDB wants a file opened once in a process, so stores of one path share it."""

    def __init__(self, path: Path, map_size: int) -> None:
        self.path, self.users = path, 0
        self.token = secrets.token_hex(4)
        self._map_size = map_size
        self._handle: Any = None
        self._mark: WriterMark | None = None
        # Readers of this process pass the gate: growing the map, which would pull it away under them, waits for them.
        self.gate, self._opening = Gate(), threading.Lock()
        self.writer = threading.RLock()

    def handle(self) -> Any:
        """The open environment; call it inside the gate."""
        return self._handle or self._opened()

    def _opened(self) -> Any:
        with self._opening:
            return self._handle or self._open()

    def view(self, work: Callable[[Any], T]) -> T:
        """Run some reading in one snapshot."""
        for _ in range(3):
            try:
                with self.gate, self.handle().begin() as txn:
                    return work(txn)
            except lmdb.Error as wrong:
                self.recover(wrong)
        raise BackendError(f"{self.path}: LMDB kept failing.", hint="see the log for the first failure.")

    def transact(self, work: Callable[[Any], T]) -> T:
        """Run a batch in one transaction, durable on return; it may run again when the map had to grow first."""
        with self.writer, self._translated():
            with self.gate:
                handle = self.handle()
                handle.reader_check()
            self._mark = self._mark or WriterMark(self.path)
            self._mark.set()
            gone = left_behind(self.path)
            result = self._commit(work)
            self._sync(self._handle, gone)
            self._mark.clear()
            return result

    def _sync(self, handle: Any, gone: list[Path]) -> None:
        """Sync, and with that also what processes wrote that are gone since before: their marks can go too."""
        handle.sync(True)
        for path in gone:
            path.unlink(missing_ok=True)

    def _commit(self, work: Callable[[Any], T]) -> T:
        while True:
            try:
                txn = self._handle.begin(write=True)
                try:
                    result = work(txn)
                    txn.commit()
                    return result
                except BaseException:
                    # LMDB's binding aborts a writer when no other thread is inside, which may be never.
                    with self.gate.alone():
                        txn.abort()
                    raise
            except lmdb.MapFullError:
                with self.gate.alone():
                    size = self._handle.info()["map_size"]
                    self._handle.set_mapsize(size + min(size, 16 << 30))
            except lmdb.MapResizedError:
                with self.gate.alone():
                    self._handle.set_mapsize(0)

    def sweep(self) -> None:
        """Remove generations nobody will publish any more, in slices."""
        for generation in self.view(self._abandoned):
            while self.transact(partial(_remove_slice, generation)) == SLICE:
                pass
            self.transact(partial(_unmark, generation))

    def _abandoned(self, txn: Any) -> list[int]:
        return [int.from_bytes(key[2:], "big") for key, owner in _under(txn, b"mg") if not self._lives(owner)]

    def _lives(self, owner: bytes) -> bool:
        if not owner:
            return False
        boot, pid, token = owner.decode().split("|")
        return boot == boot_id() and (token == self.token if int(pid) == os.getpid() else is_alive(int(pid)))

    def recover(self, wrong: Exception) -> None:
        """Do what lets a failed reader try again, or raise what it is to be told."""
        with self._translated(), self.gate.alone():
            if isinstance(wrong, lmdb.MapResizedError):
                self.handle().set_mapsize(0)
            elif isinstance(wrong, lmdb.ReadersFullError) and self.handle().reader_check():
                return
            else:
                raise wrong

    def close(self) -> None:
        """Close the files; the next use would open them again."""
        with self.writer, self.gate.alone():
            if self._handle is not None:
                self._handle.close()
                self._handle = None
            if self._mark is not None:
                self._mark.remove()
                self._mark = None

    def forked(self) -> None:
        """Let go, in a child process, of what belongs to its parent."""
        if self._handle is not None:
            self._handle.close()
        if self._mark is not None:
            self._mark.forget()
        self._handle = self._mark = None
        self.token = secrets.token_hex(4)
        self.gate, self._opening, self.writer = Gate(), threading.Lock(), threading.RLock()

    def _open(self) -> Any:
        with self._translated():
            self.path.mkdir(parents=True, exist_ok=True)
            if torn(self.path):
                raise BackendError(
                    f"{self.path}: the machine went down while a batch was being written, so the file may be torn.",
                    hint=f"delete the folder {self.path} and load it again: gnomon materialize --replace.",
                    path=str(self.path),
                )
            # Taken before the sync: a writer that dies later is not covered by it.
            gone = left_behind(self.path)
            handle = lmdb.open(
                str(self.path), map_size=self._map_size, max_readers=READERS, sync=False, readahead=False
            )
            try:
                self._check(handle)
                if gone:
                    self._sync(handle, gone)
            except BaseException:
                handle.close()
                raise
            self._handle = handle
            return handle

    def _check(self, handle: Any) -> None:
        pages, page = handle.info()["last_pgno"] + 1, handle.stat()["psize"]
        size = (self.path / "data.mdb").stat().st_size
        if size < pages * page and pages > 2 and not (size % page == 0 and self._lengthen(size, pages * page)):
            raise BackendError(
                f"{self.path}: data.mdb has {size} bytes and should have {pages * page}: it is cut off.",
                hint=f"delete the folder {self.path} and load it again: gnomon materialize --replace.",
                path=str(self.path),
            )
        handle.reader_check()
        with handle.begin() as txn:
            found = txn.get(b"mformat")
        if found is None:  # only then: who opens to read must not wait for a writer
            with handle.begin(write=True) as txn:
                txn.put(b"mformat", b"%d" % FORMAT, overwrite=False)
            handle.sync(True)
        elif int(found) > FORMAT:
            raise NewerFormat(path=str(self.path), found=int(found), supported=FORMAT)

    def _lengthen(self, size: int, needed: int) -> bool:
        """Give the file its full length if it lacks only pages nobody uses; False: it lacks others.

        LMDB does not write a page that was taken and freed in one transaction, so a sound file may be short.
        """
        search = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-P", "-c", _READ_ALL, str(self.path)]
        if subprocess.run(
            command, env={**os.environ, "PYTHONPATH": search}, capture_output=True, check=False
        ).returncode:
            return False
        if hasattr(os, "posix_fallocate"):  # elsewhere each opening checks anew
            # Unlike truncating, this cannot take away what a writer appends meanwhile.
            with (self.path / "data.mdb").open("r+b") as file:
                os.posix_fallocate(file.fileno(), size, needed - size)
        return True

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (lmdb.Error, OSError) as wrong:
            if isinstance(wrong, lmdb.PanicError) and self._handle is not None:
                self._handle.close()
                self._handle = None
            raise self._failure(wrong) from wrong

    def _failure(self, wrong: Any) -> BackendError:
        code = getattr(wrong, "errno", None) or getattr(wrong, "code", 0)
        if code in _UNWRITTEN:
            return BackendError(
                f"{self.path}: the disk is full or failing; the batch was not stored.",
                instead=str(wrong),
                hint="make room, then run the same command again.",
                path=str(self.path),
            )
        if isinstance(wrong, (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError)):
            hint = f"delete the folder {self.path} and load it again: gnomon materialize --replace."
        else:
            hint = "check that the folder exists, is writable and is on a local disk."
        return BackendError(f"{self.path}: LMDB failed: {wrong}.", hint=hint, path=str(self.path))


_ENVIRONMENTS: dict[Path, _Environment] = {}
_LOCK = threading.RLock()


def _acquire(path: Path, map_size: int) -> _Environment:
    path = path.resolve()
    with _LOCK:
        env = _ENVIRONMENTS.get(path) or _Environment(path, map_size)
        with env.gate:
            env.handle()
        env.users += 1
        _ENVIRONMENTS[path] = env
    return env


def _release(env: _Environment) -> None:
    with _LOCK:
        env.users -= 1
        if not env.users:
            _ENVIRONMENTS.pop(env.path, None)
            env.close()


def _closed() -> _Environment:
    raise BackendError("this online store is closed.", hint="make a new one.")


def _before_fork() -> None:
    _LOCK.acquire()
    for env in _ENVIRONMENTS.values():
        env.writer.acquire()
        env.gate.shut()


def _after_fork_in_parent() -> None:
    for env in _ENVIRONMENTS.values():
        env.gate.open()
        env.writer.release()
    _LOCK.release()


def _after_fork_in_child() -> None:
    for env in _ENVIRONMENTS.values():
        env.forked()
    _LOCK.release()


if hasattr(os, "register_at_fork"):
    # No transaction is open at the fork, so the child can let go of the parent's environment without harm to it.
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _stored(txn: Any, number: bytes, keys: Sequence[bytes]) -> list[bytes | None]:
    """The values of keys in the generation of a number."""
    get, prefix = txn.get, b"r" + number + b"\0"
    values = [get(prefix + key) for key in keys]
    # LMDB says that a key it finds too long is not there.
    if None in values and max(map(len, keys)) > LONGEST:
        generation = int.from_bytes(number, "big")
        return [get(_place(generation, key)) for key in keys]
    return values


def _merge_into(txn: Any, generation: int, count: int, entries: Entries, merge: Merge) -> tuple[int, int]:
    """(values changed, keys that are new) after merging entries into a generation that has `count` keys."""
    if not entries:
        return 0, 0
    placed = _placed(generation, entries)
    cursor = txn.cursor()
    # Greater than all there is: nothing to look up, and LMDB fills its pages to the brim.
    append = not cursor.last() or cursor.key() < placed[0][0]
    keys = list(map(itemgetter(0), placed))
    have = dict(cursor.getmulti(keys)) if count and not append else {}
    if not have and len(set(keys)) == len(keys):
        new = [(key, value) for key, one in placed if (value := merge(None, one)) is not None]
        cursor.putmulti(new, append=append)
        return len(new), len(new)
    known, changed = set(have), {}
    for key, incoming in placed:
        value = merge(have.get(key), incoming)
        if value is not None:
            have[key] = changed[key] = value
    cursor.putmulti(list(changed.items()), append=append)
    return len(changed), len(changed.keys() - known)


def _fill(generation: int, count: int, entries: Entries, merge: Merge, txn: Any) -> int:
    return _merge_into(txn, generation, count, entries, merge)[1]


def _placed(generation: int, entries: Entries) -> list[tuple[bytes, bytes]]:
    """Entries under their places, in order of place; entries of one key stay in their order."""
    prefix = _rows(generation) + b"\0"
    if max(len(key) for key, _ in entries) > LONGEST:
        placed = [(_place(generation, key), value) for key, value in entries]
    else:
        placed = [(prefix + key, value) for key, value in entries]
    placed.sort(key=itemgetter(0))
    return placed


def _rows(generation: int) -> bytes:
    return b"r" + generation.to_bytes(4, "big")


def _place(generation: int, key: bytes) -> bytes:
    if len(key) <= LONGEST:
        return _rows(generation) + b"\0" + key
    return _rows(generation) + b"\1" + hashlib.blake2b(key, digest_size=32).digest()


def _remove_slice(generation: int, txn: Any) -> int:
    prefix, removed, cursor = _rows(generation), 0, txn.cursor()
    there = cursor.set_range(prefix)
    while there and removed < SLICE and cursor.key().startswith(prefix):
        there = cursor.delete() and bool(cursor.key())
        removed += 1
    return removed


def _pointer(txn: Any, key: bytes) -> tuple[int, int] | None:
    found = txn.get(key)
    return None if found is None else _POINTER.unpack(found)


def _new_generation(txn: Any) -> int:
    generation = int(txn.get(b"mlast") or 0) + 1
    txn.put(b"mlast", b"%d" % generation)
    return generation


def _claim(env: _Environment, txn: Any) -> int:
    generation = _new_generation(txn)
    txn.put(_mark(generation), f"{boot_id()}|{os.getpid()}|{env.token}".encode())
    return generation


def _publish(txn: Any, key: bytes, generation: int, count: int) -> None:
    if old := _pointer(txn, key):
        txn.put(_mark(old[0]), b"")
    txn.put(key, _POINTER.pack(generation, count))
    txn.delete(_mark(generation))


def _unmark(generation: int, txn: Any) -> None:
    txn.delete(_mark(generation))


def _mark(generation: int) -> bytes:
    return b"mg" + generation.to_bytes(4, "big")


def _sized(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


def _note_key(table: Table, name: str) -> bytes:
    return b"mn" + _sized(table.project) + _sized(table.name) + name.encode()


def _checked(key: bytes) -> bytes:
    if len(key) <= 511:
        return key
    raise BackendError(f"the name {key[:60]!r}… is too long for LMDB.", hint="use shorter names of project and view.")


def _under(txn: Any, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    cursor = txn.cursor()
    if cursor.set_range(prefix):
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value
