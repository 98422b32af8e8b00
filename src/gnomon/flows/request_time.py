"""On-demand features of an online request: computed after what is stored was fetched, by what made the training set.

Which column of which answer an input is, is worked out once per question; a request then hands lists to functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.core.outputs import Misfit
from gnomon.core.requests import request_caster
from gnomon.errors import RequestError
from gnomon.flows.computing import Ready, Rows
from gnomon.flows.responses import Answer, Asked, ComputedAnswer, shown
from gnomon.plan.questions import Computation, GivenValue, Meaning
from gnomon.types import FeatureType

__all__ = ["Adding", "RequestTime", "defaults_of"]

Given = Mapping[str, list[Any]]
Adding = Callable[[list[Answer]], list[Answer]]
"""Adds computed answers to those about what is stored."""


@dataclass(slots=True)
class RequestTime:
    """The on-demand part of a question.

    Args:
        computations: what is computed, each after what it is computed of.
        values: what comes with a request: name, type, what casts it, and a view that looks at it.
        keys: the columns by which a message names an entity.
    """

    computations: tuple[_Computation, ...]
    values: tuple[tuple[str, FeatureType, Callable[[Any], Any], str], ...]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, meaning: Meaning, keys: Sequence[str], places: dict[str, Asked]) -> RequestTime | None:
        """The on-demand part of a question; None where there is none.

        Args:
            meaning: what the question means.
            keys: the columns that hold join keys.
            places: where each column that is fetched comes from; those that are computed are added.

        Raises:
            DefinitionError: a function is not there, or is no longer what was registered.
        """
        if not meaning.computed:
            return None
        made = []
        for number, one in enumerate(meaning.computed, len(meaning.views)):
            made.append(_Computation.of(one, places))
            types = {field.name: field.dtype for field in one.view.schema}
            for place, (feature, name) in enumerate(one.features):
                places[name] = Asked(number, place, types[feature], shown(types[feature]))
        return cls(tuple(made), tuple(map(_value, meaning.given)), tuple(keys))

    def adding(self, given: Given, strict: bool) -> Adding:
        """What adds computed answers to those about what is stored, for one request.

        Args:
            given: the request's columns as they came.
            strict: whether an entity that cannot be computed is an error.

        Raises:
            RequestError: a value is none of its type.
        """
        values = self._cast(given)
        return lambda answers: self._added(answers, given, values, strict)

    def _cast(self, given: Given) -> Given:
        """The values that came with a request, as values of their types."""
        found = {}
        for name, dtype, cast, view in self.values:
            column = given[name]
            try:
                found[name] = list(map(cast, column))
            except Misfit:
                raise _unfit(name, dtype, cast, view, column) from None
        return found

    def _added(self, answers: list[Answer], given: Given, values: Given, strict: bool) -> list[Answer]:
        """The answers about what is stored, and after them one for each computation."""
        found = list(answers)
        count = len(next(iter(given.values()), ()))
        rows = Rows(count, lambda row: {name: given[name][row] for name in self.keys}, strict)
        for one in self.computations:
            found.append(one.answer(found, values, rows))
        return found


@dataclass(slots=True)
class _Computation:
    """One computation, and where its inputs are.

    Args:
        computation: the computation.
        ready: the same, with its function at hand.
        places: for each input the answer and the column in it; or no answer, and the name of a request's value.
        behind: the answers that its inputs are of.
        defaults: what stands where a feature would be null, by its place.
    """

    computation: Computation
    ready: Ready
    places: tuple[tuple[int | None, Any], ...]
    behind: tuple[int, ...]
    defaults: dict[int, Any] | None

    @classmethod
    def of(cls, computation: Computation, known: Mapping[str, Asked]) -> _Computation:
        places: list[tuple[int | None, Any]] = []
        for _, column, _ in computation.inputs:
            there = known.get(column)
            places.append((None, column) if there is None else (there.part, there.place))
        behind = tuple(dict.fromkeys(part for part, _ in places if part is not None))
        features = [feature for feature, _ in computation.features]
        return cls(computation, Ready.of(computation), tuple(places), behind, defaults_of(computation.view, features))

    def answer(self, answers: Sequence[Answer], values: Given, rows: Rows) -> Answer:
        """The computed columns."""
        columns = [values[place] if part is None else answers[part].values(place) for part, place in self.places]
        made = self.ready.run(columns, rows)
        behind = [answers[part] for part in self.behind]
        outside = None if self.defaults is None else [False] * rows.count
        answer = ComputedAnswer(made.columns, (), None, outside, None, made.invalid)
        answer.defaults, answer.behind, answer.count = self.defaults or {}, behind, rows.count
        answer.computation, answer.inputs = self.computation, columns
        return answer


def defaults_of(view: Any, features: Sequence[str]) -> dict[int, Any] | None:
    """What stands where some features of a view would be null, by their places; None where nothing does."""
    known = {one.name: one.standing_in for one in view.schema if one.default is not None}
    return {place: known[name] for place, name in enumerate(features) if name in known} or None


def _value(one: GivenValue) -> tuple[str, FeatureType, Callable[[Any], Any], str]:
    return one.name, one.dtype, request_caster(one.dtype), one.view


def _unfit(name: str, dtype: FeatureType, cast: Callable[[Any], Any], view: str, column: Sequence[Any]) -> RequestError:
    for row, value in enumerate(column):
        try:
            cast(value)
        except Misfit:
            return RequestError(
                f"entity_rows: {name!r} is {value!r:.80} in row {row}, and on-demand view {view!r} takes {dtype}.",
                hint=f"pass a value of type {dtype}.",
                name=name,
                view=view,
                row=row,
            )
    raise AssertionError("a value that was cast before cannot be cast")
