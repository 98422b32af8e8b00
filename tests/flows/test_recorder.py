"""The recorder: who is drawn, what waits, what is dropped, and what is written, whatever ends the process."""

from __future__ import annotations

import fcntl
import random
import subprocess
import sys
import textwrap
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from gnomon import Entity, FeatureService, FeatureStore, FeatureView, Field, LoggingConfig, PushSource
from gnomon.clock import ManualClock, to_micros
from gnomon.config import SERVED, Backend, RepoConfig
from gnomon.errors import BackendError, ConfigError, ConflictError
from gnomon.flows.loaded import Loads
from gnomon.flows.recorder import Ids, Recorder, Recording, ServedStats, new_id
from gnomon.flows.responses import Of
from gnomon.types import Array, Float64, Int64, String, UnixTimestamp

NOON = to_micros("2024-01-01T12:00:00Z")
FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("word", String), Field("many", Array(Float64))]
SOURCE = PushSource(name="pays", schema=[*FIELDS, Field("at", UnixTimestamp)])
VIEW = FeatureView(name="latest", entities=[Entity(name="user_id", value_type=Int64)], source=SOURCE, schema=FIELDS[1:])
ROW = [{"user_id": 1}]
LONG = Recording(flush_interval=3_600)
"""With it, nothing is written that nobody asks to be."""


def service(name: str = "model", rate: float = 1.0) -> FeatureService:
    return FeatureService(name=name, features=[VIEW], logging_config=LoggingConfig(sample_rate=rate))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., FeatureStore]]:
    made: list[FeatureStore] = []

    def store(recording: Recording, *services: FeatureService, wait: str = "10s") -> FeatureStore:
        config = RepoConfig(project="p", repo_path=tmp_path, online_store=Backend("memory"))
        one = FeatureStore(tmp_path, config=config, clock=ManualClock(NOON))
        one.apply([*services] or [service()])
        one.recorder = Recorder(
            lambda: one._make("logs", "embedded", {"path": SERVED, "wait": wait}),
            lambda: Loads(one.registry, "p"),
            recording,
        )
        one.recorder.following(one.snapshot())
        made.append(one)
        return one

    yield store
    for one in made:
        one.close()


def ask(store: FeatureStore, count: int = 1, **more: Any) -> None:
    for _ in range(count):
        store.get_online_features("model", ROW, **more)


def stats(store: FeatureStore) -> ServedStats:
    return store.served_stats().get("model", ServedStats())


@given(st.lists(st.text(max_size=40), min_size=1), st.floats(0.01, 1))
def test_an_id_is_drawn_or_not_wherever_it_is_seen(ids: list[str], rate: float) -> None:
    drawn = [recorder_of(rate).wants("model", one) for one in ids]
    assert drawn == [recorder_of(rate).wants("model", one) for one in ids]
    more = recorder_of(min(1.0, rate * 1.5))
    assert all(more.wants("model", one) for one, was in zip(ids, drawn, strict=True) if was)


def recorder_of(rate: float) -> Recorder:
    made = Recorder(lambda: pytest.fail("nothing is to be written"), lambda: pytest.fail("nor looked up"))
    made._limits = {"model": round(rate * (1 << 32))}
    return made


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["counted", "dated", "uuid4", "uuid7", "none"])
def test_the_share_that_is_drawn_is_the_rate(rate: float, kind: str) -> None:
    chance = random.Random(7)
    forms: dict[str, Callable[[int], str | None]] = {
        "counted": lambda number: str(number),
        "dated": lambda number: f"2024-01-01T12:{number // 6000:02}:{number / 100 % 60:05.2f}Z-{number:06}",
        "uuid4": lambda _: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "uuid7": lambda number: new_id(NOON + number),
        "none": lambda _: None,
    }
    recorder, count = recorder_of(rate), 100_000
    drawn = sum(recorder.wants("model", forms[kind](number)) for number in range(count))
    assert abs(drawn - rate * count) < 6 * (count * rate * (1 - rate)) ** 0.5


def test_a_service_that_is_not_logged_is_never_wanted(make: Callable[..., FeatureStore]) -> None:
    store = make(LONG, service(), FeatureService(name="quiet", features=[VIEW]))
    assert [store.recorder.wants(name) for name in ("model", "quiet", "unknown")] == [True, False, False]
    store.apply(FeatureService(name="model", features=[VIEW]))
    assert not store.recorder.following(store.snapshot()).wants("model")


def test_rows_beyond_the_queue_are_dropped_and_counted(make: Callable[..., FeatureStore]) -> None:
    store = make(Recording(queue_rows=10, flush_interval=3_600))
    store.get_online_features("model", ROW * 6)
    store.get_online_features("model", ROW * 5)  # too many
    store.get_online_features("model", ROW * 4)
    ask(store)  # none fits
    assert stats(store) == ServedStats(queued=10, dropped=6)
    assert store.served("model").num_rows == 10
    assert stats(store) == ServedStats(written=10, dropped=6)
    ask(store)
    assert stats(store) == ServedStats(queued=1, written=10, dropped=6)


def test_memory_is_bounded_too(make: Callable[..., FeatureStore]) -> None:
    store = make(Recording(queue_bytes=1 << 20, flush_interval=3_600))
    wide = {"amount": [1.0], "word": ["w" * 300_000], "many": [[0.5] * 5_000], "at": ["2024-01-01"]}
    store.push("pays", {"user_id": [1], **wide})
    ask(store, 5)
    assert stats(store) == ServedStats(queued=2, dropped=3)
    store.recorder.flush()
    store.get_online_features("model", [{"user_id": 2}] * 100)
    assert stats(store) == ServedStats(queued=100, written=2, dropped=3)


def test_a_log_that_somebody_keeps_holds_nobody_up(make: Callable[..., FeatureStore], tmp_path: Path) -> None:
    store = make(Recording(queue_rows=8, batch_rows=4, flush_interval=0.01), wait="1ms")
    ask(store)
    store.recorder.flush()
    (folder,) = (tmp_path / SERVED).iterdir()
    with (folder / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ask(store, 20)
        until(lambda: "somebody else has been writing" in stats(store).problem)
        assert (stats(store).queued, stats(store).dropped, stats(store).written) == (8, 12, 1)
        with pytest.raises(ConflictError):
            store.recorder.flush()
    until(lambda: stats(store).queued == 0)
    assert stats(store) == ServedStats(written=9, dropped=12)
    assert store.served("model").num_rows == 9


def test_a_log_that_cannot_be_written_is_tried_again(make: Callable[..., FeatureStore], tmp_path: Path) -> None:
    store = make(Recording(flush_interval=0.01))
    (tmp_path / SERVED).parent.mkdir(exist_ok=True)
    (tmp_path / SERVED).write_text("a file, where the folder should be")
    ask(store, 3)
    until(lambda: stats(store).problem)
    with pytest.raises(BackendError):
        store.recorder.flush()
    assert (stats(store).queued, stats(store).written) == (3, 0)
    (tmp_path / SERVED).unlink()
    until(lambda: stats(store).written == 3)
    assert stats(store).problem == ""


def test_what_cannot_be_written_by_the_end_is_warned_of(make: Callable[..., FeatureStore], tmp_path: Path) -> None:
    store = make(Recording(flush_interval=3_600, close_wait=0.01))
    (tmp_path / SERVED).write_text("a file, where the folder should be")
    ask(store, 3)
    recorder = store.recorder
    with pytest.warns(UserWarning, match="3 served rows could not be written and are lost"):
        store.close()
    assert (recorder.stats()["model"].failed, recorder.stats()["model"].queued) == (3, 0)


def test_an_answer_that_makes_no_row_harms_no_other(make: Callable[..., FeatureStore]) -> None:
    store = make(LONG)
    for name in ("a", "\ud800 is no text", "b"):
        ask(store, request_id=name)
    assert store.served("model")["request_id"].to_pylist() == ["a", "b"]
    assert (stats(store).written, stats(store).failed, stats(store).queued) == (2, 1, 0)


def test_a_thread_writes_what_waits(make: Callable[..., FeatureStore]) -> None:
    store = make(Recording(flush_interval=0.01))
    for number in range(1, 4):
        ask(store)
        until(lambda number=number: stats(store).written == number)


def test_a_full_batch_is_written_at_once(make: Callable[..., FeatureStore]) -> None:
    store = make(Recording(batch_rows=50, flush_interval=3_600))
    ask(store, 49)
    assert stats(store).written == 0
    store.get_online_features("model", ROW * 2)
    until(lambda: stats(store).written == 51)


def test_closing_writes_and_a_closed_store_goes_on(make: Callable[..., FeatureStore]) -> None:
    store = make(LONG)
    ask(store, 3)
    thread = store.recorder._thread
    store.close()
    assert thread is not None
    assert not thread.is_alive()
    ask(store, 2)
    assert store.served("model").num_rows == 5


def test_many_threads_keep_while_one_writes(make: Callable[..., FeatureStore]) -> None:
    store = make(Recording(batch_rows=20, flush_interval=0.001))

    def serve(worker: int) -> None:
        for number in range(200):
            ask(store, request_id=f"{worker}/{number}")

    workers = [threading.Thread(target=serve, args=(worker,)) for worker in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    found = Counter(store.served("model")["request_id"].to_pylist())
    assert found == Counter(f"{worker}/{number}" for worker in range(4) for number in range(200))
    assert stats(store) == ServedStats(written=800)


@pytest.mark.parametrize("name", ["queue_rows", "queue_bytes", "batch_rows", "flush_interval", "close_wait"])
@pytest.mark.parametrize("value", [0, -1, "many", True])
def test_bounds_are_numbers_above_0(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {value!r}"):
        Recording(**{name: value})


def test_bounds_are_read_from_the_configuration(tmp_path: Path) -> None:
    told = "project: p\nfeature_server: {feature_logging: {enabled: true, queue_capacity: 5, flush_interval: 60}}"
    (tmp_path / "feature_store.yaml").write_text(told)
    with FeatureStore(tmp_path) as store:
        assert store.recorder._recording == Recording(queue_rows=5, flush_interval=60)
    with pytest.raises(ConfigError, match="feature_logging: unknown option 'queue_row'") as refused:
        Recording.of({"queue_row": 5})
    assert "did you mean 'queue_rows'?" in str(refused.value)
    with pytest.raises(ConfigError, match="feature_logging is 5"):
        Recording.of(5)


def test_ids_are_uuids_that_sort_by_time() -> None:
    made = [new_id(NOON + 1_000 * number) for number in range(1_000)]
    assert made == sorted(made)
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in made} == {(7, uuid.RFC_4122)}
    assert len({new_id(NOON) for _ in range(1_000)}) == 1_000


PROCESS = """
import itertools, os, sys, signal, time, threading
from pathlib import Path
from gnomon import FeatureStore
from gnomon.config import Backend, RepoConfig, SERVED
from gnomon.flows.recorder import Recorder, Recording
from gnomon.flows.loaded import Loads

def opened(**recording):
    config = RepoConfig(project="p", repo_path=Path(FOLDER), online_store=Backend("memory"))
    store = FeatureStore(FOLDER, config=config)
    if recording:
        store.recorder = Recorder(
            store._served_logs, lambda: Loads(store.registry, "p"), Recording(**recording)
        )
    return store

def ask(store, name, count):
    for number in range(count):
        store.get_online_features("model", [{"user_id": number}], request_id=f"{name}/{number}")
"""


def process(folder: Path, lines: str, **more: Any) -> subprocess.Popen[str]:
    code = f"FOLDER = {str(folder)!r}\n{PROCESS}\n{textwrap.dedent(lines)}"
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code], text=True, **more)


def requests_logged(store: FeatureStore) -> Counter[str]:
    return Counter(store.served("model")["request_id"].to_pylist())


def asked(*told: tuple[str, int]) -> Counter[str]:
    return Counter(f"{name}/{number}" for name, count in told for number in range(count))


def test_a_process_that_ends_writes_first(make: Callable[..., FeatureStore], tmp_path: Path) -> None:
    store = make(LONG)
    assert process(tmp_path, "store = opened(); ask(store, 'a', 7)").wait(60) == 0
    assert process(tmp_path, "ask(opened(), 'b', 7); raise SystemExit(3)").wait(60) == 3
    assert requests_logged(store) == asked(("a", 7), ("b", 7))


def test_processes_write_one_log_together(make: Callable[..., FeatureStore], tmp_path: Path) -> None:
    store = make(LONG)
    lines = "store = opened(batch_rows=5, flush_interval=0.001); ask(store, {!r}, 300)"
    started = [process(tmp_path, lines.format(name)) for name in "abc"]
    assert [one.wait(120) for one in started] == [0, 0, 0]
    assert requests_logged(store) == asked(("a", 300), ("b", 300), ("c", 300))
    assert store.verify_log("model").agreed == 900 * 3


def test_a_fork_writes_its_own_and_no_more(make: Callable[..., FeatureStore], tmp_path: Path) -> None:
    """Forked in the midst of everything, again and again: parent and children write each row once, and end."""
    store = make(LONG)
    lines = """
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads forks is the point
    store = opened(batch_rows=3, flush_interval=0.0001)
    going = threading.Event()
    def serve():
        ask(store, "before", 50)
        going.set()
        ask(store, "parent", 400)
    thread = threading.Thread(target=serve)
    thread.start()
    going.wait()
    children = []
    for child in range(8):
        pid = os.fork()
        if not pid:
            ask(store, f"child{child}", 20)
            store.close()
            os._exit(0)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    thread.join()
    store.close()
    raise SystemExit(codes != [0] * 8)
    """
    assert process(tmp_path, lines).wait(120) == 0
    told = [("before", 50), ("parent", 400), *((f"child{one}", 20) for one in range(8))]
    assert requests_logged(store) == asked(*told)


@contextmanager
def killed_at_last(victim: subprocess.Popen[str]) -> Iterator[tuple[subprocess.Popen[str], Iterator[int]]]:
    """A victim, and the numbers it says; whatever becomes of the test, neither it nor its pipe is left."""
    with victim:
        assert victim.stdout is not None
        try:
            yield victim, map(int, victim.stdout)
        finally:
            victim.kill()


def test_a_process_that_is_killed_loses_what_waits_and_tears_nothing(
    make: Callable[..., FeatureStore], tmp_path: Path
) -> None:
    """The victim asks until it is killed, and lets a few rows wait at any time, whether the disk is fast or slow."""
    store = make(LONG)
    lines = """
    store = opened(batch_rows=4, flush_interval=0.001)
    for number in itertools.count():
        store.get_online_features("model", [{"user_id": number}] * 2, request_id=f"TURN/{number}")
        while (stats := store.served_stats()["model"]).queued > 40:
            time.sleep(0.0001)
        print(stats.written, flush=True)
    """
    chance = random.Random(5)
    for turn in range(6):
        wanted = chance.choice([0, 1, 30, 300])
        started = process(tmp_path, lines.replace("TURN", str(turn)), stdout=subprocess.PIPE)
        with killed_at_last(started) as (victim, said):
            written = next((number for number in said if number >= wanted), None)
            assert written is not None, "the victim ended by itself"
            victim.kill()
            written = max(written, *said, 0)
        found = Counter(one for one in requests_logged(store).elements() if one.startswith(f"{turn}/"))
        rows = sum(found.values())
        assert rows >= written  # what it knew to be written is there
        assert set(found.values()) <= {2}  # an answer is there whole
        assert found == {f"{turn}/{number}": 2 for number in range(rows // 2)}  # and those before it, too
    report = store.verify_log("model", sample=100)
    assert (report.compared, report.causes) == (300, {})


def test_the_log_is_parquet_for_everybody(make: Callable[..., FeatureStore], tmp_path: Path) -> None:
    store = make(LONG)
    ask(store, 3)
    store.recorder.flush()
    (log,) = store.log_status(served=True)
    store._served_logs().log(log).seal()
    (path,) = (tmp_path / SERVED / log).glob("*.parquet")
    assert pa.parquet.read_table(path)["amount__status"].to_pylist() == ["NOT_FOUND"] * 3


def test_an_answer_of_no_shape_harms_no_other(make: Callable[..., FeatureStore]) -> None:
    store = make(Recording(flush_interval=0.01))
    ask(store, request_id="a")
    strange = store.get_online_features(["latest:amount"], ROW, known_through=True)
    strange._views = (Of("latest@1", (), ("amount",), None),)  # type: ignore[arg-type]  # as no reader makes it
    store.recorder.keep(strange, "model", Ids("strange"))
    ask(store, request_id="b")
    until(lambda: stats(store).queued == 0)
    assert (stats(store).written, stats(store).failed) == (2, 1)
    assert store.served("model")["request_id"].to_pylist() == ["a", "b"]


def test_labels_come_back_to_rows_with_lists(make: Callable[..., FeatureStore]) -> None:
    """As docs/served-log.md has it: Arrow's join takes no lists along."""
    store = make(LONG)
    store.push("pays", {"user_id": [1], "amount": [1.0], "word": ["w"], "many": [[0.5, 1.5]], "at": ["2024-01-01"]})
    for name in ("a", None, "b", "c"):
        ask(store, prediction_id=name)
    labels = pa.table({"prediction_id": pa.chunked_array([["c"], ["a", "x"]]), "label": [1, 2, 3]})
    rows = store.served("model")
    places = pc.index_in(rows["prediction_id"], value_set=labels["prediction_id"].combine_chunks(), skip_nulls=True)
    found = rows.append_column("label", labels["label"].take(places)).filter(pc.is_valid(places))
    assert found.sort_by("event_timestamp").select(["prediction_id", "many", "label"]).to_pylist() == [
        {"prediction_id": "a", "many": [0.5, 1.5], "label": 2},
        {"prediction_id": "c", "many": [0.5, 1.5], "label": 1},
    ]
