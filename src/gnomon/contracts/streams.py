"""A stream: messages in partitions, each with an offset that goes up. The log says where reading goes on, nobody else.

What was read is on its way into the log; what the log has is not read again, and what it has not is. So a stream keeps
no state that matters: `commit` only shows other tools how far the log is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from gnomon.definitions.sources import PushSource

__all__ = ["Letter", "Messages", "Reading", "Room", "Stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a stream is handed when it is opened.

    Args:
        source: whose events are read.
        options: what the configuration says of streams of its kind.
        project: the project's name.
        worker: the worker's name; empty where it has none of its own.
        positions: asks the log: partition → the offset of the last message in it. Called whenever partitions become
            one's own, however that comes.
        tell: tells a person something that is no error.
    """

    source: PushSource
    options: Mapping[str, Any]
    project: str
    worker: str
    positions: Callable[[], Mapping[str, int]]
    tell: Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much is read at once.

    Args:
        messages: at most so many messages.
        size: about so many bytes at most, one message at least.
        wait: seconds to wait for the first message.
        linger: seconds to wait for others, once there is one.
    """

    messages: int = 10_000
    size: int = 16 << 20
    wait: float = 0.5
    linger: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Some messages of one partition, in order.

    Args:
        partition: its name, which no other partition of the source's has: "payments/3".
        offsets: the messages' offsets, going up.
        payloads: their bytes, None where a message has none; or rows that need no decoding.
        sent: when the broker got them, µs; empty where nobody says.
        failed: number of a row among `payloads` that holds no message → why.
    """

    partition: str
    offsets: Sequence[int]
    payloads: Sequence[bytes | None] | pa.Table
    sent: Sequence[int] = field(default=())
    failed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter: a message that could not become an event.

    Args:
        partition: where it stood.
        offset: its offset there.
        payload: its bytes.
        reason: what is wrong with it.
    """

    partition: str
    offset: int
    payload: bytes | None
    reason: str


class Stream(Protocol):
    """One worker's share of a stream, made as `Stream(Reading(…))`; nothing is asked of the broker before it is used.

    Every method but `close` raises `BrokerAway` while the broker does not answer: trying again is up to the caller, and
    nothing is lost by it. `BackendError` means that trying again is of no use.
    """

    def open(self) -> None:
        """Look whether what is to be read is there, before the first `poll`.

        Raises:
            SourceError: it is not; what is there instead is named.
            BackendError: the log is ahead of the stream, so that what is read now would be taken for old.
        """
        ...

    def poll(self, room: Room) -> list[Messages]:
        """The next messages of the partitions that are this worker's, from where the log is when they become that.

        None may have come. Messages that were there before, because a partition went and came back, do no harm.

        Raises:
            ConflictError: another worker of the same name has taken this one's place.
        """
        ...

    def is_at_end(self) -> bool:
        """Whether each of this worker's partitions has been read to its end since it became that."""
        ...

    def ends(self) -> Mapping[str, int]:
        """Partition → the offset of its last message, -1 where there is none: of one's own, of all before `poll`."""
        ...

    def refuse(self, letters: Sequence[Letter]) -> None:
        """Give dead letters back to the broker, if the source names a place for them."""
        ...

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Show other tools how far the log is; it may fail without a word."""
        ...

    def close(self) -> None:
        """Leave, so that others can take over at once; closing twice is fine."""
        ...
