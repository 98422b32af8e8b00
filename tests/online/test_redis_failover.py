"""Redis through sentinels, and what readers and loads see while another server takes the primary's place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

import pytest
from loaders import TABLE
from redis_server import Watched, watched
from waiting import until

from gnomon.errors import BackendError
from gnomon.testing.conformance import greatest

redis = pytest.importorskip("redis")
from gnomon.online.redis.store import RedisStore  # noqa: E402

KEYS = [b"%d" % number for number in range(2_500)]


def load(store: RedisStore, value: bytes) -> int:
    return store.write(TABLE, [(key, value) for key in KEYS], greatest)


class Reader(threading.Thread):
    """Reads all the time, and keeps what it saw: values and errors."""

    def __init__(self, group: Watched) -> None:
        super().__init__()
        self._group, self._over = group, threading.Event()
        self.seen: set[bytes | None] = set()
        self.errors: list[Exception] = []

    def run(self) -> None:
        with closing(RedisStore(self._group.options)) as store:
            while not self._over.is_set():
                try:
                    (values,) = store.read([(TABLE, KEYS)])
                except BackendError as error:
                    self.errors.append(error)
                else:
                    self.seen.update(values)

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join(60)


def repeated(work: Callable[[], object]) -> list[BackendError]:
    """Do something as often as it takes; the errors on the way."""
    errors: list[BackendError] = []

    def done() -> bool:
        try:
            work()
        except BackendError as error:
            errors.append(error)
            return False
        return True

    until(done)
    return errors


def stepped_down(group: Watched) -> bool:
    """Whether the sentinel does as it is asked: it must have seen that the replica is fit to take over."""
    with group.client(group.sentinels[0]) as client:
        try:
            return bool(client.sentinel_failover("shop"))
        except redis.ResponseError:
            return False


def test_a_replica_takes_the_place_of_a_primary_that_dies_and_the_store_follows() -> None:
    with watched() as group, closing(RedisStore(group.options)) as store:
        assert load(store, b"1") == len(KEYS)
        with group.client(group.primary) as client:
            assert client.wait(1, 30_000) == 1  # the replica has it all
        with Reader(group) as reader:
            until(lambda: reader.seen)
            group.primary.kill()
            errors = repeated(lambda: load(store, b"2"))
            assert group.role(group.replica) == "master"
            until(lambda: b"2" in reader.seen)
            group.primary.start()  # it comes back empty, and takes itself for the primary at first
            repeated(lambda: load(store, b"3"))
            until(lambda: b"3" in reader.seen)
        assert reader.seen == {b"1", b"2", b"3"}  # no row was missing at any instant
        assert store.read([(TABLE, KEYS)]) == [[b"3"] * len(KEYS)]
        assert store.count(TABLE) == len(KEYS)
        for error in (*errors, *reader.errors):
            assert "Redis at " in str(error)
            assert "run the same command again" in str(error)
        assert errors


def test_a_primary_that_is_asked_to_step_down_takes_no_more_writes_from_open_connections() -> None:
    with watched(sentinels=1) as group, closing(RedisStore(group.options)) as store:
        load(store, b"1")
        with group.client(group.primary) as client:
            assert client.wait(1, 30_000) == 1
        with Reader(group) as reader:
            until(lambda: reader.seen)
            until(lambda: stepped_down(group))
            until(lambda: group.role(group.replica) == "master" and group.role(group.primary) == "slave")
            repeated(lambda: load(store, b"2"))
            until(lambda: b"2" in reader.seen)
        assert reader.seen == {b"1", b"2"}
        with group.client(group.replica) as client:
            assert client.info("commandstats")["cmdstat_mget"]["calls"] > 0
        assert store.read([(TABLE, KEYS)]) == [[b"2"] * len(KEYS)]
        for error in reader.errors:
            assert "Hint: " in str(error)
