from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from gnomon.clock import Clock, ManualClock, SystemClock
from gnomon.contracts.plugins import Context
from gnomon.errors import BackendError, ConfigError, ConflictError, NewerFormat
from gnomon.log.embedded import EmbeddedLog, EmbeddedLogs
from gnomon.log.framing import frame
from gnomon.testing.log_suite import LogSuite, Open, events, stamps

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
KILLS = 300 if DEEP else 12


def opened(folder: Path, clock: Clock | None = None, **options: object) -> EmbeddedLog:
    context = Context(repo_path=folder, project="p", clock=clock or ManualClock(1_000))
    return EmbeddedLogs(options, context).log("s")


class TestEmbedded(LogSuite):
    @pytest.fixture
    def open_log(self, tmp_path: Path) -> Open:
        return lambda clock: opened(tmp_path, clock)


class TestSealingAllTheTime(LogSuite):
    @pytest.fixture
    def open_log(self, tmp_path: Path) -> Open:
        return lambda clock: opened(tmp_path, clock, seal_bytes=1)


def folder_of(tmp_path: Path) -> Path:
    return tmp_path / ".gnomon" / "log" / "s"


def segment_of(tmp_path: Path) -> Path:
    (found,) = folder_of(tmp_path).glob("*.segment")
    return found


def test_a_segment_is_sealed_when_it_is_large(tmp_path: Path) -> None:
    with closing(opened(tmp_path, seal_bytes=5_000)) as log:
        for number in range(100):
            log.append(events(number))
        assert 3 < len(log.prefix().files) < 20
        assert all(Path(one).stat().st_size for one in log.prefix().files)
        assert [number for _, _, number in stamps(log)] == list(range(100))


def test_a_segment_is_sealed_when_it_is_old(tmp_path: Path) -> None:
    clock = ManualClock(0)
    with closing(opened(tmp_path, clock, seal_age="1m")) as log:
        for _ in range(6):
            log.append(events(1))
            clock.advance("20s")
        assert [pq.read_metadata(one).num_rows for one in log.prefix().files] == [4]


def test_other_tools_read_what_is_sealed(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        log.append(events(1, 2))
        log.seal()
    found = duckdb.sql(f"select __position, epoch_us(__known), number, text from '{folder_of(tmp_path)}/*.parquet'")
    assert found.fetchall() == [(1, 1_000, 1, "event 1"), (2, 1_001, 2, "event 2")]


@pytest.mark.parametrize("kept", range(1, 300, 23))
def test_a_torn_end_is_cut_and_nothing_before_it_is_lost(tmp_path: Path, kept: int) -> None:
    with closing(opened(tmp_path)) as log:
        log.append(events(1, 2), {"p": 1})
        before = segment_of(tmp_path).stat().st_size
        log.append(events(3), {"p": 2})
    os.truncate(segment_of(tmp_path), before + kept)
    with closing(opened(tmp_path)) as log:
        assert [number for _, _, number in stamps(log)] == [1, 2]
        assert log.offsets() == {"p": 1}
        assert log.append(events(3), {"p": 2}).first == 3
        assert [number for _, _, number in stamps(log)] == [1, 2, 3]


@pytest.mark.parametrize("at", range(0, 300, 31))
def test_a_last_append_that_was_not_written_everywhere_is_cut(tmp_path: Path, at: int) -> None:
    with closing(opened(tmp_path)) as log:
        log.append(events(1))
        before = segment_of(tmp_path).stat().st_size
        log.append(events(2))
    with segment_of(tmp_path).open("r+b") as file:
        file.seek(before + at)
        old = file.read(1)
        file.seek(before + at)
        file.write(bytes([old[0] ^ 255]))
    with closing(opened(tmp_path)) as log:
        found = [number for _, _, number in stamps(log)]
        assert found in ([1], [1, 2])  # the padding has no checksum, for it holds nothing
        assert log.append(events(3)).first == len(found) + 1


def test_damage_in_the_middle_is_an_error_and_nothing_is_cut(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        log.append(events(1))
        before = segment_of(tmp_path).stat().st_size
        log.append(events(2))
        log.append(events(3))
    data = bytearray(segment_of(tmp_path).read_bytes())
    data[before + 60] ^= 255
    segment_of(tmp_path).write_bytes(data)
    with closing(opened(tmp_path)) as log:
        for use in (lambda: log.append(events(4)), log.position, log.read, log.seal):
            with pytest.raises(BackendError, match=f"damaged at byte {before}, and whole events follow"):
                use()
    assert segment_of(tmp_path).read_bytes() == data


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        for number in range(3):
            log.append(events(number))
            log.seal()
        Path(log.prefix().files[1]).unlink()
        with pytest.raises(BackendError, match="no file holds the events from position 2 to 2"):
            log.position()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path).mkdir(parents=True)
    (folder_of(tmp_path) / f"{1:020}.segment").write_bytes(frame(1, 0, {"format": 2}, b"?"))
    with closing(opened(tmp_path)) as log, pytest.raises(NewerFormat, match="has format 2"):
        log.position()


def test_a_writer_waits_for_another_and_says_so_in_the_end(tmp_path: Path) -> None:
    import fcntl

    with closing(opened(tmp_path, wait="20ms")) as log:
        log.append(events(1))
        with (folder_of(tmp_path) / "lock").open("r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(ConflictError, match=r"somebody else has been writing .* for 0.02 s"):
                log.append(events(2))
            assert stamps(log) == [(1, 1_000, 1)]
        assert log.append(events(2)).first == 2


@pytest.mark.parametrize("option", [{"seal_bytes": 0}, {"seal_age": "soon"}, {"wait": "x"}, {"sealbytes": 1}])
def test_options_are_checked(tmp_path: Path, option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"(log: {next(iter(option))})|(unknown option)"):
        opened(tmp_path, **option)


FILLING = """
    import json, resource
    from gnomon.errors import BackendError
    log.append(events(1), {"p": 1})
    big = pa.table({"number": list(range(100_000)), "text": [str(n) * 5 for n in range(100_000)]})
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    told = []
    for batch in (big, big):
        try:
            log.append(batch, {"p": 2})
        except BackendError as wrong:
            told.append(str(wrong))
    log.append(events(2), {"p": 2})
    print(json.dumps(told))
"""


def test_a_full_disk_is_an_error_and_nothing_is_half_written(tmp_path: Path) -> None:
    told = json.loads(run(tmp_path, FILLING))
    assert len(told) == 2
    assert all("the disk is full" in one and "make room" in one for one in told)
    with closing(opened(tmp_path)) as log:
        assert [number for _, _, number in stamps(log)] == [1, 2]
        assert log.offsets() == {"p": 2}


def test_events_are_acknowledged_though_they_cannot_be_sealed(tmp_path: Path) -> None:
    with closing(opened(tmp_path, seal_bytes=2_000)) as log:
        log.append(events(0))
        (folder_of(tmp_path) / ".scratch").mkdir()  # where sealed files begin
        for number in range(1, 40):
            assert log.append(events(number)).first == number + 1
        with pytest.raises(BackendError, match="cannot be used"):
            log.seal()
        assert [number for _, _, number in stamps(log)] == list(range(40))
        assert log.prefix().files == ()
        (folder_of(tmp_path) / ".scratch").rmdir()
        for number in range(40, 60):
            log.append(events(number))
        assert len(log.prefix().files) > 1
        assert [number for _, _, number in stamps(log)] == list(range(60))


WRITING = """
    at = log.offsets().get("p", -1) + 1
    print("ready", flush=True)
    while True:
        log.append(events(*range(3 * at, 3 * at + 3)), {"p": at})
        print(at, flush=True)
        at += 1
"""


@pytest.mark.slow
def test_whenever_a_writer_is_killed_nothing_acknowledged_is_lost_and_nothing_torn_is_seen(tmp_path: Path) -> None:
    chance, acknowledged = random.Random(7), -1
    for _ in range(KILLS):
        with started(tmp_path, WRITING, seal_bytes=4_000) as writer:
            told = [writer.stdout.readline() for _ in range(1 + chance.randrange(1, 40))]
            for _ in range(chance.randrange(60_000)):  # lets it get somewhere into the next append, or seal
                pass
            writer.kill()
            told += writer.stdout.read().splitlines()  # communicate() would leave out what readline() read ahead
            assert writer.wait() == -signal.SIGKILL
        assert told[0] == "ready\n"
        acknowledged = max(map(int, told[1:]))
        with closing(opened(tmp_path)) as log:
            found = stamps(log)
            offset = log.offsets()["p"]
        assert offset in (acknowledged, acknowledged + 1)
        assert [number for _, _, number in found] == list(range(3 * offset + 3))
        assert [position for position, _, _ in found] == list(range(1, 3 * offset + 4))
        known = [known for _, known, _ in found]
        assert known == sorted(set(known))
    left = {one.name for one in folder_of(tmp_path).iterdir() if one.suffix not in (".parquet", ".segment")}
    assert left <= {"lock", ".scratch"}


TAKING_TURNS = """
    for at in range(100):
        log.append(events(at), {argv[0]: at})
"""


@pytest.mark.slow
def test_processes_take_turns_and_a_reader_beside_them_sees_prefixes(tmp_path: Path) -> None:
    with (
        started(tmp_path, TAKING_TURNS, "one", seal_bytes=4_000) as one,
        started(tmp_path, TAKING_TURNS, "two", seal_bytes=4_000) as two,
        closing(opened(tmp_path)) as log,
    ):
        seen = 0
        while one.poll() is None or two.poll() is None:
            found = stamps(log)
            assert [position for position, _, _ in found] == list(range(1, len(found) + 1))
            assert len(found) >= seen
            seen = len(found)
        assert (one.returncode, two.returncode) == (0, 0)
        assert log.position() == 200
        assert log.offsets() == {"one": 99, "two": 99}


def test_the_systems_clock_goes_up(tmp_path: Path) -> None:
    with closing(opened(tmp_path, SystemClock())) as log:
        assert log.append(events(1)).known < log.append(events(2)).known


def script(code: str) -> str:
    import textwrap

    head = """
        import random, sys
        import json as parsing
        from pathlib import Path
        import pyarrow as pa
        from gnomon.clock import SystemClock
        from gnomon.contracts.plugins import Context
        from gnomon.log.embedded import EmbeddedLogs
        from gnomon.testing.log_suite import events
        folder, options, *argv = sys.argv[1:]
        context = Context(repo_path=Path(folder), project="p", clock=SystemClock())
        log = EmbeddedLogs(parsing.loads(options), context).log("s")
    """
    return textwrap.dedent(head) + textwrap.dedent(code)


def started(folder: Path, code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    """A process that runs some code with `log`, `events`, `pa` and `argv` at hand."""
    command = [sys.executable, "-c", script(code), str(folder), json.dumps(options), *arguments]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(folder: Path, code: str, **options: object) -> str:
    with started(folder, code, **options) as process:
        out, told = process.communicate()
        assert process.returncode == 0, told
        return out
