"""Who may clear up after whom, between processes that begin, end and look at the same time."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

from gnomon.claims import hold, left_behind


def works(folder: Path, times: int, losses: Any) -> None:
    """Hold files and clear up after others, and count one's own files that went while they were held."""
    lost = 0
    for number in range(times):
        path = folder / f"{os.getpid()}-{number}"
        handle = hold(path)
        for other in left_behind(folder.glob("*")):
            other.unlink(missing_ok=True)
        lost += not path.exists()
        os.close(handle)
    losses.put(lost)


def test_processes_that_come_and_go_never_lose_what_they_hold(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    losses = context.Queue()
    workers = [context.Process(target=works, args=(tmp_path, 400, losses)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert [losses.get(timeout=120) for _ in workers] == [0] * len(workers)
    for worker in workers:
        worker.join(60)
    for one in left_behind(tmp_path.glob("*")):
        one.unlink()
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_somebody_laid_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    (tmp_path / "scratch").symlink_to(tmp_path / "precious")
    assert list(left_behind([tmp_path / "scratch", tmp_path / "gone"])) == []
