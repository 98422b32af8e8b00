"""What on-demand views may look at, and by which names: features of views, and values of requests.

A name that two sources have goes with its source's: `payment__amount`, `spend__amount`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gnomon.definitions.base import duplicates
from gnomon.definitions.request_sources import RequestSource
from gnomon.definitions.views import FeatureView, Projection
from gnomon.types import FeatureType

__all__ = ["Input", "Source", "are_open", "by_name", "inputs_of", "shortest_names"]

Source = Projection | RequestSource
"""A view, as it is used, or what comes with requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One value that an on-demand view may look at.

    Args:
        name: what its function calls it.
        source: the view, as it is used, or the request source.
        feature: the feature's name there, or the value's.
        dtype: its type; None while that is not known.
    """

    name: str
    source: Projection | RequestSource
    feature: str
    dtype: FeatureType | None


def inputs_of(source: Source) -> list[Input]:
    """What a source has, as far as that is known."""
    types = {one.name: one.dtype for one in (source if isinstance(source, RequestSource) else source.view).schema}
    names = types if isinstance(source, RequestSource) else source.feature_names
    return [Input(name=name, source=source, feature=name, dtype=types.get(name)) for name in names]


def by_name(sources: Sequence[Source]) -> dict[str, Input]:
    """All that sources have: by the names of features and values, and by `source__name`.

    A name that two of them have is not among these.
    """
    found = [one for source in sources for one in inputs_of(source)]
    twice = set(duplicates(one.name for one in found))
    full = {name: replace(one, name=name) for one in found for name in [_full(one)]}
    return full | {one.name: one for one in found if one.name not in twice}


def shortest_names(sources: Sequence[Source]) -> tuple[str, ...]:
    """A name for each that sources have, the shortest that tells it from the others."""
    found = [one for source in sources for one in inputs_of(source)]
    twice = set(duplicates(one.name for one in found))
    return tuple(_full(one) if one.name in twice else one.name for one in found)


def are_open(sources: Sequence[Source]) -> bool:
    """Whether some features are not known yet: those of a row view that are read from its files."""
    used = [one for one in sources if isinstance(one, Projection)]
    return any(isinstance(one.view, FeatureView) and not one.view.feature_names and not one.features for one in used)


def _full(one: Input) -> str:
    return f"{one.source.name}__{one.name}"
