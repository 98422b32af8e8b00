"""A sample of entities, read online now: half of those with events of late, half of all that history has."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from gnomon.contracts.engine import Engine
from gnomon.contracts.log import Logs
from gnomon.contracts.online import OnlineStore
from gnomon.contracts.registry import Snapshot
from gnomon.definitions.codec import stored_fingerprint
from gnomon.definitions.sources import PushSource
from gnomon.definitions.views import FeatureView
from gnomon.errors import BackendError
from gnomon.flows.feeds import feed_of
from gnomon.flows.logged import Logged
from gnomon.flows.read import Reader
from gnomon.flows.responses import OnlineResponse
from gnomon.plan.questions import EventsQuestion, ViewQuestion
from gnomon.plan.references import Features, resolve

__all__ = ["Sample", "Sampler"]

LATELY = 20
"""For each entity wanted, so many of the log's last events are looked at."""
READ_TOGETHER = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A sample of answers.

    Args:
        responses: the answers.
        unread: the views that cannot be read, as their definition changed since they were loaded.
    """

    responses: tuple[OnlineResponse, ...]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """The parts that sampling works with.

    Args:
        snapshot: the definitions.
        engine: reads history.
        logs: what was pushed.
        store: has what is online.
        reader: reads it.
    """

    snapshot: Snapshot
    engine: Engine
    logs: Logs
    store: OnlineStore
    reader: Reader

    def sample(self, features: Features, count: int, seed: int) -> Sample:
        """Answers about entities drawn at random, view by view.

        Args:
            features: references, or a service; nothing for all views that are online.
            count: so many entities of each view.
            seed: another one gives others.

        Raises:
            RequestError: a view is not online.
            BackendError: the store cannot be read.
        """
        responses: list[OnlineResponse] = []
        unread: list[str] = []
        for question in _questions(self.snapshot, features):
            try:
                responses += self._answers(question, _drawn(question.view, self.engine, self.logs, count, seed))
            except BackendError:
                if not self._is_older(question.view):
                    raise
                unread.append(question.view.id)
        return Sample(responses=tuple(responses), unread=tuple(unread))

    def _answers(self, question: ViewQuestion, keys: pa.Table) -> Iterator[OnlineResponse]:
        view = question.view
        asked = [f"{view.id}:{feature}" for feature, _ in question.features]
        for start in range(0, len(keys) if view.entity_columns else 1, READ_TOGETHER):
            some = keys.slice(start, READ_TOGETHER).to_pydict() if view.entity_columns else [{}]
            yield self.reader.read(self.snapshot, asked, some, full_feature_names=True, known_through=True)

    def _is_older(self, view: FeatureView) -> bool:
        """Whether what is online is of another definition of a view."""
        mark = feed_of(self.snapshot.project, view, self.engine, self.store).mark()
        return mark is not None and mark.fingerprint != stored_fingerprint(view)


def _questions(snapshot: Snapshot, features: Features) -> Sequence[ViewQuestion]:
    if features:
        return resolve(snapshot.catalog, features, True).views
    views = [view for _, view in sorted(snapshot.catalog.views.items()) if view.online]
    return [
        ViewQuestion(view=one, columns=tuple(one.join_keys), features=tuple((name, name) for name in one.feature_names))
        for one in views
    ]


def _drawn(view: FeatureView, engine: Engine, logs: Logs, count: int, seed: int) -> pa.Table:
    """Different keys of a view."""
    if not view.entity_columns:
        return pa.table({})
    late, prefixes = _lately(view, logs, count // 2, seed), {}
    if isinstance(view.source, PushSource):
        prefixes[view.source.name] = logs.log(view.source.name).prefix()
    all_of_it = engine.keys(EventsQuestion(view=view, logs=prefixes), count, seed)
    both = pa.concat_tables([late.cast(all_of_it.schema), all_of_it]) if late is not None else all_of_it
    return _different(both).slice(0, count)


def _lately(view: FeatureView, logs: Logs, count: int, seed: int) -> pa.Table | None:
    """Some of the keys that the log's last events have; None without a log."""
    if not isinstance(view.source, PushSource):
        return None
    log = logs.log(view.source.name)
    last = log.read(since=max(0, log.position() - LATELY * count)).read_all()
    events = pa.Table.from_batches([Logged(view).events(last)])
    keys = _different(events.select(list(view.join_keys)))
    chosen = random.Random(seed).sample(range(len(keys)), min(count, len(keys)))
    return keys.take(pa.array(chosen, pa.int64()))


def _different(keys: pa.Table) -> pa.Table:
    return keys.group_by(keys.column_names, use_threads=False).aggregate([])
