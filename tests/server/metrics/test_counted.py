"""Counts of several workers are one answer, and never go back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gnomon.claims import hold
from gnomon.clock import ManualClock
from gnomon.server.metrics.counted import Counted
from gnomon.server.metrics.run import RUN, RunFolder, counting
from gnomon.server.metrics.sheet import CELLS, SPARE, Sheet, numbers

CLOCK = ManualClock(100_000_000)
COUNTING = """
import sys, time
from pathlib import Path
from gnomon.server.metrics.counted import Counted
metrics = Counted(Path(sys.argv[1]))
for _ in range(1000):
    metrics.begin()
    metrics.done("/push", 200, 0.002)
metrics.begin()
print("counted", flush=True)
time.sleep(600)
"""


def told(metrics: Counted) -> dict[tuple, float]:
    """(name, labels) → value, as a parser that is not ours reads them."""
    families = text_string_to_metric_families(metrics.text())
    return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


def worker(folder: Path) -> subprocess.Popen:
    started = subprocess.Popen([sys.executable, "-c", COUNTING, str(folder)], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "counted\n"
    return started


def killed(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_rows_that_were_logged_are_counted_over_all_workers(tmp_path: Path) -> None:
    one, other = Counted(tmp_path, CLOCK), Counted(tmp_path, CLOCK)
    one.logged("fraud", 5, 1, 0)
    other.logged("fraud", 7, 0, 2)
    one.logged("fraud", 9, 1, 0)
    other.close()
    after = Counted(tmp_path, CLOCK)
    after.logged("fraud", 1, 0, 0)
    found = told(one)
    assert [found[f"gnomon_served_rows_{name}_total", "fraud"] for name in ("written", "dropped", "failed")] == [
        17,
        1,
        2,
    ]
    one.close()
    after.close()


def test_what_happened_is_told(tmp_path: Path) -> None:
    metrics = Counted(tmp_path, CLOCK)
    for _ in range(4):
        metrics.begin()
    metrics.done("/push", 200, 0.003)
    metrics.done("/push", 404, 0.3)
    metrics.done("/push", 503, 20.0)
    metrics.served("spend@1", 10, 3, 0.0002, 40_000_000)
    metrics.served("spend@1", 1, 0, 0.0002, 30_000_000)
    metrics.cached("fraud", True)
    metrics.cached("fraud", False)
    metrics.cached("fraud", False)
    found = told(metrics)
    assert found["gnomon_requests_total", "/push", "200"] == 1
    assert found["gnomon_requests_in_flight",] == 1
    assert found["gnomon_errors_total", "/push", "client"] == 1
    assert found["gnomon_errors_total", "/push", "server"] == 1
    assert found["gnomon_request_seconds_bucket", "/push", "0.0025"] == 0
    assert found["gnomon_request_seconds_bucket", "/push", "0.005"] == 1
    assert found["gnomon_request_seconds_bucket", "+Inf", "/push"] == 3
    assert found["gnomon_request_seconds_count", "/push"] == 3
    assert found["gnomon_request_seconds_sum", "/push"] == pytest.approx(20.303)
    assert found["gnomon_view_hits_total", "spend@1"] == 8
    assert found["gnomon_view_misses_total", "spend@1"] == 3
    assert found["gnomon_view_seconds_count", "spend@1"] == 2
    assert found["gnomon_view_staleness_seconds", "spend@1"] == 60
    assert found["gnomon_cache_hits_total", "fraud"] == 1
    assert found["gnomon_cache_misses_total", "fraud"] == 2
    metrics.close()


def test_an_upper_bound_is_in_its_bucket(tmp_path: Path) -> None:
    metrics = Counted(tmp_path)
    metrics.begin()
    metrics.done("/push", 200, 0.001)
    assert told(metrics)["gnomon_request_seconds_bucket", "/push", "0.001"] == 1
    metrics.close()


def test_labels_of_any_text_are_read_back(tmp_path: Path) -> None:
    metrics = Counted(tmp_path)
    metrics.cached('a"b\\c\nd', True)
    assert told(metrics)["gnomon_cache_hits_total", 'a"b\\c\nd'] == 1
    metrics.close()


def test_workers_counts_add_up_and_those_of_a_dead_one_stay(tmp_path: Path) -> None:
    here = Counted(tmp_path)
    there, other = worker(tmp_path), worker(tmp_path)
    try:
        found = told(here)
        assert found["gnomon_requests_total", "/push", "200"] == 2000
        assert found["gnomon_requests_in_flight",] == 2
        assert found["gnomon_workers",] == 3
    finally:
        killed(there)
    found = told(here)
    assert found["gnomon_requests_total", "/push", "200"] == 2000
    assert found["gnomon_requests_in_flight",] == 1  # what the dead one had begun, nobody will end
    assert found["gnomon_workers",] == 2
    instead = worker(tmp_path)
    try:
        assert told(here)["gnomon_requests_total", "/push", "200"] == 3000
        assert len(numbers(tmp_path)) == 3, "it goes on with the sheet of the dead one"
        assert told(here)["gnomon_requests_in_flight",] == 2
    finally:
        killed(other)
        killed(instead)
    here.close()


def test_a_closed_worker_is_told_by_the_others(tmp_path: Path) -> None:
    first, second = Counted(tmp_path), Counted(tmp_path)
    first.begin()
    first.done("/push", 200, 1.0)
    first.close()
    assert told(second)["gnomon_requests_total", "/push", "200"] == 1
    second.close()


def test_a_full_sheet_counts_on_and_tells_what_it_has_room_for(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path)
    assert sheet.block(("large",), CELLS - SPARE - 10) == 1
    assert sheet.block(("small",), 21) == CELLS - SPARE
    sheet.close()
    metrics = Counted(tmp_path)
    metrics.begin()
    metrics.done("/push", 200, 1.0)
    assert told(metrics).get(("gnomon_requests_total", "/push", "200")) == 1
    assert ("gnomon_request_seconds_count", "/push") not in told(metrics)
    metrics.close()


def test_a_line_that_was_not_finished_is_no_name(tmp_path: Path) -> None:
    metrics = Counted(tmp_path)
    metrics.cached("fraud", True)
    with next(tmp_path.glob("*.names")).open("ab") as names:
        names.write(b'[["cache", "oth')
    assert told(metrics)["gnomon_cache_hits_total", "fraud"] == 1
    metrics.close()
    again = Counted(tmp_path)
    again.cached("other", True)
    assert told(again)["gnomon_cache_hits_total", "other"] == 1
    assert told(again)["gnomon_cache_hits_total", "fraud"] == 1
    again.close()


def test_folders_of_servers_that_are_gone_are_removed_and_no_others(tmp_path: Path) -> None:
    lives = RunFolder(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.close(hold(gone / "held"))
    orphaned = tmp_path / "orphaned"
    worked = Counted(orphaned)  # its parent was killed, and it works on
    os.close(hold(orphaned / "held"))
    new = RunFolder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([lives.path, new.path, orphaned])
    lives.close()
    assert not lives.path.exists()
    worked.close()
    new.close()


def test_a_server_of_one_process_has_a_folder_of_its_own(tmp_path: Path) -> None:
    metrics = counting(tmp_path, CLOCK)
    beside = counting(tmp_path, CLOCK)
    metrics.cached("fraud", True)
    assert ("gnomon_cache_hits_total", "fraud") not in told(beside)
    assert len(list((tmp_path / RUN).iterdir())) == 2
    metrics.close()
    beside.close()
    assert list((tmp_path / RUN).iterdir()) == []


def test_workers_count_in_the_folder_of_their_server(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / RUN)
    workers = [counting(tmp_path, CLOCK, run.path) for _ in range(2)]
    for worker in workers:
        worker.cached("fraud", True)
    assert told(workers[0])["gnomon_cache_hits_total", "fraud"] == 2
    for worker in workers:
        worker.close()
    assert run.path.exists()
    run.close()


def test_counting_takes_little(tmp_path: Path) -> None:
    """Under a microsecond where nothing else runs; here ten times that, for the noise of others."""
    metrics = Counted(tmp_path)
    metrics.begin()
    metrics.done("/push", 200, 0.001)
    best = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(2000):
            metrics.begin()
            metrics.done("/push", 200, 0.001)
            metrics.served("spend@1", 100, 3, 0.001, 5)
        best.append((time.process_time() - began) / 2000 / 3)
    metrics.close()
    assert min(best) < 10e-6
