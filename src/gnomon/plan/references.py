"""What a list of feature names, or a service, asks of which views: the same for training and for serving.

>>> from gnomon import Entity, FeatureView, Field, FileSource
>>> from gnomon.definitions.catalog import Catalog
>>> from gnomon.types import Int64
>>> view = FeatureView(name="profile", entities=[Entity(name="user", value_type=Int64)],
...                    source=FileSource(path="users.parquet"), schema=[Field("age", Int64), Field("score", Int64)])
>>> meant = resolve(Catalog.of([view]), ["profile:score", "profile:age"])
>>> meant.views[0].columns, meant.views[0].features, meant.order
(('user',), (('score', 'score'), ('age', 'age')), ('score', 'age'))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from gnomon.definitions.base import duplicates
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.on_demand import Input, OnDemandFeatureView, RequestSource
from gnomon.definitions.services import FeatureService
from gnomon.definitions.views import FeatureView, Projection, View
from gnomon.errors import RequestError, UnknownFeature, listing
from gnomon.plan.questions import Computation, GivenValue, Meaning, ViewQuestion

__all__ = ["HIDDEN", "Features", "reference_of", "resolve"]

Features = Sequence[str] | FeatureService | str
"""References such as `profile:age` or `profile@2:age`, a service, or a service's name."""

Picked = tuple[Projection, str]
"""A view as it is used, and one feature of it."""

HIDDEN = "__"
"""Columns that are fetched or computed for others only begin so; no feature does."""


def resolve(catalog: Catalog, features: Features, full_feature_names: bool = False) -> Meaning:
    """What a question means: one part per view or projection used, what is computed, and the answer's columns.

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
    gathering = _Gathering()
    for (used, feature), name in zip(picked, names, strict=True):
        gathering.ask(used, feature, name)
    meant = gathering.meaning(names)
    given = {one.name: one for one in meant.given}
    if both := [name for name in names if name in given]:
        raise RequestError(
            f"a feature is called {both[0]!r}, and so is a value that on-demand view {given[both[0]].view!r} takes "
            "from the request.",
            hint="full_feature_names=True names the columns view__feature.",
            feature=both[0],
        )
    return meant


class _Gathering:
    """What is asked, sorted into what is fetched, what is computed, and what comes with the question."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, str], tuple[Projection, list[tuple[str, str]]]] = {}
        self.outputs: dict[str, tuple[OnDemandFeatureView, list[tuple[str, str]]]] = {}
        self.given: dict[str, GivenValue] = {}
        self.computed: dict[str, tuple[tuple[str, str, Any], ...]] = {}
        self.hidden = 0

    def ask(self, used: Projection, feature: str, name: str) -> None:
        """One feature of the answer."""
        if isinstance(used.view, OnDemandFeatureView):
            self.outputs.setdefault(used.view.id, (used.view, []))[1].append((feature, name))
        else:
            self.parts.setdefault((used.name, used.view.id), (used, []))[1].append((feature, name))

    def meaning(self, order: Iterable[str]) -> Meaning:
        """What all that is asked means."""
        for view, _ in list(self.outputs.values()):
            self._compute(view)
        views = tuple(
            ViewQuestion(view=cast(FeatureView, used.view), columns=used.columns, features=tuple(asked))
            for used, asked in self.parts.values()
        )
        computed = tuple(
            Computation(view=self.outputs[view][0], inputs=inputs, features=tuple(self.outputs[view][1]))
            for view, inputs in self.computed.items()
        )
        return Meaning(views=views, computed=computed, given=tuple(self.given.values()), order=tuple(order))

    def _compute(self, view: OnDemandFeatureView) -> None:
        """What a view is computed of, and then, after these, the view."""
        if view.id not in self.computed:
            inputs = [(one.name, self._column(view, one), one.dtype) for one in view.wanted]
            self.computed[view.id] = tuple(inputs)

    def _column(self, view: OnDemandFeatureView, wanted: Input) -> str:
        """The column that has an input."""
        source, feature = wanted.source, wanted.feature
        if isinstance(source, RequestSource):
            return self._given(view, wanted)
        if isinstance(source.view, OnDemandFeatureView):
            made = self.outputs.setdefault(source.view.id, (source.view, []))[1]
            self._compute(source.view)
            return self._named(made, feature)
        alike = [asked for used, asked in self.parts.values() if _finds_the_same(used, source)]
        there = next((asked for asked in alike if any(feature == one for one, _ in asked)), None)
        if there is None and alike:
            there = alike[0]
        if there is None:
            there = self.parts.setdefault((f"{HIDDEN}{len(self.parts)}", source.view.id), (source, []))[1]
        return self._named(there, feature)

    def _named(self, asked: list[tuple[str, str]], feature: str) -> str:
        """The column of a feature, which is added if it is not there yet."""
        found = next((name for one, name in asked if one == feature), None)
        if found is None:
            found = f"{HIDDEN}{self.hidden}"
            self.hidden += 1
            asked.append((feature, found))
        return found

    def _given(self, view: OnDemandFeatureView, wanted: Input) -> str:
        assert wanted.dtype is not None
        one = GivenValue(name=wanted.feature, dtype=wanted.dtype, view=view.name)
        other = self.given.setdefault(one.name, one)
        if other.dtype != one.dtype:
            raise RequestError(
                f"the request's value {one.name!r} is {other.dtype} for on-demand view {other.view!r}, and {one.dtype} "
                f"for {one.view!r}.",
                hint="give both request sources one type for it, or two names.",
            )
        return one.name


def _finds_the_same(one: Projection, other: Projection) -> bool:
    """Whether two uses of a view look up the same rows."""
    return one.view.id == other.view.id and one.columns == other.columns


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
        views[name] = Projection(view=catalog.any_view(name))
    _check(views[name].view, feature)
    return views[name], feature


def _known(part: Projection) -> tuple[str, ...]:
    for feature in part.feature_names:
        _check(part.view, feature)
    return part.feature_names


def _check(view: View, feature: str) -> None:
    if feature not in view.feature_names:
        raise UnknownFeature(view=view.name, feature=feature, known=view.feature_names)


def _unreadable(reference: object) -> RequestError:
    if isinstance(reference, (View, Projection)):
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
    views = (*catalog.views.values(), *catalog.on_demand_views.values())
    names = {name for view in views for name in (view.name, view.id)}
    found = [(view, name) for view, name in ways if view in names and name in catalog.any_view(view).feature_names]
    if len(found) > 1:
        shown = listing(f"'{view}:{name}'" for view, name in found)
        hint = "write the one that is meant."
        raise RequestError(f"{feature!r} may be read as {shown}.", hint=hint, reference=feature)
    view, name = (found or ways)[0]
    return f"{view}:{name}"


def _ways(text: str) -> list[tuple[str, str]]:
    """A text parted at every double underscore that has something on both sides."""
    return [(text[:at], text[at + 2 :]) for at in range(1, len(text) - 2) if text[at : at + 2] == "__"]
