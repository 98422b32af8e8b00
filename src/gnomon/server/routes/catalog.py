"""Features as documents: each with its type, its view, what it is about, who owns it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gnomon.clock import duration_text
from gnomon.core.windows import words_of
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.codec import fingerprint
from gnomon.definitions.views import FeatureView

__all__ = ["Wanted", "detailed", "listed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which features are wanted; all, where nothing is said.

    Args:
        view: only of this view, `name` or `name@version`.
        entity: only of views of this entity.
        service: only those of this feature service.
        owner: only of views of this owner.
        tag: only of views with this tag, `name` or `name:value`.
        online: only of views that are, or are not, online.
        search: only those with this text in their name or their view's description.
    """

    view: str | None = None
    entity: str | None = None
    service: str | None = None
    owner: str | None = None
    tag: str | None = None
    online: bool | None = None
    search: str | None = None

    def fits(self, told: Mapping[str, Any]) -> bool:
        """Whether a feature is one of them, whatever its service."""
        return (
            self.view in (None, told["view"], f"{told['view']}@{told['version']}")
            and (self.entity is None or self.entity in told["entities"])
            and self.owner in (None, told["owner"])
            and (self.tag is None or _has_tag(told["tags"], self.tag))
            and self.online in (None, told["online"])
            and (self.search is None or self.search.lower() in f"{told['name']}\n{told['description']}".lower())
        )


def listed(catalog: Catalog, wanted: Wanted) -> list[dict[str, Any]]:
    """The features that are wanted, by name.

    Raises:
        NotRegistered: there is no such service.
    """
    of_service = None if wanted.service is None else set(_names_in(catalog, wanted.service))
    return [told for told in _all(catalog) if wanted.fits(told) and (of_service is None or told["name"] in of_service)]


def detailed(catalog: Catalog, view: FeatureView, feature: str) -> dict[str, Any]:
    """All there is to say of one feature."""
    name = f"{view.id}:{feature}"
    return {
        **_told(view, feature),
        **_computed(view, feature),
        "ttl": duration_text(view.ttl) if view.ttl else None,
        "fingerprint": fingerprint(view),
        "services": [one.name for one in catalog.services.values() if name in _names_in(catalog, one.name)],
    }


def _all(catalog: Catalog) -> Iterator[dict[str, Any]]:
    views = catalog.views
    for name in sorted(views):
        for feature in views[name].feature_names:
            yield _told(views[name], feature)


def _told(view: FeatureView, feature: str) -> dict[str, Any]:
    types = {one.name: str(one.dtype) for one in view.schema}
    return {
        "name": f"{view.id}:{feature}",
        "feature": feature,
        "view": view.name,
        "version": view.version,
        "kind": "windowed" if view.aggregations else "row",
        "type": types.get(feature, ""),
        "entities": [one.name for one in view.entities],
        "join_keys": list(view.join_keys),
        "source": view.source.name,
        "online": view.online,
        "description": view.description,
        "owner": view.owner,
        "tags": dict(view.tags),
    }


def _computed(view: FeatureView, feature: str) -> dict[str, Any]:
    """The aggregation that makes a feature, if one does."""
    for one in view.aggregations:
        for name, window in zip(one.feature_names, one.over, strict=True):
            if name == feature:
                told = {"function": one.function, "column": one.column or None, "where": one.where or None}
                return {"aggregation": {**told, "window": words_of(window)}}
    return {}


def _names_in(catalog: Catalog, service: str) -> Iterator[str]:
    for part in catalog.service(service).features:
        yield from (f"{part.view.id}:{feature}" for feature in part.feature_names)


def _has_tag(tags: Mapping[str, str], wanted: str) -> bool:
    name, colon, value = wanted.partition(":")
    return name in tags and (not colon or tags[name] == value)
