"""Explain: one feature of one entity at one instant, and the events behind it.

The value comes by the path of training sets, as a set of one row. The events come from the same files and logs, one by
one, and each gets its reason (`gnomon.plan.reasons`). The value is then made again of those that count, in plain
Python: whether that is the same value is said, and never assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.clock import Clock, instant_text, micros_of, to_micros
from gnomon.contracts.engine import Engine
from gnomon.contracts.log import Logs
from gnomon.contracts.registry import Snapshot
from gnomon.core.aggregations.states import identity
from gnomon.core.columns import as_numpy, as_python
from gnomon.core.ordering import sort_key
from gnomon.core.windows import FOREVER, Window, words_of
from gnomon.definitions.aggregations import Aggregation
from gnomon.definitions.views import FeatureView
from gnomon.errors import GnomonError, RequestError
from gnomon.flows.explanation import BECAUSE, REASON, Explanation, Meaning, Online, place_text
from gnomon.flows.spine import INSTANT_COLUMN
from gnomon.flows.training import TrainingSet, get_historical_features
from gnomon.plan.events import EVENT, GONE, ID, KNOWN, PLACES, conditions_of, input_columns
from gnomon.plan.known_through import KnownThrough
from gnomon.plan.questions import EventsQuestion, LogPrefix, Through, TrainingQuestion
from gnomon.plan.reasons import (
    INSIDE,
    Occurrence,
    Reason,
    Verdict,
    recomputed,
    row_verdicts,
    window_verdicts,
)
from gnomon.plan.references import reference_of
from gnomon.types import FeatureType, from_arrow

if TYPE_CHECKING:
    from gnomon.flows.responses import OnlineResponse

__all__ = ["explain"]

MOST_ROWS = 1_000
"""Of a row view, so many rows before the one that wins are looked at, and so many after the instant asked."""

ReadOnline = Callable[[list[str], list[dict[str, Any]]], "OnlineResponse"]


def explain(
    snapshot: Snapshot,
    engine: Engine,
    clock: Clock,
    logs: Logs,
    feature: str,
    entity: Mapping[str, Any],
    at: datetime | str | int | None = None,
    as_known: str | datetime | int | KnownThrough = "now",
    *,
    read: ReadOnline | None = None,
) -> Explanation:
    """Why a feature of an entity has the value it has at an instant.

    Args:
        snapshot: the definitions.
        engine: who answers.
        clock: says what time it is.
        logs: have the events of push sources.
        feature: `view:feature`, `view@2:feature` or `view__feature`.
        entity: the join keys.
        at: the instant; by default the clock's now.
        as_known: how much hindsight is allowed, as in training sets.
        read: asks the online store, as `FeatureStore.get_online_features` does.

    Raises:
        RequestError: the question cannot be understood, or a join key is missing or does not fit.
        NotRegistered: the view is unknown.
        UnknownFeature: the view has no such feature.
        SourceError: a source cannot be read.
    """
    if not isinstance(entity, Mapping):
        raise RequestError(f"entity is {entity!r:.80}.", hint="entity is a dict of join keys: entity={'user_id': 7}.")
    reference = reference_of(snapshot.catalog, feature)
    instant = clock.now() if at is None else to_micros(at)
    columns = {name: [value] for name, value in entity.items()}
    spine = {**columns, INSTANT_COLUMN: pa.array([instant], pa.timestamp("us", "UTC"))}
    made = get_historical_features(snapshot, engine, clock, spine, [reference], as_known=as_known, logs=logs)
    case = _Case.of(made, engine, instant)
    told = case.told()
    return Explanation(
        feature=f"{case.view.id}:{case.feature}",
        entity={name: entity[name] for name in case.view.join_keys},
        at=instant,
        as_known=str(made.metadata["as_known"]),
        value=told.value,
        status=told.status,
        recomputed=told.recomputed,
        agrees=told.agrees,
        dtype=case.dtype,
        meaning=_meaning(case, str(made.metadata["views"][case.view.id])),
        events=told.inside,
        left_out=told.left_out,
        further=told.further,
        online=_online(case, reference, entity, read, is_now=at is None and made.metadata["as_known"] == "now"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is found out.

    Args:
        value: the value by the path of training sets.
        status: its status.
        recomputed: the value made again.
        agrees: whether they are the same.
        inside: the events inside.
        left_out: those near it that are not.
        further: how many lie further off.
    """

    value: Any
    status: str
    recomputed: Any
    agrees: bool
    inside: pa.Table
    left_out: pa.Table
    further: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One feature of one entity at one instant, with all that is needed to look into it.

    Args:
        made: the training set of one row; its files and logs are those that the events come from.
        engine: who answers.
        at: the instant, µs.
        view: the view.
        feature: the feature's name in the view.
        dtype: its type.
        aggregation: what it is made by; None in a row view.
        window: over what; None in a row view.
    """

    made: TrainingSet
    engine: Engine
    at: int
    view: FeatureView
    feature: str
    dtype: FeatureType
    aggregation: Aggregation | None
    window: Window | None

    @classmethod
    def of(cls, made: TrainingSet, engine: Engine, at: int) -> _Case:
        """The case that a training set of one row and one feature is."""
        files = {name: tuple(path for path, _, _ in found) for name, found in made.metadata["files"].items()}
        made = replace(made, question=replace(made.question, files=files))
        ((feature, _),) = made.question.views[0].features
        view = made.question.views[0].view
        found = [
            (one, window)
            for one in view.aggregations
            for name, window in zip(one.feature_names, one.over, strict=True)
            if name == feature
        ]
        aggregation, window = found[0] if found else (None, None)
        dtype = next(one.dtype for one in view.schema if one.name == feature)
        return cls(
            made=made,
            engine=engine,
            at=at,
            view=view,
            feature=feature,
            dtype=dtype,
            aggregation=aggregation,
            window=window,
        )

    @property
    def question(self) -> TrainingQuestion:
        """The question of the training set."""
        return self.made.question

    @property
    def dtypes(self) -> dict[str, FeatureType]:
        """The columns that the view looks at."""
        return {one.name: one.dtype for one in input_columns(self.view).values()}

    def told(self) -> _Told:
        """Find it all out."""
        value = as_python(self.made.to_arrow()[self.question.order[0]])[0]
        keys = self.made.narrow.select(list(self.question.views[0].columns)).rename_columns(list(self.view.join_keys))
        if any(column.null_count for column in keys.columns):
            return self._of_nobody(value, keys.schema)
        events, hidden = _events(self.engine, self.question, keys)
        near = self._near(events)
        further = len(events) - int(near.sum())
        events, hidden = events.filter(pa.array(near)), hidden[near]
        occurrences = _occurrences(self.view, events, hidden)
        verdicts = self._verdicts(occurrences)
        counted = [one for one, found in zip(occurrences, verdicts, strict=True) if found.reason == Reason.COUNTS]
        again, status = self._recomputed(counted, verdicts)
        inside, left_out, remote = self._split(events, occurrences, verdicts)
        return _Told(
            value=value,
            status=status if self._same(value, again) else "NULL_VALUE" if value is None else "PRESENT",
            recomputed=again,
            agrees=self._same(value, again),
            inside=inside,
            left_out=left_out,
            further=further + remote,
        )

    def _of_nobody(self, value: Any, keys: pa.Schema) -> _Told:
        """A key with a null part finds nothing."""
        schema = pa.schema([*keys, (EVENT, _INSTANT), (KNOWN, _INSTANT), *((name, pa.null()) for name in PLACES)])
        nothing = _with_reasons(schema.empty_table(), [], [])
        return _Told(
            value=value,
            status="NOT_FOUND",
            recomputed=None,
            agrees=value is None,
            inside=nothing,
            left_out=nothing,
            further=0,
        )

    def _same(self, value: Any, other: Any) -> bool:
        return bool(sort_key(self.dtype)(value) == sort_key(self.dtype)(other))

    def _verdicts(self, occurrences: Sequence[Occurrence]) -> list[Verdict]:
        as_known, dtypes = self.question.as_known, self.dtypes
        if self.aggregation is None or self.window is None:
            ttl = None if self.view.ttl is None else micros_of(self.view.ttl)
            return row_verdicts(occurrences, self.at, dtypes=dtypes, ttl=ttl, as_known=as_known)
        condition = conditions_of(self.view).get(self.aggregation.where)
        return window_verdicts(
            occurrences,
            self.at,
            window=self.window,
            dtypes=dtypes,
            column=self.aggregation.column,
            where=condition.compile() if condition else None,
            as_known=as_known,
        )

    def _recomputed(self, counted: Sequence[Occurrence], verdicts: Sequence[Verdict]) -> tuple[Any, str]:
        """The value made again of the events that count, and its status."""
        if self.aggregation is not None:
            return recomputed(self.aggregation, counted, self.dtypes)
        if not counted:
            expired = any(one.reason == Reason.EXPIRED for one in verdicts)
            return None, "OUTSIDE_MAX_AGE" if expired else "NOT_FOUND"
        value = counted[0].values[self.feature]
        return value, "NULL_VALUE" if value is None else "PRESENT"

    def _near(self, events: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which events are looked at one by one: those near, and all versions of them."""
        event, known = (as_numpy(events[name].combine_chunks()) for name in (EVENT, KNOWN))
        if self.window is None:
            return _near_rows(event, known, self.at, self.question)
        low, high = self._bounds
        near = (event >= low) & (event < high)
        if ID in events.column_names:
            ids = events[ID].combine_chunks()
            among = pc.and_(pc.is_valid(ids), pc.is_in(ids, ids.filter(pa.array(near))))
            near = near | as_numpy(pc.fill_null(among, False))
        found: np.ndarray[Any, np.dtype[np.bool_]] = near
        return found

    @property
    def _bounds(self) -> tuple[int, int]:
        """From where to where events are near: one length of the window on each side of it."""
        assert self.window is not None
        if self.window.width is None:
            return -FOREVER, FOREVER
        old, new = self.window.ends(self.at)
        return max(old - (new - old), -FOREVER), min(new + (new - old), FOREVER)

    def _split(
        self, events: pa.Table, occurrences: Sequence[Occurrence], verdicts: Sequence[Verdict]
    ) -> tuple[pa.Table, pa.Table, int]:
        """The events inside, those left out near it, and how many are neither."""
        places = _places(events)
        because = [
            self._because(one, found, occurrences, places) for one, found in zip(occurrences, verdicts, strict=True)
        ]
        low, high = (-FOREVER, FOREVER) if self.window is None else self._bounds
        inside = [found.reason in INSIDE for found in verdicts]
        out = [not one and low <= event.event < high for one, event in zip(inside, occurrences, strict=True)]
        shown = _with_reasons(events.select(self._shown(events)), [str(one.reason) for one in verdicts], because)
        return shown.filter(pa.array(inside)), shown.filter(pa.array(out)), len(events) - sum(inside) - sum(out)

    def _shown(self, events: pa.Table) -> list[str]:
        """The columns of events that are of interest: what the feature looks at, and what begins with underscores."""
        looked_at = [self.feature] if self.aggregation is None else [*self.aggregation.columns]
        wanted = {name for name, one in input_columns(self.view).items() if one.name in looked_at}
        keys = self.view.join_keys
        return [one for one in events.column_names if one in keys or one in wanted or one.startswith("__")]

    def _because(self, one: Occurrence, found: Verdict, events: Sequence[Occurrence], places: Sequence[str]) -> str:
        """A reason in words."""
        by = "" if found.by is None else f"known at {instant_text(events[found.by].known)}, {places[found.by]}"
        where = "" if self.aggregation is None else self.aggregation.where
        reason = found.reason
        if reason == Reason.LATE:
            return self._late(one)
        if reason in (Reason.EXPIRED, Reason.NOT_YET) and self.window is not None:
            when = self.window.leave(one.event) if reason == Reason.EXPIRED else self.window.enter(one.event)
            return (
                f"{'left the window at' if reason == Reason.EXPIRED else 'enters the window at'} {instant_text(when)}"
            )
        return {
            Reason.COUNTS: "",
            Reason.NULL: "null, so it is skipped",
            Reason.SUPERSEDED: f"superseded by a later version, {by}",
            Reason.DELETED: f"deleted, {by}" if by else "a delete",
            Reason.WHERE_FALSE: f"false: {where}",
            Reason.WHERE_NULL: f"null: {where}",
            Reason.NOT_YET: "happens after the instant asked",
            Reason.EXPIRED: "the latest row, and older than the ttl",
            Reason.OLDER: "older than the row that wins",
            Reason.KNOWN_EARLIER: "known before the row that wins, of the same event time",
            Reason.COMPARES_LESS: f"of the same times as the row that wins, and less in column {found.column!r}",
            Reason.SAME: "the same as the row that wins",
        }[reason]

    def _late(self, one: Occurrence) -> str:
        if one.hidden:
            return "not among what the answer had"
        until = self.at if self.question.as_known == "then" else self.question.as_known
        return f"known only at {instant_text(one.known)}, after {instant_text(int(until))}"


_INSTANT = pa.timestamp("us", "UTC")
Yes = np.ndarray[Any, np.dtype[np.bool_]]


def _meaning(case: _Case, fingerprint: str) -> Meaning:
    view, aggregation, window = case.view, case.aggregation, case.window
    shared: dict[str, Any] = {
        "view": view.id,
        "fingerprint": fingerprint,
        "entities": tuple(one.name for one in view.entities),
        "source": view.source.name,
    }
    if aggregation is None or window is None:
        begins = None if view.ttl is None else case.at - micros_of(view.ttl)
        words = f"{case.feature!r} of the latest row"
        return Meaning(words=words, begins=begins, ends=case.at, closed="both", **shared)
    old, new = window.ends(case.at)
    shift = 0 if window.closed == "left" else 1
    return Meaning(
        words=_words(aggregation),
        where=aggregation.where,
        window=words_of(window),
        begins=None if window.width is None else old - shift,
        ends=new - shift,
        closed=window.closed,
        **shared,
    )


def _words(aggregation: Aggregation) -> str:
    """What is made of the events: `sum of 'amount'`, `last_n (n=3) of 'shop'`."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in aggregation.arguments.items())
    said = f" ({arguments})" if arguments else ""
    return f"{aggregation.function}{said} of {repr(aggregation.column) if aggregation.column else 'events'}"


def _events(engine: Engine, asked: TrainingQuestion, keys: pa.Table) -> tuple[pa.Table, Yes]:
    """The events of an entity, by event time, and which of them the answer did not have."""
    view = asked.views[0].view
    question = EventsQuestion(view=view, logs=asked.logs, keys=keys, files=asked.files, places=True)
    through = asked.through.get(view.id)
    every = engine.events(question).read_all()
    if through is None:
        return every, np.zeros(len(every), np.bool_)
    had = engine.events(_bounded(question, through)).read_all()
    among = set(_place_rows(had))
    more = every.filter(pa.array([place not in among for place in _place_rows(every)], pa.bool_()))
    both = pa.concat_tables([had, more])
    hidden = pa.array([False] * len(had) + [True] * len(more), pa.bool_())
    both = both.append_column("hidden", hidden).sort_by([(EVENT, "ascending"), (KNOWN, "ascending")])
    return both.drop_columns(["hidden"]), as_numpy(both["hidden"].combine_chunks())


def _bounded(question: EventsQuestion, through: Through) -> EventsQuestion:
    """The question of what an answer had."""
    logs: dict[str, LogPrefix] = {
        name: replace(prefix, position=min(prefix.position, through.position or 0))
        for name, prefix in question.logs.items()
    }
    return replace(question, logs=logs, end=through.end, known=through.known)


def _place_rows(events: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(events[name].to_pylist() for name in PLACES), strict=True))


def _places(events: pa.Table) -> list[str]:
    """Where each event is, in few words."""
    names = [name.removeprefix("__") for name in PLACES]
    rows = (dict(zip(names, row, strict=True)) for row in _place_rows(events))
    return [place_text({name: value for name, value in row.items() if value is not None}) for row in rows]


def _near_rows(event: Any, known: Any, at: int, question: TrainingQuestion) -> Yes:
    """Of a row view, in order of event times: what may win, and some rows before and after."""
    limit = at if question.as_known == "then" else question.as_known
    usable = (event <= at) if isinstance(limit, str) else (event <= at) & (known <= limit)
    usable_at = np.flatnonzero(usable)
    first = int(np.searchsorted(event, event[usable_at[-1]])) if len(usable_at) else int(np.searchsorted(event, at))
    last = int(np.searchsorted(event, at, side="right"))
    near = np.zeros(len(event), np.bool_)
    near[max(first - MOST_ROWS, 0) : last + MOST_ROWS] = True
    return near


def _occurrences(view: FeatureView, events: pa.Table, hidden: Yes) -> list[Occurrence]:
    """Events one by one."""
    inputs = {one.name: as_python(events[name]) for name, one in input_columns(view).items()}
    ids = _ids(events) if ID in events.column_names and view.aggregations else [None] * len(events)
    gone = events[GONE].to_pylist() if GONE in events.column_names and view.aggregations else [False] * len(events)
    times = zip(events[EVENT].to_pylist(), events[KNOWN].to_pylist(), hidden.tolist(), strict=True)
    return [
        Occurrence(
            event=event,
            known=known,
            values={name: column[place] for name, column in inputs.items()},
            id=ids[place],
            gone=gone[place],
            hidden=unseen,
        )
        for place, (event, known, unseen) in enumerate(times)
    ]


def _ids(events: pa.Table) -> list[Any]:
    dtype = from_arrow(events[ID].type)
    assert dtype is not None, "apply refuses ids of other types"
    return [None if one is None else identity(one, dtype) for one in as_python(events[ID])]


def _with_reasons(events: pa.Table, reasons: Sequence[str], because: Sequence[str]) -> pa.Table:
    """The same events with instants for times, and with reasons."""
    for name in (EVENT, KNOWN):
        events = events.set_column(events.column_names.index(name), name, events[name].cast(_INSTANT))
    events = events.append_column(REASON, pa.array(reasons, pa.string()))
    return events.append_column(BECAUSE, pa.array(because, pa.string()))


def _online(case: _Case, reference: str, entity: Mapping[str, Any], read: ReadOnline | None, *, is_now: bool) -> Online:
    """What the online store says, where it can be asked the same."""
    view = case.view
    if not is_now:
        return Online(reason="it answers for now only, and for what it knows")
    if not view.online:
        return Online(reason=f"view {view.name!r} is not online")
    if read is None or not view.loadable:
        kind = "windowed views" if view.aggregations else "views of pushed events"
        return Online(reason=f"{kind} are not loaded yet" if read else "no store is at hand")
    try:
        response = read([reference], [{name: entity[name] for name in view.join_keys}])
    except GnomonError as wrong:
        return Online(reason=wrong.what)
    value = as_python(response.to_arrow()[case.feature])[0] if len(response) else None
    return Online(value=value, status=str(response.statuses[case.feature][0]))
