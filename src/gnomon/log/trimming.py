"""Trimming: the oldest sealed files go, from the log's beginning on, and a mark says where it begins now.

The mark comes first: from then on files before it do not count, whether they are there still or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import pyarrow.parquet as pq

from gnomon.contracts.log import KNOWN, Trimmed
from gnomon.log.folder import Sealed, begin_name
from gnomon.log.rewriting import place, sync_folder
from gnomon.log.spans import span_of

__all__ = ["drop_trimmed", "trim", "trimmed_at"]


def trim(folder: Path, sealed: Sequence[Sealed], begins: int, before: int, happened: str, now: int) -> Trimmed:
    """Trim a log, files that do not count included.

    Args:
        folder: the log's folder.
        sealed: the files that count, in order.
        begins: the position that the log begins with.
        before: files go whose events all happened and were known before this instant, µs.
        happened: the column of event times.
        now: the instant, µs.
    """
    gone = list(takewhile(lambda one: _is_over(one, before, happened), sealed))
    if not gone:
        return Trimmed(begins=begins)
    events = sum(pq.read_metadata(one.path).num_rows for one in gone)
    begins = gone[-1].last + 1
    place(folder / begin_name(begins), json.dumps({"at": now, "before": before}).encode())
    drop_trimmed(folder, begins)
    return Trimmed(events=events, files=len(gone), begins=begins)


def drop_trimmed(folder: Path, begins: int) -> None:
    """Remove what is left of files before the position that the log begins with, and of earlier marks."""
    gone = list(_before(folder, begins))
    for path in gone:
        path.unlink()
    if gone:
        sync_folder(folder)


def trimmed_at(folder: Path, begins: int) -> int | None:
    """When a log was last trimmed, µs; None for never."""
    if begins == 1:
        return None
    at: int = json.loads((folder / begin_name(begins)).read_bytes())["at"]
    return at


def _before(folder: Path, begins: int) -> Iterator[Path]:
    for path in sorted(folder.glob("*.parquet")):
        last = path.name[21:41]
        if last.isdecimal() and int(last) < begins:
            yield path
    for path in sorted(folder.glob("*.begin")):
        if path.name < begin_name(begins):
            yield path


def _is_over(one: Sealed, before: int, happened: str) -> bool:
    """Whether all of a file's events happened and were known before an instant."""
    spans = [span_of(one.path, KNOWN), span_of(one.path, happened)]
    return all(span is None or span[1] < before for span in spans)
