"""Answers as rows of the served-row log, an entity a row; and what a row says of itself.

All answers of one *shape*, that is of the same columns from the same definitions of views, stand in one log, whose name
is the service's with a hash of the shape:

    fraud_v1@1f3a99c0
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from gnomon.core.casting import cast_key
from gnomon.definitions.base import duplicates
from gnomon.definitions.codec import fingerprint
from gnomon.definitions.logging import AT, DATA, KNEW, MODEL, PREDICTION, REQUEST, VERSION, VIEWS, columns_of
from gnomon.definitions.on_demand import OnDemandFeatureView
from gnomon.flows.loaded import is_of_runs
from gnomon.flows.request_data import written
from gnomon.flows.responses import Asked, ComputedAnswer, Of, OnlineResponse
from gnomon.plan.known_through import KnownThrough
from gnomon.plan.questions import Through
from gnomon.types import FeatureType, to_arrow

__all__ = [
    "INSTANT",
    "Ids",
    "Kept",
    "RequestIds",
    "Shape",
    "ViewPart",
    "parts_said",
    "row_columns",
    "schema_of",
    "tokens_of",
    "tokens_read",
]

INSTANT = pa.timestamp("us", "UTC")

Computed = tuple[OnDemandFeatureView, dict[str, str]]
"""An on-demand view, and what its features are called in the log."""
Loaded = Callable[[str, int], Through]
"""Which rows a row view of files had at an instant."""


class RequestIds(Protocol):
    """What has the ids of a request: `Ids`, or whatever a server has of its own; an empty text is none."""

    @property
    def request(self) -> str:
        """The request's id."""
        ...

    @property
    def model(self) -> str | None:
        """Which model asked."""
        ...

    @property
    def prediction(self) -> str | None:
        """Which prediction it was for."""
        ...


class Ids(NamedTuple):
    """What a request goes by.

    Args:
        request: its id.
        model: which model asked, in the caller's own words.
        prediction: which prediction it was for; labels come back by it.
    """

    request: str
    model: str | None = None
    prediction: str | None = None


class Kept(NamedTuple):
    """An answer that is to be logged.

    Args:
        response: the answer, read with `known_through=True`.
        ids: the request's.
        version: the registry's version it was read in.
    """

    response: OnlineResponse
    ids: RequestIds
    version: int


@dataclass(frozen=True, slots=True)
class ViewPart:
    """What a row says of one of its views.

    Args:
        view: the view's id.
        fingerprint: its fingerprint.
        keys: its join key → the row's column.
        features: its feature → the row's column.
        computed: whether it is an on-demand view: computed of the others.
    """

    view: str
    fingerprint: str
    keys: Mapping[str, str]
    features: Mapping[str, str]
    computed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """What answers have in common that go into one log.

    Args:
        log: the log's name.
        schema: the columns of its rows.
        views: what each row says of its views.
        keys: join-key column → its type.
        features: a feature's column → where it is in an answer.
        parts: what each part of an answer is of.
        requested: what comes with a request beside join keys → the answer and the input of it that it is.
        types: the types of these.
    """

    log: str
    schema: pa.Schema
    views: str
    keys: Mapping[str, FeatureType]
    features: Mapping[str, Asked]
    parts: tuple[Of, ...]
    requested: Mapping[str, tuple[int, int]]
    types: Mapping[str, FeatureType]

    @classmethod
    def of(cls, service: str, response: OnlineResponse) -> Shape:
        """The shape of an answer."""
        features = _named(response)
        stored = [_told(number, of, features) for number, of in enumerate(response._views)]
        told = json.dumps([*stored, *(_told_computed(one) for one in _computed(response, features))])
        schema = schema_of(response._key_types, features)
        requested = dict(_requested(response))
        digest = hashlib.blake2b(f"{told}{schema}".encode(), digest_size=4).hexdigest()
        return cls(
            log=f"{service}@{digest}",
            schema=schema,
            views=told,
            keys=response._key_types,
            features=features,
            parts=response._views,
            requested={name: place for name, (place, _) in requested.items()},
            types={name: dtype for name, (_, dtype) in requested.items()},
        )


def row_columns(shape: Shape, kept: Sequence[Kept], loaded: Loaded) -> Iterator[pa.Array]:
    """The columns of answers of one shape, one after the other, an entity a row.

    Args:
        shape: the shape.
        kept: the answers.
        loaded: says what row views of files had.
    """
    counts = [len(one.response) for one in kept]

    def each(values: Iterable[Any], dtype: pa.DataType) -> pa.Array:
        """A column of which each answer has one value for all its rows."""
        pairs = zip(values, counts, strict=True)
        return pa.array([value for value, count in pairs for _ in range(count)], dtype)

    yield each((one.ids.request for one in kept), pa.string())
    yield each((one.ids.model or None for one in kept), pa.string())
    yield each((one.ids.prediction or None for one in kept), pa.string())
    yield each((one.response.at for one in kept), INSTANT)
    for name, dtype in shape.keys.items():
        given = chain.from_iterable(one.response._keys[name] for one in kept)
        yield pa.array([cast_key(value, dtype, name) for value in given], to_arrow(dtype))
    yield pa.array(list(chain.from_iterable(_data(shape, one.response) for one in kept)), pa.string())
    for part, place, dtype, _ in shape.features.values():
        answers = [one.response._answers[part] for one in kept]
        yield pa.array(list(chain.from_iterable(one.values(place) for one in answers)), to_arrow(dtype))
        yield pa.array(list(chain.from_iterable(one.statuses(place) for one in answers)), pa.string())
        yield pa.array(list(chain.from_iterable(one.instants() for one in answers)), INSTANT)
    yield each((shape.views for _ in kept), pa.string())
    yield each((one.version for one in kept), pa.int64())
    tokens = _Tokens(shape, loaded)
    yield pa.array(list(chain.from_iterable(tokens.of(one.response) for one in kept)), pa.string())


def parts_said(views: str) -> list[ViewPart]:
    """What a row says of its views."""
    return [ViewPart(**one) for one in json.loads(views)]


def tokens_of(views: Sequence[str], throughs: Sequence[Through]) -> str:
    """What an answer knew of its views, as text.

    A view that is used several times has a token for each use, and these stand one after the other.

    >>> tokens_of(["a@1", "b@1"], [Through(position=1), Through(position=2)])
    'through:a@1=p1,b@1=p2'
    >>> tokens_of(["a@1", "a@1"], [Through(position=1), Through(position=2)])
    'through:a@1=p1 through:a@1=p2'
    """
    rounds: list[dict[str, Through]] = [{}]
    for view, through in zip(views, throughs, strict=True):
        if (place := next((one for one in rounds if view not in one), None)) is None:
            rounds.append(place := {})
        place[view] = through
    return " ".join(str(KnownThrough(one)) for one in rounds)


def tokens_read(views: Sequence[str], text: str) -> list[Through]:
    """The inverse of `tokens_of`.

    Raises:
        RequestError: the text is no such token, or lacks a view.
    """
    if not views:
        return []
    rounds = [KnownThrough.parse(one) for one in text.split(" ")]
    seen: dict[str, int] = {}
    found = []
    for view in views:
        number = seen[view] = seen.get(view, -1) + 1
        found.append(rounds[number].views[view])
    return found


def _named(response: OnlineResponse) -> dict[str, Asked]:
    """Each feature by the name it has in the log, however it was asked for."""
    order = response._order
    own = [_own_name(response, asked) for asked in order.values()]
    return dict(order) if duplicates(own) else dict(zip(own, order.values(), strict=True))


def _own_name(response: OnlineResponse, asked: Asked) -> str:
    if asked.part < len(response._views):
        return response._views[asked.part].features[asked.place]
    answer = response._answers[asked.part]
    assert isinstance(answer, ComputedAnswer)
    return answer.computation.features[asked.place][0]


def _computed(response: OnlineResponse, features: Mapping[str, Asked]) -> Iterator[Computed]:
    """The on-demand views that answered, with what their features are called, as far as these were asked for."""
    for number, answer in enumerate(response._answers):
        if isinstance(answer, ComputedAnswer):
            names = {asked.place: name for name, asked in features.items() if asked.part == number}
            asked = answer.computation.features
            yield answer.computation.view, {asked[place][0]: name for place, name in names.items()}


def _told_computed(one: Computed) -> dict[str, Any]:
    view, features = one
    return {"view": view.id, "fingerprint": fingerprint(view), "keys": {}, "features": features, "computed": True}


def _told(number: int, of: Of, features: Mapping[str, Asked]) -> dict[str, Any]:
    columns = {asked.place: name for name, asked in features.items() if asked.part == number}
    keys = (one.name for one in of.definition.entity_columns)
    return {
        "view": of.view,
        "fingerprint": fingerprint(of.definition),
        "keys": dict(zip(keys, of.columns, strict=True)),
        "features": {feature: columns[place] for place, feature in enumerate(of.features) if place in columns},
    }


def schema_of(keys: Mapping[str, FeatureType], features: Mapping[str, Asked]) -> pa.Schema:
    """The columns of rows with these join keys and features."""
    fields: list[tuple[str, pa.DataType]] = [(name, pa.string()) for name in (REQUEST, MODEL, PREDICTION)]
    fields.append((AT, INSTANT))
    fields += [(name, to_arrow(dtype)) for name, dtype in keys.items()]
    fields.append((DATA, pa.string()))
    for feature, asked in features.items():
        kinds = (to_arrow(asked.dtype), pa.string(), INSTANT)
        fields += zip(columns_of(feature), kinds, strict=True)
    fields += [(VIEWS, pa.string()), (VERSION, pa.int64()), (KNEW, pa.string())]
    return pa.schema(fields)


def _requested(response: OnlineResponse) -> Iterator[tuple[str, tuple[tuple[int, int], FeatureType]]]:
    """What came with the request beside the join keys, as the on-demand views that look at it got it."""
    more = {name for name in response._keys if name and name not in response._key_types}
    for number, answer in enumerate(response._answers):
        if isinstance(answer, ComputedAnswer):
            for place, (_, column, dtype) in enumerate(answer.computation.inputs):
                if column in more:
                    yield column, ((number, place), dtype)


def _data(shape: Shape, response: OnlineResponse) -> Sequence[str | None]:
    """Of each row of an answer, what came with the request beside the join keys."""
    if not shape.requested:
        return [None] * len(response)
    columns = []
    for part, place in shape.requested.values():
        answer = response._answers[part]
        assert isinstance(answer, ComputedAnswer)
        columns.append(answer.inputs[place])
    return written(shape.types, columns)


class _Tokens:
    """Writes what answers of a shape knew; many knew the same."""

    def __init__(self, shape: Shape, loaded: Loaded) -> None:
        self._parts, self._loaded = shape.parts, loaded
        self._views = [of.view for of in shape.parts]
        self._of_runs = [is_of_runs(of.definition) for of in shape.parts]
        self._written: dict[tuple[Through, ...], str] = {}

    def of(self, response: OnlineResponse) -> list[str]:
        """Of each row of an answer, what it knew."""
        count = len(response)
        if not self._views:  # all is computed of what came with the request
            return [self._text(())] * count
        knew = [
            [self._loaded(view, response.at)] * count if of_runs else answer.through or []
            for view, of_runs, answer in zip(self._views, self._of_runs, response._answers, strict=False)
        ]
        return [self._text(row) for row in zip(*knew, strict=True)]

    def _text(self, row: tuple[Through, ...]) -> str:
        found = self._written.get(row)
        if found is None:
            found = self._written[row] = tokens_of(self._views, row)
        return found
