"""A folder of files as a stream: each file is a partition, its rows are numbered from 0, and it only grows.

Files are read in the order of their names. Lines of JSON are messages; rows of Parquet and CSV files need no decoding.
New files may come at any time, and lines may be added to a file of lines; a last line without an end is taken once it
is whole, for no beginning of a JSON object is one.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from gnomon.contracts.plugins import check_options
from gnomon.contracts.streams import Letter, Messages, Reading, Room
from gnomon.errors import SourceError

__all__ = ["FolderStream"]

LINES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
ROWS = (".parquet", ".csv", ".csv.gz")


class FolderStream:
    """The files of a folder, and of folders in it.

    Args:
        reading: the source, and its option `path`.

    Raises:
        ConfigError: an option is unknown.
    """

    def __init__(self, reading: Reading) -> None:
        check_options("streams: folder", reading.options, ("path",))
        self._folder = Path(str(reading.options["path"]))
        self._positions, self._tell = reading.positions, reading.tell
        self._files: dict[str, File] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._at_end = False

    def open(self) -> None:
        """See that the folder is there."""
        if not self._folder.is_dir():
            raise SourceError(f"there is no folder {self._folder}.", hint="name the folder that the files are in.")

    def poll(self, room: Room) -> list[Messages]:
        """The next rows of the first file that has some."""
        paths = {path.relative_to(self._folder).as_posix(): path for path in self._paths()}
        known = self._positions() if paths.keys() - self._files.keys() - self._sizes.keys() else {}
        for name, path in paths.items():
            if messages := self._next(name, path, known.get(name, -1), room):
                self._at_end = False
                return [messages]
        if self._at_end:  # nothing came since the last look either
            time.sleep(room.wait)
        self._at_end = True
        return []

    def is_at_end(self) -> bool:
        """Whether no file had more."""
        return self._at_end

    def ends(self) -> Mapping[str, int]:
        """How many rows a file has is known when it has been read."""
        return {name: one.following - 1 for name, one in self._files.items()}

    def refuse(self, letters: Sequence[Letter]) -> None:
        """There is nobody to give them back to."""

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Nobody else looks."""

    def close(self) -> None:
        """Close the files."""
        for name, one in self._files.items():
            if one.is_torn:
                self._tell(f"{name} ends in the middle of a line, which was left out.")
            one.close()
        self._files.clear()

    def _paths(self) -> list[Path]:
        found = (path for path in self._folder.rglob("*") if path.name.lower().endswith(LINES + ROWS))
        return sorted(path for path in found if not path.name.startswith((".", "_")))

    def _next(self, name: str, path: Path, known: int, room: Room) -> Messages | None:
        stat = path.stat()
        now = stat.st_size, stat.st_mtime_ns
        if self._sizes.get(name) == now:
            return None
        try:
            if name not in self._files:
                self._files[name] = _opened(path, known + 1)
            read = self._files[name].read(room)
        except (OSError, EOFError, pa.ArrowException) as wrong:
            self._tell(f"{path} cannot be read, and is left out until it changes: {wrong}")
            self._sizes[name] = now
            if name in self._files:
                self._files.pop(name).close()
            return None
        if read is None:
            self._sizes[name] = now
            return None
        first, payloads = read
        return Messages(partition=name, offsets=range(first, first + len(payloads)), payloads=payloads)


class File:
    """A file that is being read.

    Args:
        following: the number of the row that is read next.
    """

    is_torn = False

    def __init__(self, following: int) -> None:
        self.following = following

    def read(self, room: Room) -> tuple[int, list[bytes] | pa.Table] | None:
        """The number of the next row, and it and others; None where there is none now."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it."""


class Lines(File):
    """A file of lines."""

    def __init__(self, path: Path, following: int) -> None:
        super().__init__(0)
        self._file: Any = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
        self._rest = b""
        while self.following < following and self._line() is not None:
            self.following += 1

    def read(self, room: Room) -> tuple[int, list[bytes] | pa.Table] | None:
        """The next lines; those without anything on them count, and are left to be refused."""
        first, lines, size = self.following, list[bytes](), 0
        while len(lines) < room.messages and size < room.size and (line := self._line()) is not None:
            lines.append(line)
            size += len(line)
        self.following += len(lines)
        return (first, lines) if lines else None

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def _line(self) -> bytes | None:
        self._rest += self._file.readline()
        self.is_torn = bool(self._rest) and not self._rest.endswith(b"\n") and not _is_whole(self._rest)
        if not self._rest or self.is_torn:
            return None
        line, self._rest = self._rest, b""
        return line.rstrip(b"\r\n")


class Rows(File):
    """A file of rows."""

    def __init__(self, path: Path, following: int) -> None:
        super().__init__(following)
        self._file: Any = None
        self._skip, self._rest = following, pa.table({})
        if path.suffix == ".parquet":
            self._file = pq.ParquetFile(path)
            self._batches: Iterator[pa.RecordBatch] = self._file.iter_batches()
        else:
            self._batches = iter(_csv(path))

    def read(self, room: Room) -> tuple[int, list[bytes] | pa.Table] | None:
        """The next rows."""
        while not len(self._rest):
            batch = next(self._batches, None)
            if batch is None:
                return None
            self._rest = pa.table(batch).slice(self._skip)
            self._skip = max(self._skip - len(batch), 0)
        wanted = max(min(room.messages, len(self._rest) * room.size // max(self._rest.nbytes, 1)), 1)
        rows, self._rest = self._rest.slice(0, wanted), self._rest.slice(wanted)
        first, self.following = self.following, self.following + len(rows)
        return first, rows

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()


def _opened(path: Path, following: int) -> File:
    return Lines(path, following) if path.name.lower().endswith(LINES) else Rows(path, following)


def _csv(path: Path) -> pa.Table | Any:
    """A CSV file's rows, all columns as texts: what a text means is said by the source's schema."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        head = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        names = next(csv.reader(head), [])
    options = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
    return pa_csv.open_csv(path, convert_options=options)


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
