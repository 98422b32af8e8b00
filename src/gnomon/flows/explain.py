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

import pyarrow as pa

from gnomon.clock import Clock, micros_of, to_micros
from gnomon.contracts.engine import Engine
from gnomon.contracts.log import Logs
from gnomon.contracts.registry import Snapshot
from gnomon.core.casting import cast_key
from gnomon.core.columns import as_python
from gnomon.core.ordering import sort_key
from gnomon.core.windows import FOREVER, Window, words_of
from gnomon.definitions.aggregations import Aggregation
from gnomon.definitions.views import FeatureView
from gnomon.errors import GnomonError, RequestError, listing, nearest_hint
from gnomon.flows.evidence import Evidence, gathered, near_bounds
from gnomon.flows.explanation import BECAUSE, REASON, Explanation, Meaning, Online
from gnomon.flows.spine import INSTANT_COLUMN
from gnomon.flows.training import TrainingSet, get_historical_features
from gnomon.flows.wording import Wording, refused, words_of_aggregation
from gnomon.plan.events import EVENT, KNOWN, PLACES, conditions_of, input_columns
from gnomon.plan.known_through import KnownThrough
from gnomon.plan.reasons import INSIDE, Occurrence, Reason, Verdict, recomputed, row_verdicts, window_verdicts
from gnomon.plan.references import reference_of, resolve
from gnomon.types import FeatureType

if TYPE_CHECKING:
    from gnomon.flows.responses import OnlineResponse

__all__ = ["ReadOnline", "explain"]

ReadOnline = Callable[[list[str], list[dict[str, Any]]], "OnlineResponse"]
"""Asks the online store for features of entities."""


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
        read: asks the online store, as `FeatureStore.get_online_features` does; None where there is none.

    Raises:
        RequestError: the question cannot be understood, or a join key is missing or does not fit.
        NotRegistered: the view is unknown.
        UnknownFeature: the view has no such feature.
        SourceError: a source cannot be read.
    """
    if not isinstance(entity, Mapping):
        raise RequestError(f"entity is {entity!r:.80}.", hint="entity is a dict of join keys: entity={'user_id': 7}.")
    reference = reference_of(snapshot.catalog, feature)
    if (meant := resolve(snapshot.catalog, [reference])).computed:
        raise refused(meant.computed[-1].view, "the explanation of one value")
    _check_keys(entity, snapshot, reference)
    instant = clock.now() if at is None else to_micros(at)
    spine = {name: [value] for name, value in entity.items()}
    spine[INSTANT_COLUMN] = pa.array([instant], pa.timestamp("us", "UTC"))
    made = get_historical_features(snapshot, engine, clock, spine, [reference], as_known=as_known, logs=logs)
    case = Case.of(made, instant)
    keys = {one.name: cast_key(entity[one.name], one.dtype, one.name) for one in case.view.entity_columns}
    as_now = at is None and made.metadata["as_known"] == "now"
    return Explanation(
        feature=f"{case.view.id}:{case.feature}",
        entity=keys,
        at=instant,
        as_known=str(made.metadata["as_known"]),
        dtype=case.dtype,
        meaning=case.meaning(),
        online=_online(case, reference, keys, read) if as_now else Online(reason="it answers for now only"),
        **case.found(engine),
    )


def _check_keys(entity: Mapping[str, Any], snapshot: Snapshot, reference: str) -> None:
    """That the entity has the join keys of the view of a feature."""
    view = snapshot.catalog.view(reference.partition(":")[0])
    for key in view.join_keys:
        if key not in entity:
            raise RequestError(
                f"the entity has no {key!r}, a join key of view {view.name!r}.",
                instead=f"It has: {listing(entity)}.",
                hint=nearest_hint(key, map(str, entity), otherwise=f"add it: {{{key!r}: …}}."),
                join_key=key,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One feature of one entity at one instant.

    Args:
        made: the training set of one row; its files and logs are those that the events come from.
        at: the instant, µs.
        view: the view.
        feature: the feature's name in the view.
        dtype: its type.
        aggregation: what it is made by; None in a row view.
        window: over what; None in a row view.
    """

    made: TrainingSet
    at: int
    view: FeatureView
    feature: str
    dtype: FeatureType
    aggregation: Aggregation | None = None
    window: Window | None = None

    @classmethod
    def of(cls, made: TrainingSet, at: int) -> Case:
        """The case that a training set of one row and one feature is."""
        files = {name: tuple(path for path, _, _ in found) for name, found in made.metadata["files"].items()}
        # What is made of events, and not the default that stands where that is null.
        made = replace(made, question=replace(made.question, files=files), finishing=None)
        part = made.question.views[0]
        feature = part.features[0][0]
        dtype = next(one.dtype for one in part.view.schema if one.name == feature)
        for one in part.view.aggregations:
            for name, window in zip(one.feature_names, one.over, strict=True):
                if name == feature:
                    return cls(
                        made=made, at=at, view=part.view, feature=feature, dtype=dtype, aggregation=one, window=window
                    )
        return cls(made=made, at=at, view=part.view, feature=feature, dtype=dtype)

    @property
    def dtypes(self) -> dict[str, FeatureType]:
        """The columns that the view looks at, with their types."""
        return {one.name: one.dtype for one in input_columns(self.view).values()}

    def meaning(self) -> Meaning:
        """What the feature is defined as."""
        view, aggregation, window = self.view, self.aggregation, self.window
        shared: dict[str, Any] = {
            "view": view.id,
            "fingerprint": str(self.made.metadata["views"][view.id]),
            "entities": tuple(one.name for one in view.entities),
            "source": view.source.name,
        }
        if aggregation is None or window is None:
            begins = None if view.ttl is None else self.at - micros_of(view.ttl)
            words = f"{self.feature!r} of the latest row{self._default()}"
            return Meaning(words=words, begins=begins, ends=self.at, closed="both", **shared)
        old, new = window.ends(self.at)
        shift = 0 if window.closed == "left" else 1
        return Meaning(
            words=words_of_aggregation(aggregation) + self._default(),
            where=aggregation.where,
            window=words_of(window),
            begins=None if window.width is None else old - shift,
            ends=new - shift,
            closed=window.closed,
            **shared,
        )

    def _default(self) -> str:
        """That a default stands where the value is null, if one does."""
        default = next(one.default for one in self.view.schema if one.name == self.feature)
        return "" if default is None else f" (null is shown as {default!r}, its default)"

    def found(self, engine: Engine) -> dict[str, Any]:
        """The value, what it is made of, and what was left out: the rest of an `Explanation`."""
        question = self.made.question
        value = as_python(self.made.to_arrow()[question.order[0]])[0]
        keys = self.made.narrow.select(list(question.views[0].columns)).rename_columns(list(self.view.join_keys))
        if any(column.null_count for column in keys.columns):
            return _of_nobody(value)
        evidence = gathered(engine, question, keys, self.at, self.window)
        verdicts = self._verdicts(evidence.occurrences)
        paired = zip(evidence.occurrences, verdicts, strict=True)
        again, status = self._recomputed([one for one, found in paired if found.reason == Reason.COUNTS], verdicts)
        agrees = bool(sort_key(self.dtype)(value) == sort_key(self.dtype)(again))
        inside, left_out = self._split(evidence, verdicts)
        return {
            "value": value,
            "status": status if agrees else "NULL_VALUE" if value is None else "PRESENT",
            "recomputed": again,
            "agrees": agrees,
            "events": inside,
            "left_out": left_out,
            "further": evidence.further + len(verdicts) - len(inside) - len(left_out),
        }

    def _verdicts(self, occurrences: Sequence[Occurrence]) -> list[Verdict]:
        as_known, dtypes = self.made.question.as_known, self.dtypes
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

    def _split(self, evidence: Evidence, verdicts: Sequence[Verdict]) -> tuple[pa.Table, pa.Table]:
        """The events inside, and those left out near it."""
        wording = Wording(
            at=self.at,
            as_known=self.made.question.as_known,
            window=self.window,
            where=self.aggregation.where if self.aggregation else "",
            events=evidence.occurrences,
            places=evidence.places,
        )
        because = [wording.because(place, found) for place, found in enumerate(verdicts)]
        told = evidence.events.select(self._shown(evidence.events.column_names))
        told = _with_reasons(told, [str(one.reason) for one in verdicts], because)
        low, high = near_bounds(self.window, self.at) if self.window else (-FOREVER, FOREVER)
        inside = [found.reason in INSIDE for found in verdicts]
        left_out = [
            not counts and low <= one.event < high for counts, one in zip(inside, evidence.occurrences, strict=True)
        ]
        return told.filter(pa.array(inside, pa.bool_())), told.filter(pa.array(left_out, pa.bool_()))

    def _shown(self, names: Sequence[str]) -> list[str]:
        """The columns that are of interest: what the feature looks at, and what begins with underscores."""
        looked_at = self.aggregation.columns if self.aggregation else (self.feature,)
        wanted = {name for name, one in input_columns(self.view).items() if one.name in looked_at}
        return [name for name in names if name in wanted or name.startswith("__")]


def _of_nobody(value: Any) -> dict[str, Any]:
    """A key with a null part finds nothing."""
    schema = pa.schema([(EVENT, pa.int64()), (KNOWN, pa.int64()), *((name, pa.null()) for name in PLACES)])
    nothing = _with_reasons(schema.empty_table(), [], [])
    found = {"value": value, "status": "NOT_FOUND", "recomputed": None, "agrees": value is None}
    return {**found, "events": nothing, "left_out": nothing}


def _with_reasons(events: pa.Table, reasons: Sequence[str], because: Sequence[str]) -> pa.Table:
    """The same events with instants for times, and with reasons."""
    for name in (EVENT, KNOWN):
        instants = events[name].cast(pa.timestamp("us", "UTC"))
        events = events.set_column(events.column_names.index(name), name, instants)
    events = events.append_column(REASON, pa.array(reasons, pa.string()))
    return events.append_column(BECAUSE, pa.array(because, pa.string()))


def _online(case: Case, reference: str, keys: Mapping[str, Any], read: ReadOnline | None) -> Online:
    """What the online store says to the same question."""
    view = case.view
    if not view.online or read is None:
        return Online(reason=f"view {view.name!r} is not online" if read else "no online store is at hand")
    try:
        response = read([reference], [dict(keys)])
    except GnomonError as wrong:
        return Online(reason=wrong.what)
    value = as_python(response.to_arrow()[case.feature])[0]
    return Online(
        value=value,
        status=str(response.statuses[case.feature][0]),
        known_through=str(response.known_through[0]),
    )
