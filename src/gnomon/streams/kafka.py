"""A Kafka topic as a stream, by confluent-kafka: workers of one consumer group share its partitions.

Whenever a partition becomes this worker's, reading goes on behind what the log has of it; what the group has committed
is for other tools to look at. Whether the topic still fits the log is checked at that moment: messages that are gone
are told of, and a topic that ends before the log does is an error, for it is not what the log was filled from.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gnomon.contracts.streams import Letter, Messages, Reading, Room
from gnomon.definitions.streams import KafkaSource
from gnomon.errors import BackendError, BrokerAway, ConfigError, ConflictError, MissingExtra, SourceError, listing

try:
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient
except ModuleNotFoundError:
    raise MissingExtra(package="confluent-kafka", extra="kafka", purpose="a KafkaSource") from None

__all__ = ["KafkaStream"]

PATIENCE = 5.0
"""Seconds that a question to the broker may take."""
LARGE = 65_536.0
"""Messages are taken to have so many bytes until some have come."""
SESSION_MS = 10_000
"""After so long a worker that was killed is taken for dead; its partitions go to others."""
OWN = (
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "partition.assignment.strategy",
)
"""What the driver is told here, and nowhere else."""
AWAY = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._WAIT_COORD,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
"""What passes by itself, such as what a broker says that has just been started."""
REFUSED = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}
FATAL = {KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID}
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # what matters of what the driver says becomes an error or a note


@dataclass(slots=True)
class _Mine:
    """A partition that is this worker's.

    Args:
        last: the offset of the last message read, or in the log.
        checked: whether it was looked at, if the topic fits the log.
        astray: whether messages may have been lost on their way here, so that they have to be read again.
        end: the offset at which its end was seen, if it was.
    """

    last: int
    checked: bool = False
    astray: bool = False
    end: int | None = None


@dataclass(slots=True)
class _Heard:
    """What the driver said between two calls."""

    down: str = ""
    fatal: Any = None
    refused: str = ""
    gone: set[int] = field(default_factory=set)


class KafkaStream:
    """A worker's share of a topic.

    Args:
        reading: a KafkaSource, and as options what librdkafka is told: `security.protocol`, `sasl.username` …

    Raises:
        ConfigError: an option is gnomon's own, or librdkafka does not know it.
    """

    def __init__(self, reading: Reading) -> None:
        source = reading.source
        assert isinstance(source, KafkaSource)
        if own := [name for name in OWN if name in reading.options]:
            hint = "name the group on the source: group=…" if own[0] == "group.id" else "leave it out."
            raise ConfigError(f"streams: kafka: {own[0]} is gnomon's to say.", hint=hint)
        self._source, self._topic, self._reading = source, source.topic, reading
        self._group = source.group or f"gnomon.{reading.project}.{source.name}"
        self._told = {
            "bootstrap.servers": source.kafka_bootstrap_servers,
            "client.id": f"gnomon-{reading.worker or source.name}-{secrets.token_hex(4)}",
            **{str(name): value for name, value in reading.options.items()},
        }
        self._consumer: Any = None
        self._producer: Any = None
        self._mine: dict[int, _Mine] = {}
        self._subscribed = self._joined = False
        self._heard = _Heard()
        self._fence: tuple[Any, float] | None = None
        self._session = int(reading.options.get("session.timeout.ms", SESSION_MS))
        self._batch, self._size = _Batch(), LARGE

    def open(self) -> None:
        """See that the topic is there and goes on where the log is, and join the group."""
        ends = self._ends_by_asking()
        for partition, offset in self._logged().items():
            self._check_end(partition, offset, ends.get(partition, (0, 0))[1])
        if dead := self._source.dead_letter_topic:
            try:
                self._partitions(dead, "dead_letter_topic")
            except KafkaException as wrong:
                raise self._failure(wrong.args[0]) from wrong
        self._subscribe()

    def poll(self, room: Room) -> list[Messages]:
        """The next messages: one that is waited for, and those that come soon after it."""
        self._settle()
        self._check_mine()
        batch = self._batch  # what came before an error is still there
        if not batch.count:
            batch.take(self._sorted_out(self._consume(1, room.wait)))
        self._raise_heard()
        batch = self._batch  # another, if this worker has just joined anew
        if not batch.count and self._heard.down:
            self._ask_whether_back()
        deadline = time.monotonic() + room.linger
        while batch.count and batch.count < room.messages and batch.size < room.size:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            most = min(room.messages - batch.count, max(int((room.size - batch.size) / self._size), 1))
            batch.take(self._sorted_out(self._consume(most, left)))
            self._size = max(batch.size / batch.count, 64.0)
        self._raise_heard()
        batch, self._batch = self._batch, _Batch()
        for partition, (offsets, _, _) in batch.parts.items():
            if partition in self._mine:
                self._mine[partition].last = max(offsets[-1], self._mine[partition].last)
        return [
            Messages(partition=self._name(partition), offsets=offsets, payloads=payloads, sent=sent)
            for partition, (offsets, payloads, sent) in batch.parts.items()
        ]

    def is_at_end(self) -> bool:
        """Whether each partition has been read to its end since it came."""
        return self._joined and all(one.checked and one.end is not None for one in self._mine.values())

    def ends(self) -> Mapping[str, int]:
        """Where partitions end: as the broker last told of one's own, or asked of all."""
        if self._fence is not None:
            return {}
        if not self._subscribed:
            return {self._name(partition): high - 1 for partition, (_, high) in self._ends_by_asking().items()}
        found = {}
        for partition, one in self._mine.items():
            _, high = self._told_ends(partition)
            # What stands between the last message and the end, such as a transaction's mark, is no message.
            found[self._name(partition)] = one.last if high < 0 or high == one.end else max(high - 1, one.last)
        return found

    def refuse(self, letters: Sequence[Letter]) -> None:
        """Send dead letters to their topic, if there is one, and wait until it has them."""
        if not letters or not self._source.dead_letter_topic:
            return
        if self._producer is None:
            self._producer = Producer({**self._told, "enable.idempotence": True}, logger=_log)
        failed: list[Any] = []
        for one in letters:
            self._send(one, failed)
        self._producer.flush(PATIENCE)
        if failed or len(self._producer):
            self._producer.purge()
            self._producer = None
            why = failed[0].str() if failed else "it did not take them in time"
            raise BrokerAway(
                f"dead letters cannot be sent to {self._source.dead_letter_topic}: {why}.",
                hint="is there such a topic, and may this user write to it?",
            )

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Commit to the group what the log has."""
        told = [TopicPartition(self._topic, _number(name), offset + 1) for name, offset in offsets.items()]
        with suppress(KafkaException):  # the log knows
            self._consumer.commit(offsets=told, asynchronous=True)

    def close(self) -> None:
        """Leave the group."""
        consumer, self._consumer, self._subscribed, self._joined = self._consumer, None, False, False
        if consumer is not None:
            consumer.close()
        self._mine.clear()

    def _subscribe(self) -> None:
        consumer = self._opened()
        consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone)
        self._subscribed = True

    def _name(self, partition: int) -> str:
        return f"{self._topic}/{partition}"

    def _logged(self) -> dict[int, int]:
        """Partition → where the log is."""
        of_topic = {name: at for name, at in self._reading.positions().items() if name.startswith(f"{self._topic}/")}
        return {_number(name): at for name, at in of_topic.items()}

    def _opened(self) -> Any:
        if self._consumer is None:
            worker = self._reading.worker
            told = {
                "session.timeout.ms": self._session,
                "heartbeat.interval.ms": max(self._session // 4, 1),
                **self._told,
                "group.id": self._group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "partition.assignment.strategy": "cooperative-sticky",
                "error_cb": self._hear,
            }
            told |= {"group.instance.id": worker} if worker else {}
            try:
                self._consumer = Consumer(told, logger=_log)
            except KafkaException as wrong:
                raise ConfigError(
                    f"streams: kafka: {wrong.args[0].str()}.", hint="see librdkafka's options."
                ) from wrong
        return self._consumer

    def _ends_by_asking(self) -> dict[int, tuple[int, int]]:
        """Partition → its first offset, and the one behind its last."""
        try:
            return {number: self._watermarks(number) for number in self._partitions(self._topic, "topic")}
        except KafkaException as wrong:
            raise self._failure(wrong.args[0]) from wrong

    def _partitions(self, topic: str, argument: str) -> list[int]:
        """The partitions of a topic, which has to be there."""
        consumer = self._opened()
        found = consumer.list_topics(topic, timeout=PATIENCE).topics[topic]
        if found.error is None:
            return list(found.partitions)
        if found.error.code() not in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            raise self._failure(found.error)
        others = [name for name in consumer.list_topics(timeout=PATIENCE).topics if not name.startswith("__")]
        raise SourceError(
            f"there is no topic {topic!r} at {self._source.kafka_bootstrap_servers}.",
            instead=f"There are: {listing(sorted(others))}.",
            hint=f"make the topic, or correct {argument}= on the source and apply it.",
        )

    def _watermarks(self, partition: int) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=PATIENCE)
        return int(low), int(high)

    def _told_ends(self, partition: int) -> tuple[int, int]:
        """What the broker last told by itself of where a partition begins and ends; (-1, -1) for nothing."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        except KafkaException:
            return -1, -1
        return int(low), int(high)

    def _check_end(self, partition: int, logged: int, high: int) -> None:
        if logged >= high:
            raise BackendError(
                f"{self._name(partition)} ends at offset {high - 1}, and the log of {self._source.name!r} has it up to "
                f"{logged}.",
                instead="So the log was filled from another topic of that name, or its broker lost messages.",
                hint="give the topic another name, and the source with it: its partitions then begin anew in the log.",
            )

    def _assigned(self, consumer: Any, partitions: Iterable[Any]) -> None:
        logged = self._logged()
        told = []
        for one in partitions:
            last = logged.get(one.partition, -1)
            self._mine[one.partition] = _Mine(last)
            told.append(TopicPartition(self._topic, one.partition, last + 1 if last >= 0 else OFFSET_BEGINNING))
        consumer.incremental_assign(told)
        self._joined = True

    def _gone(self, consumer: Any, partitions: Iterable[Any]) -> None:
        for one in partitions:
            self._mine.pop(one.partition, None)

    def _check_mine(self) -> None:
        """Look, of partitions that came, whether they have what follows in the log; if less, tell, and go on."""
        for partition, one in list(self._mine.items()):
            if one.checked:
                continue
            try:
                low, high = self._watermarks(partition)
            except KafkaException as wrong:
                raise self._failure(wrong.args[0]) from wrong
            self._check_end(partition, one.last, high)
            if one.last >= 0 and low > one.last + 1:
                self._reading.tell(
                    f"{self._name(partition)} begins at {low}: its messages {one.last + 1} to {low - 1} were gone "
                    "before they were read. Is its retention too short?"
                )
                one.astray = True
            if one.astray:
                self._seek(partition, max(one.last + 1, low))
            one.checked, one.astray = True, False

    def _seek(self, partition: int, offset: int) -> None:
        told = [TopicPartition(self._topic, partition, offset)]
        try:
            self._consumer.incremental_unassign(told)
            self._consumer.incremental_assign(told)
        except KafkaException as wrong:
            raise self._failure(wrong.args[0]) from wrong

    def _consume(self, most: int, wait: float) -> list[Any]:
        try:
            found: list[Any] = self._consumer.consume(most, wait)
        except KafkaException as wrong:
            for one in self._mine.values():
                one.checked, one.astray = False, True
            raise self._failure(wrong.args[0]) from wrong
        return found

    def _sorted_out(self, found: list[Any]) -> list[Any]:
        """The messages among what came; of the rest, what matters is kept in mind."""
        kept = []
        for one in found:
            error = one.error()
            if error is None:
                kept.append(one)
            elif error.code() == KafkaError._PARTITION_EOF:
                if one.partition() in self._mine:
                    self._mine[one.partition()].end = one.offset()
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                self._heard.gone.add(one.partition())
            else:
                self._hear(error)
        if found:
            self._heard.down = ""
        return kept

    def _hear(self, error: Any) -> None:
        """Keep in mind what the driver says; it may say so from anywhere in a call."""
        code = error.code()
        if error.fatal() or code in FATAL:
            self._heard.fatal = error
        elif code in REFUSED:
            self._heard.refused = error.str()
        elif code in (KafkaError._ALL_BROKERS_DOWN, KafkaError.UNKNOWN_TOPIC_OR_PART):
            self._heard.down = error.str()
        elif code == KafkaError._MAX_POLL_EXCEEDED:
            self._reading.tell("a batch took so long that others were given this worker's partitions; it joins again.")

    def _raise_heard(self) -> None:
        heard = self._heard
        if heard.fatal is not None:
            self._fenced(heard.fatal)
            return
        if heard.refused:
            raise self._refused(heard.refused)
        for partition in list(heard.gone):
            heard.gone.discard(partition)
            if partition in self._mine:
                self._mine[partition].checked = False
        self._check_mine()

    def _fenced(self, fatal: Any) -> None:
        """Step back, if another may have this worker's name; `_settle` finds out."""
        if not self._reading.worker or "fenced" not in fatal.str().lower():
            raise self._failure(fatal)
        self.close()
        self._heard, self._batch = _Heard(), _Batch()
        self._fence = fatal, time.monotonic()
        self._settle()

    def _settle(self) -> None:
        """Join the group anew, once nobody has this worker's name.

        A broker that is killed while a named worker joins may remember half of that, and take its next try for a
        worker that was replaced. What it remembers goes when a session ends; another worker stays.
        """
        if self._fence is None:
            return
        fatal, since = self._fence
        wait = 2 * self._session / 1_000 + 2
        if self._is_name_taken():
            if time.monotonic() - since > wait:
                raise self._failure(fatal)
            raise BrokerAway(
                f"{self._source.where} says that another is named {self._reading.worker!r}; {wait:g} s will show.",
                hint="give each worker a name of its own, or none.",
            )
        self._fence = None
        self._subscribe()

    def _is_name_taken(self) -> bool:
        try:
            admin = AdminClient(self._told, logger=_log)  # what it promises ends with it
            (told,) = admin.describe_consumer_groups([self._group], request_timeout=PATIENCE).values()
            members = told.result(2 * PATIENCE).members
        except KafkaException as wrong:
            raise self._failure(wrong.args[0]) from wrong
        except TimeoutError as wrong:
            raise self._failure(KafkaError(KafkaError._TIMED_OUT)) from wrong
        return any(one.group_instance_id == self._reading.worker for one in members)

    def _ask_whether_back(self) -> None:
        try:
            found = self._consumer.list_topics(self._topic, timeout=1.0).topics[self._topic]
        except KafkaException as wrong:
            raise self._failure(wrong.args[0]) from wrong
        if found.error is not None:
            raise self._failure(found.error)
        self._heard.down = ""

    def _send(self, letter: Letter, failed: list[Any]) -> None:
        headers = [("reason", letter.reason), ("partition", letter.partition), ("offset", str(letter.offset))]

        def told(error: Any, _: Any) -> None:
            if error is not None:
                failed.append(error)

        topic = self._source.dead_letter_topic
        while True:
            try:
                self._producer.produce(topic, letter.payload, headers=headers, on_delivery=told)
            except BufferError:
                self._producer.poll(0.1)
                continue
            except KafkaException as wrong:
                if wrong.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise self._failure(wrong.args[0]) from wrong
                self._reading.tell(f"the message {letter.offset} of {letter.partition} is too large for {topic}.")
            return

    def _failure(self, error: Any) -> BackendError | ConflictError:
        """The driver's error in gnomon's words."""
        code, where = error.code(), self._source.where
        if code == KafkaError.FENCED_INSTANCE_ID or "fenced" in error.str().lower():
            return ConflictError(
                f"another worker named {self._reading.worker!r} has taken this one's place.",
                hint="give each worker a name of its own, or none.",
            )
        if code in REFUSED:
            return self._refused(error.str())
        if code in AWAY or error.retriable():
            return BrokerAway(
                f"{where} does not answer: {error.str()}.",
                hint="is the broker running, and reached from here? See kafka_bootstrap_servers, the broker's "
                "advertised listeners, and security.protocol (streams: {kafka: …} in feature_store.yaml).",
            )
        return BackendError(f"{where} cannot be read: {error.str()}.", hint="see the broker's own log.")

    def _refused(self, why: str) -> BackendError:
        return BackendError(
            f"{self._source.where} refuses this user: {why}.",
            hint="see sasl.* and ssl.* in feature_store.yaml, and what the user may read: the topic and its group.",
        )


class _Batch:
    """Messages by their partitions."""

    def __init__(self) -> None:
        self.parts: dict[int, tuple[list[int], list[bytes | None], list[int]]] = {}
        self.count, self.size = 0, 0

    def take(self, messages: list[Any]) -> None:
        """Put messages to the others."""
        for one in messages:
            partition = one.partition()
            if partition not in self.parts:
                self.parts[partition] = [], [], []
            offsets, payloads, sent = self.parts[partition]
            payload = one.value()
            offsets.append(one.offset())
            payloads.append(payload)
            sent.append(one.timestamp()[1] * 1_000)
            self.size += len(payload or b"")
        self.count += len(messages)


def _number(name: str) -> int:
    return int(name.rpartition("/")[2])
