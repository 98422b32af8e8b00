"""What a list of feature names, or a service, asks of which views: the same for training and for serving.

>>> from gnomon import Entity, FeatureView, Field, FileSource
>>> from gnomon.definitions.catalog import Catalog
>>> from gnomon.types import Int64
>>> view = FeatureView(name="profile", entities=[Entity(name="user", value_type=Int64)],
...                    source=FileSource(path="users.parquet"), schema=[Field("age", Int64), Field("score", Int64)])
>>> questions, order = resolve(Catalog.of([view]), ["profile:score", "profile:age"])
>>> questions[0].columns, questions[0].features, order
(('user',), (('score', 'score'), ('age', 'age')), ('score', 'age'))
"""

from __future__ import annotations

from collections.abc import Sequence

from gnomon.definitions.base import duplicates
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.services import FeatureService
from gnomon.definitions.views import FeatureView, Projection
from gnomon.errors import RequestError, UnknownFeature, listing
from gnomon.plan.questions import ViewQuestion

__all__ = ["Features", "reference_of", "resolve"]

Features = Sequence[str] | FeatureService | str
"""References such as `profile:age` or `profile@2:age`, a service, or a service's name."""

Picked = tuple[Projection, str]
"""A view as it is used, and one feature of it."""


def resolve(
    catalog: Catalog, features: Features, full_feature_names: bool = False
) -> tuple[tuple[ViewQuestion, ...], tuple[str, ...]]:
    """The parts of a question, one per view or projection used, and the answer's column names in the order asked.

    A service is looked up by its name: what is registered counts, not the object passed in.

    Args:
        catalog: the registered definitions.
        features: what is asked for.
        full_feature_names: name the columns `view__feature`, where `view` is the name the view goes by.

    Raises:
        NotRegistered: a view or a service is not in the catalog.
        UnknownFeature: a view has no such feature.
        RequestError: a reference cannot be read, or two columns of the answer would have one name.
    """
    picked = _picked(catalog, features)
    names = [f"{used.name}__{feature}" if full_feature_names else feature for used, feature in picked]
    if twice := duplicates(names):
        raise _clash(twice[0], [one for one, name in zip(picked, names, strict=True) if name == twice[0]])
    parts: dict[tuple[str, str], tuple[Projection, list[tuple[str, str]]]] = {}
    for (used, feature), name in zip(picked, names, strict=True):
        parts.setdefault((used.name, used.view.id), (used, []))[1].append((feature, name))
    questions = tuple(
        ViewQuestion(view=used.view, columns=used.columns, features=tuple(asked)) for used, asked in parts.values()
    )
    return questions, tuple(names)


def _picked(catalog: Catalog, features: Features) -> list[Picked]:
    if isinstance(features, str) and ":" in features:
        raise RequestError(f"features is the text {features!r}.", hint=f"pass a list: features=[{features!r}].")
    if isinstance(features, (str, FeatureService)):
        service = catalog.service(features if isinstance(features, str) else features.name)
        return [(part, feature) for part in service.features for feature in _known(part)]
    if isinstance(features, (bytes, dict)) or not isinstance(features, Sequence):
        raise _unreadable(features)
    if not features:
        raise RequestError(
            "no features are asked for.", hint="name some: features=['profile:age'], or pass a feature service."
        )
    views: dict[str, Projection] = {}
    return [_reference(catalog, views, one) for one in features]


def _reference(catalog: Catalog, views: dict[str, Projection], reference: object) -> Picked:
    name, colon, feature = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    if not (name and colon and feature):
        raise _unreadable(reference)
    if name not in views:
        view = catalog.view(name)
        views[name] = Projection(view=view)
    _check(views[name].view, feature)
    return views[name], feature


def _known(part: Projection) -> tuple[str, ...]:
    for feature in part.feature_names:
        _check(part.view, feature)
    return part.feature_names


def _check(view: FeatureView, feature: str) -> None:
    if feature not in view.feature_names:
        raise UnknownFeature(view=view.name, feature=feature, known=view.feature_names)


def _unreadable(reference: object) -> RequestError:
    if isinstance(reference, (FeatureView, Projection)):
        example = f"features=['{reference.name}:{(*reference.feature_names, 'feature')[0]}', …]"
        return RequestError(
            f"features names the view {reference.name!r}, not features of it.",
            hint=f"write {example}, or put the view into a FeatureService.",
            reference=reference,
        )
    return RequestError(
        f"{reference!r:.80} names no feature.",
        hint="write 'view:feature', 'view@2:feature' for a version, or pass a feature service.",
        reference=reference,
    )


def _clash(name: str, sharing: list[Picked]) -> RequestError:
    owners = list(dict.fromkeys((used.name, used.view.id) for used, _ in sharing))
    feature = sharing[0][1]
    if len(owners) == 1:
        return RequestError(
            f"feature '{owners[0][0]}:{feature}' is asked for twice.", hint="name it once.", feature=name
        )
    if len({alias for alias, _ in owners}) == 1:
        shown = [f"'{view}:{feature}'" for _, view in owners]
        hint = "ask for one version at a time, or use a service with view.with_name('other')."
    else:
        shown = [f"'{alias}:{feature}'" for alias, _ in owners]
        hint = "full_feature_names=True names the columns view__feature."
    return RequestError(f"several features would be called {name!r}: {', '.join(shown)}.", hint=hint, feature=name)


def reference_of(catalog: Catalog, feature: object) -> str:
    """A reference to one feature, from `view:feature`, `view@2:feature` or `view__feature`.

    Args:
        catalog: the registered definitions.
        feature: what a user wrote.

    Raises:
        RequestError: it names no feature, or may be read in several ways.
    """
    if isinstance(feature, str) and ":" in feature:
        return feature
    ways = _ways(feature) if isinstance(feature, str) else []
    if not ways:
        raise _unreadable(feature)
    names = {name for view in catalog.views.values() for name in (view.name, view.id)}
    found = [(view, name) for view, name in ways if view in names and name in catalog.view(view).feature_names]
    if len(found) > 1:
        shown = listing(f"'{view}:{name}'" for view, name in found)
        hint = "write the one that is meant."
        raise RequestError(f"{feature!r} may be read as {shown}.", hint=hint, reference=feature)
    view, name = (found or ways)[0]
    return f"{view}:{name}"


def _ways(text: str) -> list[tuple[str, str]]:
    """A text parted at every double underscore that has something on both sides."""
    return [(text[:at], text[at + 2 :]) for at in range(1, len(text) - 2) if text[at : at + 2] == "__"]
