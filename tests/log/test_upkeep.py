"""Merging, trimming and erasing, at any moment and after any crash."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.errors import BackendError, ConflictError
from gnomon.log.embedded import EmbeddedLog, EmbeddedLogs
from gnomon.log.folder import parquet_name
from gnomon.testing.log_suite import events, stamps, timed


def opened(folder: Path, clock: ManualClock | None = None, **options: object) -> EmbeddedLog:
    context = Context(repo_path=folder, project="p", clock=clock or ManualClock(1_000))
    return EmbeddedLogs(options, context).log("s")


def folder_of(tmp_path: Path) -> Path:
    return tmp_path / ".gnomon" / "log" / "s"


def files_of(tmp_path: Path) -> list[str]:
    return sorted(one.name for one in folder_of(tmp_path).glob("*.parquet"))


def numbers_of(log: EmbeddedLog) -> list[int]:
    return [number for _, _, number in stamps(log)]


def sealed_one_by_one(log: EmbeddedLog, *numbers: int) -> None:
    for number in numbers:
        log.append(timed(number))
        log.seal()


def test_small_files_become_one_and_go_after_the_grace_time(tmp_path: Path) -> None:
    clock = ManualClock(0)
    with closing(opened(tmp_path, clock, merge_grace="1h")) as log:
        sealed_one_by_one(log, *range(5))
        small = log.prefix().files
        done = log.merge()
        assert (done.files, done.into, done.removed) == (5, 1, 0)
        assert [Path(one).name for one in log.prefix().files] == [parquet_name(1, 5)]
        clock.advance("59m")
        assert log.merge().removed == 0
        assert all(Path(one).exists() for one in small)
        clock.advance("1m")
        assert log.merge().removed == 5
        assert files_of(tmp_path) == [parquet_name(1, 5)]
        assert numbers_of(log) == list(range(5))


def test_without_a_grace_time_they_go_at_once(tmp_path: Path) -> None:
    with closing(opened(tmp_path, merge_grace="0s")) as log:
        sealed_one_by_one(log, *range(3))
        log.append(events(9))
        assert log.merge().removed == 3
        assert files_of(tmp_path) == [parquet_name(1, 3)]
        assert numbers_of(log) == [0, 1, 2, 9]


def test_files_get_as_large_as_they_may(tmp_path: Path) -> None:
    with closing(opened(tmp_path, merge_events=4, merge_grace="0s")) as log:
        sealed_one_by_one(log, *range(10))
        log.merge()
        assert files_of(tmp_path) == [parquet_name(1, 4), parquet_name(5, 8), parquet_name(9, 10)]
        log.merge()
        assert files_of(tmp_path) == [parquet_name(1, 4), parquet_name(5, 8), parquet_name(9, 10)]
    size = sum((folder_of(tmp_path) / one).stat().st_size for one in files_of(tmp_path))
    with closing(opened(tmp_path, merge_bytes=size, merge_grace="0s")) as log:
        log.merge()
        assert files_of(tmp_path) == [parquet_name(1, 10)]


def test_a_large_file_is_not_written_again_for_a_few_events(tmp_path: Path) -> None:
    with closing(opened(tmp_path, merge_grace="0s")) as log:
        log.append(events(*range(20_000)))
        log.seal()
        sealed_one_by_one(log, 1, 2)
        log.merge()
        assert files_of(tmp_path) == [parquet_name(1, 20_000), parquet_name(20_001, 20_002)]


def test_files_in_which_a_column_has_another_type_stay_apart(tmp_path: Path) -> None:
    with closing(opened(tmp_path, merge_grace="0s")) as log:
        for batch in ({"number": [1]}, {"number": [2], "more": [1.5]}, {"number": [2.5]}, {"number": [3.5]}):
            log.append(pa.table(batch))
        log.merge()
        log.seal()
        log.merge()
        assert files_of(tmp_path) == [parquet_name(1, 2), parquet_name(3, 4)]
        assert log.read().read_all()["number"].to_pylist() == [1.0, 2.0, 2.5, 3.5]


def test_a_part_of_a_large_file_is_read_without_the_rest(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        for at in range(4):
            log.append(events(*range(at * 100_000, (at + 1) * 100_000)))
            log.seal()
        log.merge()
        (file,) = log.prefix().files
        assert pq.read_metadata(file).num_row_groups > 1
        assert numbers_of_range(log, 399_990) == list(range(399_990, 400_000))
        assert numbers_of_range(log, 150_000, 150_002) == [150_000, 150_001]


def numbers_of_range(log: EmbeddedLog, since: int, until: int | None = None) -> list[int]:
    return [number for _, _, number in stamps(log, since, until)]


def test_a_reader_finds_files_that_were_merged_or_written_again_meanwhile(tmp_path: Path) -> None:
    with closing(opened(tmp_path, merge_grace="0s")) as log:
        sealed_one_by_one(log, *range(6))
        log.append(timed(6))
        merged, erased = log.read(), log.read()
        assert [next(merged)["number"].to_pylist() for _ in range(2)] == [[0], [1]]
        log.merge()
        assert merged.read_all()["number"].to_pylist() == [2, 3, 4, 5, 6]
        log.erase({"number": 4})
        assert erased.read_all()["number"].to_pylist() == [0, 1, 2, 3, 5, 6]


def test_a_missing_file_is_still_told_from_a_trimmed_one(tmp_path: Path) -> None:
    with closing(opened(tmp_path, ManualClock(100))) as log:
        sealed_one_by_one(log, 1, 2, 3, 4)
        assert log.trim(102, "at").begins == 3
        assert files_of(tmp_path) == [parquet_name(3, 3), parquet_name(4, 4)]
        (folder_of(tmp_path) / parquet_name(3, 3)).unlink()
        with pytest.raises(BackendError, match="no file holds the events from position 3 to 3"):
            log.position()


def test_files_that_partly_have_the_same_positions_are_an_error(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        sealed_one_by_one(log, 1, 2, 3)
        folder = folder_of(tmp_path)
        (folder / parquet_name(2, 3)).write_bytes((folder / parquet_name(2, 2)).read_bytes())
        (folder / parquet_name(1, 2)).write_bytes((folder / parquet_name(1, 1)).read_bytes())
        with pytest.raises(BackendError, match="has positions that another file has, too, and further ones"):
            log.position()


def test_works_on_one_log_take_turns_and_writers_do_not_wait_for_them(tmp_path: Path) -> None:
    import fcntl

    with closing(opened(tmp_path, wait="20ms")) as log:
        sealed_one_by_one(log, 1, 2)
        with (folder_of(tmp_path) / "upkeep").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for work in (log.merge, lambda: log.trim(1, "at"), lambda: log.erase({"number": 1})):
                with pytest.raises(ConflictError, match="somebody else has been keeping the log"):
                    work()
            assert log.append(timed(3)).first == 3
            log.seal()
        assert log.merge().files == 3


def bytes_found(folder: Path, needle: bytes) -> list[str]:
    """The files in which some bytes stand, plain or in a column of a Parquet file."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            plain = path.read_bytes()
            if path.suffix == ".parquet":
                plain += repr(pq.read_table(path).to_pydict()).encode() + str(pq.read_metadata(path)).encode()
            if needle in plain:
                found.append(path.name)
    return found


def test_nothing_of_an_erased_entity_is_in_any_file(tmp_path: Path) -> None:
    rest = pa.table({"user": ["somebody"] * 3, "at": pa.array([1, 2, 3]).cast(pa.timestamp("us", "UTC"))})
    own = pa.table({"user": ["unmistakable", "somebody"], "at": pa.array([1, 2]).cast(pa.timestamp("us", "UTC"))})
    clock = ManualClock(0)
    with closing(opened(tmp_path, clock)) as log:
        for _ in range(3):
            log.append(own)
            log.seal()
            log.append(rest)
        log.merge()  # those that were merged are still there
        log.append(own)
        (folder_of(tmp_path) / ".scratch").write_bytes(b"unmistakable")  # as killed processes leave them
        (folder_of(tmp_path) / ".upkeep").write_bytes(b"unmistakable")
        assert len(bytes_found(folder_of(tmp_path), b"unmistakable")) >= 5
        assert log.erase({"user": "unmistakable"}).events == 4
        assert bytes_found(folder_of(tmp_path), b"unmistakable") == []
        assert log.read().read_all()["user"].to_pylist() == ["somebody"] * 13
        assert log.position() == 17


def test_a_file_of_which_nothing_is_left_still_has_its_positions(tmp_path: Path) -> None:
    with closing(opened(tmp_path, merge_grace="0s")) as log:
        sealed_one_by_one(log, 1, 2, 3)
        log.erase({"number": 2})
        log.erase({"number": 3})
        assert (stamps(log), log.position()) == ([(1, 1_000, 1)], 3)
        log.merge()
        assert (stamps(log), log.position()) == ([(1, 1_000, 1)], 3)
        log.erase({"number": 1})
        assert (stamps(log), log.status("at").happened) == ([], None)
        assert log.trim(10_000, "at").begins == 4
        assert log.append(timed(4)).first == 4


WORKS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 4)),
        st.tuples(st.just("seal"), st.just(0)),
        st.tuples(st.just("merge"), st.just(0)),
        st.tuples(st.just("trim"), st.integers(0, 60)),
        st.tuples(st.just("erase"), st.integers(0, 4)),
        st.tuples(st.just("wait"), st.integers(0, 3)),
        st.tuples(st.just("open anew"), st.just(0)),
    ),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(works=WORKS, chance=st.randoms(use_true_random=False))
def test_whatever_is_done_in_whatever_order(
    tmp_path_factory: pytest.TempPathFactory, works: list, chance: random.Random
) -> None:
    """Held against a list of (position, known, number)."""
    tmp_path, clock = tmp_path_factory.mktemp("log"), ManualClock(0)
    options = {"merge_grace": "2us", "merge_events": 12}
    log, reader = opened(tmp_path, clock, **options), opened(tmp_path, clock, **options)
    expected: list[tuple[int, int, int]] = []
    position = 0
    for work, value in works:
        if work == "append":
            batch = [chance.randrange(5) for _ in range(value)]
            done = log.append(timed(*batch), {"p": position})
            if not done.duplicate:
                expected += [(done.first + at, done.known + at, number) for at, number in enumerate(batch)]
                position += value
        elif work == "seal":
            log.seal()
        elif work == "merge":
            log.merge()
        elif work == "trim":
            done = log.trim(value, "at")
            gone = [one for one in expected if one[0] < done.begins]
            assert all(known < value and number < value for _, known, number in gone)
            expected = expected[len(gone) :]
        elif work == "erase":
            assert log.erase({"number": value}).events == sum(number == value for _, _, number in expected)
            expected = [one for one in expected if one[2] != value]
        elif work == "wait":
            clock.advance(f"{value}us")
        else:
            log.close()
        assert stamps(reader) == expected
        assert reader.position() == position
        assert log.status().events == len(expected)
        cut = position // 2
        assert stamps(reader, cut) == [one for one in expected if one[0] > cut]
    log.close()
    reader.close()


def test_pushes_works_and_readers_at_the_same_time(tmp_path: Path) -> None:
    """A reader sees what was there, in order, without the erased, whatever goes on meanwhile."""
    failed: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        with closing(opened(tmp_path, seal_bytes=3_000)) as log:
            for number in range(300):
                log.append(timed(number, number))
        done.set()

    def keep() -> None:
        with closing(opened(tmp_path, merge_grace="0s", merge_events=40)) as log:
            while not done.is_set():
                log.merge()
                log.erase({"number": 5})
                log.status("at")

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as wrong:
            failed.append(wrong)
            done.set()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (write, keep)]
    for one in threads:
        one.start()
    seen = 0
    with closing(opened(tmp_path)) as log:
        while not done.is_set():
            found = stamps(log)
            assert [position for position, _, number in found if number != 5] == [
                position for position in range(1, 2 * len(found) + 3) if (position - 1) // 2 != 5
            ][: sum(number != 5 for _, _, number in found)]
            assert len(found) >= seen - 2
            seen = len(found)
            stamps(log, since=max(seen - 3, 0))
        for one in threads:
            one.join()
        assert failed == []
        log.erase({"number": 5})
        assert [number for _, _, number in stamps(log)] == [one for one in range(300) for _ in "ab" if one != 5]
