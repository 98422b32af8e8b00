"""Jobs: loads that go on after the request that asked for them was answered. One at a time in a project.

    jobs = Jobs(repo_path / JOBS, clock)
    job = jobs.start("materialize", {"end": "2024-01-31"}, lambda progress: store.materialize(…, progress=progress))
    jobs.get(job.id).status            # queued, running, done or failed

What is known of a job is a small file, written whole each time, so that any worker of the server can tell. Its process
holds another file while it works; a job that is not over, and whose file nobody holds, failed with its process.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gnomon.claims import is_held, take
from gnomon.clock import Clock, instant_text
from gnomon.errors import BackendError, ConflictError
from gnomon.flows.files import replacing
from gnomon.flows.materialize import Report
from gnomon.flows.progress import Progress
from gnomon.server.problems import HttpError, body_of

__all__ = ["JOBS", "Job", "Jobs"]

JOBS = ".gnomon/jobs"
"""Where jobs are kept, inside the repo."""
HELD = "held"
"""The file that the process of the job that runs holds."""
KEPT = 200
"""So many jobs are remembered, the newest."""
TELL_EVERY = 1_000_000
"""Progress is written down after so many µs."""
OPEN = ("queued", "running")
_ID = re.compile(r"[0-9]{19}-[0-9a-f]{8}")
_log = logging.getLogger(__name__)

Work = Callable[[Progress], Report]
"""What a job does; it tells how it gets on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is known of a job.

    Args:
        id: its id; those of later jobs are greater.
        kind: what it does: `materialize` or `materialize-incremental`.
        asked: what was asked for.
        by: who asked.
        status: `queued`, `running`, `done` or `failed`.
        created: when it was asked for, µs.
        started: when it began, µs; None where it has not.
        ended: when it was over, µs; None where it is not.
        rows: view → rows that are in the store.
        report: what it did, once it is done.
        error: why it failed, as errors are told.
    """

    id: str
    kind: str
    asked: Mapping[str, Any]
    by: str = ""
    status: str = "queued"
    created: int
    started: int | None = None
    ended: int | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    report: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The job as plain data; instants as texts."""
        instants = {name: getattr(self, name) for name in ("created", "started", "ended")}
        told = {name: None if at is None else instant_text(at) for name, at in instants.items()}
        return {**asdict(self), **told, "progress": [{"view": view, "rows": rows} for view, rows in self.rows.items()]}


class Jobs:
    """The jobs of one project.

    Args:
        folder: where they are kept.
        clock: says what time it is.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, kind: str, asked: Mapping[str, Any], work: Work, by: str = "") -> Job:
        """Begin a job.

        Args:
            kind: what it does, in a word.
            asked: what was asked for, as plain data.
            work: does it.
            by: who asks.

        Raises:
            ConflictError: another job runs.
            BackendError: the folder cannot be written.
        """
        held = self._hold()
        try:
            for old in self._left():  # of a process that is gone, as nobody held the file
                self._write(old)
            self._stop.clear()
            now = self._clock.now()
            job = Job(id=f"{now:019}-{secrets.token_hex(4)}", kind=kind, asked=asked, by=by, created=now)
            self._write(job)
            self._forget()
            self._thread = threading.Thread(
                target=self._run, args=(job, work, held), name=f"gnomon-job-{job.id}", daemon=True
            )
            self._thread.start()
        except BaseException:
            os.close(held)
            raise
        return job

    def get(self, name: str) -> Job:
        """A job by its id.

        Raises:
            HttpError: 404, there is none.
        """
        job = _read(self._folder / f"{name}.json") if _ID.fullmatch(name) else None
        if job is None:
            raise HttpError(404, f"there is no job {name!r:.80}.", hint="GET /jobs lists those that are remembered.")
        return self._checked(job)

    def all(self) -> list[Job]:
        """The jobs that are remembered, newest first."""
        found = (_read(path) for path in sorted(self._folder.glob("*-*.json"), reverse=True))
        return [self._checked(job) for job in found if job is not None]

    def close(self, seconds: float = 0.0) -> None:
        """Tell a job that runs here to stop, and wait for it so long."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _hold(self) -> int:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / HELD).touch()
        except OSError as wrong:
            raise BackendError(
                f"{self._folder} cannot be written.", instead=str(wrong), hint="is the repo writable?"
            ) from wrong
        held = take(self._folder / HELD)
        if held is None:
            running = next((job.id for job in self.all() if job.status in OPEN), "")
            raise ConflictError(
                "another job of this project is running.",
                instead=f"It is {running}." if running else None,
                hint=f"wait until GET /jobs/{running or '…'} says that it is over, and ask again.",
                job=running,
            )
        return held

    def _run(self, job: Job, work: Work, held: int) -> None:
        told = _Told(self, replace(job, status="running", started=self._clock.now()))
        try:
            told.write()
            report = work(told)
            told.job = replace(told.job, status="done", report=report.to_dict())
        except BaseException as wrong:
            _log.warning("job %s failed", job.id, exc_info=wrong)
            told.job = replace(told.job, status="failed", error=body_of(wrong)["error"])
        finally:
            told.job = replace(told.job, ended=self._clock.now())
            with suppress(BackendError):  # else it counts as failed, as nobody holds the file
                told.write()
            os.close(held)

    def _checked(self, job: Job) -> Job:
        """A job that is not over, and that nobody works on, failed."""
        if job.status not in OPEN or is_held(self._folder / HELD):
            return job
        again = _read(self._folder / f"{job.id}.json") or job  # it may have ended between the two looks
        return _abandoned(again) if again.status in OPEN else again

    def _left(self) -> Iterator[Job]:
        for path in self._folder.glob("*-*.json"):
            if (job := _read(path)) is not None and job.status in OPEN:
                yield _abandoned(job)

    def _forget(self) -> None:
        for path in sorted(self._folder.glob("*-*.json"), reverse=True)[KEPT:]:
            path.unlink(missing_ok=True)

    def _write(self, job: Job) -> None:
        with replacing(self._folder / f"{job.id}.json") as scratch:
            scratch.write_text(json.dumps(asdict(job), default=str))


class _Told:
    """Progress of a job, written down now and then."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self.job, self._jobs, self._view, self._rows = job, jobs, "", dict[str, int]()
        self._written = job.started or 0

    def begin(self, view: str, total: int | None) -> None:
        """As the contract says."""
        self._view = view
        self._rows.setdefault(view, 0)
        self.advance(0)

    def advance(self, rows: int) -> None:
        """As the contract says; and stop if that is wanted."""
        self._rows[self._view] += rows
        self.job = replace(self.job, rows=dict(self._rows))
        if self._jobs._stop.is_set():
            raise BackendError("the server was told to stop while the job ran.", hint="ask for it again: loads go on.")
        if self._jobs._clock.now() - self._written >= TELL_EVERY:
            self.write()

    def end(self) -> None:
        """As the contract says."""

    def write(self) -> None:
        """Write it down."""
        self._written = self._jobs._clock.now()
        self._jobs._write(self.job)


def _read(path: Path) -> Job | None:
    try:
        return Job(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):  # gone, or no job
        return None


def _abandoned(job: Job) -> Job:
    lost = BackendError("the process that ran the job is gone.", hint="ask for it again: a load goes on where it was.")
    return replace(job, status="failed", error=body_of(lost)["error"])
