"""A worker: messages become events of a source's log, each exactly once, in the order of their partitions.

    poll → leave out what the log has → decode → check → keep dead letters → append, with offsets → feed → commit

The log's offsets are the only truth. An append says which offsets it believes to be the log's last: if another worker
was faster, after a rebalance say, it fails, and what is there by now is left out. So a worker may be killed anywhere,
and messages may come twice: between two steps nothing counts yet, and the append is one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from gnomon.clock import Clock, duration_text, instant_text
from gnomon.contracts.log import OFFSET, PARTITION, Log
from gnomon.contracts.streams import Letter, Messages, Room, Stream
from gnomon.definitions.entities import Field
from gnomon.definitions.sources import PushSource
from gnomon.errors import BackendError, BrokerAway, ConflictError, listing
from gnomon.flows.decoding import Reader, payload_of
from gnomon.flows.letters import Letters
from gnomon.flows.rows import Lengths, checked_pieces
from gnomon.flows.tally import Tally

__all__ = ["Around", "Limits", "Until", "Worker"]

T = TypeVar("T")
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds between two tries, growing twofold."""
LOOK_EVERY = 1_000_000
"""µs between two looks at where a stream ends."""
FAR = 86_400_000_000
"""An event further ahead than so many µs is noted."""


class Stopped(Exception):  # noqa: N818
    """A worker was asked to stop while it waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a worker takes at once, and how long it is patient.

    Args:
        room: of a batch.
        patience: how many seconds it waits, in all, for a broker that does not answer.
    """

    room: Room = field(default_factory=Room)
    patience: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """When a worker is done by itself.

    Args:
        once: when all has been read that is there.
        idle: when nothing has come for so many µs; None for never.
    """

    once: bool = False
    idle: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a worker is handed.

    Args:
        clock: says what time it is.
        sleep: waits so many seconds, or less if the worker is to stop.
        stopping: whether it is to stop.
        feed: brings online what the source's log has; called after each append, before the first poll, and when
            partitions have come.
        tell: tells a person something that is no error.
        watch: is shown the tally after each turn.
    """

    clock: Clock
    sleep: Callable[[float], object]
    stopping: Callable[[], bool]
    feed: Callable[[str], object]
    tell: Callable[[str], object]
    watch: Callable[[Tally], object]


class Worker:
    """Brings one source's messages into its log.

    Args:
        source: the source.
        keys: the join keys of views on it.
        log: its log.
        letters: its dead letters.
        limits: how much at once, and how patient.
        around: clock, sleeper and the like.
        lengths: of columns of vectors, how many elements they have.
    """

    def __init__(
        self,
        source: PushSource,
        keys: Mapping[str, Field],
        log: Log,
        letters: Letters,
        limits: Limits,
        around: Around,
        lengths: Lengths = (),
    ) -> None:
        self._source, self._keys, self._log, self._letters = source, keys, log, letters
        self._limits, self._around, self._lengths = limits, around, lengths
        self._reader = Reader(source)
        self._known: dict[str, int] = {}
        self._is_fed = False
        self._unknown: set[str] = set()
        self._told: set[str] = set()
        self._ends: dict[str, int] = {}
        self._looked: int | None = None
        self.tally = Tally(source=source.name)

    def positions(self) -> dict[str, int]:
        """Where the log is: what a stream goes on from.

        It may be further than what is online, for whoever had the partition may have been killed in between.
        """
        self._known, self._is_fed = self._log.offsets(), False
        return self._known

    def run(self, stream: Stream, until: Until) -> None:
        """Read until it is to stop, or all is done.

        Raises:
            SourceError: what is to be read is not there.
            BrokerAway: the broker did not answer for longer than patience lasts.
            BackendError: the log cannot be written; nothing of the batch is in it.
            ConflictError: another worker of the same name has taken over.
        """
        try:
            self._trying(stream.open)
            self.positions()
            self._feed()
            idle_since = self._around.clock.now()
            while not self._around.stopping():
                messages = self._trying(lambda: stream.poll(self._limits.room))
                self._feed()
                now = self._around.clock.now()
                if any(len(one.offsets) for one in messages):
                    self._take(stream, messages)
                    idle_since = self._around.clock.now()
                elif (until.once and stream.is_at_end()) or (until.idle is not None and now - idle_since >= until.idle):
                    return
                self._look(stream)
        except Stopped:
            pass
        finally:
            stream.close()
            self._letters.seal()

    def _take(self, stream: Stream, messages: Sequence[Messages]) -> None:
        """Bring a batch into the log."""
        while fresh := list(self._fresh(messages)):
            events, letters = self._read(fresh)
            self._put_aside(stream, letters)
            last = {one.partition: one.offsets[-1] for one in fresh}
            try:
                self._log.append(events, last, after={name: self._known.get(name, -1) for name in last})
            except ConflictError as wrong:
                if "offsets" not in wrong.facts:
                    raise
                self._go_on_from(wrong.facts["offsets"], wrong)
                continue
            self._known, self._is_fed = {**self._known, **last}, False
            self._feed()
            stream.commit(last)
            self._count(events, fresh, len(letters))
            return

    def _feed(self) -> None:
        if not self._is_fed:
            self._around.feed(self._source.name)
            self._is_fed = True

    def _put_aside(self, stream: Stream, letters: Sequence[Letter]) -> None:
        """Keep dead letters, and give them back to the broker; killed in between, that is done again."""
        if new := self._letters.unseen(letters):
            self._trying(lambda: stream.refuse(new))
            self._letters.keep(new)

    def _go_on_from(self, offsets: Any, wrong: ConflictError) -> None:
        """Go on from where the log turned out to be: further than was believed, for it does not go back."""
        if back := [name for name, offset in self._known.items() if offsets.get(name, -1) < offset]:
            raise BackendError(
                f"{self._source.name}: the log has gone back: it had {back[0]!r} up to {self._known[back[0]]}.",
                instead=f"Now it has it up to {offsets.get(back[0], -1)}.",
                hint="was it put back from a copy? Start the worker anew: it goes on from where the log is.",
            ) from wrong
        self._known = dict(offsets)

    def _fresh(self, messages: Sequence[Messages]) -> Iterator[Messages]:
        """The messages that the log has not, in the order of their offsets."""
        last = dict(self._known)
        for one in messages:
            offsets = np.asarray(one.offsets, np.int64)
            known = last.get(one.partition, -1)
            if not len(offsets) or (offsets[0] > known and (np.diff(offsets) > 0).all()):
                kept = one
            else:
                order, at = np.unique(offsets, return_index=True)
                places = at[order > known]
                self.tally.redelivered += len(offsets) - len(places)
                kept = _taken(one, places)
            if len(kept.offsets):
                last[one.partition] = kept.offsets[-1]
                yield kept

    def _read(self, messages: Sequence[Messages]) -> tuple[pa.Table, list[Letter]]:
        """The events that messages are, with their origins, and those that are none."""
        tables, letters = [], list[Letter]()
        for one in messages:
            read = self._reader.read(one)
            self._note_unknown(read.unknown)
            table, reasons = checked_pieces(
                read.pieces, len(one.offsets), self._source, self._keys, read.failed, self._lengths
            )
            offsets = np.asarray(one.offsets, np.int64)
            if reasons:
                rows = sorted(reasons)
                letters += [_letter(one, row, reasons[row]) for row in rows]
                offsets = np.delete(offsets, rows)
            table = table.append_column(PARTITION, pa.repeat(pa.scalar(one.partition), len(table)))
            tables.append(table.append_column(OFFSET, pa.array(offsets)))
        return pa.concat_tables(tables), letters

    def _count(self, events: pa.Table, messages: Sequence[Messages], letters: int) -> None:
        """Note what became of a batch, which can be read by now."""
        now, tally = self._around.clock.now(), self.tally
        tally.appended += len(events)
        tally.rejected += letters
        tally.batches += 1
        tally.rate.note(now, len(events))
        happened = events[self._source.timestamp_field].cast(pa.int64()).to_numpy()
        tally.since_event.note(now - happened)
        tally.since_broker.note(now - np.concatenate([np.asarray(one.sent, np.int64) for one in messages]))
        future, past = int((happened > now + FAR).sum()), int((happened < 0).sum())
        tally.future += future
        tally.before_1970 += past
        if future:
            latest = instant_text(int(happened.max()))
            self._tell_once("future", f"there are events in the future, such as one of {latest}; they are taken.")
        if past:
            self._tell_once("past", "there are events before 1970; they are taken. Is a unit of time wrong?")

    def _look(self, stream: Stream) -> None:
        """Show how far it is; where the stream ends is asked once a second."""
        now = self._around.clock.now()
        if self._looked is None or not 0 <= now - self._looked < LOOK_EVERY:
            with suppress(BrokerAway):  # the next poll deals with that
                self._ends, self._looked = dict(stream.ends()), now
        self.tally.lag = {name: max(end - self._known.get(name, -1), 0) for name, end in self._ends.items()}
        self._around.watch(self.tally)

    def _note_unknown(self, names: Sequence[str]) -> None:
        if new := [name for name in names if name not in self._unknown]:
            self._unknown.update(new)
            self._tell(f"messages have fields that the source has no columns for: {listing(new)}. They are left out.")

    def _tell_once(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._tell(text)

    def _tell(self, text: str) -> None:
        self._around.tell(f"{self._source.name}: {text}")

    def _trying(self, act: Callable[[], T]) -> T:
        """Do something that asks the broker, and again while it does not answer, until patience is at its end."""
        wait, waited = FIRST_WAIT, 0.0
        while True:
            try:
                return act()
            except BrokerAway as away:
                if waited >= self._limits.patience:
                    raise
                if not waited:
                    self._tell(
                        f"{away.what} Trying again for {duration_text(timedelta(seconds=self._limits.patience))}."
                    )
            self.tally.retries += 1
            self._around.watch(self.tally)
            self._around.sleep(wait)
            if self._around.stopping():
                raise Stopped
            waited, wait = waited + wait, min(wait * 2, LONGEST_WAIT)


def _taken(messages: Messages, places: np.ndarray[Any, Any]) -> Messages:
    """Some of the messages."""
    payloads = messages.payloads
    if isinstance(payloads, pa.Table):
        kept: Any = payloads.take(pa.array(places))
    else:
        kept = [payloads[place] for place in places]
    sent = [messages.sent[place] for place in places] if messages.sent else ()
    failed = {row: messages.failed[place] for row, place in enumerate(places) if place in messages.failed}
    offsets = [int(messages.offsets[place]) for place in places]
    return Messages(partition=messages.partition, offsets=offsets, payloads=kept, sent=sent, failed=failed)


def _letter(messages: Messages, row: int, reason: str) -> Letter:
    payload = payload_of(messages, row)
    return Letter(partition=messages.partition, offset=int(messages.offsets[row]), payload=payload, reason=reason)
