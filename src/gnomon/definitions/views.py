"""Feature views: features of one source about some entities, and how long each is good for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gnomon.definitions.aggregations import Aggregation
from gnomon.definitions.base import (
    FrozenMap,
    check_column,
    check_duration,
    check_name,
    check_tags,
    check_texts,
    check_unreserved,
    describing,
    duplicates,
    listed,
    put,
)
from gnomon.definitions.entities import Entity, Field, check_key_type
from gnomon.definitions.sources import SOURCES, Source
from gnomon.errors import DefinitionError, UnknownFeature, listing
from gnomon.types import FeatureType

__all__ = ["FeatureView", "Projection", "View"]


class View:
    """What has features that can be asked for: a feature view, or an on-demand one."""

    __slots__ = ()

    name: str
    schema: tuple[Field, ...]
    version: int

    @property
    def id(self) -> str:
        """`name@version`: the view's name among all views and versions."""
        return f"{self.name}@{self.version}"

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The columns that name one of what it is about."""
        return ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of its features, in schema order."""
        return tuple(one.name for one in self.schema)

    def __getitem__(self, features: Sequence[str]) -> Projection:
        """Pick features: `view[["age", "city"]]`."""
        return Projection(view=self, features=_picked(f"view {self.name!r}", features))

    def with_name(self, name: str) -> Projection:
        """The same view under another name, to use it twice in one service."""
        return Projection(view=self, name=name)

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> Projection:
        """The same view looked up by other columns: `{"airport": "dest"}` joins `airport` on the column `dest`."""
        return Projection(view=self, join_key_map=join_key_map)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView(View):
    """Features of entities: of the latest row of each (a row view), or of its events in windows (a windowed view).

    Args:
        name: the view's name.
        source: where its rows come from.
        entities: what the rows are about: entities, or names of entities with one join key of that name; none for
            features of the whole world.
        schema: the features; a field called like a join key declares that key's type instead. Read from the source
            when left out. With `aggregations`, fields declare types of the columns these look at.
        aggregations: what makes it a windowed view: its features are these, computed from the source's events.
        entity_columns: join keys whose types are known; filled from `schema` and `entities`, not by hand.
        inputs: columns that aggregations look at, with their types; filled from the source, not by hand.
        ttl: how long a row is good for, from its event time on: "90d" or a timedelta; None or zero for ever. Row views
            only.
        online: whether `materialize` loads it into the online store.
        version: 1 or more; versions of one view live side by side.
        features: Feast's older name for `schema`.
        description: for people.
        owner: for people.
        tags: for people; text to text.

    Raises:
        DefinitionError: a name is unusable, a column stands twice, or an argument is of the wrong kind.

    >>> from gnomon.types import Int64
    >>> user = Entity(name="user_id")
    >>> from gnomon import FileSource
    >>> source = FileSource(path="users.parquet", timestamp_field="ts")
    >>> view = FeatureView(name="profile", entities=[user], source=source, schema=[Field("age", Int64)], ttl="90d")
    >>> view.join_keys, view.ttl.days, view[["age"]].feature_names
    (('user_id',), 90, ('age',))
    >>> from gnomon import agg
    >>> spend = FeatureView(name="spend", entities=[user], source=source, aggregations=[agg.sum("amount", over="7d")])
    >>> spend.feature_names
    ('amount_sum_7d',)
    """

    name: str
    source: Source
    entities: tuple[Entity, ...] = ()
    schema: tuple[Field, ...] = ()
    aggregations: tuple[Aggregation, ...] = ()
    entity_columns: tuple[Field, ...] = ()
    inputs: tuple[Field, ...] = ()
    ttl: timedelta | None = None
    online: bool = describing(default=True)
    version: int = 1
    description: str = describing(default="")
    owner: str = describing(default="")
    tags: Mapping[str, str] = describing(default_factory=FrozenMap)
    features: InitVar[Sequence[Field] | None] = None

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            *,
            name: str,
            source: Source,
            entities: Sequence[Entity | str] | None = (),
            schema: Sequence[Field] | None = (),
            aggregations: Sequence[Aggregation] | None = (),
            entity_columns: Sequence[Field] = (),
            inputs: Sequence[Field] = (),
            ttl: timedelta | str | None = None,
            online: bool = True,
            version: int = 1,
            description: str = "",
            owner: str = "",
            tags: Mapping[str, str] | None = None,
            features: Sequence[Field] | None = None,
        ) -> None: ...

    def __post_init__(self, features: Sequence[Field] | None) -> None:
        owner = f"feature view {check_name('feature view', self.name)!r}"
        if not isinstance(self.source, SOURCES):
            hint = "source is a FileSource or a PushSource."
            raise DefinitionError(f"{owner}: source is {self.source!r}.", hint=hint)
        entities = tuple(_entity(owner, one) for one in listed(owner, "entities", self.entities))
        keys = [key for entity in entities for key in entity.join_keys]
        if twice := duplicates(keys):
            raise DefinitionError(f"{owner}: join key {twice[0]!r} stands twice.", hint="each entity once.")
        declared = _declared(owner, self.schema, features)
        schema, entity_columns = _split(owner, declared, listed(owner, "entity_columns", self.entity_columns), entities)
        aggregations = _aggregations(owner, self.aggregations)
        if aggregations:
            if self.ttl:
                raise DefinitionError(
                    f"{owner} has aggregations and a ttl.", hint="the windows say what counts: leave ttl out."
                )
            inputs = listed(owner, "inputs", self.inputs)
            schema, inputs = _windowed(owner, aggregations, schema, inputs, keys)
            put(self, inputs=inputs)
        elif self.inputs:
            raise DefinitionError(f"{owner}: inputs without aggregations.", hint="leave inputs out.")
        check_texts(owner, description=self.description, owner=self.owner)
        if isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 1:
            raise DefinitionError(f"{owner}: version is {self.version!r}.", hint="version is a whole number from 1.")
        if not isinstance(self.online, bool):
            raise DefinitionError(f"{owner}: online is {self.online!r}.", hint="online is True or False.")
        put(
            self,
            entities=entities,
            schema=schema,
            aggregations=aggregations,
            entity_columns=entity_columns,
            ttl=_checked_ttl(owner, self.ttl),
            tags=check_tags(owner, self.tags),
        )

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The join keys of its entities, in their order."""
        return tuple(key for entity in self.entities for key in entity.join_keys)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of its features, in schema order."""
        if self.aggregations:
            return tuple(name for one in self.aggregations for name in one.feature_names)
        return tuple(one.name for one in self.schema)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that its aggregations look at; none of a row view."""
        return tuple(dict.fromkeys(column for one in self.aggregations for column in one.columns))

    @property
    def resolved(self) -> bool:
        """Whether all types are known, as they are in a registry."""
        return bool(self.schema) and len(self.entity_columns) == len(self.join_keys)


# A view is asked for `features` far more often than it is made with that older argument.
FeatureView.features = property(lambda self: _Shown(self.schema))  # type: ignore[attr-defined]


class _Shown(tuple[Field, ...]):
    """A schema as `view.features` shows it: `dataclasses.replace` hands it back as if it were the argument."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A view as a service or a question uses it: picked features, another name, other join columns.

    Args:
        view: the view.
        features: names of the features picked; all of them, today's and tomorrow's, when left out.
        name: the name it goes by; by default the view's.
        join_key_map: join key of the view → column of the question.

    Raises:
        UnknownFeature: the view has no such feature.
        DefinitionError: a feature stands twice, or the map names no join key of the view.
    """

    view: View
    features: tuple[str, ...] = ()
    name: str = ""
    join_key_map: Mapping[str, str] = field(default_factory=FrozenMap)

    def __post_init__(self) -> None:
        if not isinstance(self.view, View):
            raise DefinitionError(f"projection of {self.view!r}, which is no view.", hint="view is a FeatureView.")
        owner = f"projection of view {self.view.name!r}"
        if self.name != "":
            check_name("projection", self.name)
        features = tuple(check_column(owner, one) for one in listed(owner, "features", self.features))
        join_key_map = check_tags(owner, self.join_key_map, "join_key_map")
        if twice := duplicates(features):
            raise DefinitionError(f"{owner}: feature {twice[0]!r} stands twice.", hint="pick each feature once.")
        if self.view.feature_names:
            for feature in features:
                if feature not in self.view.feature_names:
                    raise UnknownFeature(view=self.view.name, feature=feature, known=self.view.feature_names)
        for key, column in join_key_map.items():
            check_column(owner, column)
            if key not in self.view.join_keys:
                raise DefinitionError(
                    f"{owner}: join_key_map names {key!r}, which is no join key of it.",
                    instead=f"Its join keys: {', '.join(self.view.join_keys) or 'none'}.",
                    hint="write {join key of the view: column of the question}.",
                )
        put(self, features=features, name=self.name or self.view.name, join_key_map=join_key_map)
        if twice := duplicates(self.columns):
            raise DefinitionError(f"{owner}: two join keys look at column {twice[0]!r}.", hint="map them apart.")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features it stands for, in the order asked."""
        return self.features or self.view.feature_names

    @property
    def columns(self) -> tuple[str, ...]:
        """The question's columns that hold the join keys, in the view's order."""
        return tuple(self.join_key_map.get(key, key) for key in self.view.join_keys)

    def __getitem__(self, features: Sequence[str]) -> Projection:
        """Pick features from it."""
        return replace(self, features=_picked(f"view {self.name!r}", features))

    def with_name(self, name: str) -> Projection:
        """The same under another name."""
        return replace(self, name=name)

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> Projection:
        """The same looked up by other columns."""
        return replace(self, join_key_map=join_key_map)


def _picked(owner: str, features: Any) -> tuple[Any, ...]:
    """What stands in brackets; a list computed to be empty must not mean all."""
    if not (picked := listed(owner, "features", features)):
        raise DefinitionError(f"{owner}: no feature is picked.", hint="leave the brackets out for all of them.")
    return picked


def _entity(owner: str, entity: Any) -> Entity:
    if isinstance(entity, str):
        return Entity(name=entity)
    if isinstance(entity, Entity):
        return entity
    raise DefinitionError(f"{owner}: {entity!r} is no entity.", hint="entities is a list of Entity objects or names.")


def _declared(owner: str, schema: Any, features: Any) -> tuple[Field, ...]:
    """The fields a user gave, under the name of today or the older one."""
    given = schema, None if isinstance(features, _Shown) else features
    fields = [listed(owner, name, value) for name, value in zip(("schema", "features"), given, strict=True)]
    if all(fields):
        raise DefinitionError(f"{owner}: schema and features are both given.", hint="put all fields into schema.")
    return fields[0] or fields[1]


def _split(
    owner: str, fields: Sequence[Field], key_fields: Sequence[Field], entities: Sequence[Entity]
) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Tell features from declared join keys; the latter in the order of the join keys."""
    for one in (*fields, *key_fields):
        if not isinstance(one, Field):
            raise DefinitionError(f"{owner}: {one!r} is no Field.", hint="schema=[Field(name='age', dtype=Int64), …].")
    for one in fields:
        check_unreserved(owner, one.name)
    key_types = {key: entity.value_type for entity in entities for key in entity.join_keys}
    for one in key_fields:
        if one.name not in key_types:
            raise DefinitionError(
                f"{owner}: entity_columns names {one.name!r}, which is no join key of it.",
                instead=f"Its join keys: {', '.join(key_types) or 'none'}.",
                hint="declare the types of its join keys, or leave them out of schema.",
            )
    if twice := duplicates(one.name for one in fields):
        kind = "join key" if twice[0] in key_types else "feature"
        raise DefinitionError(f"{owner}: {kind} {twice[0]!r} stands twice.", hint=f"name each {kind} once.")
    features = [one for one in fields if one.name not in key_types]
    declared = {one.name: one for one in (*key_fields, *fields) if one.name in key_types}
    _check_no_defaults(owner, declared.values(), "a join key", "give it to a feature")
    for key, value_type in key_types.items():
        if key in declared:
            dtype = check_key_type(f"{owner}: join key {key!r}", declared[key].dtype)
            if value_type is not None and value_type != dtype:
                raise DefinitionError(
                    f"{owner}: join key {key!r} is {dtype} in the schema and {value_type} in its entity.",
                    hint="say it once.",
                )
        elif value_type is not None:
            declared[key] = Field(key, value_type)
    return tuple(features), tuple(declared[key] for key in key_types if key in declared)


def _check_no_defaults(owner: str, fields: Iterable[Field], what: str, hint: str) -> None:
    """Refuse a default that would never stand for anything."""
    for one in fields:
        if one.default is not None:
            raise DefinitionError(f"{owner}: {one.name!r} is {what}, and has a default.", hint=f"{hint}: default=….")


def _aggregations(owner: str, given: Any) -> tuple[Aggregation, ...]:
    """What a user gave, each an aggregation, no two features of one name.

    Raises:
        DefinitionError: they are not.
    """
    found = listed(owner, "aggregations", given)
    if isinstance(given, list) and not found:
        raise DefinitionError(f"{owner}: aggregations is an empty list.", hint="leave it out for a row view.")
    for one in found:
        if not isinstance(one, Aggregation):
            raise DefinitionError(
                f"{owner}: {one!r:.80} is no aggregation.", hint="aggregations=[agg.sum('amount', over='7d'), …]."
            )
    if twice := duplicates(name for one in found for name in one.feature_names):
        raise _of_one_name(owner, twice[0], [one for one in found if twice[0] in one.feature_names])
    return found


def _of_one_name(owner: str, name: str, sharing: Sequence[Aggregation]) -> DefinitionError:
    """Aggregations would make two features of one name, or one would by two windows of one size."""
    if len(sharing) > 1:
        said = listing(map(_told, sharing))
        hint = "give one of them a name of its own: name='…'."
    else:
        said = f"two windows of {sharing[0].shown}"
        hint = "write one aggregation for each of these windows, each with a name of its own: name='…'."
    return DefinitionError(f"{owner}: several features would be called {name!r}: of {said}.", hint=hint)


def _windowed(
    owner: str,
    aggregations: Sequence[Aggregation],
    declared: Sequence[Field],
    inputs: Sequence[Field],
    keys: Sequence[str],
) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """The features and the inputs of a windowed view, as far as types are known.

    Args:
        owner: the view, for errors.
        aggregations: its aggregations.
        declared: fields of the schema given: of columns looked at; or of features, where it was resolved before.
        inputs: columns looked at, where it was resolved before.
        keys: its join keys.
    """
    columns = dict.fromkeys(column for one in aggregations for column in one.columns)
    features = [name for one in aggregations for name in one.feature_names]
    for one in aggregations:
        for name in one.feature_names:
            if name in columns or name in keys:
                what = "a join key" if name in keys else "a column that an aggregation looks at"
                raise DefinitionError(
                    f"{owner}: feature {name!r} of aggregation {_told(one)} is called like {what}.",
                    hint="give the aggregation another name.",
                )
    _check_lengths(owner, aggregations)
    if unknown := [one.name for one in declared if one.name not in columns and one.name not in features]:
        raise DefinitionError(
            f"{owner}: schema has {unknown[0]!r}, which no aggregation looks at.",
            instead=f"Its aggregations look at: {listing(columns)}.",
            hint="the features of a windowed view are its aggregations; schema declares types of what they look at.",
        )
    types = {one.name: one for one in (*declared, *inputs) if one.name in columns}
    known = tuple(types[column] for column in columns if column in types)
    _check_no_defaults(owner, known, "a column that an aggregation looks at", "give it to the aggregation")
    if len(known) < len(columns):
        return (), known
    dtypes = {one.name: one.dtype for one in known}
    return tuple(field for one in aggregations for field in _features(owner, one, dtypes)), known


def _told(aggregation: Aggregation) -> str:
    """An aggregation by function, column and condition, as a name does not tell it from one of the same name."""
    of_all = f"{aggregation.function}({aggregation.column and repr(aggregation.column)})"
    return f"{of_all} where {aggregation.where}" if aggregation.where else of_all


def _check_lengths(owner: str, aggregations: Sequence[Aggregation]) -> None:
    """Refuse to take vectors of one column to be of two lengths."""
    lengths: dict[str, Aggregation] = {}
    for one in aggregations:
        length = one.arguments.get("length")
        if length is not None and lengths.setdefault(one.column, one).arguments["length"] != length:
            other = lengths[one.column]
            raise DefinitionError(
                f"{owner}: aggregations {other.shown} and {one.shown} take the vectors of one column to have "
                f"{other.arguments['length']} and {length} elements.",
                hint="all vectors of a column have one length: say that one.",
            )


def _features(owner: str, aggregation: Aggregation, columns: Mapping[str, FeatureType]) -> list[Field]:
    try:
        return [Field(name, dtype, default=aggregation.default) for name, dtype in aggregation.features(columns)]
    except DefinitionError as wrong:
        what = f"{owner}: aggregation {aggregation.shown}: {wrong.what}"
        raise DefinitionError(what, instead=wrong.instead, hint=wrong.hint) from None


def _checked_ttl(owner: str, ttl: timedelta | str | None) -> timedelta | None:
    checked = None if ttl is None else check_duration(owner, "ttl", ttl)
    if checked is not None and checked < timedelta(0):
        raise DefinitionError(f"{owner}: ttl is {checked}.", hint="ttl is positive; None or zero means for ever.")
    return checked or None
