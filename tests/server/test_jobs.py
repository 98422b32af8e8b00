"""Jobs: one at a time, told by any process, and failed where their process died."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from gnomon.clock import ManualClock
from gnomon.errors import ConflictError, RequestError
from gnomon.flows.materialize import Report
from gnomon.flows.progress import Progress
from gnomon.server.jobs import KEPT, Job, Jobs
from gnomon.server.problems import HttpError

DYING = """
import sys, time
from pathlib import Path
from gnomon.clock import SystemClock
from gnomon.server.jobs import Jobs
def work(progress):
    progress.begin("spend@1", None)
    print("working", flush=True)
    time.sleep(600)
print(Jobs(Path(sys.argv[1]), SystemClock()).start("materialize", {}, work).id, flush=True)
time.sleep(600)
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000_000)


@pytest.fixture
def jobs(tmp_path: Path, clock: ManualClock) -> Jobs:
    return Jobs(tmp_path / "jobs", clock)


def ended(jobs: Jobs, job: Job) -> Job:
    until(lambda: jobs.get(job.id).status in ("done", "failed"))
    return jobs.get(job.id)


def nothing(progress: Progress) -> Report:
    return Report(())


class Held:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, progress: Progress) -> Report:
        progress.begin("spend@1", None)
        progress.advance(7)
        self.begun.set()
        assert self.may_end.wait(60)
        progress.advance(3)
        progress.begin("profile@1", None)
        progress.advance(1)
        progress.end()
        return Report(())


def test_a_job_ends_with_a_report(jobs: Jobs, clock: ManualClock) -> None:
    job = jobs.start("materialize", {"end": "now"}, nothing, by="ada")
    assert (job.status, job.kind, job.by, job.asked) == ("queued", "materialize", "ada", {"end": "now"})
    over = ended(jobs, job)
    assert (over.status, over.report, over.error) == ("done", {"views": []}, None)
    assert over.created == over.started == over.ended == clock.now()


def test_progress_is_written_down_now_and_then(jobs: Jobs, clock: ManualClock) -> None:
    work = Held()
    job = jobs.start("materialize", {}, work)
    assert work.begun.wait(60)
    assert jobs.get(job.id).rows == {}
    clock.advance("2s")
    work.may_end.set()
    over = ended(jobs, job)
    assert over.rows == {"spend@1": 10, "profile@1": 1}
    assert over.to_dict()["progress"] == [{"view": "spend@1", "rows": 10}, {"view": "profile@1", "rows": 1}]
    assert over.ended == clock.now()


def test_another_job_has_to_wait(jobs: Jobs, tmp_path: Path, clock: ManualClock) -> None:
    work = Held()
    job = jobs.start("materialize", {}, work)
    for other in (jobs, Jobs(tmp_path / "jobs", clock)):
        with pytest.raises(ConflictError, match=job.id):
            other.start("materialize", {}, nothing)
    work.may_end.set()
    ended(jobs, job)
    until(lambda: starts(jobs))


def starts(jobs: Jobs) -> bool:
    try:
        jobs.start("materialize", {}, nothing)
    except ConflictError:
        return False
    return True


@pytest.mark.parametrize(
    ("error", "kind"), [(RequestError("it is wrong."), "RequestError"), (KeyError("x"), "Internal")]
)
def test_a_job_that_fails_says_why(jobs: Jobs, error: Exception, kind: str) -> None:
    def work(progress: Progress) -> Report:
        raise error

    over = ended(jobs, jobs.start("materialize", {}, work))
    assert over.status == "failed"
    assert over.error is not None
    assert over.error["type"].startswith(kind)
    assert "x" not in over.error["message"] or kind == "RequestError"


def test_a_server_that_stops_stops_its_job(jobs: Jobs) -> None:
    work = Held()
    job = jobs.start("materialize", {}, work)
    assert work.begun.wait(60)
    jobs.close()
    work.may_end.set()
    jobs.close(60)
    over = jobs.get(job.id)
    assert over.status == "failed"
    assert over.error is not None
    assert "told to stop" in over.error["message"]


def test_a_job_fails_with_its_process(jobs: Jobs, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", DYING, str(tmp_path / "jobs")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = {process.stdout.readline().strip() for _ in range(2)}
    (name,) = said - {"working"}
    assert jobs.get(name).status in ("queued", "running")
    with pytest.raises(ConflictError):
        jobs.start("materialize", {}, nothing)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    over = jobs.get(name)
    assert over.status == "failed"
    assert over.error is not None
    assert "gone" in over.error["message"]
    assert ended(jobs, jobs.start("materialize", {}, nothing)).status == "done"
    assert json.loads((tmp_path / "jobs" / f"{name}.json").read_text())["status"] == "failed", "and is written down so"
    assert {one.id: one.status for one in jobs.all()}[name] == "failed"


@pytest.mark.parametrize("name", ["", "x", "../held", "0" * 19 + "-12345678", "%00"])
def test_what_is_no_job_is_not_found(jobs: Jobs, name: str) -> None:
    jobs.start("materialize", {}, nothing)
    with pytest.raises(HttpError, match="there is no job"):
        jobs.get(name)


def test_what_is_no_record_is_passed_over(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.start("materialize", {}, nothing)
    ended(jobs, job)
    (tmp_path / "jobs" / f"{'9' * 19}-12345678.json").write_text("{")
    assert [one.id for one in jobs.all()] == [job.id]


def test_the_oldest_are_forgotten(jobs: Jobs, tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "jobs"
    first = ended(jobs, jobs.start("materialize", {}, nothing))
    kept: Callable[[], Any] = lambda: list(folder.glob("*.json"))  # noqa: E731
    text = (folder / f"{first.id}.json").read_text()
    for number in range(1, KEPT + 5):
        (folder / f"{number:019}-00000000.json").write_text(text)
    until(lambda: starts(jobs))
    assert len(kept()) == KEPT
    assert (folder / f"{first.id}.json").exists()
