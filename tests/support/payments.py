"""Payments, as streams bring them: what is sent, what the log should hold of it, and the store that brings it there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gnomon import Entity, FeatureStore, FeatureView, Field, KafkaSource, PushSource, RedisStreamSource, agg
from gnomon.clock import Clock, SystemClock
from gnomon.contracts.log import OFFSET, PARTITION, POSITION
from gnomon.flows.stream import Stop
from gnomon.flows.tally import StreamReport
from gnomon.types import Float64, Int64, String, UnixTimestamp

FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp), Field("id", String)]
NAME = "payments"


def payment(number: int, **changes: Any) -> dict[str, Any]:
    """The payment of a number, as it is sent."""
    at = f"2024-01-01T12:00:00.{number % 1_000_000:06}Z"
    return {"user_id": number % 7, "amount": number / 4, "at": at, "id": f"e{number}", **changes}


def message(number: int, **changes: Any) -> bytes:
    return json.dumps(payment(number, **changes)).encode()


def messages(count: int, first: int = 0) -> list[bytes]:
    return [message(number) for number in range(first, first + count)]


def pushed(**more: Any) -> PushSource:
    return PushSource(name=NAME, schema=FIELDS, event_id="id", **more)


def of_kafka(address: str, topic: str, **more: Any) -> KafkaSource:
    return KafkaSource(
        **{"name": NAME, "schema": FIELDS, "event_id": "id", **more}, kafka_bootstrap_servers=address, topic=topic
    )


def of_redis(address: str, stream: str, **more: Any) -> RedisStreamSource:
    told = {"name": NAME, "schema": FIELDS, "event_id": "id", "field": "json", **more}
    return RedisStreamSource(**told, url=f"redis://{address}", stream=stream)


def view(source: PushSource) -> FeatureView:
    aggregations = [agg.count(over="1d"), agg.sum("amount", over="1d")]
    return FeatureView(name="spend", entities=[Entity(name="user_id")], source=source, aggregations=aggregations)


@contextmanager
def opened(folder: Path, source: PushSource | None = None, clock: Clock | None = None) -> Iterator[FeatureStore]:
    """A store that knows the source, if one is given."""
    with FeatureStore(folder, clock=clock or SystemClock()) as store:
        if source is not None:
            store.apply(view(source))
        yield store


class Heard(list[str]):
    """What was told."""

    def about(self, text: str) -> bool:
        return any(text in one for one in self)


def run(store: FeatureStore, heard: list[str] | None = None, **told: Any) -> StreamReport:
    """Read all that is there."""
    around = {"tell": (Heard() if heard is None else heard).append, **told.pop("around", {})}
    given = {"once": True, **told}
    (report,) = store.stream([NAME], **given, around=around)
    return report


def logged(store: FeatureStore) -> list[dict[str, Any]]:
    """The log's events, in order."""
    table = store.logs.log(NAME).read().read_all()
    return table.to_pylist() if len(table) else []


def letters(store: FeatureStore) -> list[dict[str, Any]]:
    """The dead letters, in order."""
    log = store._make("logs", "embedded", {"path": ".gnomon/rejected"}).log(NAME)
    table = log.read().read_all()
    return table.to_pylist() if len(table) else []


def check_each_once(store: FeatureStore, numbers: Iterable[int]) -> None:
    """The log holds the payments of these numbers once each, in the order of their partitions."""
    rows = logged(store)
    assert [row[POSITION] for row in rows] == list(range(1, len(rows) + 1))
    found, wanted = Counter(row["id"] for row in rows), Counter(f"e{number}" for number in numbers)
    assert found == wanted, (found - wanted, wanted - found)
    assert all(row["amount"] == int(row["id"][1:]) / 4 for row in rows)
    last: dict[str, int] = {}
    for row in rows:
        assert row[OFFSET] > last.get(row[PARTITION], -1)
        last[row[PARTITION]] = row[OFFSET]


class StopAfter(Stop):
    """Stops once it has been asked so often."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0 or super().is_set()
