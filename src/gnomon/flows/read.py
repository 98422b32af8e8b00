"""Read: the features of some entities as of now, from the online store.

What a question means (which views, which key columns, which types) is worked out once and kept with the snapshot of
definitions it was asked of. After that a request is: encode keys, one `store.read`, decode columns.

    reader = Reader(store, clock)
    reader.read(snapshot, ["profile:age"], [{"user_id": 7}]).to_dict()      # {"user_id": [7], "age": [41]}

A request touches the store in one place only: `steps` is a generator that yields what it wants of the store and is
sent what is there. `read` drives one; whoever has many requests at once drives them side by side, with one `store.read`
for all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, cast

from gnomon.clock import MIN_MICROS, Clock, micros_of
from gnomon.contracts.online import Asked as Wanted
from gnomon.contracts.online import OnlineStore, Table
from gnomon.contracts.registry import Snapshot
from gnomon.core.keys import ColumnEncoder, column_encoder
from gnomon.core.marks import MARK, Mark
from gnomon.core.rows import Layout, Reading, instants, schema_of
from gnomon.core.staircases import at
from gnomon.definitions.services import FeatureService
from gnomon.definitions.sources import PushSource
from gnomon.errors import BackendError, GnomonError, RequestError, listing, nearest_hint
from gnomon.flows.ledger_part import LedgerPart
from gnomon.flows.request_time import Adding, RequestTime, defaults_of
from gnomon.flows.responses import Answer, Asked, FilledAnswer, Of, OnlineResponse, shown
from gnomon.flows.tables import known_layouts, layout_of, table_of
from gnomon.plan.questions import NO_ROWS, Through, ViewQuestion
from gnomon.plan.references import Features, resolve
from gnomon.types import FeatureType

__all__ = ["EntityRows", "OnlineResponse", "Reader", "Steps", "get_online_features"]

EntityRows = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]
"""One dict of join keys, and of values that come with the request, per entity; or a dict of lists."""

Steps = Generator[Sequence[Wanted], list[list[bytes | None]], OnlineResponse]
"""A request on its way: yields what it wants of the store, is sent what is there, returns the answer."""

MOST_PLANS = 1_000
MOST_LOOKS = 100
NOBODY = ""
"""Stands for the key columns of a request that has none: its list counts the rows asked."""


def get_online_features(
    snapshot: Snapshot,
    store: OnlineStore,
    clock: Clock,
    features: Features,
    entity_rows: EntityRows,
    full_feature_names: bool = False,
    known_through: bool = False,
) -> OnlineResponse:
    """One request; who asks more than once keeps a `Reader`, which remembers what questions mean."""
    return Reader(store, clock).read(snapshot, features, entity_rows, full_feature_names, known_through)


class Reader:
    """Answers requests from one online store.

    Args:
        store: the online store.
        clock: says as of when.
    """

    def __init__(self, store: OnlineStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._plans: dict[Any, _Plan] = {}

    def read(
        self,
        snapshot: Snapshot,
        features: Features,
        entity_rows: EntityRows,
        full_feature_names: bool = False,
        known_through: bool = False,
        strict: bool = False,
    ) -> OnlineResponse:
        """The features of each entity as of the clock's now.

        Args:
            snapshot: the registered definitions.
            features: references such as `profile:age`, a service (its registered form counts) or a service's name.
            entity_rows: the join keys of each entity, and the values that come with the request, as a list of dicts or
                a dict of lists; any number.
            full_feature_names: name the columns `view__feature`.
            known_through: whether the answer shall say which rows it was made of.
            strict: whether an on-demand feature that cannot be computed is an error; otherwise it is null, and INVALID.

        Raises:
            RequestError: a join key is missing, unknown, or cannot be cast without loss; or the question is unclear; or
                an on-demand feature cannot be computed, and that is an error.
            NotRegistered: a view or a service is not registered.
            UnknownFeature: a view has no such feature.
            BackendError: the store cannot be read.
        """
        steps = self.steps(snapshot, features, entity_rows, full_feature_names, known_through, strict)
        read = self._store.read
        wanted = next(steps)
        try:
            while True:
                wanted = steps.send(read(wanted))
        except StopIteration as done:
            answer: OnlineResponse = done.value
            return answer

    def prepared(self, snapshot: Snapshot) -> Callable[[], None]:
        """Work out what all questions known mean under other definitions, beside requests that go by today's.

        Returns:
            What puts it in place, in no time.
        """
        plans = {}
        for asked, full in list(self._plans):
            features: Any = list(asked) if isinstance(asked, tuple) else asked
            with contextlib.suppress(GnomonError):  # one that cannot be asked any more says so to who asks
                plans[asked, full] = _Plan.of(snapshot, features, full)
        return lambda: self._plans.update(plans)

    def steps(
        self,
        snapshot: Snapshot,
        features: Features,
        entity_rows: EntityRows,
        full_feature_names: bool = False,
        known_through: bool = False,
        strict: bool = False,
    ) -> Steps:
        """The same request in steps: what is wanted of the store is yielded, at least once, and what is there is sent.

        Raises:
            RequestError, NotRegistered, UnknownFeature, BackendError: as `read` says, at the first step or a later one.
        """
        plan = self._plan(snapshot, features, full_feature_names)
        given = _given(entity_rows, plan)
        adding = None if plan.request_time is None else plan.request_time.adding(given, strict)
        parts, store = plan.parts, self._store
        keys = [part.encoder(*[given[name] for name in part.columns]) for part in parts]
        if plan.rows is None or known_through:
            return (yield from self._looked_twice(plan, given, keys, known_through, adding))
        found = yield [(part.table, _asked(wanted)) for part, wanted in zip(parts, keys, strict=True)]
        now = self._clock.now()
        try:
            answers = list(map(_Part.answer, plan.rows, repeat(store), keys, found, repeat(now)))
        except _Waiting:
            return (yield from self._looked_twice(plan, given, keys, known_through, adding))
        if adding is not None:
            answers = adding(answers)
        return OnlineResponse(given, plan.key_types, answers, plan.order, now, plan.views)

    def _looked_twice(
        self,
        plan: _Plan,
        given: dict[str, list[Any]],
        keys: list[list[bytes | None]],
        known_through: bool,
        adding: Adding | None,
    ) -> Steps:
        """An answer that ledgers have a part in: perhaps some chunks have to be fetched in a second step."""
        store, parts = self._store, plan.parts
        for _ in range(MOST_LOOKS):
            wanted = [part.first_keys(_asked(some)) for part, some in zip(parts, keys, strict=True)]
            marks = None
            if not store.capabilities.atomic_request:
                marks = yield [(part.table, [MARK]) for part in parts]
            found = yield [(part.table, some) for part, some in zip(parts, wanted, strict=True)]
            if marks is not None and not _of_one_build(marks, found):
                continue  # loaded anew since the first step
            for values, mark in zip(found, marks or (), strict=False):
                values[:1] = mark  # one that may be older than the rows, and is surely not newer
            looks = [part.look(store, some, values) for part, some, values in zip(parts, keys, found, strict=True)]
            now = max([self._clock.now(), *(look.newest for look in looks)])
            chunks = [look.chunks(now) for look in looks]
            missing = [(look.table, some) for look, some in zip(looks, chunks, strict=True) if some]
            more = iter((yield missing) if missing else ())
            fetched = [next(more) if some else [] for some in chunks]
            if any(None in some for some in fetched):
                continue  # sealed anew since the first step
            answers = [look.answer(now, some) for look, some in zip(looks, fetched, strict=True)]
            if known_through:
                for look, answer in zip(looks, answers, strict=True):
                    answer.through = look.through(now)
            if adding is not None:
                answers = adding(answers)
            return OnlineResponse(given, plan.key_types, answers, plan.order, now, plan.views)
        raise BackendError(
            f"an entity's ledger was changed {MOST_LOOKS} times while it was read, or parts of it are gone.",
            hint="try again; if it goes on, load the view again: gnomon materialize --replace.",
        )

    def _plan(self, snapshot: Snapshot, features: Features, full: bool) -> _Plan:
        # A service goes by its name; hashing it whole would cost more than the read.
        asked: Any = features
        if type(features) is list:
            asked = tuple(features)
        elif isinstance(features, FeatureService):
            asked = features.name
        try:
            plan = self._plans.get((asked, full))
        except TypeError:  # not hashable: let the resolution say what is wrong with it
            return _Plan.of(snapshot, features, full)
        if plan is None or plan.snapshot is not snapshot:
            plan = _Plan.of(snapshot, features, full)
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[asked, full] = plan
        return plan


class _Waiting(Exception):  # noqa: N818 - a signal, not an error
    """All rows of an entity are of later than now, as the clock says: is it behind the one that stamped them?"""


@dataclass(slots=True)
class _Plan:
    """What a question means, for one snapshot of definitions.

    Args:
        snapshot: the definitions.
        parts: one per view used.
        order: where each column of the answer comes from, by name.
        key_types: type of each join-key column asked for, in order of first use.
        owners: a view that needs it, for each of these columns and for each value that comes with the request.
        rows: the parts, if all are of row views; else None.
        views: what each part is of.
        request_time: what is computed of the parts; None for nothing.
        unused: what may come with a request, and is not looked at.
    """

    snapshot: Snapshot
    parts: tuple[_Part | LedgerPart, ...]
    order: dict[str, Asked]
    key_types: dict[str, FeatureType]
    owners: dict[str, str]
    rows: tuple[_Part, ...] | None
    views: tuple[Of, ...]
    request_time: RequestTime | None = None
    unused: tuple[str, ...] = ()

    @classmethod
    def of(cls, snapshot: Snapshot, features: Features, full: bool) -> _Plan:
        meaning = resolve(snapshot.catalog, features, full)
        questions = meaning.views
        key_types: dict[str, FeatureType] = {}
        owners: dict[str, str] = {}
        places: dict[str, Asked] = {}
        for number, question in enumerate(questions):
            view = question.view
            if not view.online:
                raise RequestError(
                    f"view {view.name!r} is not online.",
                    hint="set online=True in its definition, apply, and materialize it.",
                    view=view.name,
                )
            for column, one in zip(question.columns, view.entity_columns, strict=True):
                key_types.setdefault(column, one.dtype)
                owners.setdefault(column, view.name)
            types = {one.name: one.dtype for one in view.schema}
            for place, (feature, name) in enumerate(question.features):
                places[name] = Asked(number, place, types[feature], shown(types[feature]))
        request_time = RequestTime.of(meaning, tuple(key_types), places)
        for value in meaning.given:
            owners.setdefault(value.name, value.view)
        counting = next(iter(owners), NOBODY)
        parts: list[_Part | LedgerPart] = []
        for question in questions:
            kind = LedgerPart if question.view.aggregations else _Part
            parts.append(kind.of(snapshot.project, question, question.columns or (counting,), _encoder(question)))
        rows = tuple(part for part in parts if isinstance(part, _Part))
        order = {name: places[name] for name in meaning.order}
        views = tuple(
            Of(one.view.id, one.columns, tuple(name for name, _ in one.features), one.view) for one in questions
        )
        only_rows = rows if len(rows) == len(parts) else None
        return cls(snapshot, tuple(parts), order, key_types, owners, only_rows, views, request_time, meaning.unused)


@dataclass(slots=True)
class _Part:
    """One view's part in a request.

    Args:
        view: the view's id.
        table: where its rows are.
        columns: the request's columns that hold its key; for a view without entities, one that counts the rows.
        encoder: turns keys into bytes.
        layout: the rows' layout today.
        wanted: (name, type) of the features asked.
        reading: reads them.
        ttl: how long a row is good for, µs; None for ever.
        fed: whether the rows are those of a log.
        defaults: what stands where a feature would be null, by its place; None where nothing does.
        older: layouts of rows written before the view changed, by id.
    """

    view: str
    table: Table
    columns: tuple[str, ...]
    encoder: ColumnEncoder
    layout: Layout
    wanted: tuple[tuple[str, FeatureType], ...]
    reading: Reading
    ttl: int | None
    fed: bool
    defaults: dict[int, Any] | None = None
    older: dict[int, Layout] = field(default_factory=dict)

    @classmethod
    def of(cls, project: str, question: ViewQuestion, columns: tuple[str, ...], encoder: ColumnEncoder) -> _Part:
        view, layout = question.view, layout_of(question.view)
        places = [layout.names.index(feature) for feature, _ in question.features]
        return cls(
            view=view.id,
            table=table_of(project, view),
            columns=columns,
            encoder=encoder,
            layout=layout,
            wanted=tuple(layout.fields[place] for place in places),
            reading=layout.reading(places),
            ttl=micros_of(view.ttl) if view.ttl else None,
            fed=isinstance(view.source, PushSource),
            defaults=defaults_of(view, [feature for feature, _ in question.features]),
        )

    def first_keys(self, keys: list[bytes]) -> list[bytes]:
        """What to fetch for some keys, where the table's mark is wanted, too."""
        return [MARK, *keys]

    def look(self, store: OnlineStore, keys: list[bytes | None], values: list[bytes | None]) -> _RowLook:
        """What was fetched."""
        return _RowLook(self, store, keys, values[1:], Mark.from_bytes(values[0]))

    def answer(
        self, store: OnlineStore, keys: list[bytes | None], values: list[bytes | None], now: int, waits: bool = False
    ) -> Answer:
        """The part's columns from what the store had under the keys.

        Args:
            store: where this is from.
            keys: the keys; None where a part of one is null.
            values: what is under them.
            now: the instant.
            waits: whether it is sure that rows that cannot be used yet have to wait, and none before them was dropped.

        Raises:
            _Waiting: it is not, and there are some.
        """
        if None in keys:
            values = [None if key is None else value for key, value in zip(keys, values, strict=True)]
        if None in values:
            absent, blank = [value is None for value in values], self.layout.blank
            rows = [value or blank for value in values]
        else:
            absent, rows = None, cast("list[bytes]", values)
        lacking, read = None, self.reading.columns(rows, now)
        if read is None:
            rows, absent, lacking = self._usable(store, values, now, waits)
            read = self.reading.columns(rows, now)
            assert read is not None, "usable rows of today's layout can be read"
        columns, events = read
        outside = None
        if self.ttl is not None:
            horizon = max(now - self.ttl, MIN_MICROS)
            if events and min(events) < horizon:
                outside = [event < horizon for event in events]
        answer = Answer(columns, events, absent, outside, lacking)
        return answer if self.defaults is None else FilledAnswer.of(answer, self.defaults)

    def _usable(
        self, store: OnlineStore, values: list[bytes | None], now: int, waits: bool
    ) -> tuple[list[bytes], list[bool], dict[int, list[int]]]:
        """The slow way: of each value the row usable now, in today's layout.

        Besides: which rows are absent, and for rows of older layouts which of the features asked they lack.
        """
        rows, absent, lacking = [], [], {}
        for place, value in enumerate(values):
            row = None if value is None else at(value, now)
            if row is None and value is not None and self.fed and not waits:
                raise _Waiting
            absent.append(row is None)
            if row is not None and schema_of(row) != self.layout.id:
                older = self._older(store, schema_of(row))
                lacking[place] = [asked for asked, one in enumerate(self.wanted) if one not in older.fields]
                row = self.layout.adapt(row, older)
            rows.append(self.layout.blank if row is None else row)
        return rows, absent, lacking

    def _older(self, store: OnlineStore, schema: int) -> Layout:
        if schema not in self.older:
            self.older = dict(known_layouts(store, self.table))
        if schema not in self.older:
            raise BackendError(
                f"the online store has rows of {self.table.name!r} in a layout it has no note of.",
                hint="load the view again: gnomon materialize --replace.",
                view=self.table.name,
            )
        return self.older[schema]


@dataclass(slots=True)
class _RowLook:
    """What a part fetched, beside parts that may need a second step."""

    part: _Part
    store: OnlineStore
    keys: list[bytes | None]
    values: list[bytes | None]
    mark: Mark | None

    @property
    def newest(self) -> int:
        """Answers are not of an earlier instant than this, as rows that only these needed may be gone."""
        mark = self.mark
        return MIN_MICROS if mark is None else max(mark.newest or MIN_MICROS, mark.stamped or MIN_MICROS)

    @property
    def table(self) -> Table:
        """Where the rows are."""
        return self.part.table

    def chunks(self, now: int) -> list[bytes]:
        """Rows need no second step."""
        return []

    def answer(self, now: int, chunks: list[bytes | None]) -> Answer:
        """The part's columns."""
        return self.part.answer(self.store, self.keys, self.values, now, waits=True)

    def through(self, now: int) -> list[Through]:
        """For each entity which rows its answer was made of: those known later wait for their time."""
        mark = self.mark
        if mark is None:
            return [NO_ROWS if self.part.fed else Through(known=now)] * len(self.keys)
        known = now if mark.known is None else min(now, mark.known)
        if mark.reaching is None:
            return [Through(position=mark.position or None, known=known)] * len(self.keys)
        return [Through(position=self._position(mark, value, now) or None, known=known) for value in self.values]

    @staticmethod
    def _position(mark: Mark, value: bytes | None, now: int) -> int:
        """How far a row has got while some are merged: one of these if it was known after the mark's last event."""
        row = None if value is None else at(value, now)
        ahead = row is not None and (mark.stamped is None or instants(row)[1] > mark.stamped)
        return mark.reaching or 0 if ahead else mark.position


def _of_one_build(marks: list[list[bytes | None]], found: list[list[bytes | None]]) -> bool:
    """Whether tables were not loaded anew from the time their marks were read to that of the rows."""
    pairs = ((Mark.from_bytes(one[0]), Mark.from_bytes(other[0])) for one, other in zip(marks, found, strict=True))
    return all((one and one.build) == (other and other.build) for one, other in pairs)


def _encoder(question: ViewQuestion) -> ColumnEncoder:
    key_types = [one.dtype for one in question.view.entity_columns]
    return column_encoder(question.columns, key_types) if key_types else _whole_world


def _whole_world(rows: list[Any]) -> list[bytes | None]:
    """The keys of a view without entities: it has one row, asked for by everybody."""
    return [b""] * len(rows)


def _asked(keys: list[bytes | None]) -> list[bytes]:
    """The keys to look up: anything for one with a null part, as what is found is not used."""
    return [key or b"" for key in keys] if None in keys else cast("list[bytes]", keys)


def _given(entity_rows: EntityRows, plan: _Plan) -> dict[str, list[Any]]:
    """The request's key columns, in order of first use, and then its values, each as a list."""
    names = plan.owners
    if type(entity_rows) is dict and names and entity_rows.keys() == names.keys():
        given = [one for one in entity_rows.values() if type(one) is list]
        if len(given) == len(names) and len(set(map(len, given))) == 1:
            return {name: list(column) for name, column in entity_rows.items()}  # lists already: nothing to put right
    if type(entity_rows) is not list:  # asking an abstract class is slow
        if isinstance(entity_rows, Mapping):
            return _from_columns(entity_rows, plan)
        if isinstance(entity_rows, (str, bytes)) or not isinstance(entity_rows, Sequence):
            raise _unreadable(entity_rows)
    try:
        columns = {name: [row[name] for row in entity_rows] for name in names}
        exact = len(names) * len(entity_rows) == sum(map(len, entity_rows))
    except (KeyError, TypeError, IndexError):
        exact = False
    if not exact:
        for row in entity_rows:
            if not isinstance(row, Mapping):
                raise _unreadable(row)
            _check_names(row, plan)
    return columns or {NOBODY: [None] * len(entity_rows)}


def _from_columns(entity_rows: Mapping[str, Any], plan: _Plan) -> dict[str, list[Any]]:
    _check_names(entity_rows, plan)
    columns = {name: _listed(name, entity_rows[name]) for name in plan.owners}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise RequestError(
            "the lists of entity_rows differ in length.",
            instead=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            hint="give every join key, and every value of the request, one item per entity.",
        )
    return columns or {NOBODY: []}


def _listed(name: str, column: Any) -> list[Any]:
    kind = getattr(getattr(column, "dtype", None), "kind", "")
    if kind == "M" and hasattr(column, "astype") and not hasattr(column, "index"):
        column = column.astype("datetime64[us]")  # tolist would make bare ints of nanoseconds
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    if isinstance(column, (str, bytes, Mapping)) or not hasattr(column, "__iter__"):
        raise RequestError(
            f"entity_rows: {name!r} is {column!r}, no list.", hint="pass a dict of lists, or a list of dicts."
        )
    return list(column)


def _check_names(row: Mapping[str, Any], plan: _Plan) -> None:
    for name, owner in plan.owners.items():
        if name not in row:
            what = (
                f"join key {name!r}, which view" if name in plan.key_types else f"value {name!r}, which on-demand view"
            )
            raise RequestError(
                f"entity_rows lacks the {what} {owner!r} needs.",
                instead=f"It has: {listing(row)}.",
                hint=f"add {name!r} to every entity.",
                join_key=name,
                view=owner,
            )
    for name in row:
        if name not in plan.owners and name not in plan.unused:
            known = list(plan.owners)
            raise RequestError(
                f"entity_rows has {name!r}, which no view asked for needs.",
                instead=f"Needed: {listing(known)}.",
                hint=nearest_hint(str(name), known, otherwise="leave it out."),
                name=name,
            )


def _unreadable(entity_rows: object) -> RequestError:
    return RequestError(
        f"entity_rows cannot be read: {entity_rows!r:.80}.",
        hint="pass a list of dicts, [{'user_id': 7}], or a dict of lists, {'user_id': [7]}.",
    )
