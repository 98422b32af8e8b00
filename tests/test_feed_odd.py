"""What is online of pushed events where things are odd: clocks, disks, servers, definitions, the events themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from feed_victims import small_chunks
from redis_server import Server, redis_server  # noqa: F401  (a fixture)

from gnomon import Entity, FeatureStore, FeatureView, Field, PushSource, Window, agg
from gnomon.clock import ManualClock, from_micros
from gnomon.config import Backend, RepoConfig
from gnomon.contracts.online import Asked, OnlineStore
from gnomon.core.ledger.shape import Shape
from gnomon.core.marks import MARK
from gnomon.errors import BackendError, RequestError
from gnomon.flows.feeds import Bounds, feed_of
from gnomon.online.memory import MemoryStore
from gnomon.plan.questions import NO_ROWS
from gnomon.types import Array, Float64, Int64, UnixTimestamp

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
FIELDS = [Field("k", Int64), Field("n", Int64), Field("at", UnixTimestamp), Field("id", Int64)]
OVER = [Window("1h"), Window(None)]
ASKED = ["sums:count_1h", "sums:n_sum_1h", "sums:count_lifetime", "sums:n_sum_lifetime", "latest:n"]
KEYS = [1, 2, 3]


@pytest.fixture(autouse=True)
def chunks_are_small() -> Iterator[None]:
    before = small_chunks()
    yield
    Shape.__init__.__defaults__ = before


@pytest.fixture(params=["memory", "lmdb", "sqlite", "redis"])
def online(request: pytest.FixtureRequest) -> Backend:
    if request.param != "redis":
        return Backend(request.param)
    redis = pytest.importorskip("redis")
    server: Server = request.getfixturevalue("redis_server")
    with redis.Redis(port=server.port) as client:
        client.flushall()
    return Backend("redis", {"connection_string": server.address})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


def views(*more: Any, **told: Any) -> list[Any]:
    source = PushSource(name="s", schema=FIELDS, event_id="id", timestamp_field="at", **told)
    sums = [agg.count(over=OVER), agg.sum("n", over=OVER), *more]
    entity = Entity(name="k")
    return [
        FeatureView(name="sums", entities=[entity], source=source, aggregations=sums),
        FeatureView(name="latest", entities=[entity], source=source, schema=[Field("n", Int64)]),
    ]


def opened(folder: Path, online: Backend | None, clock: ManualClock) -> FeatureStore:
    log = Backend("embedded", {"path": ".gnomon/log", "seal_bytes": 30_000})
    store = FeatureStore(
        folder, config=RepoConfig(project="p", repo_path=folder, online_store=online, log=log), clock=clock
    )
    if not store.snapshot().version:
        store.apply(views())
    return store


@pytest.fixture
def store(tmp_path: Path, online: Backend, clock: ManualClock) -> Iterator[FeatureStore]:
    with opened(tmp_path, online, clock) as made:
        yield made


def rows(
    clock: ManualClock, numbers: Sequence[int], back: timedelta = timedelta(seconds=1), ids: int = 40
) -> dict[str, list[Any]]:
    at = from_micros(clock.now()) - back
    return {
        "k": [number % 3 + 1 for number in numbers],
        "n": list(numbers),
        "at": [at + timedelta(microseconds=number) for number in numbers],
        "id": [number % ids for number in numbers],
    }


def push(store: FeatureStore, clock: ManualClock, numbers: Sequence[int], **more: Any) -> Any:
    return store.push("s", rows(clock, numbers, **more))


def check(store: FeatureStore, asked: Sequence[str] = ASKED) -> dict[str, list[Any]]:
    """What is online is what history says with the answer's own token; what it is."""
    response = store.get_online_features(list(asked), {"k": KEYS}, full_feature_names=True, known_through=True)
    found = response.to_dict()
    for place, (key, token) in enumerate(zip(KEYS, response.known_through, strict=True)):
        spine = {"k": [key], "event_timestamp": [from_micros(response.at)]}
        made = store.get_historical_features(spine, list(asked), as_known=token, full_feature_names=True).to_arrow()
        expected = {name: made[name].to_pylist()[0] for name in found}
        for view, through in token.views.items():
            if through == NO_ROWS:  # never loaded, and not found
                expected |= {name: None for name in found if name.startswith(view.partition("@")[0])}
        assert {name: column[place] for name, column in found.items()} == expected, (str(token), response.at)
    return found


def check_all(store: FeatureStore, asked: Sequence[str] = ASKED) -> None:
    """The same, and nothing of the log is missing."""
    check(store, asked)
    response = store.get_online_features(list(asked), {"k": KEYS}, full_feature_names=True)
    found = response.to_dict()
    spine = {"k": KEYS, "event_timestamp": [from_micros(response.at)] * len(KEYS)}
    made = store.get_historical_features(spine, list(asked), as_known="then", full_feature_names=True).to_arrow()
    assert found == {name: made[name].to_pylist() for name in found}


def behind(report: Any) -> list[str]:
    return [one.behind for one in report.online if one.behind]


def test_a_clock_that_steps_back_between_pushes(store: FeatureStore, clock: ManualClock) -> None:
    push(store, clock, range(30))
    store.materialize(None, clock.now(), replace=True)
    clock.set(NOON - timedelta(minutes=10))
    for start in (30, 50, 35):
        assert behind(push(store, clock, range(start, start + 20))) == []
        check_all(store)
    store.materialize(None, NOON + timedelta(hours=3), replace=True)
    push(store, clock, range(5))
    check_all(store)
    clock.set(NOON + timedelta(hours=2))
    push(store, clock, range(100, 110))
    check_all(store)


def test_rows_read_by_a_clock_behind_the_one_that_stamped_them(store: FeatureStore, clock: ManualClock) -> None:
    push(store, clock, range(30))
    check_all(store, ["latest:n"])
    push(store, clock, range(30, 60))
    assert store.get_online_features(["latest:n"], {"k": KEYS}).to_dict()["n"] == [57, 58, 59]
    check_all(store, ["latest:n"])


def test_a_push_of_nothing(store: FeatureStore, clock: ManualClock) -> None:
    none = {name: [] for name in ("k", "n", "at", "id")}
    assert store.push("s", none).appended == 0
    check_all(store)
    push(store, clock, range(30))
    report = store.push("s", none, offsets={"till": 7})
    assert (report.appended, behind(report), {one.position for one in report.online}) == (0, [], {30})
    check_all(store)
    assert store.push("s", none, "online").appended == 0


def test_events_of_long_ago_and_of_long_from_now(store: FeatureStore, clock: ManualClock) -> None:
    push(store, clock, range(40))
    for year, month, day in ((1901, 1, 1), (1969, 12, 31), (1, 1, 1), (9999, 12, 31)):
        at = datetime(year, month, day, tzinfo=timezone.utc)
        store.push("s", {"k": [1, 2], "n": [7, None], "at": [at, at], "id": [None, 3]})
        check_all(store)
    push(store, clock, range(30, 60))
    check_all(store)
    clock.set(NOON + timedelta(days=365_000))
    check_all(store)
    clock.set(datetime(2100, 1, 1, tzinfo=timezone.utc))
    store.materialize(None, clock.now(), replace=True)
    check_all(store)


def test_a_definition_that_changes_between_pushes(store: FeatureStore, clock: ManualClock) -> None:
    push(store, clock, range(30))
    store.apply(views(agg.max("n", over="1h")))
    told = behind(push(store, clock, range(30, 60)))
    assert len(told) == 1
    assert "definition" in told[0]
    assert "gnomon materialize-incremental" in told[0]
    with pytest.raises(BackendError, match="older definition"):
        store.get_online_features(["sums:n_max_1h"], {"k": KEYS})
    check_all(store, ["latest:n"])
    store.materialize_incremental()
    more = [*ASKED, "sums:n_max_1h"]
    check_all(store, more)
    assert behind(push(store, clock, range(60, 90))) == []
    check_all(store, more)


@pytest.mark.parametrize("many", [False, True])
def test_vectors_of_a_wrong_length_are_rejected(tmp_path: Path, clock: ManualClock, many: bool) -> None:
    fields = [Field("k", Int64), Field("v", Array(Float64)), Field("at", UnixTimestamp)]
    source = PushSource(name="s", schema=fields, timestamp_field="at")
    sums = [agg.mean("v", over="1h", length=2)]
    view = FeatureView(name="means", entities=[Entity(name="k")], source=source, aggregations=sums)
    config = RepoConfig(project="p", repo_path=tmp_path, online_store=Backend("memory"))
    with FeatureStore(tmp_path, config=config, clock=clock) as store:
        store.apply(view)
        at = NOON - timedelta(seconds=1)
        vectors = [[1.0, 2.0], [1.0], None, [], [3.0, None], [1.0, 2.0, 3.0]] * (50 if many else 1)
        report = store.push("s", {"k": [1] * len(vectors), "v": vectors, "at": [at] * len(vectors)})
        assert (report.appended, report.rejected) == (len(vectors) // 2, len(vectors) // 2)
        assert [(one.row, one.reason) for one in report.rejections[:2]] == [
            (1, "'v': a vector of 1 elements, and a view on it says length=2"),
            (3, "'v': a vector of 0 elements, and a view on it says length=2"),
        ]
        check(store, ["means:v_mean_1h"])
        assert store.get_online_features(["means:v_mean_1h"], {"k": [1]}).to_dict()["v_mean_1h"] == [[2.0, 2.0]]


def test_vectors_of_a_wrong_length_pushed_before_a_view_said_so(tmp_path: Path, clock: ManualClock) -> None:
    fields = [Field("k", Int64), Field("v", Array(Float64)), Field("at", UnixTimestamp)]
    source, entity = PushSource(name="s", schema=fields, timestamp_field="at"), Entity(name="k")
    counts, means = agg.count(over="1h"), agg.mean("v", over="1h", length=2)
    config = RepoConfig(project="p", repo_path=tmp_path, online_store=Backend("memory"))
    with FeatureStore(tmp_path, config=config, clock=clock) as store:
        store.apply(FeatureView(name="counts", entities=[entity], source=source, aggregations=[counts]))
        at = NOON - timedelta(seconds=1)
        store.push("s", {"k": [1], "v": [[1.0]], "at": [at]})
        store.apply(FeatureView(name="means", entities=[entity], source=source, aggregations=[means]))
        report = store.push("s", {"k": [2], "v": [[1.0, 2.0]], "at": [at]})
        assert report.appended == 1
        assert ["a vector of 1 elements" in one for one in behind(report)] == [True]
        with pytest.raises((BackendError, RequestError), match="a vector of 1 elements"):
            store.materialize_incremental()
        assert store.get_online_features(["means:v_mean_1h"], {"k": [1]}).to_dict()["v_mean_1h"] == [None]
        check(store, ["counts:count_1h"])


class Between(MemoryStore):
    """A store in which something happens after its next read."""

    happens: Callable[[], object] | None = None

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        found = super().read(asked)
        if self.happens is not None:
            happens, self.happens = self.happens, None
            happens()
        return found


@contextmanager
def on(folder: Path, clock: ManualClock, online: OnlineStore) -> Iterator[FeatureStore]:
    with opened(folder, Backend("memory"), clock) as store:
        store.__dict__["online"] = online
        yield store


def spread(store: FeatureStore, clock: ManualClock) -> None:
    """Push events of two hours, so that a window of one begins within a chunk."""
    for place in range(40):
        back = timedelta(minutes=120 - 3 * place)
        push(store, clock, range(3 * place, 3 * place + 3), back=back, ids=1 << 40)


def test_a_load_anew_between_the_two_steps_of_a_read(tmp_path: Path, clock: ManualClock) -> None:
    online = Between()
    with on(tmp_path, clock, online) as store:
        spread(store, clock)
        clock.set(NOON + timedelta(seconds=10))

        def laid_out_anew() -> None:
            store.push("s", rows(clock, range(200, 206), timedelta(minutes=119), 1 << 40), "offline")
            store.materialize(None, clock.now(), replace=True)

        store.materialize(None, clock.now(), replace=True)
        online.happens = laid_out_anew
        check(store, ["sums:n_sum_1h", "sums:count_1h"])
        assert online.happens is None


def test_an_entity_laid_out_anew_between_the_two_steps_of_a_read(tmp_path: Path, clock: ManualClock) -> None:
    online = Between()
    with on(tmp_path, clock, online) as store:
        spread(store, clock)
        clock.set(NOON + timedelta(minutes=1))
        store.materialize(None, clock.now(), replace=True)
        clock.set(NOON)
        online.happens = lambda: push(store, clock, range(200, 206), back=timedelta(minutes=119), ids=1 << 40)
        check(store, ["sums:n_sum_1h", "sums:count_1h"])
        assert online.happens is None
        check_all(store)


def test_rows_that_are_ahead_of_their_mark(redis_server: Server, tmp_path: Path, clock: ManualClock) -> None:  # noqa: F811
    """As a killed process leaves them on Redis, where rows and mark cannot be stored in one step."""
    redis = pytest.importorskip("redis")
    from gnomon.online.redis.store import RedisStore

    class Dying(RedisStore):
        dies = False

        def write(self, table: Any, entries: Any, merge: Any) -> int:
            if entries[0][0] == MARK and self.told:
                raise BackendError("killed.")
            self.told = self.dies
            return super().write(table, entries, merge)

        told = False

    with redis.Redis(port=redis_server.port) as client:
        client.flushall()
    with closing(Dying({"connection_string": redis_server.address})) as online, on(tmp_path, clock, online) as store:
        push(store, clock, range(3))
        check_all(store)
        online.dies = True
        assert any("killed" in one for one in behind(push(store, clock, range(3, 8))))
        check(store)
        online.dies = online.told = False
        store.push("s", rows(clock, range(8, 10)), "offline")
        check(store)
        assert behind(push(store, clock, range(10, 12))) == []
        check_all(store)


def test_a_load_anew_before_rows_are_merged(redis_server: Server, tmp_path: Path, clock: ManualClock) -> None:  # noqa: F811
    """One that took less of the log: what was to go to the table before it does not go to its own."""
    redis = pytest.importorskip("redis")
    from gnomon.online.redis.store import RedisStore

    class Meanwhile(RedisStore):
        before: Callable[[], object] | None = None
        after: Callable[[], object] | None = None

        def write(self, table: Any, entries: Any, merge: Any) -> int:
            if self.before is None or not any(key != MARK for key, _ in entries):
                return super().write(table, entries, merge)
            before, self.before = self.before, None
            before()
            done = super().write(table, entries, merge)
            self.after()
            return done

    with redis.Redis(port=redis_server.port) as client:
        client.flushall()
    with (
        closing(Meanwhile({"connection_string": redis_server.address})) as online,
        on(tmp_path, clock, online) as store,
    ):
        push(store, clock, range(10))
        log = store.logs.log("s")
        feed = feed_of("p", store.snapshot().catalog.view("latest"), store.engine, online, log.prefix)
        bounds = Bounds(prefix=log.prefix(5), end=clock.now(), known=clock.now(), stamped=clock.now() + 4)
        online.before = lambda: feed.load(bounds, lambda rows: None)
        online.after = lambda: check(store)
        assert behind(push(store, clock, range(10, 20))) == []
        assert online.before is None
        check_all(store)


def test_a_server_that_comes_back_empty_or_with_what_it_had_before(tmp_path: Path, clock: ManualClock) -> None:
    redis = pytest.importorskip("redis")
    with Server("redis") as server:
        online = Backend("redis", {"connection_string": f"{server.address},socket_timeout=2"})
        with opened(tmp_path, online, clock) as store, redis.Redis(port=server.port) as client:
            push(store, clock, range(30))
            client.save()
            push(store, clock, range(30, 60))
            server.kill()
            told = behind(push(store, clock, range(60, 70)))
            assert len(told) == 2
            assert store.logs.log("s").position() == 70
            with pytest.raises(BackendError):
                store.get_online_features(ASKED, {"k": KEYS})
            server.start()
            check(store)  # older, and said so
            assert behind(push(store, clock, range(70, 80))) == []
            check_all(store)
            server.kill()
            (server.folder / "dump.rdb").unlink()
            server.start()
            check(store)  # nothing, and said so
            assert behind(push(store, clock, range(80, 90))) == []
            check_all(store)


def test_a_log_that_was_put_back_from_a_copy(store: FeatureStore, clock: ManualClock, tmp_path: Path) -> None:
    push(store, clock, range(10))
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / ".gnomon" / "log", copy)
    push(store, clock, range(10, 40))
    store.logs.close()
    shutil.rmtree(tmp_path / ".gnomon" / "log")
    shutil.copytree(copy, tmp_path / ".gnomon" / "log")
    store.__dict__.pop("logs")
    store._fed = None
    told = behind(push(store, clock, range(50, 55)))
    assert len(told) == 2
    assert all("the log ends at 15" in one and "gnomon materialize" in one for one in told)
    store.materialize(None, clock.now(), replace=True)
    assert behind(push(store, clock, range(60, 65))) == []
    check_all(store)


def test_many_in_one_process_push_and_load_anew(store: FeatureStore, clock: ManualClock, tmp_path: Path) -> None:
    """Threads, each with a store of its own as far as the back-end is shared by processes."""
    wrong: list[BaseException] = []
    done = threading.Event()

    def guarded(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as one:
                wrong.append(one)

        return run

    def pushing(first: int) -> Callable[[], None]:
        def run() -> None:
            for start in range(first, first + 100, 10):
                assert behind(push(store, clock, range(start, start + 10), back=timedelta(seconds=start % 30))) == []

        return run

    def loading() -> None:
        while not done.is_set():
            store.materialize(None, clock.now(), replace=True)

    def reading() -> None:
        while not done.is_set():
            check(store)

    pushers = [threading.Thread(target=guarded(pushing(first))) for first in (0, 100)]
    others = [threading.Thread(target=guarded(work)) for work in (loading, reading)]
    for one in [*pushers, *others]:
        one.start()
    for one in pushers:
        one.join()
    done.set()
    for one in others:
        one.join()
    assert not wrong, wrong
    store.materialize_incremental()
    check_all(store)


FILLING = """
    import json, resource, sys
    from pathlib import Path
    from test_feed_odd import NOON, opened, push, check_all, behind
    from gnomon.clock import ManualClock
    from gnomon.config import Backend

    clock, told = ManualClock(NOON), []
    with opened(Path(sys.argv[1]), Backend(sys.argv[2]), clock) as store:
        push(store, clock, range(10))
        none, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))
        at = 10
        while not told and at < 40_000:
            told = behind(push(store, clock, range(at, at + 500), ids=1 << 40))
            at += 500
        position = store.logs.log("s").position()
        resource.setrlimit(resource.RLIMIT_FSIZE, (none, most))
        healed = behind(push(store, clock, range(at, at + 10)))
        check_all(store)
    print(json.dumps([told, position == at, healed]))
"""


@pytest.mark.parametrize("kind", ["lmdb", "sqlite"])
def test_a_full_disk_while_what_is_online_is_written(tmp_path: Path, kind: str) -> None:
    here = Path(__file__).parent
    where = os.pathsep.join([str(here), str(here / "support"), *filter(None, [os.environ.get("PYTHONPATH")])])
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FILLING), str(tmp_path), kind],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": where},
        check=True,
    )
    told, all_there, healed = json.loads(ran.stdout.splitlines()[-1])
    assert told
    assert all("disk is full" in one for one in told)
    assert all_there
    assert healed == []


def test_a_full_server_while_what_is_online_is_written(tmp_path: Path, clock: ManualClock) -> None:
    redis = pytest.importorskip("redis")
    with Server("redis") as server, redis.Redis(port=server.port) as client:
        online = Backend("redis", {"connection_string": server.address})
        with opened(tmp_path, online, clock) as store:
            push(store, clock, range(10))
            client.config_set("maxmemory", 1)
            told = behind(push(store, clock, range(10, 60)))
            assert len(told) == 2
            assert store.logs.log("s").position() == 60
            check(store)
            client.config_set("maxmemory", 0)
            assert behind(push(store, clock, range(60, 70))) == []
            check_all(store)
