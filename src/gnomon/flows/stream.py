"""Stream: the events of some sources are brought into their logs, by a worker for each, until they are told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnomon.clock import Clock, duration, micros_of
from gnomon.contracts import plugins
from gnomon.contracts.log import Log, Logs
from gnomon.contracts.registry import Snapshot
from gnomon.contracts.streams import Reading, Stream
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.sources import PushSource
from gnomon.errors import NotRegistered, RequestError, listing
from gnomon.flows.letters import Letters
from gnomon.flows.rows import join_keys, vector_lengths
from gnomon.flows.tally import StreamReport, Tally
from gnomon.flows.worker import Around, Limits, Until, Worker

__all__ = ["Setting", "Stop", "StreamPosition", "StreamReport", "positions", "stream"]


class Stop:
    """Whether workers are to stop; unlike an event of `threading`, it can be set by a signal at any instant."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Let them finish their batches, and stop."""
        self._set = True

    def is_set(self) -> bool:
        """Whether they are to."""
        return self._set

    def wait(self, seconds: float) -> None:
        """Wait, or less long if they are to stop meanwhile."""
        deadline = time.monotonic() + seconds
        while not self._set and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))


def _nothing(*_: object) -> None:
    """What is called where nobody cares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What streams are read with.

    Args:
        snapshot: the definitions.
        project: the project's name.
        logs: the sources' logs.
        letters: the logs of their dead letters.
        options: kind of stream → what the configuration says of it.
        clock: says what time it is.
        limits: how much is taken at once, and how long a broker is waited for.
        stop: set when workers are to finish their batches and stop.
        feed: source → brings online what its log has; one call at a time.
        tell: tells a person something that is no error.
        watch: is shown a source's tally, again and again.
    """

    snapshot: Snapshot
    project: str
    logs: Logs
    letters: Logs
    options: Mapping[str, Mapping[str, Any]]
    clock: Clock
    limits: Limits = field(default_factory=Limits)
    stop: Stop = field(default_factory=Stop)
    feed: Callable[[str], object] = _nothing
    tell: Callable[[str], object] = _nothing
    watch: Callable[[Tally], object] = _nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPosition:
    """How far a partition is.

    Args:
        source: the source.
        partition: the partition.
        offset: the offset of its last message in the log; None where there is none.
        end: the offset of its last message; None where nobody knows.
    """

    source: str
    partition: str
    offset: int | None
    end: int | None

    @property
    def lag(self) -> int | None:
        """How many offsets lie between them, which is how many messages are not in the log, or somewhat more."""
        return None if self.end is None else max(self.end - (-1 if self.offset is None else self.offset), 0)


def stream(
    setting: Setting,
    sources: Sequence[str],
    folder: str | Path | None,
    worker: str,
    once: bool,
    until_idle: str | None,
) -> list[StreamReport]:
    """Bring events into logs; the arguments are those of `FeatureStore.stream`."""
    chosen = _chosen(setting.snapshot.catalog, sources, folder)
    until = Until(once=once, idle=_idle(until_idle))
    turn = threading.Lock()
    runs = [_Run(setting, source, folder, worker, turn) for source in chosen]
    try:
        if len(runs) == 1:
            runs[0](until)
        else:
            _side_by_side(runs, until, setting.stop)
    finally:
        setting.letters.close()
    return [run.worker.tally.report() for run in runs]


def positions(setting: Setting, sources: Sequence[str]) -> list[StreamPosition]:
    """How far logs and streams are."""
    found: list[StreamPosition] = []
    for source in _named(setting.snapshot.catalog, sources):
        log = setting.logs.log(source.name)
        there, ends = log.offsets(), _ends(setting, source, log)
        found += [
            StreamPosition(source=source.name, partition=name, offset=there.get(name), end=ends.get(name))
            for name in sorted({*there, *ends})
        ]
    return found


def _ends(setting: Setting, source: PushSource, log: Log) -> Mapping[str, int]:
    if not source.stream_type:
        return {}
    stream = _opened(setting, source, None, "", log.offsets)
    try:
        return dict(stream.ends())
    finally:
        stream.close()


class _Run:
    """One source's worker and its stream."""

    def __init__(
        self, setting: Setting, source: PushSource, folder: str | Path | None, name: str, turn: threading.Lock
    ) -> None:
        def feed(source: str) -> None:
            with turn:
                setting.feed(source)

        around = Around(
            clock=setting.clock,
            sleep=setting.stop.wait,
            stopping=setting.stop.is_set,
            feed=feed,
            tell=setting.tell,
            watch=setting.watch,
        )
        catalog, log = setting.snapshot.catalog, setting.logs.log(source.name)
        letters = Letters(setting.letters.log(source.name))
        keys, lengths = join_keys(catalog, source), vector_lengths(catalog, source)
        self.worker = Worker(source, keys, log, letters, setting.limits, around, lengths)
        self._stream = _opened(setting, source, folder, name, self.worker.positions)

    def __call__(self, until: Until) -> None:
        self.worker.run(self._stream, until)


def _opened(
    setting: Setting,
    source: PushSource,
    folder: str | Path | None,
    worker: str,
    where: Callable[[], Mapping[str, int]],
) -> Stream:
    kind = "folder" if folder is not None else source.stream_type
    options = {"path": str(folder)} if folder is not None else setting.options.get(kind, {})
    reading = Reading(
        source=source,
        options=options,
        project=setting.project,
        worker=worker,
        positions=where,
        tell=lambda text: setting.tell(f"{source.name}: {text}"),
    )
    made: Stream = plugins.find("streams", kind)(reading)
    return made


def _side_by_side(runs: Sequence[_Run], until: Until, stop: Stop) -> None:
    """Run workers in threads; where one fails the others finish their batches, and its error is raised."""
    failed: list[BaseException] = []

    def run(one: _Run) -> None:
        try:
            one(until)
        except BaseException as wrong:
            failed.append(wrong)
            stop.set()

    threads = [threading.Thread(target=run, args=(one,)) for one in runs]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if failed:
        raise failed[0]


def _chosen(catalog: Catalog, names: Sequence[str], folder: str | Path | None) -> list[PushSource]:
    named = _named(catalog, names)
    if folder is not None:
        if len(names) != 1:
            known = listing(one.name for one in named)
            raise RequestError("a folder holds one source's events.", hint=f"name it: {known}.")
        return named
    chosen = [one for one in named if one.stream_type]
    if lacking := [one.name for one in named if names and not one.stream_type]:
        raise RequestError(
            f"push source {lacking[0]!r} has no stream.",
            hint="make it a KafkaSource or a RedisStreamSource, or read files: --folder FOLDER.",
        )
    if not chosen:
        hint = "apply a KafkaSource or a RedisStreamSource, or name a source and a folder."
        raise RequestError("no source has a stream.", hint=hint)
    return chosen


def _named(catalog: Catalog, names: Sequence[str]) -> list[PushSource]:
    """The push sources of these names; all there are, where none is named."""
    pushed = {one.name: one for one in catalog.sources.values() if isinstance(one, PushSource)}
    if unknown := [name for name in names if name not in pushed]:
        raise NotRegistered(kind="push source", name=unknown[0], known=pushed)
    return [pushed[name] for name in names or sorted(pushed)]


def _idle(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return micros_of(duration(text))
    except ValueError as wrong:
        raise RequestError(f"until_idle: {wrong}.", hint="write a duration such as '30s'.") from None
