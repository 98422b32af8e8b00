"""Where answers wait to be logged: a queue bounded in rows and in bytes, which drops and counts what finds it full."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from gnomon.errors import ConfigError, listing, nearest_hint
from gnomon.flows.served_rows import Kept

__all__ = ["Queue", "Recording", "ServedStats", "Waiting"]

FEASTS = {"queue_capacity": "queue_rows", "flush_interval_secs": "flush_interval"}
"""Feast's words for the same."""
IGNORED = ("enabled", "write_to_disk_interval_secs", "emit_timeout_micro_secs")
"""Feast's options without a meaning here: services say whether they are logged, and nothing waits for the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """How much may wait to be written, and for how long.

    Args:
        queue_rows: so many rows wait at most; further ones are dropped.
        queue_bytes: so much memory they may take, about.
        batch_rows: so many rows, or a few more, are written at once; as soon as they are there, they are.
        flush_interval: rows are written so many seconds after they came, at the latest.
        close_wait: closing tries for so many seconds to write what is left, where the log cannot be written.

    Raises:
        ConfigError: one of them is no number above 0.
    """

    queue_rows: int = 100_000
    queue_bytes: int = 64 << 20
    batch_rows: int = 1_000
    flush_interval: float = 1.0
    close_wait: float = 10.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                raise ConfigError(f"{name} is {value!r}.", hint="write a number above 0.")

    @classmethod
    def of(cls, given: object) -> Recording:
        """What `feature_server: {feature_logging: {…}}` of a configuration says, in these words or Feast's.

        Raises:
            ConfigError: an option is unknown, or its value is not usable.

        >>> Recording.of({"queue_capacity": 500, "flush_interval_secs": 5}) == Recording(
        ...     queue_rows=500, flush_interval=5)
        True
        """
        if not isinstance(given, Mapping):
            raise ConfigError(f"feature_logging is {given!r}.", hint="write `feature_logging: {queue_rows: 100000}`.")
        values = {FEASTS.get(str(name), str(name)): value for name, value in given.items() if name not in IGNORED}
        known = [one.name for one in fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(
                    f"feature_logging: unknown option {name!r}.",
                    instead=f"Known: {listing(known)}.",
                    hint=nearest_hint(name, known, otherwise="leave it out."),
                )
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedStats:
    """What became of the rows of a service that were drawn to be logged, in this process.

    Args:
        queued: how many wait.
        written: how many are in the log.
        dropped: how many found the queue full.
        failed: how many could not be written, for good.
        problem: what was in the way of writing last; empty where nothing was.
    """

    queued: int = 0
    written: int = 0
    dropped: int = 0
    failed: int = 0
    problem: str = ""


@dataclass(slots=True)
class Waiting:
    """An answer in the queue.

    Args:
        service: whose it is.
        kept: the answer.
        rows: how many rows it has.
        bytes: how much memory it takes, about.
    """

    service: str
    kept: Kept
    rows: int
    bytes: int


@dataclass(slots=True)
class _Counts:
    """`ServedStats` while they change."""

    queued: int = 0
    written: int = 0
    dropped: int = 0
    failed: int = 0
    problem: str = ""


class Queue:
    """Answers that wait, oldest first. Those that are being written take their room until they are.

    Args:
        recording: how much may wait.
    """

    def __init__(self, recording: Recording) -> None:
        self.changed = threading.Condition(threading.Lock())
        """To be notified, and waited for, by whoever writes."""
        self._recording = recording
        self._waiting: deque[Waiting] = deque()
        self._rows = self._bytes = 0
        self._counts: dict[str, _Counts] = {}

    def put(self, one: Waiting, started: Callable[[], None]) -> bool:
        """Let an answer wait; False where there is no room, and its rows are dropped.

        Args:
            one: the answer.
            started: is called, under the lock, where somebody has to see that there is something to write.
        """
        with self.changed:
            counts, recording = self._counts.setdefault(one.service, _Counts()), self._recording
            if self._rows + one.rows > recording.queue_rows or self._bytes + one.bytes > recording.queue_bytes:
                counts.dropped += one.rows
                return False
            self._waiting.append(one)
            self._rows += one.rows
            self._bytes += one.bytes
            counts.queued += one.rows
            if len(self._waiting) == 1 or self.is_batch():
                started()
                self.changed.notify()
            return True

    def is_empty(self) -> bool:
        """Whether nothing waits to be taken; asked under the lock."""
        return not self._waiting

    def is_batch(self) -> bool:
        """Whether there are enough rows to be written at once; asked under the lock."""
        return self._rows >= self._recording.batch_rows

    def take(self, all_of_it: bool = False) -> list[Waiting]:
        """Take the oldest answers, as many as are written at once."""
        taken, rows = [], 0
        with self.changed:
            while self._waiting and (all_of_it or rows < self._recording.batch_rows):
                taken.append(self._waiting.popleft())
                rows += taken[-1].rows
        return taken

    def again(self, some: Sequence[Waiting], problem: str) -> None:
        """Let answers that were taken wait again, before all others."""
        with self.changed:
            self._waiting.extendleft(reversed(some))
            for one in some:
                self._counts[one.service].problem = problem

    def done(self, some: Iterable[Waiting], failed: str = "") -> None:
        """Answers that were taken are written, or never will be, for a reason."""
        with self.changed:
            for one in some:
                counts = self._counts[one.service]
                counts.queued -= one.rows
                counts.written += 0 if failed else one.rows
                counts.failed += one.rows if failed else 0
                counts.problem = failed
                self._rows -= one.rows
                self._bytes -= one.bytes

    def stats(self) -> dict[str, ServedStats]:
        """What became of all rows, by service."""
        with self.changed:
            return {name: ServedStats(**asdict(one)) for name, one in sorted(self._counts.items())}
