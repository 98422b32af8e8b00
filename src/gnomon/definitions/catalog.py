"""A catalog: all definitions of a project at one moment, looked up by name.

>>> from gnomon import Entity, FeatureService, FeatureView, FileSource
>>> view = FeatureView(name="profile", entities=["user"], source=FileSource(path="users.parquet"))
>>> catalog = Catalog.of([FeatureService(name="model", features=[view])])
>>> sorted(catalog.definitions)
[('Entity', 'user'), ('FeatureService', 'model'), ('FeatureView', 'profile@1'), ('FileSource', 'users.parquet')]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from gnomon.definitions.base import FrozenMap, duplicates
from gnomon.definitions.codec import NAMED, Definition, decode, encode, id_of, kind_of
from gnomon.definitions.entities import Entity
from gnomon.definitions.on_demand import OnDemandFeatureView, RequestSource
from gnomon.definitions.services import FeatureService
from gnomon.definitions.sources import SOURCES, FileSource, PushSource, Source, file_sources
from gnomon.definitions.views import FeatureView, Projection, View
from gnomon.errors import DefinitionError, NotRegistered, RequestError, UnknownFeature, listing

__all__ = ["KIND_WORDS", "Catalog", "Key"]

Key = tuple[str, str]
"""(kind, id): `("FeatureView", "profile@1")`."""

KIND_WORDS = {
    "Entity": "entity",
    "FileSource": "data source",
    "PushSource": "push source",
    "KafkaSource": "Kafka source",
    "RedisStreamSource": "Redis source",
    "RequestSource": "request source",
    "FeatureView": "feature view",
    "OnDemandFeatureView": "on-demand feature view",
    "FeatureService": "feature service",
}
"""What each kind is called in messages."""

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Catalog:
    """All definitions of a project at one moment.

    Args:
        definitions: (kind, id) → definition; each holds the definitions it refers to.
    """

    definitions: Mapping[Key, Definition] = field(default_factory=FrozenMap)

    @classmethod
    def of(cls, objects: Iterable[Any]) -> Catalog:
        """The given definitions and all they reach.

        Raises:
            DefinitionError: an object is no definition, or two different ones share a name.
        """
        found: dict[Key, Definition] = {}
        for one in objects:
            if not isinstance(one, NAMED):
                hint = f"apply takes {', '.join(cls.__name__ for cls in NAMED)}."
                raise DefinitionError(f"{one!r} is no definition.", hint=hint)
            for reached in _reach(one):
                _add(found, reached)
        return cls(FrozenMap(found)).relinked()

    @classmethod
    def from_documents(cls, documents: Iterable[Mapping[str, Any]]) -> Catalog:
        """The catalog whose definitions were written as these documents, in any order.

        Raises:
            DefinitionError: a document is none, or refers to what is not among them.
        """
        found = _Decoding(documents).all()
        _check_source_names(found.values())
        _check_view_names(found.values())
        return cls(FrozenMap(found))

    def documents(self) -> list[dict[str, Any]]:
        """Every definition as JSON, ordered by kind and id."""
        return [encode(self.definitions[key]) for key in sorted(self.definitions)]

    def relinked(self) -> Catalog:
        """The same definitions, each holding the catalog's own copy of those it refers to."""
        return Catalog.from_documents(self.documents())

    def with_definitions(self, changed: Mapping[Key, Definition | None]) -> Catalog:
        """A catalog with some definitions put in or (None) taken out, relinked."""
        self._keep_join_keys(changed)
        merged = {**self.definitions, **changed}
        return Catalog(FrozenMap({key: one for key, one in merged.items() if one is not None})).relinked()

    def _keep_join_keys(self, changed: Mapping[Key, Definition | None]) -> None:
        """Refuse to give an entity other join keys under a view that is not changed with it."""
        for view in self.views.values():
            for entity in () if ("FeatureView", view.id) in changed else view.entities:
                anew = changed.get(("Entity", entity.name))
                if isinstance(anew, Entity) and anew.join_keys != entity.join_keys:
                    raise DefinitionError(
                        f"entity {entity.name!r} changes its join keys from {listing(entity.join_keys)} to "
                        f"{listing(anew.join_keys)}, and feature view {view.id!r} stands on it.",
                        hint="give the new entity another name, or apply the view anew together with it.",
                    )

    @property
    def entities(self) -> Mapping[str, Entity]:
        """Entities by name."""
        return self._of(Entity)

    @property
    def sources(self) -> Mapping[str, Source]:
        """Data sources of every kind by name."""
        return {**self._of(FileSource), **self._of(PushSource)}

    @property
    def views(self) -> Mapping[str, FeatureView]:
        """Feature views by `name@version`."""
        return self._of(FeatureView)

    @property
    def on_demand_views(self) -> Mapping[str, OnDemandFeatureView]:
        """On-demand feature views by `name@version`."""
        return self._of(OnDemandFeatureView)

    @property
    def all_views(self) -> Mapping[str, FeatureView | OnDemandFeatureView]:
        """Views of both kinds by `name@version`."""
        return {**self.views, **self.on_demand_views}

    @property
    def request_sources(self) -> Mapping[str, RequestSource]:
        """Request sources by name."""
        return self._of(RequestSource)

    @property
    def services(self) -> Mapping[str, FeatureService]:
        """Feature services by name."""
        return self._of(FeatureService)

    def view(self, reference: str) -> FeatureView:
        """A view by `name` (its highest version) or `name@version`.

        Raises:
            NotRegistered: there is none.
            RequestError: it is no text, or the version is no number.
        """
        return _versioned("feature view", self.views, reference)

    def on_demand_view(self, reference: str) -> OnDemandFeatureView:
        """An on-demand view by `name` (its highest version) or `name@version`.

        Raises:
            NotRegistered: there is none.
            RequestError: it is no text, or the version is no number.
        """
        return _versioned("on-demand feature view", self.on_demand_views, reference)

    def any_view(self, reference: str) -> FeatureView | OnDemandFeatureView:
        """A view of either kind by `name` (its highest version) or `name@version`.

        Raises:
            NotRegistered: there is none.
            RequestError: it is no text, or the version is no number.
        """
        return _versioned("feature view", self.all_views, reference)

    def service(self, name: str) -> FeatureService:
        """A service by name.

        Raises:
            NotRegistered: there is none.
        """
        if name not in self.services:
            raise NotRegistered(kind="feature service", name=name, known=self.services)
        return self.services[name]

    def _of(self, cls: type[D]) -> dict[str, D]:
        return {name: one for (kind, name), one in self.definitions.items() if isinstance(one, cls)}


V = TypeVar("V", bound=View)


def _versioned(kind: str, views: Mapping[str, V], reference: str) -> V:
    """The view that a reference names, of those of a kind."""
    if not isinstance(reference, str):
        raise RequestError(f"{reference!r} names no view.", hint="write 'name' or 'name@version'.")
    name, at, version = reference.partition("@")
    versions = {view.version: view for view in views.values() if view.name == name}
    if not versions:
        raise NotRegistered(kind=kind, name=name, known={view.name for view in views.values()})
    if not at:
        return versions[max(versions)]
    if not version.isdecimal():
        raise RequestError(f"{reference!r} names no version.", hint=f"write {name}@{max(versions)}.")
    if int(version) not in versions:
        raise NotRegistered(kind=kind, name=reference, known=(view.id for view in versions.values()))
    return versions[int(version)]


class _Decoding:
    """Documents on their way to definitions, each decoded after those it refers to."""

    def __init__(self, documents: Iterable[Mapping[str, Any]]) -> None:
        order = {cls.__name__: place for place, cls in enumerate(NAMED)}
        given = sorted(documents, key=lambda one: order.get(one.get("kind", ""), 99))
        self._documents = {_key_of(document): document for document in given}
        self._found: dict[Key, Definition] = {}
        self._busy: list[Key] = []

    def all(self) -> dict[Key, Definition]:
        """The definitions."""
        for key in self._documents:
            self._decode(key)
        return self._found

    def _decode(self, key: Key) -> None:
        if key in self._found:
            return
        if key in self._busy:
            path = " → ".join(name for _, name in (*self._busy[self._busy.index(key) :], key))
            raise DefinitionError(f"on-demand views go in a circle: {path}.", hint="take one of them out of the other.")
        document = self._documents[key]
        self._busy.append(key)
        try:
            self._found[key] = decode(document, partial(self._referred, document))
        except UnknownFeature as wrong:
            raise _picks_what_is_gone(document, wrong) from wrong
        self._busy.pop()

    def _referred(self, referring: Mapping[str, Any], kind: str, name: str) -> Definition:
        if (kind, name) in self._documents:
            self._decode((kind, name))
        return _resolve(self._found, referring, kind, name)


def _key_of(document: Mapping[str, Any]) -> Key:
    """The kind and the id of what a document says."""
    kind, name = str(document.get("kind")), str(document.get("name"))
    versioned = kind in (FeatureView.__name__, OnDemandFeatureView.__name__)
    return kind, f"{name}@{document.get('version', 1)}" if versioned else name


def _resolve(found: Mapping[Key, Definition], referring: Mapping[str, Any], kind: str, name: str) -> Definition:
    if (kind, name) in found:
        return found[kind, name]
    who = f"{KIND_WORDS.get(referring['kind'], 'definition')} {referring.get('name')!r}"
    raise DefinitionError(
        f"{who} refers to {KIND_WORDS.get(kind, kind)} {name!r}, which is not there.",
        hint=f"define {name!r} too, or take out what refers to it.",
    )


def _check_source_names(definitions: Iterable[Definition]) -> None:
    """Sources of all kinds are looked up by their names alone."""
    if twice := duplicates(one.name for one in definitions if isinstance(one, SOURCES)):
        raise DefinitionError(
            f"two sources of different kinds are both called {twice[0]!r}.",
            hint="give one of them another name, or drop the older one: gnomon apply --prune.",
        )


def _check_view_names(definitions: Iterable[Definition]) -> None:
    """Views of both kinds are looked up by their names alone."""
    kinds: dict[str, set[str]] = {}
    for one in definitions:
        if isinstance(one, View):
            kinds.setdefault(one.name, set()).add(kind_of(one))
    if twice := [name for name, some in kinds.items() if len(some) > 1]:
        raise DefinitionError(
            f"a feature view and an on-demand feature view are both called {twice[0]!r}.",
            hint="give one of them another name, or drop the older one: gnomon apply --prune.",
        )


def _picks_what_is_gone(document: Mapping[str, Any], wrong: UnknownFeature) -> DefinitionError:
    name = f"{KIND_WORDS[document['kind']]} {document['name']!r}"
    return DefinitionError(
        f"{name} picks a feature that is not there: {wrong.what}",
        instead=wrong.instead,
        hint=f"{wrong.hint} If the view lost it, apply the service anew as well, or give the view a new version.",
    )


def _reach(definition: Any) -> Iterator[Definition]:
    if isinstance(definition, FeatureService):
        for part in definition.features:
            yield from _reach(part.view)
    if isinstance(definition, OnDemandFeatureView):
        for source in definition.sources:
            yield from _reach(source.view if isinstance(source, Projection) else source)
    if isinstance(definition, FeatureView):
        yield from definition.entities
        yield from _reach(definition.source)
    if isinstance(definition, PushSource):
        yield from file_sources(definition)
    yield definition


def _add(found: dict[Key, Definition], one: Definition) -> None:
    key = kind_of(one), id_of(one)
    other = found.get(key)
    if other is None or other == one or _is_bare(other):
        found[key] = one
    elif not _is_bare(one):
        raise DefinitionError(
            f"two different definitions are both called {KIND_WORDS[key[0]]} {key[1]!r}.",
            hint="give one of them another name, or import one from the other's file.",
        )


def _is_bare(one: Definition) -> bool:
    """An entity mentioned by name only (`entities=["user"]`) yields to its full definition."""
    return isinstance(one, Entity) and one == Entity(name=one.name)
