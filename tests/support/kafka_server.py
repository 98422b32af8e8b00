"""A Kafka broker of one's own, on free ports of this machine only: Apache Kafka itself, in KRaft mode.

    with Server() as server:
        server.topic("payments", partitions=3)
        server.address                  # 127.0.0.1:41235
        server.kill(); server.start()   # as after a crash: what was written is there, the port is the same

Its jars are resolved once by Maven into a folder of the user's cache. Where Java or Maven is not installed tests are
skipped; on CI they fail.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis_server import free_port
from waiting import until

POM = Path(__file__).parent / "kafka" / "pom.xml"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gnomon-tests" / "kafka"
JVM = ("-Xms128m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


def jars() -> Path:
    """The folder of Kafka's jars, filled if it is not; without Java or Maven the test is skipped, or on CI fails."""
    wanted = CACHE / f"jars-{abs(hash_of(POM)):x}"
    if wanted.is_dir():
        return wanted
    for name in ("java", "mvn"):
        if shutil.which(name) is None:
            _lacking(f"no {name} is installed (on Debian: apt-get install default-jre-headless maven)")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.is_dir():
            scratch = wanted.with_suffix(".part")
            shutil.rmtree(scratch, ignore_errors=True)
            command = [
                "mvn",
                "-q",
                "-B",
                "-f",
                str(POM),
                "dependency:copy-dependencies",
                f"-DoutputDirectory={scratch}",
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=280)
            if done.returncode:
                _lacking(f"Maven cannot resolve Kafka's jars: {done.stdout[-500:]}")
            scratch.rename(wanted)
    return wanted


def hash_of(path: Path) -> int:
    """A number that changes with a file's contents."""
    import zlib

    return zlib.crc32(path.read_bytes())


class Server:
    """A broker with a folder of its own; leaving the block stops it and removes what it kept.

    Args:
        options: further lines of its properties: `{"group.min.session.timeout.ms": 1}`.
    """

    def __init__(self, **options: object) -> None:
        self._jars = jars()
        self.port, self._controller = free_port(), free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="gnomon-kafka-"))
        self._options = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "log.retention.ms": -1,
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "broker.heartbeat.interval.ms": 300,
            "broker.session.timeout.ms": 1_500,  # what is killed and started anew is known to have been gone
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 500,
            **options,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in self._options.items()))
        told = ["format", "--standalone"] if "controller.quorum.voters" not in self._options else ["format"]
        command = [*self._java("kafka.tools.StorageTool"), *told, "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", str(properties)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [*self._java("kafka.Kafka"), str(self.folder / "server.properties")]
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)
        until(self._answers)

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def topic(self, name: str, partitions: int = 1, **config: object) -> str:
        """Make a topic that keeps events of any age; its name."""
        from confluent_kafka.admin import NewTopic

        told = {"retention.ms": "-1", **{key: str(value) for key, value in config.items()}}
        made = NewTopic(name, num_partitions=partitions, replication_factor=1, config=told)
        admin = self.admin()  # what it promises ends with it
        admin.create_topics([made])[name].result(30)
        until(lambda: name in admin.list_topics(timeout=10).topics)
        return name

    def delete(self, name: str) -> None:
        """Delete a topic."""
        admin = self.admin()
        admin.delete_topics([name])[name].result(30)
        until(lambda: name not in admin.list_topics(timeout=10).topics)

    def send(self, topic: str, payloads: Sequence[bytes | None], partition: int = -1) -> None:
        """Send messages, and wait until the broker has them."""
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 5, "enable.idempotence": True})
        for payload in payloads:
            while True:
                try:
                    producer.produce(topic, payload, partition=partition)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(60) == 0

    def admin(self) -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.address})

    def _java(self, main: str) -> list[str]:
        return ["java", *JVM, "-cp", f"{self._jars}/*", main]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "out").read_text()[-3000:]
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
        except OSError:
            return False
        from confluent_kafka import KafkaException

        try:
            return bool(self.admin().list_topics(timeout=2).brokers)
        except KafkaException:
            return False


@contextmanager
def running(**options: object) -> Iterator[Server]:
    """A broker."""
    pytest.importorskip("confluent_kafka")
    with Server(**options) as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[Server]:
    """A broker for all tests of a process; nobody kills it."""
    with running() as server:
        yield server


def _lacking(what: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)
