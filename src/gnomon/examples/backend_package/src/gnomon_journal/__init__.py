"""An online store in a folder: one journal of JSON lines per table, replayed when the folder is opened.

    {"format": 1, "project": "shop", "name": "profile@1"}
    {"put": {"key": "value", "other": "value"}}
    {"delete": ["other"]}

A batch is one line, with both where it puts and deletes, so it is there whole or, if the process died while writing it,
without its end and cut off. All rows are in memory too: reads take them from there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnomon.contracts.online import Asked, Change, Merge, OnlineCapabilities, Table
from gnomon.contracts.plugins import Context, check_options
from gnomon.errors import BackendError, NewerFormat
from gnomon.online.amending import in_one_step

__all__ = ["JournalStore"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """A table as it is now; never changed, only replaced, so that a reader may go on with what it has."""

    rows: Mapping[bytes, bytes] | None = None  # None until a generation is published
    notes: Mapping[str, bytes] = field(default_factory=dict)

    def after(self, line: Mapping[str, Any]) -> Kept:
        """The table once a line of its journal has been followed."""
        rows, notes = self.rows, {**self.notes, **{name: _bytes(text) for name, text in line.get("note", {}).items()}}
        if "put" in line:
            rows = {**(rows or {}), **{_bytes(key): _bytes(text) for key, text in line["put"].items()}}
        if "delete" in line:
            gone = set(map(_bytes, line["delete"]))
            rows = {key: value for key, value in (rows or {}).items() if key not in gone}
        return Kept(rows, notes)


class JournalStore:
    """The online store's contract over journals.

    Args:
        options: `path`: the folder, relative to the repo; by default `.gnomon/journal`.
        context: the repo it is made for.

    Raises:
        ConfigError: an option is unknown.
        BackendError: another store has the folder open, or a journal is damaged.
    """

    capabilities = OnlineCapabilities(
        persistent=True, shared=False, atomic_request=True, atomic_batch=True, remote=False
    )

    def __init__(self, options: Mapping[str, Any], context: Context) -> None:
        check_options("online_store of type journal", options, ("path",))
        self._folder = context.repo_path / str(options.get("path", ".gnomon/journal"))
        self._lock = threading.RLock()
        with self._guarded():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._held: int | None = self._hold()
            self._tables = dict(found for one in self._folder.glob("*.jsonl") if (found := _replayed(one)))

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        """As the contract says."""
        tables = self._tables  # one snapshot, whatever is written meanwhile
        return [list(map((tables.get(table, Kept()).rows or {}).get, keys)) for table, keys in asked]

    def write(self, table: Table, entries: Sequence[tuple[bytes, bytes]], merge: Merge) -> int:
        """As the contract says."""
        with self._lock:
            changed = _merged(self._kept(table).rows or {}, entries, merge)
            self._append(table, _put(changed))
        return len(changed)

    def amend(self, table: Table, changes: Sequence[Change]) -> None:
        """As the contract says."""
        with self._lock:
            rows = self._kept(table).rows or {}
            effect = in_one_step(changes, lambda keys: list(map(rows.get, keys)))
            if effect:
                self._append(table, {**_put(effect.puts), "delete": list(map(_text, effect.gone))})

    def replace(self, table: Table, batches: Iterable[Sequence[tuple[bytes, bytes]]], merge: Merge) -> int:
        """As the contract says."""
        rows: dict[bytes, bytes] = {}
        for entries in batches:
            rows.update(_merged(rows, entries, merge))
        with self._lock, self._guarded():
            notes = self._kept(table).notes
            fresh = self._file(table).with_suffix(".new")
            fresh.unlink(missing_ok=True)
            _write(fresh, _header(table), _put(rows), *(_note(*one) for one in notes.items()))
            fresh.replace(self._file(table))
            self._tables = {**self._tables, table: Kept(rows, notes)}
        return len(rows)

    def delete(self, table: Table, keys: Sequence[bytes]) -> int:
        """As the contract says."""
        with self._lock:
            there = (self._kept(table).rows or {}).keys() & set(keys)
            if there:
                self._append(table, {"delete": list(map(_text, there))})
        return len(there)

    def drop(self, table: Table) -> None:
        """As the contract says."""
        with self._lock, self._guarded():
            self._file(table).unlink(missing_ok=True)
            self._tables = {one: kept for one, kept in self._tables.items() if one != table}

    def tables(self, project: str) -> list[Table]:
        """As the contract says."""
        published = (one for one, kept in self._tables.items() if kept.rows is not None and one.project == project)
        return sorted(published, key=lambda one: one.name)

    def count(self, table: Table) -> int:
        """As the contract says."""
        return len(self._kept(table).rows or {})

    def note(self, table: Table, name: str, value: bytes) -> None:
        """As the contract says."""
        with self._lock:
            self._append(table, _note(name, value))

    def notes(self, table: Table) -> dict[str, bytes]:
        """As the contract says."""
        return dict(self._kept(table).notes)

    def close(self) -> None:
        """As the contract says."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def _kept(self, table: Table) -> Kept:
        return self._tables.get(table, Kept())

    def _file(self, table: Table) -> Path:
        name = json.dumps([table.project, table.name]).encode()
        return self._folder / f"{hashlib.sha256(name).hexdigest()[:32]}.jsonl"

    def _append(self, table: Table, line: Mapping[str, Any]) -> None:
        with self._guarded():
            _write(self._file(table), *([] if table in self._tables else [_header(table)]), line)
        self._tables = {**self._tables, table: self._kept(table).after(line)}

    def _hold(self) -> int:
        """Keep others out for as long as the folder is open here."""
        held = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            hint = "close it there, or use an online store that several processes may share."
            raise BackendError(f"{self._folder} is open in another store.", hint=hint) from None
        return held

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = "check the folder's permissions and the room on its disk; nothing was half-written."
            raise BackendError(f"the online store {self._folder} cannot be used: {error}.", hint=hint) from error


def _merged(rows: Mapping[bytes, bytes], entries: Sequence[tuple[bytes, bytes]], merge: Merge) -> dict[bytes, bytes]:
    """What entries change."""
    changed: dict[bytes, bytes] = {}
    for key, incoming in entries:
        value = merge(changed.get(key, rows.get(key)), incoming)
        if value is not None:
            changed[key] = value
    return changed


def _write(file: Path, *lines: Mapping[str, Any]) -> None:
    """Append lines, all or none, and return when they are on disk."""
    is_new, data = not file.exists(), b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with file.open("ab", buffering=0) as journal:
        start = journal.tell()
        try:
            if journal.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(journal.fileno())
        except OSError:
            journal.truncate(start)
            raise
    if is_new:  # its name has to be on disk too
        folder = os.open(file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def _replayed(file: Path) -> tuple[Table, Kept] | None:
    """A table from its journal; None if the process died before the first line was whole."""
    whole, _, torn = file.read_bytes().rpartition(b"\n")
    if torn:
        os.truncate(file, len(whole) + 1 if whole else 0)
    if not whole:
        file.unlink()
        return None
    try:
        header, *lines = map(json.loads, whole.split(b"\n"))
        if header["format"] > FORMAT:
            raise NewerFormat(path=str(file), found=header["format"], supported=FORMAT)
        kept = Kept()
        for line in lines:
            kept = kept.after(line)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "delete it, and load the view again: gnomon materialize --replace."
        raise BackendError(f"{file} is damaged: {error}.", hint=hint) from error
    return Table(header["project"], header["name"]), kept


def _header(table: Table) -> dict[str, Any]:
    return {"format": FORMAT, "project": table.project, "name": table.name}


def _put(rows: Mapping[bytes, bytes]) -> dict[str, Any]:
    return {"put": {_text(key): _text(value) for key, value in rows.items()}}


def _note(name: str, value: bytes) -> dict[str, Any]:
    return {"note": {name: _text(value)}}


# Any bytes are a text in Latin-1, which JSON can hold.
def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
