"""Streams into the log: events a second of one core, decoded, checked and on disk, from Kafka, Redis and files.

Beside each stands the least that could be done with the same messages: taken from the broker and left alone, or lines
read and parsed by `json.loads`. What is measured is CPU time, of all threads the driver has; how long a broker takes to
let a worker join its group is in the seconds, and not in that.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.measure import CACHE, ROOT
from bench.table import Row
from gnomon import Entity, FeatureStore, FeatureView, Field, KafkaSource, PushSource, RedisStreamSource
from gnomon.types import Float64, Int64, String, UnixTimestamp

EVENTS = 500_000
RUNS = 3
BUDGET = "≥ 100k events/s"
FIELDS = [
    *(Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)),
    *(Field("payment", String), Field("merchant", String)),
]


def rows() -> Iterator[Row]:
    """A row for each kind of stream whose server is installed."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    CACHE.mkdir(exist_ok=True)
    payloads = [message(number) for number in range(EVENTS)]
    with tempfile.TemporaryDirectory(dir=CACHE) as folder, ExitStack() as stack:
        path = Path(folder) / "events" / "a.jsonl"
        path.parent.mkdir()
        path.write_bytes(b"\n".join(payloads) + b"\n")
        source = PushSource(name="payments", schema=FIELDS)
        yield row("a folder of JSON lines", source, lambda: parsed(path), "json.loads", folder=str(path.parent))
        if shutil.which("java") and shutil.which("mvn"):
            from kafka_server import Server

            broker = stack.enter_context(Server())
            broker.topic("payments", partitions=3)
            broker.send("payments", payloads)
            of_kafka = KafkaSource(
                name="payments", schema=FIELDS, kafka_bootstrap_servers=broker.address, topic="payments"
            )
            yield row("Kafka, JSON", of_kafka, lambda: consumed(broker.address), "consume")
        if shutil.which("redis-server"):
            from redis_server import Server as Redis

            server = stack.enter_context(Redis("redis"))
            fill(server.port, payloads)
            url = f"redis://{server.address}"
            of_redis = RedisStreamSource(name="payments", schema=FIELDS, url=url, stream="payments", field="json")
            yield row("a Redis stream, JSON", of_redis, lambda: ranged(server.port), "xread")


def message(number: int) -> bytes:
    """A payment: five fields, some 120 bytes."""
    at = f"2024-01-01T12:{number // 60_000_000:02}:{number // 1_000_000 % 60:02}.{number % 1_000_000:06}Z"
    row = {"user_id": number % 10_000, "amount": number * 0.37, "at": at, "payment": f"e{number}"}
    return json.dumps({**row, "merchant": f"shop {number % 50}"}).encode()


def row(figure: str, source: PushSource, other: Callable[[], object], name: str, **told: Any) -> Row:
    """Both in turns, the best of some runs: CPU seconds, and seconds."""
    ours = min(taken(lambda: streamed(source, **told)) for _ in range(RUNS))
    bare = min(taken(other) for _ in range(RUNS))
    return Row(
        figure=figure,
        gnomon=f"{EVENTS / ours[0]:,.0f} events a CPU s, {EVENTS / ours[1]:,.0f} a second",
        other=f"{name} {EVENTS / bare[0]:,.0f} a CPU s",
        ratio=f"{bare[1] / ours[1]:.2f}",
        cpu=f"{ours[0]:.2f} / {bare[0]:.2f}",
        cpu_ratio=f"{ours[0] / bare[0]:.2f}",
        budget=BUDGET,
    )


def taken(act: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds and seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return time.process_time() - cpu, time.perf_counter() - wall


def streamed(source: PushSource, **told: Any) -> None:
    """Bring all of it into a new log."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder, FeatureStore(folder) as store:
        store.apply(FeatureView(name="spend", entities=[Entity(name="user_id")], source=source))
        (report,) = store.stream(["payments"], once=True, **told)
    if report.appended != EVENTS:
        raise SystemExit(f"{report.appended} events of {EVENTS} came.")


def parsed(path: Path) -> None:
    """Read lines, and parse them."""
    with path.open("rb") as file:
        for line in file:
            json.loads(line)


def consumed(address: str) -> None:
    """Take all messages from the broker, and leave them alone."""
    from confluent_kafka import Consumer, TopicPartition

    consumer, count = Consumer({"bootstrap.servers": address, "group.id": "bare"}), 0
    consumer.assign([TopicPartition("payments", number, 0) for number in range(3)])
    while count < EVENTS:
        count += len(consumer.consume(10_000, 1.0))
    consumer.close()


def fill(port: int, payloads: list[bytes]) -> None:
    """Put messages into a stream."""
    import redis

    with redis.Redis(port=port) as client:
        for first in range(0, len(payloads), 10_000):
            with client.pipeline(transaction=False) as pipe:
                for one in payloads[first : first + 10_000]:
                    pipe.xadd("payments", {"json": one})
                pipe.execute()


def ranged(port: int) -> None:
    """Take all entries, and leave them alone."""
    import redis

    with redis.Redis(port=port) as client:
        at: Any = "0-0"
        while told := client.xread({"payments": at}, count=10_000):
            at = told[0][1][-1][0]
