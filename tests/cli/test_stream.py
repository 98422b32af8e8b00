"""`gnomon stream`: run it, stop it, watch it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from payments import check_each_once, message, messages, opened, pushed
from prometheus_client.parser import text_string_to_metric_families
from waiting import until

from gnomon.cli import app
from gnomon.cli.stream import EVERY, Screen
from gnomon.clock import ManualClock
from gnomon.flows.metrics import exposition
from gnomon.flows.tally import Tally


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "events").mkdir()
    with opened(tmp_path, pushed()):
        pass
    write(tmp_path, "a.jsonl", [*messages(30), b"no json"])
    return tmp_path


def write(repo: Path, name: str, payloads: list[bytes]) -> None:
    (repo / "events" / f".{name}").write_bytes(b"".join(one + b"\n" for one in payloads))
    (repo / "events" / f".{name}").rename(repo / "events" / name)


def told(repo: Path, *words: str) -> list[str]:
    return ["--repo", str(repo), "stream", *words]


@contextmanager
def started(repo: Path, *words: str, **streams: object) -> Iterator[subprocess.Popen[str]]:
    main = [sys.executable, "-c", "from gnomon.cli import main; main()"]
    command = [*main, *told(repo, "run", "payments", "--folder", str(repo / "events"), *words)]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    with subprocess.Popen(command, text=True, **given) as process:
        try:
            yield process
        finally:
            process.kill()


def position(repo: Path) -> int:
    with opened(repo) as store:
        return store.logs.log("payments").position()


def test_run_once_and_status(repo: Path) -> None:
    run = CliRunner()
    done = run.invoke(app, told(repo, "run", "payments", "--folder", str(repo / "events"), "--once"))
    assert (done.exit_code, done.stdout) == (0, "payments: 30 events appended in 1 batches, 1 rejected.\n")
    done = run.invoke(app, ["--json", *told(repo, "run", "payments", "--folder", str(repo / "events"), "--once")])
    assert json.loads(done.stdout)[0]["appended"] == 0
    shown = run.invoke(app, told(repo, "status", "payments"))
    assert re.search(r"SOURCE\s+PARTITION\s+OFFSET\s+END\s+LAG\s+payments\s+a\.jsonl\s+30", shown.stdout)
    document = json.loads(run.invoke(app, ["--json", *told(repo, "status")]).stdout)
    assert document == [{"source": "payments", "partition": "a.jsonl", "offset": 30, "end": None, "lag": None}]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_it_finish_its_batch_and_tell_its_totals(repo: Path, number: int) -> None:
    with started(repo) as process:
        until(lambda: position(repo) == 30)
        write(repo, "b.jsonl", messages(10, first=30))
        until(lambda: position(repo) == 40)
        process.send_signal(number)
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "payments: 40 events appended in 2 batches, 1 rejected.\n")
    with opened(repo) as store:
        check_each_once(store, range(40))


def test_notes_and_lines_go_to_stderr(repo: Path) -> None:
    write(repo, "b.jsonl", [message(30, more=1)])
    with started(repo, "--until-idle", "100ms") as process:
        out, notes = process.communicate(timeout=30)
    assert out == "payments: 31 events appended in 2 batches, 1 rejected.\n"
    said = "messages have fields that the source has no columns for: more. They are left out."
    assert notes == f"Note: payments: {said}\n"


def test_prometheus_can_read_what_it_is_told(repo: Path) -> None:
    with started(repo, "--metrics-port", "0") as process:
        line = process.stderr.readline()
        (url,) = re.findall(r"http://\S+", line)
        until(lambda: position(repo) == 30)

        def found() -> dict[str, float]:
            with urllib.request.urlopen(url, timeout=10) as answer:
                families = list(text_string_to_metric_families(answer.read().decode()))
            return {sample.name: sample.value for one in families for sample in one.samples}

        until(lambda: found().get("gnomon_stream_events_total") == 30)
        metrics = found()
        assert metrics["gnomon_stream_rejected_total"] == 1
        assert metrics["gnomon_stream_since_event_seconds"] > 0
        assert metrics["gnomon_stream_lag"] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_port_that_is_taken_is_an_error(repo: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = told(repo, "run", "payments", "--folder", "x", "--metrics-port", str(taken.getsockname()[1]))
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 4
    assert "nobody can listen on 127.0.0.1" in done.stderr


def test_a_terminal_shows_a_table(repo: Path) -> None:
    ours, theirs = pty.openpty()
    with started(repo, stderr=theirs) as process:
        seen, deadline = "", time.monotonic() + 60
        while not re.search(r"payments\s+30\s", seen) and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                seen += os.read(ours, 65_536).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    os.close(theirs)
    os.close(ours)
    assert "SINCE THE EVENT" in seen
    assert re.search(r"payments\s+30\s", seen)


def test_labels_are_escaped() -> None:
    text = exposition([Tally(source='a"b\\c\n', lag={"p/0": 3})])
    (family,) = [one for one in text_string_to_metric_families(text) if one.name == "gnomon_stream_lag"]
    assert family.samples[0].labels == {"source": 'a"b\\c\n', "partition": "p/0"}


def test_a_line_now_and_then_where_nobody_watches() -> None:
    clock, said = ManualClock(0), list[str]()
    screen = Screen(clock, said.append, plain=True)
    tally = Tally(source="payments")
    for number in range(6):
        tally.appended = number
        screen.watch(tally)
        clock.set(clock.now() + EVERY // 2)
    assert len(said) == 2
    assert said[0].startswith("payments: 2 events, ")


def test_a_repo_without_a_stream_says_what_to_do(repo: Path) -> None:
    done = CliRunner().invoke(app, told(repo, "run"))
    assert (done.exit_code, done.stderr.splitlines()[0]) == (1, "RequestError: no source has a stream.")
