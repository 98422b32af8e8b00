"""What every log must do, as tests: subclass `LogSuite` and give it a fixture that opens yours.

    class TestMine(LogSuite):
        @pytest.fixture
        def open_log(self, tmp_path):
            return lambda clock: MyLogs({"path": …}, Context(repo_path=tmp_path, project="p", clock=clock)).log("s")

Each call of the fixture's value must open the same log anew, as another process would; it starts out empty.
What yours cannot do is declared as `gaps` (`gnomon.testing.gaps`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon.clock import Clock, ManualClock
from gnomon.contracts.log import KNOWN, OFFSET, PARTITION, POSITION, Log
from gnomon.errors import ConflictError, RequestError
from gnomon.testing.gaps import Suite

__all__ = ["LogSuite", "Open", "events", "stamps", "timed"]

Open = Callable[[Clock], Log]


def events(*numbers: int) -> pa.Table:
    """Events that can be told apart."""
    return pa.table({"number": pa.array(numbers, pa.int64()), "text": [f"event {one}" for one in numbers]})


def timed(*instants: int) -> pa.Table:
    """Events that happened at these instants, µs; each has its instant for a number, too."""
    at = pa.array(instants, pa.int64()).cast(pa.timestamp("us", "UTC"))
    return events(*instants).append_column("at", at)


def stamps(log: Log, since: int = 0, until: int | None = None) -> list[tuple[int, int, int]]:
    """(position, known time, number) of a log's events."""
    table = log.read(since, until).read_all()
    if not len(table):
        return []
    known = table[KNOWN].cast(pa.int64()).to_pylist()
    return list(zip(table[POSITION].to_pylist(), known, table["number"].to_pylist(), strict=True))


class LogSuite(Suite):
    """The log contract, test by test."""

    @pytest.fixture
    def open_log(self) -> Open:
        """Opens the log under test; authors override it."""
        raise NotImplementedError("give your subclass a fixture `open_log`")

    @pytest.fixture
    def clock(self) -> ManualClock:
        """A clock that stands at 1,000 µs."""
        return ManualClock(1_000)

    @pytest.fixture
    def log(self, open_log: Open, clock: ManualClock) -> Iterator[Log]:
        """One open log."""
        with closing(open_log(clock)) as log:
            yield log

    def test_a_log_is_empty_before_the_first_append(self, log: Log) -> None:
        """Nothing there is no error."""
        assert (log.position(), log.offsets()) == (0, {})
        assert len(log.read().read_all()) == 0
        found = log.prefix()
        assert (found.files, found.tail, found.position) == ((), None, 0)
        log.seal()
        assert log.position() == 0

    def test_what_was_appended_is_read_in_order_sealed_or_not(self, log: Log, clock: ManualClock) -> None:
        """Positions count up from 1; a batch's events have the clock's now and one µs more each."""
        one = log.append(events(7, 8, 9))
        assert (one.first, one.last, one.known, one.duplicate) == (1, 3, 1_000, False)
        clock.set(2_000)
        log.seal()
        two = log.append(events(6))
        assert (two.first, two.last, two.known) == (4, 4, 2_000)
        expected = [(1, 1_000, 7), (2, 1_001, 8), (3, 1_002, 9), (4, 2_000, 6)]
        assert stamps(log) == expected
        log.seal()
        assert stamps(log) == expected
        assert log.position() == 4
        for since in range(5):
            for until in range(5):
                assert stamps(log, since, until) == expected[since:until]

    def test_known_times_go_up_when_the_clock_stands_or_steps_back(self, open_log: Open, clock: ManualClock) -> None:
        """One µs after the last, across sealing and opening anew, too."""
        for step in (0, -500, 0, 3):
            clock.set(clock.now() + step)
            with closing(open_log(clock)) as log:
                for seal in (False, True):
                    log.append(events(1, 2))
                    if seal:
                        log.seal()
                found = stamps(log)
        assert len(found) == 16
        assert all(early[0] + 1 == late[0] and early[1] < late[1] for early, late in pairwise(found))
        assert [known for _, known, _ in found] == list(range(1_000, 1_016))

    def test_a_batch_sent_again_is_recognised(self, open_log: Open, clock: ManualClock) -> None:
        """By its producer's offset, however long ago and whoever opened the log since."""
        with closing(open_log(clock)) as log:
            log.append(events(1), {"p0": 10})
            log.append(events(2), {"p1": 5})
            log.append(events(3))
        for seal in (False, True):
            with closing(open_log(clock)) as log:
                if seal:
                    log.seal()
                assert log.offsets() == {"p0": 10, "p1": 5}
                for offset in (3, 10):
                    again = log.append(events(1), {"p0": offset})
                    assert again.duplicate
                    assert again.last == again.first - 1
                assert log.position() == 3
        with closing(open_log(clock)) as log:
            assert not log.append(events(4), {"p0": 11}).duplicate
            assert log.append(events(4), {"p0": 11}).duplicate
            assert (log.position(), log.offsets()) == (4, {"p0": 11, "p1": 5})

    def test_a_batch_that_is_there_in_part_is_refused(self, log: Log) -> None:
        """To append the rest alone, or all of it, would be a guess."""
        log.append(events(1), {"p0": 10})
        with pytest.raises(ConflictError, match="a part of this batch: that of p0"):
            log.append(events(1, 2), {"p0": 10, "p1": 1})
        assert (log.position(), log.offsets()) == (1, {"p0": 10})

    def test_a_writer_that_says_where_it_believes_to_be_is_held_to_it(self, open_log: Open, clock: ManualClock) -> None:
        """Of two that take a producer for theirs the slower one is told what the log has, and appends nothing."""
        with closing(open_log(clock)) as one, closing(open_log(clock)) as two:
            one.append(events(1, 2), {"p0": 1}, after={"p0": -1})
            for after in ({"p0": -1}, {"p0": 0}, {"p0": 2}, {"p1": -1, "p0": -1}):
                with pytest.raises(ConflictError, match="has 'p0' up to 1") as told:
                    two.append(events(2, 3), {"p0": 2}, after=after)
                assert told.value.facts["offsets"] == {"p0": 1}
            two.append(events(3, 4), {"p0": 5, "p1": 0}, after={"p0": 1, "p1": -1})
            with pytest.raises(ConflictError, match="has 'p0' up to 5"):
                one.append(events(3, 4), {"p0": 5}, after={"p0": 1})
            one.append(events(), {"p0": 9}, after={"p0": 5})
            one.seal()
            two.append(events(5), {"p0": 10}, after={"p0": 9})
            assert [number for _, _, number in stamps(one)] == [1, 2, 3, 4, 5]
            assert two.offsets() == {"p0": 10, "p1": 0}

    def test_events_may_say_where_they_came_from(self, log: Log) -> None:
        """In two columns of gnomon's own; of any other type they are refused."""
        where = {PARTITION: pa.array(["p0", "p1"]), OFFSET: pa.array([7, 3], pa.int64())}
        log.append(pa.table({"number": [1, 2], **where}))
        log.append(pa.table({"number": [3]}))
        assert log.read().read_all().select([PARTITION, OFFSET]).to_pylist() == [
            {PARTITION: "p0", OFFSET: 7},
            {PARTITION: "p1", OFFSET: 3},
            {PARTITION: None, OFFSET: None},
        ]
        with pytest.raises(RequestError, match="a log cannot hold the column '__offset'"):
            log.append(pa.table({OFFSET: ["7"]}))

    def test_offsets_are_kept_without_events(self, open_log: Open, clock: ManualClock) -> None:
        """A producer whose events were all refused goes on after them."""
        with closing(open_log(clock)) as log:
            done = log.append(events(), {"p0": 4})
            assert done.last == done.first - 1
            assert log.append(events()).last == 0
        with closing(open_log(clock)) as log:
            log.seal()
            assert (log.position(), log.offsets()) == (0, {"p0": 4})
            assert log.append(events(1), {"p0": 4}).duplicate
            assert log.append(events(1), {"p0": 5}).first == 1

    def test_later_events_may_have_other_columns(self, log: Log) -> None:
        """What came before has nulls there."""
        log.append(events(1), {"p0": 1})
        log.append(pa.table({"number": [2], "more": [0.5]}))
        log.append(events(3))
        assert log.read().read_all().drop_columns([POSITION, KNOWN]).to_pylist() == [
            {"number": 1, "text": "event 1", "more": None},
            {"number": 2, "text": None, "more": 0.5},
            {"number": 3, "text": "event 3", "more": None},
        ]
        assert log.offsets() == {"p0": 1}

    @pytest.mark.parametrize(
        "column", [{"__known": [1]}, {"word": pa.array(["a"]).dictionary_encode()}], ids=["reserved", "dictionary"]
    )
    def test_columns_that_would_not_come_back_are_refused(self, log: Log, column: dict[str, Any]) -> None:
        """Before anything is written."""
        log.append(events(1))
        with pytest.raises(RequestError, match="a log cannot hold the column"):
            log.append(pa.table(column))
        assert log.append(events(2)).first == 2

    def test_a_prefix_is_the_log_as_it_was(self, log: Log, clock: ManualClock) -> None:
        """Files that anybody's Parquet tools can read, and a table; later appends and sealing change neither."""
        log.append(events(1, 2))
        log.seal()
        log.append(events(3, 4))
        before = [log.prefix(), log.prefix(until=3), log.prefix(until=1)]
        log.append(events(5))
        log.seal()
        log.append(events(6))
        assert [one.position for one in before] == [4, 3, 1]
        for one in before:
            rows = [row for path in one.files for row in pq.read_table(path)["number"].to_pylist()]
            rows += one.tail["number"].to_pylist() if one.tail else []
            assert rows[: one.position] == [1, 2, 3, 4][: one.position]
        assert before[2].tail is None

    def test_readers_see_a_prefix_whatever_a_writer_does(self, open_log: Open, clock: ManualClock) -> None:
        """Appends and seals go on meanwhile; no event is missing or double, and none goes away."""
        failed: list[BaseException] = []
        done = threading.Event()

        def write() -> None:
            try:
                with closing(open_log(clock)) as log:
                    for number in range(1, 121):
                        log.append(events(number))
                        if number % 5 == 0:
                            log.seal()
            except BaseException as wrong:
                failed.append(wrong)
            finally:
                done.set()

        writer = threading.Thread(target=write)
        writer.start()
        seen = 0
        with closing(open_log(clock)) as log:
            while not done.is_set():
                found = log.read().read_all()
                numbers = found["number"].to_pylist() if len(found) else []
                assert numbers == list(range(1, len(numbers) + 1))
                assert len(numbers) >= seen
                seen = len(numbers)
            writer.join()
            assert failed == []
            assert log.position() == 120

    def test_writers_take_turns(self, open_log: Open, clock: ManualClock) -> None:
        """Several of them at once: every event once, batches whole."""
        failed: list[BaseException] = []

        def write(name: str) -> None:
            try:
                with closing(open_log(clock)) as log:
                    for number in range(20):
                        log.append(events(number, number), {name: number})
            except BaseException as wrong:
                failed.append(wrong)

        writers = [threading.Thread(target=write, args=(f"p{one}",)) for one in range(3)]
        for one in writers:
            one.start()
        for one in writers:
            one.join()
        assert failed == []
        with closing(open_log(clock)) as log:
            found = stamps(log)
            assert log.offsets() == {"p0": 19, "p1": 19, "p2": 19}
        assert [position for position, _, _ in found] == list(range(1, 121))
        assert sorted(number for _, _, number in found) == sorted([*range(20)] * 6)
        assert all(found[at][2] == found[at + 1][2] for at in range(0, 120, 2))

    def test_merging_changes_no_event(self, log: Log, open_log: Open, clock: ManualClock) -> None:
        """Nor a position, nor a known time; who took names of files before goes on reading."""
        log.append(events(0), {"p": 1})
        for number in range(1, 12):
            log.append(events(number, number))
            log.append(events(number).append_column("more", pa.array([number])))
            if number % 2:
                log.seal()
        expected, before = log.read().read_all(), log.prefix()
        log.merge()
        for one in (log, open_log(clock)):
            with closing(one):
                assert one.read().read_all().to_pylist() == expected.to_pylist()
                assert (one.position(), one.offsets()) == (34, {"p": 1})
                assert len(one.prefix().files) <= len(before.files)
                assert one.append(events(1), {"p": 1}).duplicate
        rows = [row for path in before.files for row in pq.read_table(path)["number"].to_pylist()]
        rows += before.tail["number"].to_pylist() if before.tail else []
        assert rows == expected["number"].to_pylist()

    def test_a_trimmed_log_goes_on_where_it_was(self, open_log: Open, clock: ManualClock) -> None:
        """The oldest events go, none that happened or was known later; no position and no known time comes again."""
        with closing(open_log(clock)) as log:
            for known, happened in ((2_000, 10), (3_000, 20), (4_000, 9_000), (5_000, 30)):
                clock.set(known)
                log.append(timed(happened), {"p": known})
                log.seal()
            log.append(timed(40))
            assert log.trim(2_000, "at").events == 0
            done = log.trim(3_000, "at")
            assert (done.events, done.begins) == (1, 2)
            assert log.trim(4_500, "at").begins == 3, "the third event happened at 9,000"
            assert log.trim(4_500, "at").events == 0
        with closing(open_log(clock)) as log:
            assert [(position, number) for position, _, number in stamps(log)] == [(3, 9_000), (4, 30), (5, 40)]
            assert (log.position(), log.offsets()) == (5, {"p": 5_000})
            log.trim(100_000, "at")
            log.seal()
            log.trim(100_000, "at")
        with closing(open_log(clock)) as log:
            assert stamps(log) == []
            assert log.prefix().files == ()
            assert log.append(timed(50), {"p": 5_000}).duplicate
            added = log.append(timed(50), {"p": 5_001})
            assert (added.first, added.known) == (6, 5_002)
            assert [position for position, _, _ in stamps(log)] == [6]

    def test_what_is_erased_is_gone_and_the_rest_stays_where_it_is(self, open_log: Open, clock: ManualClock) -> None:
        """Sealed or not; erasing again finds nothing, and a later event of the entity is an event like any other."""
        with closing(open_log(clock)) as log:
            log.append(events(7, 8), {"p": 1})
            log.seal()
            log.append(events(7))
            log.seal()
            log.append(events(9, 7, 9))
            before = stamps(log)
            done = log.erase({"number": "7"})
            assert (done.events, done.position) == (3, 6)
            assert log.erase({"number": 7}).events == 0
            assert log.erase({"number": 9, "text": "event 8"}).events == 0
            assert log.erase({"number": 8, "nowhere": 8}).events == 0
        with closing(open_log(clock)) as log:
            expected = [one for one in before if one[2] != 7]
            assert stamps(log) == expected
            assert [position for position, _, _ in expected] == [2, 4, 6]
            for since in range(7):
                assert stamps(log, since, 5) == [one for one in expected if since < one[0] <= 5]
            assert (log.position(), log.offsets()) == (6, {"p": 1})
            assert (log.append(events(7)).first, log.status().events) == (7, 4)
            log.erase({"number": 7})
            log.merge()
            assert stamps(log) == expected
            assert log.append(events(6)).first == 8

    def test_a_log_says_what_it_holds(self, log: Log, clock: ManualClock) -> None:
        """Events, the room they take, and from when to when."""
        assert log.status("at").events == 0
        assert (log.merge().files, log.trim(9, "at").events, log.erase({"number": 1}).events) == (0, 0, 0)
        log.append(timed(500, 300))
        log.seal()
        clock.set(8_000)
        log.append(timed(400))
        found = log.status("at")
        assert (found.events, found.begins, found.position) == (3, 1, 3)
        assert (found.known, found.happened) == ((1_000, 8_000), (300, 500))
        assert found.bytes > 0
        assert (log.status().happened, log.status().lessened) == (None, None)
        log.erase({"number": 400})
        clock.set(9_000)
        log.merge()
        assert log.status().lessened == 8_000
        log.trim(600, "at")
        assert log.status().lessened == 8_000
        log.trim(7_000, "at")
        assert log.status().lessened == (8_000 if log.status().begins == 1 else 9_000)
