"""Feed: bring what is online of pushed events up to the end of their log, each event once, in the log's order.

Whoever comes, a push, a worker, a load, goes on from where each view's table is; two that do the same thing at the same
time do it once; and who is killed leaves nothing to repair.

    Feeder(snapshot, engine, logs, store, clock).feed("payments")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from gnomon.clock import Clock
from gnomon.contracts.engine import Engine
from gnomon.contracts.log import KNOWN, POSITION, Log, Logs
from gnomon.contracts.online import OnlineStore
from gnomon.contracts.registry import Snapshot
from gnomon.core.marks import Mark
from gnomon.definitions.sources import PushSource
from gnomon.definitions.views import FeatureView
from gnomon.errors import BackendError, RequestError
from gnomon.flows.feeds import Feed, Moved, feed_of
from gnomon.flows.logged import Logged

__all__ = ["Fed", "Feeder", "telling"]

EVENTS_TOGETHER = 20_000
"""So many events of a log are applied in one step."""
MOST_TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """How far a view is online.

    Args:
        view: `name@version`.
        position: the log's last event that is in what is online; None where the view was never loaded.
        behind: why it is not at the log's end; empty where it is.
    """

    view: str
    position: int | None
    behind: str = ""


class Feeder:
    """Feeds the views of push sources.

    Args:
        snapshot: the definitions.
        engine: reads history.
        logs: the logs.
        store: is fed.
        clock: says what time it is.
    """

    def __init__(self, snapshot: Snapshot, engine: Engine, logs: Logs, store: OnlineStore, clock: Clock) -> None:
        self._snapshot, self._logs, self._clock = snapshot, logs, clock
        self._feeds: dict[str, list[tuple[Feed, Logged]]] = {}
        for view in snapshot.catalog.views.values():
            if view.online and isinstance(view.source, PushSource):
                history = logs.log(view.source.name).prefix
                feed = feed_of(snapshot.project, view, engine, store, history)
                self._feeds.setdefault(view.source.name, []).append((feed, Logged(view)))

    @property
    def snapshot(self) -> Snapshot:
        """The definitions it goes by."""
        return self._snapshot

    def views(self, source: str) -> tuple[FeatureView, ...]:
        """The views of a source that are fed."""
        return tuple(feed.view for feed, _ in self._feeds.get(source, ()))

    def feed(self, source: str, view: str = "") -> tuple[Fed, ...]:
        """Bring the views of a source up to the end of its log.

        Args:
            source: the push source's name.
            view: only the view with this id; by default all.

        Returns:
            How far each view is. What the store refuses is said there, and no error: the events are in the log, and
            the next feed goes on.
        """
        log = self._logs.log(source)
        some = [(feed, seen) for feed, seen in self._of(source) if view in ("", feed.view.id)]
        return tuple(_told(feed, partial(self._caught_up, feed, seen, log)) for feed, seen in some)

    def appended(self, source: str, events: pa.Table) -> tuple[Fed, ...]:
        """Feed events that were appended to a source's log just now.

        Args:
            source: the push source's name.
            events: the events, with positions and stamps.
        """
        log = self._logs.log(source)
        return tuple(_told(feed, partial(self._follow, feed, seen, log, events)) for feed, seen in self._of(source))

    def unlogged(self, source: str, events: pa.Table) -> tuple[Fed, ...]:
        """Feed events that are in no log.

        Args:
            source: the push source's name.
            events: the events, with positions, which do not matter, and stamps.

        Raises:
            BackendError: the store cannot be written.
        """
        fed = []
        for feed, seen in self._of(source):
            if feed.mark() is None and feed.view.source.batch_source is not None:  # type: ignore[union-attr]
                fed.append(Fed(view=feed.view.id, position=None, behind=_problem(feed, None, self._logs.log(source))))
                continue
            feed.take_unlogged(seen.events(events), self._clock.now())
            mark = feed.mark()
            fed.append(Fed(view=feed.view.id, position=mark.position if mark else None))
        return tuple(fed)

    def _of(self, source: str) -> list[tuple[Feed, Logged]]:
        return self._feeds.get(source, [])

    def _follow(self, feed: Feed, seen: Logged, log: Log, events: pa.Table) -> Fed:
        """Take events that come right after what the view has, as a rule; else all that the log has."""
        try:
            return self._taken(feed, seen, events, events[POSITION][0].as_py() - 1)
        except Moved:
            return self._caught_up(feed, seen, log)

    def _caught_up(self, feed: Feed, seen: Logged, log: Log) -> Fed:
        for _ in range(MOST_TRIES):
            mark = feed.mark()
            if mark is None and feed.view.source.batch_source is None:  # type: ignore[union-attr]
                feed.begin()
                mark = feed.mark()
            if problem := _problem(feed, mark, log):
                return Fed(view=feed.view.id, position=mark.position if mark else None, behind=problem)
            assert mark is not None
            position = mark.position
            try:
                if mark.reaching is not None:
                    position = self._finished(feed, seen, log, mark, mark.reaching)
                for some in _after(log, position):
                    position = self._taken(feed, seen, some, position).position or position
            except Moved:
                continue
            return Fed(view=feed.view.id, position=position)
        return Fed(view=feed.view.id, position=None, behind="others load it, again and again.")

    def _finished(self, feed: Feed, seen: Logged, log: Log, mark: Mark, upto: int) -> int:
        """Take exactly the events that somebody began with, and perhaps was killed: nothing else is known of them."""
        events = log.read(since=mark.position, until=upto).read_all()
        if len(events):  # else they were erased meanwhile
            feed.take(seen.events(events), after=mark.position, upto=upto, stamped=events[KNOWN][-1].value)
        else:
            none = pa.RecordBatch.from_pylist([], pa.schema([]))
            feed.take(none, after=mark.position, upto=upto, stamped=mark.stamped or mark.newest or 0)
        return upto

    def _taken(self, feed: Feed, seen: Logged, events: pa.Table, after: int) -> Fed:
        last, stamped = events[POSITION][-1].as_py(), events[KNOWN][-1].value
        feed.take(seen.events(events), after=after, upto=last, stamped=stamped)
        return Fed(view=feed.view.id, position=last)


def telling(feeder: Feeder, tell: Callable[[str], object]) -> Callable[[str], None]:
    """A function that feeds a source's views, and tells a person, once, what keeps one of them behind."""
    known: set[str] = set()

    def feed(source: str) -> None:
        for one in feeder.feed(source):
            if one.behind and (said := f"{one.view} is not online: {one.behind}") not in known:
                known.add(said)
                tell(said)

    return feed


def _told(feed: Feed, work: Callable[[], Fed]) -> Fed:
    """What comes of feeding a view; what the store says against it, too."""
    try:
        return work()
    except (BackendError, RequestError) as wrong:  # as training, a view refuses vectors of a wrong length
        return Fed(view=feed.view.id, position=None, behind=str(wrong))


def _problem(feed: Feed, mark: Mark | None, log: Log) -> str:
    if mark is None:
        return "its history was never loaded: gnomon materialize-incremental."
    if mark.fingerprint != feed.fingerprint:
        return "its definition changed since it was loaded: gnomon materialize-incremental."
    if mark.position > (there := log.position()):
        return f"it has the log up to {mark.position}, and the log ends at {there}: gnomon materialize-incremental."
    return ""


def _after(log: Log, position: int) -> Iterator[pa.Table]:
    """The events after a position, so many at a time, each beginning where the one before ended."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in log.read(since=position):
        while len(batch):
            some = batch.slice(0, EVENTS_TOGETHER - rows)
            held.append(some)
            rows += len(some)
            batch = batch.slice(len(some))
            if rows == EVENTS_TOGETHER:
                yield pa.Table.from_batches(held)
                held, rows = [], 0
    if held:
        yield pa.Table.from_batches(held)
