"""Exactly once, whoever is killed: workers at any instant, the broker, and who shares partitions with whom."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from kafka_server import Server as Kafka
from kafka_server import kafka, running  # noqa: F401
from payments import check_each_once, letters, message, messages, of_kafka, of_redis, opened, pushed, run
from redis_server import Server as Redis
from redis_server import redis_server  # noqa: F401
from stream_victims import FAILURES, Nursery
from waiting import until

from gnomon import FeatureStore

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
KILLS = 200 if DEEP else 10
STEP = 2_000
"""So many messages are sent for each worker that is killed."""
CONFIG = """
project: shop
log: {seal_bytes: 40000}
streams: {kafka: {session.timeout.ms: 3000}}
"""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def chance() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def failures(folder: Path) -> str:
    """What went wrong in workers that ended by themselves."""
    path = folder / FAILURES
    return path.read_text() if path.exists() else ""


Send = Callable[[list[bytes]], object]


@contextmanager
def topic(folder: Path, server: Kafka, name: str) -> Iterator[tuple[Send, dict[str, Any]]]:
    server.topic(name, partitions=3)
    (folder / "feature_store.yaml").write_text(CONFIG)
    with opened(folder, of_kafka(server.address, name)):
        yield lambda payloads: server.send(name, payloads), {"worker": "w1"}


@contextmanager
def stream(folder: Path, server: Redis) -> Iterator[tuple[Send, dict[str, Any]]]:
    import redis

    (folder / "feature_store.yaml").write_text(CONFIG)
    with redis.Redis(port=server.port) as client, opened(folder, of_redis(server.address, "pay")):
        client.flushall()

        def send(payloads: list[bytes]) -> None:
            client.delete("gnomon:shop:payments:reader")  # as if the killed one's lease had run out
            with client.pipeline() as pipe:
                for one in payloads:
                    pipe.xadd("pay", {"json": one})
                pipe.execute()

        yield send, {}


@contextmanager
def files(folder: Path) -> Iterator[tuple[Send, dict[str, Any]]]:
    (folder / "feature_store.yaml").write_text(CONFIG)
    events = folder / "events"
    events.mkdir()

    def send(payloads: list[bytes]) -> None:
        path = events / f"{len(list(events.iterdir())):03}.jsonl"
        scratch = path.with_suffix(".part")
        scratch.write_bytes(b"".join(one + b"\n" for one in payloads))
        scratch.rename(path)

    with opened(folder, pushed()):
        yield send, {"folder": str(events)}


@pytest.mark.parametrize("kind", ["kafka", "redis", "folder"])
def test_a_worker_is_killed_at_any_instant(
    kind: str, nursery: Nursery, chance: random.Random, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made = {
        "kafka": lambda: topic(tmp_path, request.getfixturevalue("kafka"), f"killed-{time.time_ns()}"),
        "redis": lambda: stream(tmp_path, request.getfixturevalue("redis_server")),
        "folder": lambda: files(tmp_path),
    }[kind]
    bad = 0
    with made() as (send, told), FeatureStore(tmp_path) as store:
        log = store.logs.log("payments")
        for number in range(KILLS):
            payloads = messages(STEP, first=number * STEP)
            payloads[chance.randrange(STEP) : 0] = [b"no json %d" % number]
            bad += 1
            send(payloads)
            pid = nursery.start(tmp_path, **told)
            before = log.position()
            if chance.random() < 0.8:  # mostly while it works, sometimes while it begins
                until(lambda before=before: log.position() > before, seconds=60)
            time.sleep(chance.uniform(0, 0.25))
            assert nursery.kill(pid) == -9, failures(tmp_path)
        send([])
        if kind == "redis":
            store.stream(["payments"], once=True)
        else:
            nursery.finish(nursery.start(tmp_path, once=True, **told))
        check_each_once(store, range(KILLS * STEP))
        kept = letters(store)
        assert sorted(row["payload"] for row in kept) == sorted(b"no json %d" % number for number in range(bad))
        assert run(store, folder=told.get("folder")).appended == 0


def test_workers_come_and_go_and_are_killed_and_so_is_the_broker(
    nursery: Nursery, chance: random.Random, tmp_path: Path
) -> None:
    """Three workers, of which one or the other is killed and started anew, while messages come and the broker goes."""
    rounds = 60 if DEEP else 6
    sent = 0
    with running() as server, topic(tmp_path, server, "shared") as (send, _), FeatureStore(tmp_path) as store:
        log = store.logs.log("payments")
        living = {name: nursery.start(tmp_path, worker=name) for name in ("w1", "w2", "w3")}
        for number in range(rounds):
            sending = threading.Thread(target=send, args=(messages(STEP, first=sent),))
            sending.start()
            sent += STEP
            time.sleep(chance.uniform(0, 0.5))
            name = chance.choice(sorted(living))
            assert nursery.kill(living.pop(name)) == -9, failures(tmp_path)
            sending.join()
            if number % 3 == 1:
                server.kill()
                time.sleep(chance.uniform(0, 0.3))
                server.start()
            # With its own name it gets its partitions back at once; without, they are shared anew.
            anonymous = chance.random() < 0.3
            living[name] = nursery.start(tmp_path, worker="" if anonymous else name)
        until(lambda: log.position() >= sent, seconds=120)
        for pid in living.values():
            assert nursery.kill(pid) == -9, failures(tmp_path)
        check_each_once(store, range(sent))


def test_what_a_producer_sends_twice_counts_once_in_views(kafka: Kafka, tmp_path: Path) -> None:  # noqa: F811
    name = f"twice-{time.time_ns()}"
    with topic(tmp_path, kafka, name) as (send, _), FeatureStore(tmp_path) as store:
        for _ in range(3):
            send([message(number) for number in range(100)])
        assert run(store).appended == 300
        asked = {"user_id": [1], "event_timestamp": [datetime(2024, 1, 1, 13, tzinfo=timezone.utc)]}
        made = store.get_historical_features(asked, ["spend:count_1d"]).to_arrow()
        assert made["count_1d"].to_pylist() == [len(range(1, 100, 7))]
