"""The answer to an online read: columns of values, each with a status, and when its row happened.

A value is only ever shown with status PRESENT; in every other case the feature's default stands there, or None, and the
status says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from gnomon.clock import from_micros
from gnomon.definitions.views import FeatureView
from gnomon.errors import RequestError
from gnomon.plan.known_through import KnownThrough
from gnomon.plan.questions import Computation, Through
from gnomon.types import Array, FeatureType, UnixTimestamp, to_arrow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    *("Answer", "Asked", "ComputedAnswer", "FilledAnswer", "Of", "OnlineResponse", "Parts", "Status"),
    *("computed_of", "made_of", "parts_of", "shown"),
]


class Status(StrEnum):
    """Why a value is there, or is not."""

    PRESENT = "PRESENT"
    """There it is."""
    NULL_VALUE = "NULL_VALUE"
    """The entity's row says null."""
    NOT_FOUND = "NOT_FOUND"
    """The entity has no row yet, or its key is null, or its row is older than this feature of the view."""
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    """The entity's row is older than the view's ttl."""
    INVALID = "INVALID"
    """The exact value is more than its type can hold; or an on-demand feature cannot be computed."""


@dataclass(slots=True)
class Answer:
    """One view's part of a response, before it is shown.

    Args:
        columns: a list of values per feature; instants as µs.
        events: event time of each entity's row, or of its newest event, µs; None where it has no event; of no meaning
            where it is absent.
        absent: for each entity whether it has no row; None if all have one.
        outside: for each entity whether its row is older than the ttl; None if none is.
        lacking: for entities whose row is of an older layout, the features that layout had not.
        invalid: for entities that have values which their type cannot hold, the features.
        through: for each entity which rows its answer was made of; None where that was not asked for.
    """

    columns: list[list[Any]]
    events: Sequence[int | None]
    absent: list[bool] | None
    outside: list[bool] | None
    lacking: dict[int, list[int]] | None = None
    invalid: dict[int, list[int]] | None = None
    through: list[Through] | None = None

    def values(self, place: int) -> list[Any]:
        """A feature's values; wherever its status is not PRESENT its default, or None."""
        return self.stored(place)

    def stored(self, place: int) -> list[Any]:
        """A feature's values, None wherever its status is not PRESENT."""
        column = self.columns[place]
        if self.outside is None:
            return column
        return [None if gone else value for value, gone in zip(column, self.outside, strict=True)]

    def statuses(self, place: int) -> list[Status]:
        """A feature's statuses."""
        found = [Status.NULL_VALUE if value is None else Status.PRESENT for value in self.columns[place]]
        for entity, lacks in (self.lacking or {}).items():
            if place in lacks:
                found[entity] = Status.NOT_FOUND
        for entity, features in (self.invalid or {}).items():
            if place in features:
                found[entity] = Status.INVALID
        if self.outside is not None:
            found = [Status.OUTSIDE_MAX_AGE if gone else one for one, gone in zip(found, self.outside, strict=True)]
        if self.absent is not None:
            found = [Status.NOT_FOUND if gone else one for one, gone in zip(found, self.absent, strict=True)]
        return found

    def instants(self) -> list[int | None]:
        """Each row's event time, None where there is no row."""
        if self.absent is None:
            return list(self.events)
        return [None if gone else event for event, gone in zip(self.events, self.absent, strict=True)]


class FilledAnswer(Answer):
    """An answer of features some of which have defaults.

    It always says whether rows are too old, so that who takes columns as they are where none is takes none of its.
    """

    __slots__ = ("defaults",)
    defaults: dict[int, Any]

    @classmethod
    def of(cls, plain: Answer, defaults: dict[int, Any]) -> FilledAnswer:
        """The same answer, with what stands where a feature would be null, by its place."""
        outside = [False] * len(plain.columns[0]) if plain.outside is None else plain.outside
        made = cls(plain.columns, plain.events, plain.absent, outside, plain.lacking, plain.invalid)
        made.defaults = defaults
        return made

    def values(self, place: int) -> list[Any]:
        """A feature's values; wherever its status is not PRESENT its default, or None."""
        column, default = self.stored(place), self.defaults.get(place)
        return column if default is None else [default if value is None else value for value in column]


class ComputedAnswer(FilledAnswer):
    """What was computed of other answers; it happened when the newest of the rows behind it did."""

    __slots__ = ("behind", "computation", "count", "inputs")
    behind: Sequence[Answer]
    computation: Computation
    count: int
    inputs: list[list[Any]]

    def instants(self) -> list[int | None]:
        """The newest event time of each entity's inputs, None where none has one."""
        rows = zip(*(one.instants() for one in self.behind), strict=True) if self.behind else [()] * self.count
        return [max((one for one in row if one is not None), default=None) for row in rows]


class Asked(NamedTuple):
    """Where one column of a response comes from.

    Args:
        part: which view's answer.
        place: which of its columns.
        dtype: the feature's type.
        show: how a value is shown to people; None for as it is.
    """

    part: int
    place: int
    dtype: FeatureType
    show: Callable[[Any], Any] | None


class Of(NamedTuple):
    """What a part of a response is of.

    Args:
        view: the view's id, `name@version`.
        columns: the response's columns that hold its join keys.
        features: the features asked of it.
        definition: the view, resolved.
    """

    view: str
    columns: tuple[str, ...]
    features: tuple[str, ...]
    definition: FeatureView


class OnlineResponse:
    """Features of some entities: join-key columns first, then features in the order asked, one row per entity asked."""

    def __init__(
        self,
        keys: dict[str, list[Any]],
        key_types: dict[str, FeatureType],
        answers: list[Answer],
        order: dict[str, Asked],
        at: int = 0,
        views: tuple[Of, ...] = (),
    ) -> None:
        self._keys, self._key_types = keys, key_types
        self._answers, self._order = answers, order
        self._views = views
        self.at = at
        """As of which instant it is, µs."""
        self.request_id: str | None = None
        """The request's id, where it is logged."""

    def __len__(self) -> int:
        return len(next(iter(self._keys.values()), ()))

    def __repr__(self) -> str:
        return f"OnlineResponse({len(self)} entities: {', '.join((*self._key_types, *self._order))})"

    @property
    def given(self) -> dict[str, list[Any]]:
        """What came with the request, as it came: join keys, then values that on-demand views take from it."""
        return {name: column for name, column in self._keys.items() if name}

    def to_dict(self, include_event_timestamps: bool = False, include_statuses: bool = False) -> dict[str, list[Any]]:
        """A list per column, as Feast has it.

        Join keys stand as they were given. Instants are aware UTC datetimes, decimals `decimal.Decimal`, arrays lists.

        Args:
            include_event_timestamps: for each feature `f` also `f__ts`, when its row happened.
            include_statuses: for each feature `f` also `f__status`.

        Raises:
            RequestError: an instant lies outside the years 1 to 9999; `to_arrow` has it.
        """
        made: dict[str, list[Any]] = {name: list(self._keys[name]) for name in self._key_types}
        answers = self._answers
        for name, (part, place, _, show) in self._order.items():
            answer = answers[part]
            column = answer.columns[place] if answer.outside is None else answer.values(place)
            made[name] = list(column) if show is None else [None if one is None else show(one) for one in column]
        if include_event_timestamps:
            made |= {f"{name}__ts": column for name, column in self.event_timestamps.items()}
        if include_statuses:
            made |= {f"{name}__status": [str(one) for one in column] for name, column in self.statuses.items()}
        return made

    @property
    def statuses(self) -> dict[str, list[Status]]:
        """A list of statuses per feature."""
        return {name: self._answers[part].statuses(place) for name, (part, place, _, _) in self._order.items()}

    @property
    def event_timestamps(self) -> dict[str, list[datetime | None]]:
        """For each feature, when the row it comes from happened; None where there is no row."""
        shown = [[None if one is None else _datetime(one) for one in answer.instants()] for answer in self._answers]
        return {name: list(shown[part]) for name, (part, _, _, _) in self._order.items()}

    @property
    def known_through(self) -> list[KnownThrough]:
        """For each entity what its answer knew: with it, `get_historical_features` gives the same from history.

        Raises:
            RequestError: it was not asked for.
        """
        if not self._views:
            return [KnownThrough({})] * len(self)  # made of the request alone
        answers = self._answers[: len(self._views)]  # what is computed of these knew what they did
        if any(answer.through is None for answer in answers):
            raise RequestError(
                "what this answer knew was not asked for.",
                hint="get_online_features(…, known_through=True).",
            )
        rows = zip(*(answer.through or [] for answer in answers), strict=True)
        return [KnownThrough({of.view: one for of, one in zip(self._views, row, strict=True)}) for row in rows]

    def to_arrow(self) -> pa.Table:
        """The same columns as an Arrow table, each in its feature's type; join keys are cast to theirs."""
        import pyarrow as pa

        from gnomon.core.casting import cast_key

        columns = {
            name: pa.array([cast_key(value, dtype, name) for value in self._keys[name]], to_arrow(dtype))
            for name, dtype in self._key_types.items()
        }
        for name, (part, place, dtype, _) in self._order.items():
            columns[name] = pa.array(self._answers[part].values(place), to_arrow(dtype))
        return pa.table(columns)

    def to_df(self) -> pd.DataFrame:
        """The same columns as a pandas frame; where a column has nulls its dtype is a nullable one.

        Raises:
            MissingExtra: pandas is not installed.
        """
        from gnomon.flows.frames import to_pandas

        return to_pandas(self.to_arrow())


def parts_of(response: OnlineResponse) -> list[tuple[Of, dict[str, list[Any]], Answer]]:
    """A response view by view: what each part is of, the join keys as they were given, and the answer.

    What was computed of these is not among them.
    """
    parts = zip(response._views, response._answers, strict=False)
    return [(of, {column: response._keys[column] for column in of.columns}, answer) for of, answer in parts]


class Parts(NamedTuple):
    """What a response is made of, for who writes it down in a form of their own.

    Args:
        keys: column → the join keys as they were given.
        key_types: the join-key columns shown, and their types.
        answers: the views' parts.
        order: where each feature's column comes from; the same object for all answers to a question.
        views: what each of the parts is of.
    """

    keys: dict[str, list[Any]]
    key_types: dict[str, FeatureType]
    answers: list[Answer]
    order: dict[str, Asked]
    views: tuple[Of, ...]


def made_of(response: OnlineResponse) -> Parts:
    """What a response is made of."""
    return Parts(response._keys, response._key_types, response._answers, response._order, response._views)


def computed_of(response: OnlineResponse) -> list[ComputedAnswer]:
    """A response's answers that were computed of others, each after those."""
    return [answer for answer in response._answers if isinstance(answer, ComputedAnswer)]


def shown(dtype: FeatureType) -> Callable[[Any], Any] | None:
    """How a value is shown to people; None for as it is."""
    if dtype == UnixTimestamp:
        return _datetime
    if isinstance(dtype, Array) and dtype.element == UnixTimestamp:
        return lambda values: [None if one is None else _datetime(one) for one in values]
    return None


def _datetime(micros: int) -> datetime:
    try:
        return from_micros(micros)
    except OverflowError:
        raise RequestError(
            f"the instant {micros} µs lies outside the years 1 to 9999, which datetime cannot hold.",
            hint="read it with to_arrow().",
        ) from None
