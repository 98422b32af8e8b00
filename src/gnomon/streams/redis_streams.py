"""A Redis stream as a stream, by redis-py: one partition, read in order by one worker, while others stand by.

A consumer group of Redis deals entries out one by one, so that two of its consumers have every other entry each, and no
number says how far a log is. So groups are not read with. Who reads is said by a lease that runs out when its holder is
killed; should two hold it for a moment, the log takes from one of them only. The group's pointer is moved along for
other tools to look at.

An id `ms-seq` is an offset: ms · 2^20 + seq.

>>> offset_of(b"1700000000000-3"), id_of(offset_of(b"1700000000000-3"))
(1782579200000000003, '1700000000000-3')
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pyarrow as pa

from gnomon.contracts.plugins import check_options
from gnomon.contracts.streams import Letter, Messages, Reading, Room
from gnomon.definitions.streams import RedisStreamSource
from gnomon.errors import BackendError, BrokerAway, ConflictError, MissingExtra, SourceError, listing

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ModuleNotFoundError:
    raise MissingExtra(package="redis", extra="redis", purpose="a RedisStreamSource") from None

__all__ = ["RedisStream", "id_of", "offset_of"]

T = TypeVar("T")
SEQUENCE_BITS, MILLIS_BITS = 20, 43
LEASE_MS = 10_000
"""A worker that says nothing for so long is taken for dead."""
SLOWEST = 5.0
"""Seconds that an answer may take."""
LARGE = 65_536.0
"""Messages are taken to have so many bytes until some have come."""
RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end"
LEAVE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


class RedisStream:
    """A worker's share of a stream: all of it, or nothing while another worker reads.

    Args:
        reading: a RedisStreamSource; its option `url` stands before the source's.

    Raises:
        ConfigError: an option is unknown.
    """

    def __init__(self, reading: Reading) -> None:
        check_options("streams: redis", reading.options, ("url",))
        source = reading.source
        assert isinstance(source, RedisStreamSource)
        self._source, self._reading, self._key = source, reading, source.stream
        self._group = source.group or f"gnomon.{reading.project}.{source.name}"
        self._lease = f"gnomon:{reading.project}:{source.name}:reader"
        self._name = f"{reading.worker}|{secrets.token_hex(8)}"
        self._url = str(reading.options.get("url") or source.url)
        self._client: Any = None
        self._at, self._is_mine, self._checked, self._at_end = -1, False, False, False
        self._polled = False
        self._rival: tuple[bytes, int] | None = None
        self._size = LARGE

    def open(self) -> None:
        """See that the stream is there, if the log has nothing of it, and that it goes on where the log is."""
        if self._logged() < 0 and not self._asking(lambda client: client.exists(self._key)):
            found = self._asking(lambda client: list(client.scan_iter(count=1_000, _type="stream")))
            names = sorted(one.decode(errors="replace") for one in found)
            raise SourceError(
                f"there is no {self._source.where}.",
                instead=f"There are: {listing(names)}.",
                hint="add an entry to it, or correct stream= on the source and apply it.",
            )

    def poll(self, room: Room) -> list[Messages]:
        """The next entries; those that come soon after the first are waited for."""
        self._polled = True
        if not self._holds_lease():
            time.sleep(min(room.wait, LEASE_MS / 4_000))
            return []
        self._check()
        began = time.monotonic()
        entries = self._entries(self._at, room.messages, room.size, room.wait)
        left = room.linger if entries else 0.0
        if entries and len(entries) < room.messages and time.monotonic() - began > room.linger:
            time.sleep(left)  # the first was waited for, and others are on their way
            size = room.size - int(len(entries) * self._size)
            entries += self._entries(offset_of(entries[-1][0]), room.messages - len(entries), size, 0)
        self._at_end = not entries
        if not entries:
            return []
        messages = self._messages(entries)
        self._at = messages.offsets[-1]
        return [messages]

    def is_at_end(self) -> bool:
        """Whether nothing followed; a worker that stands by has nothing to read."""
        return self._polled and (self._at_end or not self._is_mine)

    def ends(self) -> Mapping[str, int]:
        """The id of the stream's last entry."""
        if self._polled and not self._is_mine:
            return {}
        told = self._info()
        return {self._key: -1 if told is None else offset_of(told[b"last-generated-id"])}

    def refuse(self, letters: Sequence[Letter]) -> None:
        """They stay in the stream."""

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Move the group's pointer."""
        at = id_of(offsets[self._key])
        with suppress(redis.RedisError, OSError):
            try:
                self._connected().xgroup_setid(self._key, self._group, at)
            except redis.ResponseError:
                self._connected().xgroup_create(self._key, self._group, at)

    def close(self) -> None:
        """Give the lease back."""
        client, self._client = self._client, None
        if client is None:
            return
        with suppress(redis.RedisError, OSError):
            if self._is_mine:
                client.eval(LEAVE, 1, self._lease, self._name)
        client.close()
        self._is_mine = False

    def _logged(self) -> int:
        return self._reading.positions().get(self._key, -1)

    def _holds_lease(self) -> bool:
        """Keep the lease, or take it if nobody has it."""
        if self._is_mine and self._asking(lambda client: client.eval(RENEW, 1, self._lease, self._name, LEASE_MS)):
            return True
        self._is_mine = bool(self._asking(lambda client: client.set(self._lease, self._name, nx=True, px=LEASE_MS)))
        if self._is_mine:
            self._at, self._checked, self._at_end = self._logged(), False, False
        elif self._reading.worker:
            self._look_at_rival()
        return self._is_mine

    def _look_at_rival(self) -> None:
        """One that has this worker's name, and is alive, is another worker; one that is not was this one."""
        holder, left = self._asking(lambda client: (client.get(self._lease), client.pttl(self._lease)))
        if holder is None or holder.rpartition(b"|")[0].decode() != self._reading.worker:
            return
        before, self._rival = self._rival, (holder, left)
        if before is not None and before[0] == holder and left > before[1]:
            raise ConflictError(
                f"another worker named {self._reading.worker!r} reads {self._source.where}.",
                hint="give each worker a name of its own, or none.",
            )

    def _check(self) -> None:
        """Look whether the stream has what follows in the log; if less, tell, and go on."""
        if self._checked:
            return
        told = self._info()
        if told is None:
            self._reading.tell(f"{self._source.where} is not there any more; what is added to it will be read.")
        else:
            self._compare(offset_of(told[b"last-generated-id"]), told[b"first-entry"])
        self._checked = True

    def _compare(self, last: int, first: Any) -> None:
        """Hold the log's end against the stream's ends."""
        if last < self._at:
            raise BackendError(
                f"{self._source.where} ends at {id_of(last)}, and the log has it up to {id_of(self._at)}.",
                instead="So the log was filled from another stream of that name, or Redis lost entries.",
                hint="give the stream another name, and the source with it.",
            )
        begins = last + 1 if first is None else offset_of(first[0])
        if last > self._at >= 0 and begins > self._at:
            self._reading.tell(
                f"the entry that the log ends with, {id_of(self._at)}, has been trimmed; if others came before "
                f"{id_of(begins)}, they were gone before they were read."
            )

    def _info(self) -> dict[bytes, Any] | None:
        def ask(client: Any) -> dict[bytes, Any] | None:
            try:
                told = client.execute_command("XINFO STREAM", self._key)
            except redis.ResponseError as wrong:
                if "no such key" in str(wrong):
                    return None
                raise
            return _pairs(told)

        return self._asking(ask)

    def _entries(self, at: int, most: int, size: int, wait: float) -> list[tuple[bytes, dict[bytes, bytes]]]:
        most = max(min(most, int(size / self._size)), 1)
        block = max(int(wait * 1_000), 1) if wait else None
        told = self._asking(lambda client: client.xread({self._key: id_of(at)}, count=most, block=block))
        entries: list[Any] = told[0][1] if told else []
        if entries:
            whole = sum(len(value) for _, entry in entries for value in (entry or {}).values())
            self._size = max(whole / len(entries), 64.0)
        return [(number, entry or {}) for number, entry in entries]

    def _messages(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> Messages:
        offsets = [offset_of(number) for number, _ in entries]
        sent = [(offset >> SEQUENCE_BITS) * 1_000 for offset in offsets]
        if self._source.field:
            field = self._source.field.encode()
            payloads: Any = [entry.get(field) for _, entry in entries]
            return Messages(partition=self._key, offsets=offsets, payloads=payloads, sent=sent)
        table, failed = _table([entry for _, entry in entries])
        return Messages(partition=self._key, offsets=offsets, payloads=table, sent=sent, failed=failed)

    def _connected(self) -> Any:
        if self._client is None:
            self._client = redis.Redis.from_url(
                self._url,
                protocol=2,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=SLOWEST,
                socket_connect_timeout=SLOWEST,
            )
        return self._client

    def _asking(self, ask: Callable[[Any], T]) -> T:
        try:
            return ask(self._connected())
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as wrong:
            raise BackendError(
                f"{self._source.where} refuses this user: {wrong}.",
                hint="write the password in feature_store.yaml: streams: {redis: {url: …}}.",
            ) from wrong
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError, OSError) as wrong:
            self._checked = False
            raise BrokerAway(
                f"{self._source.where} does not answer: {wrong}.",
                hint="is the server running, and reached from here? See url= on the source, and streams: {redis: …}.",
            ) from wrong
        except redis.RedisError as wrong:
            raise BackendError(
                f"{self._source.where} cannot be read: {wrong}.",
                hint="is that key a stream, and this Redis 6 or newer?",
            ) from wrong


def offset_of(number: bytes | str) -> int:
    """The offset that an entry's id is.

    Raises:
        BackendError: it is none that Redis gives by itself, and too large.
    """
    text = number.decode() if isinstance(number, bytes) else number
    millis, _, sequence = text.partition("-")
    at, place = int(millis), int(sequence or 0)
    if at >> MILLIS_BITS or place >> SEQUENCE_BITS:
        raise BackendError(
            f"the entry {text} has an id that is no number of milliseconds since 1970.",
            hint="let Redis give ids: XADD stream * …",
        )
    return at << SEQUENCE_BITS | place


def id_of(offset: int) -> str:
    """The id that an offset is; -1 is before all ids."""
    return "0-0" if offset < 0 else f"{offset >> SEQUENCE_BITS}-{offset & (1 << SEQUENCE_BITS) - 1}"


def _pairs(told: Any) -> dict[bytes, Any]:
    """What a command tells as name, value, name, value …, by name."""
    if isinstance(told, dict):  # the driver has made one of it
        return {name.encode() if isinstance(name, str) else name: value for name, value in told.items()}
    return dict(zip(told[::2], told[1::2], strict=True))


def _table(entries: list[dict[bytes, bytes]]) -> tuple[pa.Table, dict[int, str]]:
    """The fields of entries as columns of texts; and entries that hold other bytes, with the reason."""
    texts: list[dict[str, str]] = []
    failed: dict[int, str] = {}
    for row, entry in enumerate(entries):
        try:
            texts.append({name.decode(): value.decode() for name, value in entry.items()})
        except UnicodeDecodeError as wrong:
            texts.append({})
            failed[row] = f"no text: {wrong}"
    names = dict.fromkeys(name for one in texts for name in one)
    columns = {name: pa.array([one.get(name) for one in texts], pa.string()) for name in names}
    return pa.table(columns) if columns else pa.table({"": pa.nulls(len(entries), pa.string())}), failed
