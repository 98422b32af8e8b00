"""Verify: answers that were served are made again from history, of what they knew, and compared bit by bit.

Verifier(snapshot, …).verify([store.get_online_features(…, known_through=True)])
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.clock import MAX_MICROS, Clock
from gnomon.contracts.engine import Engine
from gnomon.contracts.log import KNOWN, Logs
from gnomon.contracts.online import OnlineStore
from gnomon.contracts.registry import Registry, Run, Snapshot
from gnomon.core.bits import Bools, differing
from gnomon.core.columns import as_numpy
from gnomon.core.marks import Mark
from gnomon.definitions.codec import stored_fingerprint
from gnomon.definitions.sources import PushSource, file_sources
from gnomon.definitions.views import FeatureView
from gnomon.flows.computed_again import computed_again
from gnomon.flows.feeds import feed_of
from gnomon.flows.loaded import Loads, is_of_runs
from gnomon.flows.responses import OnlineResponse, Status
from gnomon.flows.served import Served, bounds_of, encoded_keys, raised, served
from gnomon.flows.statuses import counting_inputs, of_rows, of_windows
from gnomon.flows.training import TrainingSet, get_historical_features
from gnomon.flows.verdicts import Cause, Difference, VerifyReport, ViewVerdict, explaining, merged
from gnomon.plan.known_through import KnownThrough
from gnomon.plan.questions import NO_ROWS, EventsQuestion, Through

__all__ = ["MOST_KEPT", "Verifier", "bounds_in_history"]

MOST_KEPT = 100
"""A report keeps so many answers that do not agree."""

NANOS = 1_000
"""So many ns are one µs."""
COUNTING = ("count", "count_distinct", "approx_count_distinct")
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The parts that verifying works with.

    Args:
        snapshot: the definitions.
        registry: remembers what was loaded.
        engine: reads history.
        store: has what is online.
        logs: what was pushed.
        clock: says what time it is.
        expires: whether the store lets rows expire.
        past: whether the answers are of long ago, and what is online now says little about them.
    """

    snapshot: Snapshot
    registry: Registry
    engine: Engine
    store: OnlineStore
    logs: Logs
    clock: Clock
    expires: bool = False
    past: bool = False

    def verify(self, responses: Iterable[OnlineResponse], unread: tuple[str, ...] = ()) -> VerifyReport:
        """Hold answers against history.

        Args:
            responses: read with `known_through=True`.
            unread: views that could not be read.

        Raises:
            RequestError: one was read without.
            NotRegistered: one is about a view that is no longer registered.
            SourceError: a source cannot be read.
        """
        responses = list(responses)
        found = self.verify_served(served(self.snapshot.catalog, responses), unread)
        verdicts, differences = computed_again(self.snapshot.catalog, responses, MOST_KEPT)
        told = sorted((*found.differences, *differences), key=lambda one: one.cause != "disagreement")
        return replace(found, views=(*found.views, *verdicts), differences=tuple(told[:MOST_KEPT]))

    def verify_served(self, answered: Iterable[Served], unread: tuple[str, ...] = ()) -> VerifyReport:
        """Hold answers against history, given view by view.

        Args:
            answered: answers about views, each once.
            unread: views that could not be read.

        Raises:
            SourceError: a source cannot be read.
        """
        verdicts: list[ViewVerdict] = []
        differences: list[Difference] = []
        questions = 0
        for answers in answered:
            one = _OneView(self, answers)
            verdicts.append(one.verdict())
            differences += one.differences()
            questions += one.questions
        differences.sort(key=lambda one: one.cause != "disagreement")
        return VerifyReport(
            views=tuple(verdicts), differences=tuple(differences[:MOST_KEPT]), unread=unread, questions=questions
        )


def bounds_in_history(verifier: Verifier, answers: Served) -> Mapping[Through, Sequence[int]]:
    """Answers about a view, by which rows of it they have to be held against: few different ones."""
    return _OneView(verifier, answers)._groups


class _OneView:
    """The answers about one view, held against history.

    Args:
        parts: the parts to work with.
        answers: the answers.
    """

    def __init__(self, parts: Verifier, answers: Served) -> None:
        self._parts, self._view = parts, answers.view
        self._answers = replace(answers, through=list(self._through(answers)))
        self.questions = 0

    def verdict(self) -> ViewVerdict:
        """What became of them."""
        answers = self._answers
        cells, differ = len(answers) * len(answers.features), self._differ
        lagging = {name: self._otherwise[name] & ~differ[name] & ~self._never for name in answers.features}
        late = np.logical_or.reduce(list(lagging.values())) if lagging else np.zeros(len(answers), np.bool_)
        behind, behind_micros = self._behind(np.flatnonzero(late).tolist())
        return ViewVerdict(
            view=self._view.id,
            entities=len(answers),
            compared=cells,
            agreed=cells - sum(int(one.sum()) for one in differ.values()),
            filled=sum(int(self._filled(name).sum()) for name in answers.features),
            lagging=sum(int(one.sum()) for one in lagging.values()),
            behind=behind,
            behind_micros=behind_micros,
            causes=merged(cause for name in answers.features for cause in self._causes(name)),
        )

    def differences(self) -> list[Difference]:
        """The first of those that do not agree."""
        found = []
        for name in self._answers.features:
            places = np.flatnonzero(self._differ[name])[:MOST_KEPT].tolist()
            found += [self._difference(name, place) for place in places]
        return found

    def _through(self, answers: Served) -> Iterator[Through]:
        """Which rows each answer was made of; of a row view of files the registry says what was loaded."""
        if not is_of_runs(answers.view):
            return iter(answers.through)
        told = zip(answers.through, answers.at.tolist(), strict=True)
        return (one if one.end is not None else self._loads.through(answers.view.id, at) for one, at in told)

    @cached_property
    def _groups(self) -> dict[Through, list[int]]:
        """The answers, by which rows they knew."""
        return bounds_of(self._answers, raised(self._answers, self._parts.engine, self._parts.logs))

    @cached_property
    def _again(self) -> pa.Table:
        """The answers made again of the rows they knew."""
        return self._put_together([self._asked(places, through) for through, places in self._groups.items()])

    @cached_property
    def _then(self) -> pa.Table:
        """The answers as they would be if all that was known then had been applied."""
        return self._asked(range(len(self._answers)), None)

    @cached_property
    def _expected(self) -> Mapping[str, Sequence[Status]]:
        """The statuses that go with the answers made again."""
        answers, again = self._answers, self._again
        if self._view.aggregations:
            counting, names = counting_inputs(self._view, answers.features)
            nulls = any(again[name].null_count for name in names)
            counts = self._counted(counting, names) if counting is not None and nulls else None
            return of_windows(answers.encoded(), again, counts, names)
        found = [Status.NOT_FOUND] * len(answers)
        for through, places in self._groups.items():
            for place, status in zip(places, self._of_rows(through, places), strict=True):
                found[place] = status
        return {name: list(map(_with_value, found, again[name].is_valid().to_pylist())) for name in answers.features}

    def _of_rows(self, through: Through, places: Sequence[int]) -> list[Status]:
        """Whether there are rows, of those that some answers knew."""
        self.questions += 1
        answers, source = self._answers, self._view.source
        logs = {}
        if isinstance(source, PushSource):
            logs[source.name] = self._parts.logs.log(source.name).prefix(through.position)
        question = EventsQuestion(
            view=self._view, logs=logs, end=through.end, known=through.known, keys=answers.different_keys()
        )
        events = (
            (encoded_keys(self._view, pa.Table.from_batches([batch]), len(batch)), batch)
            for batch in self._parts.engine.events(question)
        )
        keys, at = answers.encoded(), answers.at.tolist()
        return of_rows(self._view, [keys[place] for place in places], [at[place] for place in places], events)

    def _counted(self, counting: FeatureView, names: Mapping[str, str]) -> pa.Table:
        """How many values sums add up, of the rows that the answers knew."""
        made = []
        for through, places in self._groups.items():
            asked = self._question(places, through)
            (part,) = asked.question.views
            counts = tuple(names.values())
            part = replace(part, view=counting, features=tuple((name, name) for name in counts))
            question = replace(asked.question, views=(part,), order=counts)
            made.append(self._parts.engine.training_set(asked.narrow, question).read_all())
        return self._put_together(made)

    def _put_together(self, made: Sequence[pa.Table]) -> pa.Table:
        """Tables of the groups' answers, in the order of all."""
        if not made:
            return self._answers.values
        order = np.argsort(np.concatenate([np.array(places, np.int64) for places in self._groups.values()]))
        return pa.concat_tables(made).take(pa.array(order))

    def _asked(self, places: Sequence[int], through: Through | None) -> pa.Table:
        """Training's answers for some places, from some rows or from all known by each instant."""
        asked = self._question(places, through)
        found = self._parts.engine.training_set(asked.narrow, asked.question).read_all()
        return found.rename_columns(self._answers.features)

    def _question(self, places: Sequence[int], through: Through | None) -> TrainingSet:
        """What history is asked for some places."""
        self.questions += 1
        answers, parts, view = self._answers, self._parts, self._view
        taken = pa.array(places, pa.int64())
        spine = answers.keys.take(taken) if answers.keys.column_names else pa.table({"__world": taken})
        at = pa.array(answers.at[np.asarray(places, np.int64)], pa.int64()).cast(pa.timestamp("us", "UTC"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that sources do not say when rows were known was said before
            asked = get_historical_features(
                parts.snapshot,
                parts.engine,
                parts.clock,
                spine.append_column("event_timestamp", at),
                [f"{view.id}:{name}" for name in answers.features],
                as_known="then",
                full_feature_names=True,
                logs=parts.logs,
            )
        return (
            asked if through is None else replace(asked, question=replace(asked.question, through={view.id: through}))
        )

    @cached_property
    def _differ(self) -> dict[str, Bools]:
        """Of each feature, which answers history does not give again."""
        answers, found = self._answers, {}
        for name in answers.features:
            wrong = self._changed(name, self._again) | self._misstated(name)
            found[name] = np.where(self._never, self._changed(name, self._then), wrong)
        return found

    @cached_property
    def _otherwise(self) -> dict[str, Bools]:
        """Of each feature, which answers would be others with all that was known then."""
        return {name: self._changed(name, self._then) for name in self._answers.features}

    def _changed(self, name: str, made: pa.Table) -> Bools:
        return differing(self._answers.values[name], made[name])

    def _misstated(self, name: str) -> Bools:
        """Where a status is another than history gives."""
        pairs = zip(self._answers.statuses[name], self._expected[name], strict=True)
        return np.array([one is not other for one, other in pairs], np.bool_)

    @cached_property
    def _never(self) -> Bools:
        """Which answers are about a view that was not loaded then."""
        return np.array([one == NO_ROWS for one in self._answers.through], np.bool_)

    def _filled(self, name: str) -> Bools:
        column = self._answers.values[name].combine_chunks()
        there: Bools = as_numpy(column.is_valid())
        counting = {
            feature for one in self._view.aggregations if one.function in COUNTING for feature in one.feature_names
        }
        if name in counting and pa.types.is_integer(column.type):
            there = as_numpy(pc.not_equal(column, 0).fill_null(False))
        return there

    def _causes(self, name: str) -> Iterator[Cause]:
        for place in np.flatnonzero(self._differ[name]).tolist():
            yield self._cause(name, place)

    def _cause(self, name: str, place: int) -> Cause:
        """Why an answer is not what history gives."""
        if self._never[place] and not self._has_gaps(place):
            return "not loaded"
        if self._other_version(place):
            return "other version"
        mark = self._mark
        if mark is not None and mark.online_only:
            return "online-only"
        if self._source_changed or (self._parts.past and self._landed_later(place)):
            return "source changed"
        if self._lessened is not None and self._lessened >= self._answers.at[place]:
            return "events gone"
        status = self._answers.statuses[name][place]
        if self._parts.expires and not self._view.aggregations and status is Status.NOT_FOUND:
            return "expired"
        if not self._view.aggregations and self._is_ahead(name, place):
            return "not loaded"
        return "store lag" if self._has_gaps(place) else "disagreement"

    def _is_ahead(self, name: str, place: int) -> bool:
        """Whether rows are there already, and what says how far the table has got is not: a load was running."""
        whole = self._parts.store.capabilities.atomic_batch and isinstance(self._view.source, PushSource)
        return not whole and not bool(self._otherwise[name][place])

    @cached_property
    def _mark(self) -> Mark | None:
        return feed_of(self._parts.snapshot.project, self._view, self._parts.engine, self._parts.store).mark()

    @cached_property
    def _loads(self) -> Loads:
        return Loads(self._parts.registry, self._parts.snapshot.project)

    def _run(self, place: int) -> Run | None:
        """The last load that was done when an answer was given."""
        return self._loads.last(self._view.id, int(self._answers.at[place]))

    def _has_gaps(self, place: int) -> bool:
        """Whether a row view of files was last loaded of a span of time, with something left out before it."""
        run = self._run(place) if is_of_runs(self._view) else None
        return run is not None and run.start is not None

    def _other_version(self, place: int) -> bool:
        loaded = (None if self._parts.past else self._mark) or self._run(place)
        return loaded is not None and loaded.fingerprint != stored_fingerprint(self._view)

    @cached_property
    def _source_changed(self) -> bool:
        newest = self._loads.last(self._view.id, MAX_MICROS)
        if newest is None or not newest.files:
            return False
        files = [file for one in file_sources(self._view.source) for file in self._parts.engine.files(one)]
        return newest.files != tuple((one.path, one.size, one.modified) for one in files)

    def _landed_later(self, place: int) -> bool:
        """Whether files are newer than the load an answer was made of, and do not say when rows were known."""
        run = self._run(place)
        return run is not None and self._newest_file > run.finished * NANOS

    @cached_property
    def _newest_file(self) -> int:
        """When a file of rows without known times was last modified, ns."""
        sources = (one for one in file_sources(self._view.source) if not one.created_timestamp_column)
        return max((file.modified for one in sources for file in self._parts.engine.files(one)), default=-MAX_MICROS)

    @cached_property
    def _lessened(self) -> int | None:
        """When events of the view's log were last trimmed or erased, µs."""
        source = self._view.source
        return self._parts.logs.log(source.name).status().lessened if isinstance(source, PushSource) else None

    def _behind(self, places: Sequence[int]) -> tuple[int, int]:
        """Of some answers that lag: how many events were stamped and not applied, and for how long, at most."""
        if not places:
            return 0, 0
        at, positions = self._answers.at[places], self._answers.positions[places]
        events = waited = 0
        known = self._stamps(int(positions.min()))
        for instant, position in zip(at.tolist(), (positions - positions.min()).tolist(), strict=True):
            missed = int(np.searchsorted(known, instant, side="right")) - position
            if missed > 0:
                events, waited = max(events, missed), max(waited, instant - int(known[position]))
        if not events:
            waited = max(
                int(at[number]) - (self._answers.through[place].known or int(at[number]))
                for number, place in enumerate(places)
            )
        return events, waited

    def _stamps(self, since: int) -> Ints:
        """The known times of the log's events after a position."""
        source = self._view.source
        if not isinstance(source, PushSource):
            return np.array([], np.int64)
        column = self._parts.logs.log(source.name).read(since=since).read_all()[KNOWN]
        return np.array(column.cast(pa.int64()).to_numpy(), np.int64)

    def _difference(self, name: str, place: int) -> Difference:
        answers, feature = self._answers, f"{self._view.id}:{name}"
        entity = {key: answers.keys[key][place].as_py() for key in answers.keys.column_names}
        at, token = int(answers.at[place]), str(KnownThrough({self._view.id: answers.through[place]}))
        made = self._then if self._never[place] else self._again
        return Difference(
            feature=feature,
            entity=entity,
            at=at,
            known_through=token,
            served=answers.values[name][place].as_py(),
            status=str(answers.statuses[name][place]),
            recomputed=made[name][place].as_py(),
            cause=self._cause(name, place),
            explain=explaining(feature, entity, at, token),
        )


def _with_value(of_row: Status, there: bool) -> Status:
    """The status of a value in a row."""
    return Status.NULL_VALUE if of_row is Status.PRESENT and not there else of_row
