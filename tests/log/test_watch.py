"""Readers that look again see what a fresh look sees, whatever writers did in between."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.errors import BackendError
from gnomon.log.embedded import EmbeddedLog, EmbeddedLogs
from gnomon.log.folder import contents
from gnomon.log.framing import frame
from gnomon.testing.log_suite import events, stamps


def opened(folder: Path, **options: object) -> EmbeddedLog:
    return EmbeddedLogs(options, Context(repo_path=folder, project="p", clock=ManualClock(1_000))).log("s")


def folder_of(tmp_path: Path) -> Path:
    return tmp_path / ".gnomon" / "log" / "s"


def segment_of(tmp_path: Path) -> Path:
    return max(folder_of(tmp_path).glob("*.segment"))


def same_as_fresh(log: EmbeddedLog, tmp_path: Path) -> None:
    fresh = contents(folder_of(tmp_path))
    assert (log.position(), log.offsets()) == (fresh.position, fresh.offsets)
    with closing(opened(tmp_path)) as other:
        expected = stamps(other)
    assert stamps(log) == expected
    for since in (0, fresh.position // 2, fresh.position - 1, fresh.position):
        assert stamps(log, since) == expected[max(since, 0) :]
    found = log.prefix(until=fresh.position - 1)
    assert found.position == max(fresh.position - 1, 0) or not expected
    assert (len(found.tail) if found.tail else 0) <= len(expected)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3)),
        st.tuples(st.just("other columns"), st.integers(1, 3)),
        st.tuples(st.just("seal"), st.just(0)),
        st.tuples(st.just("torn"), st.integers(1, 600)),
        st.tuples(st.just("taken away"), st.integers(0, 3)),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_looks_again_are_as_good_as_fresh_ones(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    tmp_path = tmp_path_factory.mktemp("log")
    number = 0
    with closing(opened(tmp_path)) as writer, closing(opened(tmp_path)) as reader:
        for step, count in steps:
            number += 1
            numbers = [number] * count
            if step == "append":
                writer.append(events(*numbers), {"p": number})
            elif step == "other columns":
                writer.append(pa.table({"number": numbers, f"more_{number}": numbers}), {"p": number})
            elif step == "seal":
                writer.seal()
            elif writer.position() and not (step == "taken away" and contents(folder_of(tmp_path)).torn):
                segment, end = segment_of(tmp_path), segment_of(tmp_path).stat().st_size
                last = contents(folder_of(tmp_path))
                ahead = frame(last.position + 1, 2_000, {"rows": 0, "offsets": {"p": 999_999}}, b"x" * 64 * count)
                with segment.open("ab") as file:  # as a writer does that is killed in it, or whose flush then fails
                    file.write(ahead[:-1][:count] if step == "torn" else ahead)
                reader.offsets()
                if step == "taken away":
                    assert reader.offsets()["p"] == 999_999
                    os.truncate(segment, end)
            same_as_fresh(reader, tmp_path)


def test_a_frame_in_the_place_of_one_that_was_taken_away_is_seen(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log, closing(opened(tmp_path)) as reader:
        log.append(events(1), {"p": 1})
        segment, end = segment_of(tmp_path), segment_of(tmp_path).stat().st_size
        for offset in (7, 8):  # of one length, with one position and one known time
            os.truncate(segment, end)
            with segment.open("ab") as file:
                file.write(frame(2, 2_000, {"rows": 0, "offsets": {"p": offset}}, b""))
            assert reader.offsets() == {"p": offset}


def test_damage_behind_what_was_seen_is_noticed(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log, closing(opened(tmp_path)) as reader:
        log.append(events(1))
        assert reader.position() == 1
        before = segment_of(tmp_path).stat().st_size
        log.append(events(2))
        log.append(events(3))
        data = bytearray(segment_of(tmp_path).read_bytes())
        data[before + 60] ^= 255
        with segment_of(tmp_path).open("r+b") as file:
            file.write(data)
        for use in (reader.position, reader.offsets, reader.prefix, reader.read):
            with pytest.raises(BackendError, match=f"damaged at byte {before}, and whole events follow"):
                use()


def test_a_writer_goes_on_in_the_new_segment_though_the_old_one_is_still_there(tmp_path: Path) -> None:
    """Another was killed after it had put the new segment in place, and before it removed the old one."""
    with closing(opened(tmp_path)) as log, closing(opened(tmp_path)) as other, closing(opened(tmp_path)) as reader:
        log.append(events(1))
        old, kept = segment_of(tmp_path), tmp_path / "kept"
        os.link(old, kept)
        reader.position()
        other.seal()
        os.link(kept, old)
        assert reader.position() == 1
        log.append(events(2))
        assert [number for _, _, number in stamps(reader)] == [1, 2]
        with closing(opened(tmp_path)) as fresh:
            assert [number for _, _, number in stamps(fresh)] == [1, 2]
        assert not old.exists()


def test_a_reader_that_follows_parses_only_what_is_new(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        for number in range(50):
            log.append(events(number, number))
        log.position()
        with segment_of(tmp_path).open("r+b") as file:  # what was parsed is not looked at again, but for the last frame
            file.seek(2_000)
            file.write(b"\xff" * 10)
        log.append(events(50))
        assert log.position() == 101
        assert [number for _, _, number in stamps(log, 99)] == [49, 50]


def test_files_are_closed(tmp_path: Path) -> None:
    def open_files() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = open_files()
    for _ in range(3):
        with closing(opened(tmp_path)) as log:
            log.append(events(1))
            log.position()
            log.seal()
            log.position()
    assert open_files() == before
