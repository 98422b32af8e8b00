"""The server as the store sees it, whichever of the three it is: commands in, answers or a BackendError out.

Connections are opened on first use, so a store can be made while the server is down, and again after a fork. A lost
connection is tried anew a few times; a slow answer is not, for asking again would only make the server slower.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, TypeVar

from gnomon.errors import BackendError, MissingExtra
from gnomon.online.redis.layout import tag_of
from gnomon.online.redis.options import CLUSTER, SENTINEL, Settings
from gnomon.online.redis.scripts import Script

try:
    import redis
    from redis.backoff import ExponentialWithJitterBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.exceptions import RedisClusterException
    from redis.retry import Retry
    from redis.sentinel import MasterNotFoundError, Sentinel
except ModuleNotFoundError:
    raise MissingExtra(package="redis", extra="redis", purpose="online_store: {type: redis}") from None

__all__ = ["Call", "Server"]

T = TypeVar("T")
Call = tuple[Sequence[bytes], Sequence[bytes]]
"""The keys and the arguments of a script."""

RETRIES = 3
SCANNED = 1_000
"""Keys the server looks at in one step of a scan: some hundred microseconds in which others wait."""


class Server:
    """A server, a cluster, or the server that sentinels watch over.

    Args:
        settings: how to reach it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.spread = settings, settings.kind == CLUSTER
        self._client: Any = None
        self._pid = 0
        self._closed = False

    def ask(self, *command: bytes | str) -> Any:
        """The answer to one command."""
        return self._run(lambda client: client.execute_command(*command))

    def mget(self, keys: list[bytes]) -> list[bytes | None]:
        """Values in the order of their keys: one command, or on a cluster one per slot, sent together."""
        if self.spread:
            return self._run(lambda client: client.mget_nonatomic(keys)) if keys else []
        return self._run(lambda client: client.execute_command("MGET", *keys)) if keys else []

    def mset(self, values: dict[bytes, bytes]) -> None:
        """Store values under their keys."""
        self._run(lambda client: client.mset_nonatomic(values) if self.spread else client.mset(values))

    def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes | str]) -> Any:
        """What a script gives back."""
        return self._run(lambda client: _evaluate(client, script, keys, arguments))

    def run_all(self, script: Script, calls: Iterable[Call]) -> Iterator[Any]:
        """What a script gives back for each call, in order: one after the other, or on a cluster sent together."""
        if not self.spread:
            return (self.run(script, *call) for call in calls)
        return iter(self._run(lambda client: _evaluate_together(client, script, list(calls))))

    def scan(self, pattern: str) -> Iterator[list[bytes]]:
        """All keys that match, in batches; the server is free for others between them."""
        found = self._run(lambda client: client.scan_iter(match=pattern, count=SCANNED))
        while batch := self._run(lambda _: list(islice(found, SCANNED))):
            yield batch

    def unlink(self, keys: Sequence[bytes]) -> None:
        """Remove keys; a key that is not there is no error."""
        if not self.spread:
            self.ask("UNLINK", *keys)
            return

        def work(client: Any) -> None:
            pipe = client.pipeline()
            for _, some in groupby(sorted(keys, key=tag_of), key=tag_of):
                pipe.execute_command("UNLINK", *some)
            pipe.execute()

        self._run(work)

    def restless(self, tries: int) -> BackendError:
        """What is said when others came first again and again."""
        return BackendError(
            f"{self.settings.where}: others came first {tries} times.",
            hint="see which other loads are running, and run the same command again.",
        )

    def close(self) -> None:
        """Close all connections."""
        client, self._client, self._closed = self._client, None, True
        if client is not None and self._pid == os.getpid():
            client.close()

    def _run(self, work: Callable[[Any], T]) -> T:
        if self._closed:
            raise BackendError("this online store is closed.", hint="make a new one.")
        try:
            if self._pid != os.getpid():  # a child leaves its parent's connections alone
                self._client, self._pid = _connected(self.settings), os.getpid()
            return work(self._client)
        except (redis.RedisError, RedisClusterException, OSError) as wrong:
            raise failure(wrong, self.settings) from wrong


def _connected(settings: Settings) -> Any:
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES, supported_errors=(redis.ConnectionError,))
    # The older protocol: every server and proxy speaks it, and nothing here needs the newer.
    told: dict[str, Any] = {"protocol": 2, "retry": retry, **settings.driver}
    if settings.kind == CLUSTER:
        return RedisCluster(startup_nodes=[ClusterNode(*host) for host in settings.hosts], **told)
    if settings.kind == SENTINEL:
        of_connection = ("socket_timeout", "socket_connect_timeout", "socket_keepalive")
        theirs = {
            name: value for name, value in settings.driver.items() if name in of_connection or name.startswith("ssl")
        }
        sentinels = Sentinel(list(settings.hosts), sentinel_kwargs={**theirs, **settings.sentinel}, **told)
        return sentinels.master_for(settings.master)
    ((host, port),) = settings.hosts
    return redis.Redis(host=host, port=port, **told)


def _evaluate(client: Any, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes | str]) -> Any:
    try:
        return client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
    except redis.exceptions.NoScriptError:
        return client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)


def _evaluate_together(client: RedisCluster, script: Script, calls: list[Call]) -> list[Any]:
    pipe: Any = client.pipeline()
    for keys, arguments in calls:
        pipe.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
    answers: list[Any] = pipe.execute(raise_on_error=False)
    for place, (answer, call) in enumerate(zip(answers, calls, strict=True)):
        if isinstance(answer, redis.exceptions.NoScriptError):
            answers[place] = _evaluate(client, script, *call)
        elif isinstance(answer, Exception):
            raise answer
    return answers


def failure(wrong: Exception, settings: Settings) -> BackendError:
    """What went wrong, in our words, with what to do about it."""
    said, text = settings.where, str(wrong)
    for kind, starts, what, hint in _KNOWN:
        if isinstance(wrong, kind) and any(one.lower() in text.lower() for one in starts):
            step = _FAILOVER if settings.kind == SENTINEL and hint is _ADDRESS else hint
            return BackendError(f"{said}: {what}.", instead=text, hint=step)
    return BackendError(f"{said}: the command failed.", instead=text, hint="see Redis's own log for the reason.")


_ANY = ("",)
_ADDRESS = "check that the server runs, and host, port and ssl in connection_string."
_FAILOVER = (
    "a failover takes some seconds: run the same command again; if it goes on, check that sentinels and server run, "
    "and connection_string and sentinel_master."
)
_KNOWN: tuple[tuple[type[Exception] | tuple[type[Exception], ...], tuple[str, ...], str, str], ...] = (
    (
        redis.exceptions.OutOfMemoryError,
        _ANY,
        "it has no memory left (maxmemory), so nothing of this step was stored",
        "raise maxmemory or drop what is not needed, then run the same command again.",
    ),
    (
        redis.RedisError,
        ("NOAUTH", "Authentication required"),
        "it wants a password",
        "add password=… to connection_string.",
    ),
    (
        redis.AuthenticationError,
        _ANY,
        "it refuses the password or the user",
        "check username and password in connection_string.",
    ),
    (redis.RedisError, ("NOPERM", "no permissions"), "the user may not do this", "allow it in the ACL: keys gnomon:*."),
    (
        redis.RedisError,
        ("DB index", "invalid DB"),
        "it has no such database",
        "set db in connection_string to a number below the server's `databases`.",
    ),
    (
        redis.exceptions.ReadOnlyError,
        _ANY,
        "this server is a replica and takes no writes",
        "name the primary, or set redis_type: sentinel.",
    ),
    (
        redis.exceptions.MasterDownError,
        _ANY,
        "its primary is down",
        "wait for the failover, then run the same command again.",
    ),
    (redis.exceptions.BusyLoadingError, _ANY, "it is still loading its data", "wait for it, then try again."),
    (redis.RedisError, ("MISCONF",), "it cannot save its data, so it takes no writes", "look at its disk and its log."),
    (
        RedisClusterException,
        ("cluster mode is not enabled", "cluster support disabled"),
        "it is not a cluster",
        "remove redis_type: redis_cluster.",
    ),
    (redis.exceptions.MovedError, _ANY, "it is a cluster", "set redis_type: redis_cluster."),
    (
        redis.RedisError,
        ("CROSSSLOT", "don't hash to the same slot"),
        "it is a cluster",
        "set redis_type: redis_cluster.",
    ),
    (
        redis.exceptions.ClusterDownError,
        _ANY,
        "the cluster is down",
        "see `redis-cli cluster info` on one of its nodes.",
    ),
    (MasterNotFoundError, _ANY, "the sentinels name no server of that name that is up", _ADDRESS),
    (redis.TimeoutError, ("connecting",), "it cannot be reached", _ADDRESS),
    (
        redis.TimeoutError,
        _ANY,
        "no answer in time",
        "see what keeps the server busy (SLOWLOG GET), or raise socket_timeout under online_store.",
    ),
    (
        (redis.ConnectionError, RedisClusterException, OSError),
        _ANY,
        "it cannot be reached",
        _ADDRESS,
    ),
)
