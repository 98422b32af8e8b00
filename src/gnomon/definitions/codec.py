"""One JSON form for every definition, and the fingerprint that tells whether two of them give the same values.

A definition becomes a document: its class, its name, and the fields that differ from their defaults. Named
definitions inside it become references, so that each is written once.

>>> from gnomon.definitions.entities import Entity
>>> encode(Entity(name="user", description="A card holder"))
{'kind': 'Entity', 'name': 'user', 'join_keys': ['user'], 'description': 'A card holder'}
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from gnomon.clock import duration_text
from gnomon.core.functions import Code
from gnomon.core.windows import Window
from gnomon.definitions.aggregations import Aggregation
from gnomon.definitions.entities import Entity, Field
from gnomon.definitions.formats import FORMATS
from gnomon.definitions.logging import LoggingConfig
from gnomon.definitions.on_demand import OnDemandFeatureView
from gnomon.definitions.request_sources import RequestSource
from gnomon.definitions.services import FeatureService
from gnomon.definitions.sources import FileSource, PushSource
from gnomon.definitions.streams import STREAMS
from gnomon.definitions.views import FeatureView, Projection, View
from gnomon.errors import DefinitionError, nearest
from gnomon.types import FeatureType

Definition = Entity | FileSource | PushSource | RequestSource | FeatureView | OnDemandFeatureView | FeatureService
"""What has a name of its own in the registry."""

NEWER = "it may have been written by a newer gnomon: upgrade (pip install -U gnomon)."

Resolve = Callable[[str, str], Definition]
"""Gives the definition of a kind and an id."""

NAMED: tuple[type[Any], ...] = (
    *(Entity, FileSource, PushSource, *STREAMS, RequestSource),
    *(FeatureView, OnDemandFeatureView, FeatureService),
)
CLASSES: dict[str, type[Any]] = {
    one.__name__: one for one in (*NAMED, *FORMATS, Aggregation, Code, Field, LoggingConfig, Projection, Window)
}


def kind_of(definition: Definition) -> str:
    """The word for what it is, its class: `Entity`, `FileSource`, `FeatureView`, and so on."""
    return type(definition).__name__


def id_of(definition: Definition) -> str:
    """The name that is unique among its kind: `name@version` for a view, the name for the others."""
    return definition.id if isinstance(definition, View) else definition.name


def encode(definition: Definition) -> dict[str, Any]:
    """A definition as a JSON document, with references to the named definitions inside it."""
    return _encode_fields(definition, _encode_nested)


def decode(document: Mapping[str, Any], resolve: Resolve) -> Any:
    """A definition from its document.

    Args:
        document: what `encode` gave.
        resolve: gives the definitions it refers to.

    Raises:
        DefinitionError: a class or a field is unknown, a field is not there, or a value is unusable.
    """
    kind = document.get("kind")
    cls = CLASSES.get(str(kind))
    if cls is None:
        raise DefinitionError(f"no definition is called {kind!r}.", instead=f"There are: {', '.join(CLASSES)}.")
    fields = {one.name: one for one in dataclasses.fields(cls)}
    values = {name: value for name, value in document.items() if name != "kind"}
    shown = document.get("name") or document.get("function")
    if unknown := values.keys() - fields.keys():
        raise DefinitionError(
            f"{kind} {shown!r} has an unknown field {min(unknown)!r}.",
            hint=f"did you mean {meant!r}? Else {NEWER}" if (meant := nearest(min(unknown), fields)) else NEWER,
        )
    if lacking := [name for name, one in fields.items() if name not in values and _default(one) is dataclasses.MISSING]:
        raise DefinitionError(f"{kind} {shown!r} lacks {lacking[0]!r}.")
    try:
        decoded = {name: _decode(value, fields[name], resolve) for name, value in values.items()}
    except DefinitionError as wrong:
        if cls is not FeatureView or wrong.what.startswith("feature view"):
            raise
        raise DefinitionError(
            f"feature view {shown!r}: {wrong.what}", instead=wrong.instead, hint=wrong.hint
        ) from wrong
    return cls(**decoded)


def fingerprint(definition: Definition) -> str:
    """32 hex digits that change exactly when a definition may give other values; words about it do not count.

    >>> from gnomon.definitions.entities import Entity
    >>> fingerprint(Entity(name="u")) == fingerprint(Entity(name="u", description="another word", tags={"a": "b"}))
    True
    """
    text = json.dumps(_encode_fields(definition, _expand, without=_TOLD), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def stored_fingerprint(view: FeatureView) -> str:
    """32 hex digits that change exactly when what is stored of a view may be other values: defaults are put in later.

    >>> from gnomon import FileSource
    >>> from gnomon.types import Int64
    >>> source = FileSource(path="users.parquet", timestamp_field="at")
    >>> plain, filled = (FeatureView(name="v", source=source, schema=[Field("age", Int64, default=one)])
    ...                  for one in (None, 0))
    >>> stored_fingerprint(plain) == stored_fingerprint(filled) == fingerprint(plain)
    True
    >>> fingerprint(filled) == fingerprint(plain)
    False
    """
    text = json.dumps(_encode_fields(view, _expand_stored, without=_SHOWN), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


_TOLD = ("describes",)
_SHOWN = ("describes", "shown")
"""What marks fields that tell people something, and those that change what is shown of a value and not the value."""


def _encode_fields(obj: Any, nested: Callable[[Any], Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    document: dict[str, Any] = {"kind": type(obj).__name__}
    for one in dataclasses.fields(obj):
        value = getattr(obj, one.name)
        if not any(one.metadata.get(mark) for mark in without) and value != _default(one):
            document[one.name] = _encode_value(value, nested)
    return document


def _encode_value(value: Any, nested: Callable[[Any], Any]) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, FeatureType):
        return nested(value)
    if isinstance(value, FeatureType):
        return str(value)
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Mapping):
        return {name: _encode_value(one, nested) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_encode_value(one, nested) for one in value]
    return value


def _encode_nested(value: Any) -> dict[str, Any]:
    if isinstance(value, NAMED):
        return {"ref": kind_of(value), "name": id_of(value)}
    return _encode_fields(value, _encode_nested)


def _expand(value: Any) -> dict[str, Any]:
    return _encode_fields(value, _expand, without=_TOLD)


def _expand_stored(value: Any) -> dict[str, Any]:
    return _encode_fields(value, _expand_stored, without=_SHOWN)


def _decode(value: Any, where: dataclasses.Field[Any], resolve: Resolve) -> Any:
    if isinstance(value, list):
        return [_decode(one, where, resolve) for one in value]
    if not isinstance(value, dict) or "Mapping" in str(where.type):
        return value
    return resolve(value["ref"], value["name"]) if "ref" in value else decode(value, resolve)


def _default(one: dataclasses.Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default
