"""Events go through Kafka one instant at a time: sent, read by a worker, logged, online; only then the clock moves.

A worker stamps what it reads with the store's clock, and would stamp a day's events alike if it found them all in the
topic. So the topic never has an event that is known later than the clock's instant: whoever plays sets the clock, sends
what becomes known then, and waits until the worker says that it has it. Should the worker take it in two batches,
the stamps of the second go on where those of the first end, as they would in one.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import Any

import pyarrow as pa

from gnomon import FeatureStore
from gnomon.contracts.streams import Room
from gnomon.errors import BackendError, MissingExtra
from gnomon.examples.flights import live
from gnomon.flows.stream import Stop
from gnomon.flows.tally import Tally
from gnomon.flows.worker import Limits

__all__ = ["Through", "made_topic"]

PATIENCE = 60.0
"""Seconds in which the broker and the worker have to do their part of one instant."""
SOON = Limits(room=Room(wait=0.2, linger=0.002))
"""An instant's events come together: nothing is gained by waiting for more."""


def made_topic(servers: str) -> str:
    """Make a topic with one partition that keeps events of any age; its name, which no other has.

    Raises:
        MissingExtra: the driver is not installed.
        BackendError: the broker does not make it.
    """
    admin = _admin(servers)  # kept by name: what it promises ends with it
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import NewTopic

    name = f"gnomon-flights-{secrets.token_hex(4)}"
    told = NewTopic(name, num_partitions=1, replication_factor=1, config={"retention.ms": "-1"})
    try:
        admin.create_topics([told], request_timeout=30)[name].result(PATIENCE)
    except KafkaException as wrong:
        raise BackendError(
            f"the broker at {servers} makes no topic.",
            instead=wrong.args[0].str(),
            hint="is it running, and reachable?",
        ) from wrong
    return name


class Through:
    """Delivers events through a topic, with a worker that runs as long as the block.

    Args:
        store: has a source of that topic, applied.
        servers: "host:port" of the broker.
        topic: the topic; it is deleted in the end.
    """

    def __init__(self, store: FeatureStore, servers: str, topic: str) -> None:
        from confluent_kafka import Producer

        self._store, self._servers, self._topic = store, servers, topic
        self._producer = Producer(
            {"bootstrap.servers": servers, "linger.ms": 5, "enable.idempotence": True, "log_level": 3}
        )
        self._stop, self._heard = Stop(), threading.Condition()
        self._sent = self._taken = 0
        self._wrong: BaseException | None = None
        self._worker = threading.Thread(target=self._work, name="worker")

    def __enter__(self) -> Through:
        self._worker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._worker.join()
        admin = _admin(self._servers)
        with suppress(Exception) if error else nullcontext():  # the broker may be what went wrong
            admin.delete_topics([self._topic], request_timeout=30)[self._topic].result(PATIENCE)

    def __call__(self, events: pa.Table) -> None:
        """Send events, and wait until they are in the log and online.

        Raises:
            BackendError: broker or worker do not do their part.
        """
        for line in _lines(events):
            self._producer.produce(self._topic, line)
        if self._producer.flush(PATIENCE):
            raise BackendError(f"the broker at {self._servers} does not take events.", hint="is it running?")
        self._sent += len(events)
        with self._heard:
            self._heard.wait_for(lambda: self._wrong or self._taken >= self._sent, PATIENCE)
        if self._wrong:
            raise self._wrong
        if self._taken < self._sent:
            raise BackendError(
                f"the worker took {self._taken:,} of {self._sent:,} events, and no more for {PATIENCE:g} s.",
                hint="are there other workers of this group?",
            )

    def _work(self) -> None:
        try:
            around: dict[str, Any] = {"stop": self._stop, "watch": self._watch, "limits": SOON}
            self._store.stream([live.SOURCE], around=around)
        except BaseException as wrong:
            self._wrong = wrong
        with self._heard:
            self._heard.notify_all()

    def _watch(self, tally: Tally) -> None:
        with self._heard:
            self._taken = tally.appended + tally.rejected
            self._heard.notify_all()


def _lines(events: pa.Table) -> Iterator[bytes]:
    """Each event as an object in JSON, its instants in µs."""
    place = events.column_names.index("scheduled_departure")
    micros = events["scheduled_departure"].cast(pa.int64())
    for row in events.set_column(place, "scheduled_departure", micros).to_pylist():
        yield json.dumps(row, separators=(",", ":")).encode()


def _admin(servers: str) -> Any:
    try:
        from confluent_kafka.admin import AdminClient
    except ImportError as lacking:
        raise MissingExtra(package="confluent-kafka", extra="kafka", purpose="a replay through Kafka") from lacking
    return AdminClient({"bootstrap.servers": servers, "log_level": 3})
