"""What was erased, written down: when, by whom, from where, how many; and of the key only a hash.

A line says that an erasure begins, before anything is touched; one more what went from each place; the last that it is
done. So one that was killed is seen, and erasing again goes on under its number. The hash is salted, with a salt of the
project's own, and slow, for keys are few: it tells whether a key was erased to whoever has the key and both files.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gnomon.clock import to_micros
from gnomon.errors import BackendError
from gnomon.flows.files import sync_folder

__all__ = ["Erasure", "Erasures"]

ROUNDS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """One erasure.

    Args:
        id: its number.
        key: the hash of the key.
        join_keys: the names of the join keys.
        sources: the sources it was asked for; empty for all.
        begun: when it began, µs.
        done: when it was done, µs; None where it was not.
        by: who asked for it: a login name.
        removed: what went, by place: `log payments`, `rejected payments`, `online profile@1`.
    """

    id: str
    key: str
    join_keys: tuple[str, ...]
    sources: tuple[str, ...]
    begun: int
    by: str
    done: int | None = None
    removed: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The erasure as plain data."""
        return asdict(self)


class Erasures:
    """A project's record of erasures, in two files.

    Args:
        path: where they are: what their names begin with.
    """

    def __init__(self, path: Path) -> None:
        self._lines, self._salt = Path(f"{path}.jsonl"), Path(f"{path}.salt")

    def all(self) -> list[Erasure]:
        """All erasures, oldest first; one that was killed has no end.

        Raises:
            BackendError: the record cannot be read.
        """
        found: dict[str, dict[str, Any]] = {}
        for line in self._read():
            told = found.setdefault(line["id"], {"removed": {}})
            for place, count in line.pop("removed", {}).items():
                told["removed"][place] = told["removed"].get(place, 0) + count
            told |= line
        return [_erasure(told) for told in found.values()]

    def begin(self, entity: Mapping[str, Any], sources: Sequence[str], at: int, by: str) -> Erasure:
        """Write down that an entity is going to be erased; where one that asked for the same was killed, it goes on.

        Args:
            entity: join key → value.
            sources: the sources; none for all.
            at: when, µs.
            by: who.
        """
        key = self._hashed(entity)
        asked = tuple(sorted(sources))
        for one in self._unfinished(key):
            if one.sources == asked:
                return one
        begun = Erasure(
            id=secrets.token_hex(6),
            key=key,
            join_keys=tuple(sorted(entity)),
            sources=asked,
            begun=at,
            by=by,
        )
        self._write({name: value for name, value in asdict(begun).items() if name not in ("done", "removed")})
        return begun

    def removed(self, erasure: Erasure, place: str, count: int) -> None:
        """Write down what went from a place."""
        self._write({"id": erasure.id, "removed": {place: count}})

    def end(self, erasure: Erasure, at: int) -> Erasure:
        """Write down that it is done, and with it all that were killed at a part of it; what is known of it now."""
        for one in self._unfinished(erasure.key):
            if one.id == erasure.id or not erasure.sources or (one.sources and {*one.sources} <= {*erasure.sources}):
                self._write({"id": one.id, "done": at})
        return next(one for one in self.all() if one.id == erasure.id)

    def _unfinished(self, key: str) -> list[Erasure]:
        return [one for one in self.all() if one.done is None and one.key == key]

    def _read(self) -> list[dict[str, Any]]:
        try:
            lines = self._lines.read_bytes().split(b"\n") if self._lines.exists() else []
        except OSError as wrong:
            raise self._failed(wrong) from wrong
        found = []
        for line in lines:
            with suppress(ValueError):  # torn, when a process was killed: what it said is not needed
                found.append(json.loads(line))
        return found

    def _write(self, line: Mapping[str, Any]) -> None:
        """A line, durable on return; behind one that is torn it begins anew."""
        try:
            self._lines.parent.mkdir(parents=True, exist_ok=True)
            with self._lines.open("a+b") as file:
                size = file.seek(0, os.SEEK_END)
                whole = not size or os.pread(file.fileno(), 1, size - 1) == b"\n"
                file.write((b"" if whole else b"\n") + json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._lines.parent)
        except OSError as wrong:
            raise self._failed(wrong) from wrong

    def _hashed(self, entity: Mapping[str, Any]) -> str:
        text = json.dumps({name: _text(value) for name, value in sorted(entity.items())})
        return hashlib.pbkdf2_hmac("sha256", text.encode(), self._own_salt(), ROUNDS).hex()[:32]

    def _own_salt(self) -> bytes:
        """The project's salt, made once."""
        try:
            self._salt.parent.mkdir(parents=True, exist_ok=True)
            if not self._salt.exists():
                scratch = self._salt.with_name(f".{self._salt.name}.{secrets.token_hex(4)}")
                handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                os.write(handle, secrets.token_hex(16).encode())
                os.fsync(handle)
                os.close(handle)
                with suppress(FileExistsError):
                    os.link(scratch, self._salt)
                scratch.unlink()
                sync_folder(self._lines.parent)
            return self._salt.read_bytes()
        except OSError as wrong:
            raise self._failed(wrong) from wrong

    def _failed(self, wrong: OSError) -> BackendError:
        return BackendError(
            f"{self._lines} cannot be used.", instead=str(wrong), hint="is the folder writable, and has it room?"
        )


def _erasure(told: Mapping[str, Any]) -> Erasure:
    listed = {name: tuple(told[name]) for name in ("join_keys", "sources")}
    return Erasure(**{**told, **listed})


def _text(value: Any) -> str:
    """A key's value as text: the same for 7 and "7", which are one key."""
    if isinstance(value, datetime):
        return str(to_micros(value))
    return value.hex() if isinstance(value, bytes) else str(value)
