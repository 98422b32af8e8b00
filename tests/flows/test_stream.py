"""The worker, on a stream that does whatever a broker may do: repeat, mix up, go away, hand over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from payments import FIELDS, Heard, check_each_once, letters, logged, message, opened, payment, pushed, view

from gnomon import FeatureStore
from gnomon.clock import ManualClock, SystemClock
from gnomon.contracts.log import OFFSET, PARTITION
from gnomon.contracts.streams import Letter, Messages, Room
from gnomon.definitions.entities import Field
from gnomon.errors import BackendError, BrokerAway, ConflictError
from gnomon.flows.letters import Letters
from gnomon.flows.rows import join_keys
from gnomon.flows.tally import Tally
from gnomon.flows.worker import Around, Limits, Until, Worker
from gnomon.types import Int64

Part = tuple[str, Sequence[int]]


class Scripted:
    """A stream that gives the batches it was told to, or raises the errors; then it is at its end.

    Args:
        turns: for each poll: parts of partitions, by their offsets, or what is raised.
    """

    def __init__(self, *turns: Any) -> None:
        self._turns = list(turns)
        self.committed: list[Mapping[str, int]] = []
        self.refused: list[Letter] = []
        self.polls = 0
        self.closed = False
        self.make: Any = lambda offset: message(offset)

    def open(self) -> None:
        pass

    def poll(self, room: Room) -> list[Messages]:
        self.polls += 1
        turn = self._turns.pop(0) if self._turns else []
        if isinstance(turn, BaseException):
            raise turn
        return [
            Messages(partition=name, offsets=list(offsets), payloads=[self.make(one) for one in offsets])
            for name, offsets in turn
        ]

    def is_at_end(self) -> bool:
        return not self._turns

    def ends(self) -> Mapping[str, int]:
        return {"p": 9}

    def refuse(self, letters: Sequence[Letter]) -> None:
        self.refused += letters

    def commit(self, offsets: Mapping[str, int]) -> None:
        self.committed.append(dict(offsets))

    def close(self) -> None:
        self.closed = True


class Work:
    """A worker, and what it told and did."""

    def __init__(self, store: FeatureStore, log: str = "payments", **limits: Any) -> None:
        self.heard, self.slept, self.fed, self.tallies = Heard(), list[float](), list[str](), list[Tally]()
        self.stop = False
        around = Around(
            clock=store.clock,
            sleep=self.slept.append,
            stopping=lambda: self.stop,
            feed=self.fed.append,
            tell=self.heard.append,
            watch=self.tallies.append,
        )
        source = store.get_data_source("payments")
        kept = Letters(store._make("logs", "embedded", {"path": ".gnomon/rejected"}).log(log))
        keys = join_keys(store.catalog(), source)  # type: ignore[arg-type]
        self.worker = Worker(source, keys, store.logs.log(log), kept, Limits(**limits), around)  # type: ignore[arg-type]

    def __call__(self, stream: Any) -> Tally:
        self.worker.run(stream, Until(once=True))
        return self.worker.tally


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with opened(tmp_path, pushed()) as store:
        yield store


def test_the_way_of_a_batch(store: FeatureStore) -> None:
    work, stream = Work(store), Scripted([("p", range(3))], [], [("p", range(3, 5)), ("q", [8])])
    tally = work(stream)
    assert (tally.appended, tally.batches, tally.rejected, tally.redelivered) == (6, 2, 0, 0)
    assert [(row["id"], row[PARTITION], row[OFFSET]) for row in logged(store)] == [
        ("e0", "p", 0),
        ("e1", "p", 1),
        ("e2", "p", 2),
        ("e3", "p", 3),
        ("e4", "p", 4),
        ("e8", "q", 8),
    ]
    assert stream.committed == [{"p": 2}, {"p": 4, "q": 8}]
    assert work.fed == ["payments"] * 3
    assert tally.lag == {"p": 5}
    assert stream.closed


def test_training_sees_the_events_and_not_where_they_came_from(store: FeatureStore) -> None:
    Work(store)(Scripted([("p", range(14))]))
    store.push("payments", [payment(20, user_id=1)])
    asked = {"user_id": [1], "event_timestamp": ["2024-01-01T13:00:00Z"]}
    made = store.get_historical_features(asked, ["spend:count_1d", "spend:amount_sum_1d"]).to_arrow()
    assert made.select(["count_1d", "amount_sum_1d"]).to_pylist() == [{"count_1d": 3, "amount_sum_1d": 7.25}]
    row_view = view(pushed())
    assert [one for one in row_view.feature_names if one.startswith("__")] == []


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with opened(tmp_path_factory.mktemp("shop"), pushed()) as store:
        yield store


NUMBERS = count()
turns = st.lists(
    st.lists(st.tuples(st.sampled_from("pq"), st.integers(0, 12), st.integers(1, 8)), max_size=3), max_size=6
)


@given(turns, st.randoms(use_true_random=False), st.integers(0, 3))
def test_messages_that_come_twice_or_mixed_up_within_a_batch_count_once(
    one_store: FeatureStore, turns: list[Any], chance: Any, restarts: int
) -> None:
    """A partition's batches overlap as they do when reading goes back; in a batch the order is any."""
    script, reached = [], {"p": -1, "q": -1}
    for turn in turns:
        parts = []
        for name, back, size in turn:
            first = max(reached[name] + 1 - back, 0)
            offsets = [*range(first, reached[name] + 1 + size), *range(first, first + size // 2)]
            reached[name] = max(offsets)
            chance.shuffle(offsets)
            parts.append((name, offsets))
        script.append(parts)
    log = f"log-{next(NUMBERS)}"
    cuts = sorted(chance.randrange(len(script) + 1) for _ in range(restarts))
    for first, last in zip([0, *cuts], [*cuts, len(script)], strict=True):
        Work(one_store, log)(Scripted(*script[first:last]))
    found = one_store.logs.log(log).read().read_all()
    rows = found.to_pylist() if len(found) else []
    for name, last in reached.items():
        assert [row[OFFSET] for row in rows if row[PARTITION] == name] == list(range(last + 1))
    assert one_store.logs.log(log).offsets() == {name: last for name, last in reached.items() if last >= 0}


def test_two_that_take_a_partition_for_theirs_append_each_message_once(store: FeatureStore) -> None:
    slow, fast = Work(store), Work(store)

    class HandedOver(Scripted):
        """Hands its partition over to another worker between a poll and its append."""

        def poll(self, room: Room) -> list[Messages]:
            found = super().poll(room)
            if self.polls == 2:
                fast(Scripted([("p", range(5, 12)), ("q", range(3))]))
            return found

    tally = slow(HandedOver([("p", range(5))], [("p", range(5, 20)), ("q", range(1))], [("p", range(20, 22))]))
    assert [(row[PARTITION], row[OFFSET]) for row in logged(store) if row[PARTITION] == "p"] == [
        ("p", offset) for offset in range(22)
    ]
    assert [row[OFFSET] for row in logged(store) if row[PARTITION] == "q"] == [0, 1, 2]
    assert tally.redelivered == 8


def test_what_another_left_is_fed_on_when_its_partition_comes(store: FeatureStore) -> None:
    work = Work(store)

    class Coming(Scripted):
        """A partition comes, as its log is when that happens."""

        def poll(self, room: Room) -> list[Messages]:
            if self.polls == 1:
                Work(store).worker._log.append(pa.table({"id": ["left"]}), {"q": 3})
                work.worker.positions()
            return super().poll(room)

    fed: list[int] = []
    around = {name: getattr(work.worker._around, name) for name in ("clock", "sleep", "stopping", "tell", "watch")}
    work.worker._around = Around(**around, feed=lambda name: fed.append(store.logs.log(name).position()))
    work(Coming([("p", range(2))], [], []))
    assert fed == [0, 2, 3]


def test_a_log_that_went_back_is_an_error(store: FeatureStore, tmp_path: Path) -> None:
    work = Work(store)

    class PutBack(Scripted):
        """The log is put back from a copy meanwhile."""

        def poll(self, room: Room) -> list[Messages]:
            if self.polls == 1:
                for one in (tmp_path / ".gnomon" / "log" / "payments").glob("*.segment"):
                    one.unlink()
            return super().poll(room)

    with pytest.raises(BackendError, match="the log has gone back: it had 'p' up to 2"):
        work(PutBack([("p", range(3))], [("p", range(3, 6))]))


def test_dead_letters_are_kept_once_however_often_they_come(store: FeatureStore) -> None:
    def half(offset: int) -> bytes:
        return b"no json" if offset % 2 else message(offset)

    for _ in range(2):
        stream = Scripted([("p", range(6))], [("p", range(4, 8))])
        stream.make = half
        Work(store)(stream)
    assert [(row["partition"], row["offset"], row["payload"]) for row in letters(store)] == [
        ("p", offset, b"no json") for offset in (1, 3, 5, 7)
    ]
    assert [row[OFFSET] for row in logged(store)] == [0, 2, 4, 6]
    assert len(stream.refused) == 0


def test_letters_of_a_worker_that_was_killed_before_its_append_are_kept_once(store: FeatureStore) -> None:
    def bad(offset: int) -> bytes:
        return b"no json"

    work = Work(store)
    work.worker._log = Killed(work.worker._log)  # type: ignore[assignment]
    stream = Scripted([("p", range(3))])
    stream.make = bad
    with pytest.raises(KeyboardInterrupt):
        work(stream)
    assert len(letters(store)) == 3
    again = Scripted([("p", range(5))])
    again.make = bad
    assert Work(store)(again).rejected == 5
    assert [row["offset"] for row in letters(store)] == [0, 1, 2, 3, 4]
    assert [one.offset for one in (*stream.refused, *again.refused)] == [0, 1, 2, 3, 4]
    assert store.logs.log("payments").offsets() == {"p": 4}


class Killed:
    """A log whose writer does not live to see the append."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def append(self, *given: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


AWAY = BrokerAway("Kafka does not answer: gone.", hint="look.")


def test_a_broker_that_is_away_is_asked_again_with_growing_waits(store: FeatureStore) -> None:
    work = Work(store)
    tally = work(Scripted(*[AWAY] * 8, [("p", range(2))], AWAY, [("p", range(2, 3))]))
    assert tally.appended == 3
    assert work.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.1]
    assert tally.retries == 9
    assert work.heard == ["payments: Kafka does not answer: gone. Trying again for 5m."] * 2


def test_patience_ends(store: FeatureStore) -> None:
    work = Work(store, patience=1.0)
    stream = Scripted(*[AWAY] * 99)
    with pytest.raises(BrokerAway, match="Kafka does not answer"):
        work(stream)
    assert work.slept == [0.1, 0.2, 0.4, 0.8]
    assert stream.closed


def test_a_worker_that_waits_stops_when_it_is_told_to(store: FeatureStore) -> None:
    work = Work(store)

    def stop_after(seconds: float) -> None:
        work.slept.append(seconds)
        work.stop = len(work.slept) == 3

    work.worker._around = Around(
        **{name: getattr(work.worker._around, name) for name in ("clock", "stopping", "feed", "tell", "watch")},
        sleep=stop_after,
    )
    stream = Scripted(*[AWAY] * 99)
    assert work(stream).appended == 0
    assert len(work.slept) == 3
    assert stream.closed


def test_another_that_writes_for_too_long_is_an_error(store: FeatureStore) -> None:
    class Busy(Killed):
        def append(self, *given: Any, **more: Any) -> None:
            raise ConflictError("somebody else has been writing for 10 s.")

    work = Work(store)
    work.worker._log = Busy(work.worker._log)  # type: ignore[assignment]
    with pytest.raises(ConflictError, match="somebody else"):
        work(Scripted([("p", range(3))]))


def test_a_schema_that_changes_in_mid_stream(store: FeatureStore) -> None:
    def changing(offset: int) -> bytes:
        if offset < 2:
            return message(offset)
        if offset < 4:
            return message(offset, more=offset, at="2024-01-01T12:00:00Z")
        return message(offset, user_id=f"u{offset}") if offset < 6 else b'{"user_id": 1, "at": "2024-01-01T12:00:00Z"}'

    work = Work(store)
    for turn in (range(2), range(2, 4), range(4, 6), range(6, 8)):
        stream = Scripted([("p", turn)])
        stream.make = changing
        work(stream)
    assert [(row["id"], row["amount"]) for row in logged(store)] == [
        ("e0", 0.0),
        ("e1", 0.25),
        ("e2", 0.5),
        ("e3", 0.75),
        (None, None),
        (None, None),
    ]
    assert [row["reason"] for row in letters(store)] == [f"'user_id': 'u{n}' is no Int64 without loss" for n in (4, 5)]
    assert work.heard == ["payments: messages have fields that the source has no columns for: more. They are left out."]


def test_events_far_from_now_are_taken_and_noted_once(store: FeatureStore) -> None:
    times = ["2999-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
    work = Work(store)
    for _ in range(2):
        stream = Scripted([("p", range(4))], [("p", range(4, 8))])
        stream.make = lambda offset: message(offset, at=times[offset % 4])
        tally = work(stream)
    assert (tally.appended, tally.future, tally.before_1970) == (8, 4, 4)
    assert len(work.heard) == 2
    assert work.heard.about("in the future, such as one of 9999-12-31")
    assert work.heard.about("before 1970")


def test_clocks_that_step_back_change_no_order(tmp_path: Path) -> None:
    clock = ManualClock(1_000_000)
    with opened(tmp_path, pushed(), clock) as store:
        work = Work(store)
        for number, now in enumerate((1_000_000, 500_000, 2_000_000, 0)):
            clock.set(now)
            work(Scripted([("p", range(number * 10, number * 10 + 10))]))
        known = store.logs.log("payments").read().read_all()["__known"].cast(pa.int64()).to_pylist()
        assert known == sorted(set(known))
        check_each_once(store, range(40))
        assert work.worker.tally.rate.a_second(clock.now()) >= 0


def test_many_events_of_one_key_in_a_second(store: FeatureStore) -> None:
    work = Work(store)
    stream = Scripted(*[[("p", range(first, first + 10_000))] for first in range(0, 100_000, 10_000)])
    stream.make = lambda offset: message(offset, user_id=3)
    assert work(stream).appended == 100_000
    assert work.worker.tally.since_event.quantiles()[0.5] > 0


def test_pushing_beside_a_stream(store: FeatureStore) -> None:
    store.push("payments", [payment(100)], offsets={"till": 3})
    Work(store)(Scripted([("p", range(2))]))
    store.push("payments", [payment(101)], offsets={"till": 4})
    assert [row[PARTITION] for row in logged(store)] == [None, "p", "p", None]
    assert store.logs.log("payments").offsets() == {"till": 4, "p": 1}


def test_a_disk_that_is_full_is_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    import json
    import subprocess
    import sys
    import textwrap

    code = """
        import json, resource, sys
        sys.path[:0] = [sys.argv[2], sys.argv[3]]
        from test_stream import Scripted, Work
        from payments import opened, pushed
        from gnomon.errors import BackendError
        with opened(sys.argv[1]) as store:
            work = Work(store)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            try:
                work(Scripted(*[[("p", range(first, first + 500))] for first in range(0, 50_000, 500)]))
            except BackendError as wrong:
                print(json.dumps([str(wrong), work.worker.tally.appended]))
    """
    with opened(tmp_path, pushed()):
        pass
    here = Path(__file__).parent
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), str(here), str(here.parent / "support")]
    told, appended = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert "the disk is full" in told
    assert 0 < appended < 50_000
    with opened(tmp_path) as store:
        Work(store)(Scripted([("p", range(50_000))]))
        check_each_once(store, range(50_000))


def test_a_field_of_a_message_may_have_another_name() -> None:
    from gnomon import KafkaSource
    from gnomon.flows.decoding import Reader

    fields = [Field("n", Int64), *FIELDS]
    source = KafkaSource(
        name="s",
        schema=fields,
        timestamp_field="at",
        kafka_bootstrap_servers="k:1",
        topic="t",
        field_mapping={"number": "n"},
    )
    read = Reader(source).read(Messages(partition="p", offsets=[0], payloads=[b'{"number": 7, "n": 8}']))
    assert [piece.to_pylist() for piece in read.pieces["n"]] == [[7]]  # type: ignore[union-attr]
    assert read.unknown == ["n"]
    assert SystemClock().now() > 0
