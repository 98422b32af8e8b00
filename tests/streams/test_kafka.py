"""Kafka topics, on a real broker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from kafka_server import Server, kafka, running  # noqa: F401
from payments import Heard, check_each_once, letters, message, messages, of_kafka, opened, run
from waiting import until

from gnomon import FeatureStore, JsonFormat
from gnomon.contracts.streams import Reading, Room
from gnomon.errors import BackendError, BrokerAway, ConfigError, ConflictError, SourceError
from gnomon.flows.stream import Stop
from gnomon.flows.worker import Limits
from gnomon.streams.kafka import KafkaStream

NUMBERS = count()


@pytest.fixture
def topic(kafka: Server) -> str:  # noqa: F811
    return kafka.topic(f"pay-{next(NUMBERS)}", partitions=3)


@pytest.fixture
def store(kafka: Server, topic: str, tmp_path: Path) -> Iterator[FeatureStore]:  # noqa: F811
    (tmp_path / "feature_store.yaml").write_text("project: shop\nstreams: {kafka: {session.timeout.ms: 3000}}\n")
    with opened(tmp_path, of_kafka(kafka.address, topic, group=topic)) as store:
        yield store


@contextmanager
def working(store: FeatureStore, heard: list[str] | None = None, **told: Any) -> Iterator[list[Any]]:
    """A worker in a thread; leaving the block stops it. The list gets its report, or its error."""
    ended: list[Any] = []
    stop = Stop()

    def work() -> None:
        try:
            ended.append(
                run(store, heard, **{"once": False, **told, "around": {"stop": stop, **told.get("around", {})}})
            )
        except BaseException as wrong:
            ended.append(wrong)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()


def position(store: FeatureStore) -> int:
    return store.logs.log("payments").position()


def test_messages_become_events_once(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    kafka.send(topic, messages(5_000))
    assert run(store).appended == 5_000
    kafka.send(topic, messages(10, first=5_000))
    report = run(store)
    assert (report.appended, report.redelivered) == (10, 0)
    check_each_once(store, range(5_010))
    told = store.stream_positions()
    assert [(one.partition, one.lag) for one in told] == [(f"{topic}/{number}", 0) for number in range(3)]
    assert sum(one.offset + 1 for one in told if one.offset is not None) == 5_010


def test_what_the_log_has_is_shown_to_other_tools(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    from confluent_kafka import Consumer, TopicPartition

    kafka.send(topic, messages(100), partition=0)
    run(store)
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": topic})
    (committed,) = consumer.committed([TopicPartition(topic, 0)], timeout=10)
    consumer.close()
    assert committed.offset == 100


def test_bad_messages_are_kept_with_reasons_and_hold_nothing_up(
    kafka: Server,  # noqa: F811
    topic: str,
    store: FeatureStore,
) -> None:
    bad = [
        (b"no json", "no JSON: "),
        (b"[1]", "no JSON object"),
        (None, "a message without anything in it"),
        (message(1, user_id=None), "'user_id' is null"),
        (json.dumps({"user_id": 1, "id": "x"}).encode(), "'at' is null"),
        (message(1, amount="much"), "'amount': 'much' is no Float64"),
        (b"\xff\xfe", "no JSON: "),
        (message(1) + message(2), "no JSON: Extra data"),
        (b"[" * 100_000, "no JSON: "),
        (message(1, user_id=2**70), f"'user_id': {2**70} is no Int64"),
    ]
    kafka.send(topic, [*messages(500), *(one for one, _ in bad), *messages(500, first=500)], partition=1)
    assert run(store).rejected == len(bad)
    check_each_once(store, range(1_000))
    kept = letters(store)
    assert [row["offset"] for row in kept] == list(range(500, 500 + len(bad)))
    for row, (payload, reason) in zip(kept, bad, strict=True):
        assert row["payload"] == payload
        assert row["reason"].startswith(reason)


def test_dead_letters_are_sent_back_where_a_topic_is_named_for_them(
    kafka: Server,  # noqa: F811
    topic: str,
    tmp_path: Path,
) -> None:
    from confluent_kafka import Consumer

    dead = kafka.topic(f"{topic}-dead")
    kafka.send(topic, [b"no json", *messages(3)], partition=2)
    with opened(tmp_path, of_kafka(kafka.address, topic, dead_letter_topic=dead)) as store:
        assert run(store).rejected == 1
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": dead, "auto.offset.reset": "earliest"})
    consumer.subscribe([dead])
    (found,) = consumer.consume(1, 30)
    consumer.close()
    assert found.value() == b"no json"
    headers = dict(found.headers())
    assert headers["partition"] == f"{topic}/2".encode()
    assert headers["offset"] == b"0"
    assert headers["reason"].startswith(b"no JSON: ")


def test_a_topic_that_is_not_there_is_an_error_that_names_others(
    kafka: Server,  # noqa: F811
    topic: str,
    tmp_path: Path,
) -> None:
    said = f"no topic 'paid' at {kafka.address}.\nThere are: .*{topic}"
    with opened(tmp_path, of_kafka(kafka.address, "paid")) as store, pytest.raises(SourceError, match=said):
        run(store)


def test_a_topic_for_dead_letters_has_to_be_there(kafka: Server, topic: str, tmp_path: Path) -> None:  # noqa: F811
    source = of_kafka(kafka.address, topic, dead_letter_topic="nowhere")
    with (
        opened(tmp_path, source) as store,
        pytest.raises(SourceError, match=r"no topic 'nowhere' at .*\n.*\n.*correct dead_letter_topic="),
    ):
        run(store)


def test_a_dead_letter_that_is_too_large_for_its_topic_is_in_the_files(
    kafka: Server,  # noqa: F811
    topic: str,
    tmp_path: Path,
) -> None:
    dead, heard = kafka.topic(f"{topic}-dead"), Heard()
    (tmp_path / "feature_store.yaml").write_text("project: shop\nstreams: {kafka: {message.max.bytes: 1000}}\n")
    kafka.send(topic, [b"x" * 5_000, message(0)], partition=0)
    with opened(tmp_path, of_kafka(kafka.address, topic, dead_letter_topic=dead)) as store:
        assert run(store, heard).appended == 1
        assert len(letters(store)) == 1
    assert heard.about(f"the message 0 of {topic}/0 is too large for {dead}")


def test_a_topic_made_anew_is_not_taken_for_the_old_one(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    kafka.send(topic, messages(10), partition=0)
    run(store)
    kafka.delete(topic)
    kafka.topic(topic, partitions=3)
    kafka.send(topic, messages(3), partition=0)
    with pytest.raises(BackendError, match=f"{topic}/0 ends at offset 2, and the log of 'payments' has it up to 9"):
        run(store)


def test_messages_that_retention_took_are_told_of(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    from confluent_kafka import TopicPartition

    kafka.send(topic, messages(10), partition=0)
    run(store)
    kafka.send(topic, messages(10, first=10), partition=0)
    admin = kafka.admin()
    (done,) = admin.delete_records([TopicPartition(topic, 0, 15)]).values()
    done.result(30)
    heard = Heard()
    assert run(store, heard).appended == 5
    check_each_once(store, [*range(10), *range(15, 20)])
    assert heard.about(f"{topic}/0 begins at 15: its messages 10 to 14 were gone before they were read")


def test_transactions_that_were_given_up_are_not_read(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic})
    producer.init_transactions(30)
    for number in range(6):
        producer.begin_transaction()
        producer.produce(topic, message(number), partition=0)
        producer.flush(30)
        if number % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    run(store)
    check_each_once(store, [0, 2, 4])
    with working(store):
        kafka.send(topic, [message(6)], partition=0)
        until(lambda: position(store) == 4)


def test_workers_share_partitions_and_take_them_over(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    sent = 0

    def send(size: int) -> None:
        nonlocal sent
        kafka.send(topic, messages(size, first=sent))
        sent += size

    with FeatureStore(store.repo_path) as second, FeatureStore(store.repo_path) as third:
        with working(store) as one:
            send(1_000)
            until(lambda: position(store) == sent)
            with working(second) as two:
                for _ in range(5):
                    send(1_000)
                with working(third):
                    for _ in range(5):
                        send(1_000)
                send(1_000)
            send(1_000)
            until(lambda: position(store) == sent)
            assert two[0].appended > 0
        assert one[0].appended > 0
    check_each_once(store, range(sent))


def test_a_worker_whose_name_is_taken_stops_and_says_so(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    with FeatureStore(store.repo_path) as second, working(store, worker="w1") as one:
        kafka.send(topic, messages(10))
        until(lambda: position(store) == 10)
        with working(second, worker="w1") as two:
            until(lambda: one)
            kafka.send(topic, messages(10, first=10))
            until(lambda: position(store) == 20)
            assert two == []
    assert isinstance(one[0], ConflictError), one
    assert "another worker named 'w1' has taken this one's place" in str(one[0])
    check_each_once(store, range(20))


def test_a_broker_that_restarts_is_waited_for(tmp_path: Path) -> None:
    heard = Heard()
    with running() as server:
        server.topic("pay", partitions=2)
        with opened(tmp_path, of_kafka(server.address, "pay")) as store:
            with working(store, heard) as ended:
                for number in range(3):
                    server.send("pay", messages(500, first=number * 500))
                    until(lambda number=number: position(store) > number * 500)
                    server.kill()
                    until(lambda number=number: sum("does not answer" in one for one in heard) > number)
                    server.start()
                server.send("pay", messages(500, first=1_500))
                until(lambda: position(store) == 2_000 or ended)
            check_each_once(store, range(2_000))
    assert ended[0].retries > 0


def test_a_broker_that_stays_away_is_an_error_in_the_end(tmp_path: Path) -> None:
    heard = Heard()
    with (
        opened(tmp_path, of_kafka("127.0.0.1:1", "pay")) as store,
        pytest.raises(
            BrokerAway, match=r"Kafka topic pay at 127.0.0.1:1 does not answer: .*\nHint: is the broker running"
        ),
    ):
        run(store, heard, around={"limits": Limits(patience=0.2)})
    assert heard.about("Trying again for 200ms.")


def test_a_batch_is_bounded_by_bytes_and_number(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    kafka.send(topic, [message(number, note="x" * 100_000) for number in range(60)], partition=0)
    seen: list[int] = []
    room = Room(messages=1_000, size=1 << 20)
    around = {"limits": Limits(room=room), "watch": lambda tally: seen.append(tally.appended)}
    assert run(store, around=around).batches >= 4
    kafka.send(topic, messages(1_000, first=60), partition=0)
    assert run(store, around={"limits": Limits(room=Room(messages=100))}).batches >= 10
    check_each_once(store, range(1_060))


def test_nothing_is_polled_while_an_append_is_fed_on(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    kafka.send(topic, messages(1_000), partition=0)
    seen: list[int] = []
    around = {"limits": Limits(room=Room(messages=250)), "feed": lambda name: seen.append(position(store))}
    run(store, around=around)
    assert seen[-4:] == [250, 500, 750, 1_000]
    assert set(seen[:-4]) == {0}  # as it began, and when its partitions came


def test_numbers_may_be_instants(kafka: Server, topic: str, tmp_path: Path) -> None:  # noqa: F811
    kafka.send(topic, [message(number, at=1_704_110_400_000 + number) for number in range(5)], partition=0)
    source = of_kafka(kafka.address, topic, message_format=JsonFormat(instants="ms"))
    with opened(tmp_path, source) as store:
        run(store)
        found = store.logs.log("payments").read().read_all()["at"].to_pylist()
    assert [one.isoformat() for one in found[:2]] == ["2024-01-01T12:00:00+00:00", "2024-01-01T12:00:00.001000+00:00"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("group.id: g", "group.id is gnomon's to say.\nHint: name the group on the source"),
        ("enable.auto.commit: true", "enable.auto.commit is gnomon's to say"),
        ("sesion.timeout.ms: 1", 'No such configuration property: "sesion.timeout.ms"'),
    ],
)
def test_options_that_cannot_be_followed(tmp_path: Path, options: str, said: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(f"project: shop\nstreams:\n  kafka:\n    {options}\n")
    with opened(tmp_path, of_kafka("127.0.0.1:1", "pay")) as store, pytest.raises(ConfigError, match=said):
        run(store)


def test_an_event_can_be_read_soon_after_it_was_sent(kafka: Server, topic: str, store: FeatureStore) -> None:  # noqa: F811
    took: list[float] = []
    with working(store):
        kafka.send(topic, messages(1))
        until(lambda: position(store) == 1)
        for number in range(1, 11):
            began = time.monotonic()
            kafka.send(topic, [message(number)])
            until(lambda number=number: position(store) == number + 1)
            took.append(time.monotonic() - began)
    assert sorted(took)[5] < 1.0


def test_a_worker_that_has_no_partition_has_nothing_to_read(kafka: Server, tmp_path: Path) -> None:  # noqa: F811
    topic = kafka.topic(f"one-{time.time_ns()}", partitions=1)
    kafka.send(topic, messages(10))
    with (
        opened(tmp_path, of_kafka(kafka.address, topic)) as store,
        FeatureStore(tmp_path) as second,
        working(store) as one,
    ):
        until(lambda: position(store) == 10)
        assert run(second).appended == 0
        kafka.send(topic, messages(10, first=10))
        until(lambda: position(store) == 20)
        assert one == []
        check_each_once(store, range(20))


def test_a_lone_worker_that_is_taken_for_replaced_joins_anew(kafka: Server, topic: str) -> None:  # noqa: F811
    """As a broker may take it that was killed while the worker joined."""
    from confluent_kafka import KafkaError

    at: dict[str, int] = {}
    reading = Reading(
        source=of_kafka(kafka.address, topic),
        options={"session.timeout.ms": 3_000},
        project="p",
        worker="w1",
        positions=lambda: at,
        tell=lambda text: None,
    )
    stream = KafkaStream(reading)
    read: list[bytes | None] = []

    def more() -> int:
        with suppress(BrokerAway):
            for one in stream.poll(Room(wait=0.1)):
                read.extend(one.payloads)
                at[one.partition] = one.offsets[-1]
        return len(read)

    kafka.send(topic, messages(10))
    try:
        stream.open()
        until(lambda: more() == 10)
        stream._heard.fatal = KafkaError(KafkaError.FENCED_INSTANCE_ID)
        kafka.send(topic, messages(10, first=10))
        until(lambda: more() == 20)
    finally:
        stream.close()
    assert sorted(one or b"" for one in read) == sorted(messages(20))
