"""Features as documents: each with its type, its view, what it is about, who owns it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gnomon.clock import duration_text
from gnomon.core.windows import words_of
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.codec import fingerprint
from gnomon.definitions.on_demand import OnDemandFeatureView
from gnomon.definitions.views import FeatureView
from gnomon.plan.references import resolve

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


def detailed(catalog: Catalog, view: FeatureView | OnDemandFeatureView, feature: str) -> dict[str, Any]:
    """All there is to say of one feature."""
    name = f"{view.id}:{feature}"
    return {
        **(_told(view, feature) if isinstance(view, FeatureView) else _told_on_demand(catalog, view, feature)),
        **(_computed(view, feature) if isinstance(view, FeatureView) else {}),
        "ttl": duration_text(view.ttl) if isinstance(view, FeatureView) and view.ttl else None,
        "fingerprint": fingerprint(view),
        "services": [one.name for one in catalog.services.values() if name in _names_in(catalog, one.name)],
    }


def _all(catalog: Catalog) -> Iterator[dict[str, Any]]:
    for _, view in sorted(catalog.views.items()):
        yield from (_told(view, feature) for feature in view.feature_names)
    for _, computed in sorted(catalog.on_demand_views.items()):
        yield from (_told_on_demand(catalog, computed, feature) for feature in computed.feature_names)


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


def _told_on_demand(catalog: Catalog, view: OnDemandFeatureView, feature: str) -> dict[str, Any]:
    """The same of a feature that is computed on demand: what it is about is what it is computed of."""
    meaning = resolve(catalog, [f"{view.id}:{feature}"])
    entities = (entity.name for part in meaning.views for entity in part.view.entities)
    return {
        "name": f"{view.id}:{feature}",
        "feature": feature,
        "view": view.name,
        "version": view.version,
        "kind": "on-demand",
        "type": {one.name: str(one.dtype) for one in view.schema}[feature],
        "entities": list(dict.fromkeys(entities)),
        "join_keys": list(dict.fromkeys(column for part in meaning.views for column in part.columns)),
        "request": [one.name for one in meaning.given],
        "source": ", ".join(one.name for one in view.sources),
        "online": True,
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
