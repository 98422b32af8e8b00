"""An entity as a caller names it, by its join keys, with values in the types that views give these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gnomon.core.casting import cast_key
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.sources import PushSource
from gnomon.errors import RequestError, listing, nearest_hint
from gnomon.types import KEY_TYPES, FeatureType, String, UnixTimestamp

__all__ = ["entity_key"]


def entity_key(catalog: Catalog, entity: Mapping[str, Any]) -> dict[str, Any]:
    """An entity's join keys, each value of a type that a definition gives that key.

    Args:
        catalog: the definitions.
        entity: join key → value.

    Raises:
        RequestError: it is none: it is empty, a value is null or of no such type, or nothing has such a join key.
    """
    if not isinstance(entity, Mapping) or not entity:
        raise RequestError(f"{entity!r} is no entity.", hint='pass its join keys: {"user_id": 7}.')
    known: dict[str, set[FeatureType]] = {}
    for name, dtype in _join_keys(catalog):
        known.setdefault(name, set()).add(dtype)
    for name in entity:
        if name not in known:
            raise RequestError(
                f"{name!r} is no join key of a registered view.",
                instead=f"There are: {listing(sorted(known))}.",
                hint=nearest_hint(name, known, otherwise="name the join keys of the entity: user_id=7."),
            )
    return {name: _cast(name, value, known[name]) for name, value in entity.items()}


def _join_keys(catalog: Catalog) -> Iterator[tuple[str, FeatureType]]:
    """Join keys and their types, by views, and by sources that are pushed to before there is a view."""
    for view in catalog.views.values():
        yield from ((one.name, one.dtype) for one in view.entity_columns)
    names = {key for entity in catalog.entities.values() for key in entity.join_keys}
    for source in catalog.sources.values():
        columns = source.schema if isinstance(source, PushSource) else ()
        yield from ((one.name, one.dtype) for one in columns if one.name in names and one.dtype in KEY_TYPES)


def _cast(name: str, value: Any, dtypes: set[FeatureType]) -> Any:
    """The value in one of some types; "7" is the number 7 if one of them is a number's, and is found as both."""
    wrong: RequestError | None = None
    for dtype in sorted(dtypes, key=lambda dtype: (dtype == String, str(dtype))):
        try:
            known = cast_key(value, dtype, name)
        except RequestError as lossy:
            wrong = lossy
            continue
        if known is None:
            raise RequestError(f"{name!r} is null.", hint="rows without a key are nobody's: name a key.")
        return value if dtype == UnixTimestamp else known
    assert wrong is not None
    raise wrong
