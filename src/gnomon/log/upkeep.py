"""What keeps a log's folder in order over the years: merging, trimming, erasing; one at a time, beside any writer.

Only sealed files are touched. They are never changed, so a writer need not wait: it adds files behind them. A lock of
their own keeps two of these works apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gnomon.clock import Clock
from gnomon.contracts.log import KNOWN, Erased, LogStatus, Merged, Trimmed
from gnomon.log.erasing import erase
from gnomon.log.failing import failing
from gnomon.log.folder import Contents, Sealed, contents, sealed_in
from gnomon.log.locks import holding
from gnomon.log.merging import Limits, merge
from gnomon.log.reading import again
from gnomon.log.rewriting import erased_at
from gnomon.log.spans import joined, span_in, span_of
from gnomon.log.trimming import drop_trimmed, trim, trimmed_at

__all__ = ["Upkeep"]

LOCK = "upkeep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """Works on the sealed files of one log.

    Args:
        folder: the log's folder.
        clock: says what time it is.
        wait: how long to wait for another who does such work, µs.
        limits: how large merged files get.
    """

    folder: Path
    clock: Clock
    wait: int
    limits: Limits

    def merge(self) -> Merged:
        """Put small files together, and remove those that were some time ago."""
        if not self.folder.exists():
            return Merged()
        with self._alone() as (now, covered):
            return merge(self.folder, now.sealed, covered, self.limits, self.clock.now())

    def trim(self, before: int, happened: str) -> Trimmed:
        """Let the oldest files go whose events all happened and were known before an instant."""
        if not self.folder.exists():
            return Trimmed()
        with self._alone() as (now, _):
            return trim(self.folder, now.sealed, now.begins, before, happened, self.clock.now())

    def erase(self, entity: Mapping[str, Any]) -> Erased:
        """Write files again without an entity's events."""
        with self._alone() as (now, covered):
            return erase(self.folder, now.sealed, covered, entity, self.clock.now())

    def status(self, happened: str) -> LogStatus:
        """How much there is, and from when to when."""
        with failing(self.folder):
            found: LogStatus = again(lambda: self._status(happened))
            return found

    def _status(self, happened: str) -> LogStatus:
        now = contents(self.folder)
        files, tail = [one.path for one in now.sealed], now.tail()
        spans = {
            column: joined([*(span_of(path, column) for path in files), tail and span_in(tail, column)])
            for column in (KNOWN, happened)
        }
        there = self.folder.iterdir() if self.folder.exists() else ()
        went = [trimmed_at(self.folder, now.begins), *(erased_at(pq.read_schema(path)) for path in files)]
        return LogStatus(
            events=sum(pq.read_metadata(path).num_rows for path in files) + (len(tail) if tail else 0),
            bytes=sum(one.stat().st_size for one in there),
            files=len(files),
            begins=now.begins,
            position=now.position,
            known=spans[KNOWN],
            happened=spans[happened],
            lessened=max((at for at in went if at is not None), default=None),
        )

    @contextmanager
    def _alone(self) -> Iterator[tuple[Contents, list[Sealed]]]:
        """What the log holds, and the files besides that do not count; nobody else does such work meanwhile."""
        with failing(self.folder), holding(self.folder / LOCK, self.wait, "keeping"):
            now = contents(self.folder)
            drop_trimmed(self.folder, now.begins)
            last = now.sealed[-1].last if now.sealed else 0
            there = sealed_in(self.folder, sorted(os.listdir(self.folder)))  # noqa: PTH208
            yield now, [one for one in there if one not in now.sealed and one.last <= last]
