"""A windowed view as a ledger keeps it: what its records hold, and how features are read from them."""

from __future__ import annotations

from collections.abc import Sequence

from gnomon.core.ledger.reading import Reading
from gnomon.core.ledger.shape import Job, Shape
from gnomon.core.windows import Window
from gnomon.definitions.views import FeatureView

__all__ = ["reading_of", "shape_of"]


def shape_of(view: FeatureView) -> Shape:
    """What the records of a windowed view hold.

    Args:
        view: the view, resolved.

    Raises:
        DefinitionError: it looks at too many columns.
    """
    types = {one.name: one.dtype for one in view.inputs}
    columns = dict.fromkeys(one.column for one in view.aggregations if one.column)
    return Shape(
        columns=tuple((name, types[name]) for name in columns),
        conditions=tuple(dict.fromkeys(one.where for one in view.aggregations if one.where)),
        versioned=bool(view.source.event_id),
        jobs=tuple(Job(one.made(), one.column, one.where, one.over) for one in view.aggregations),
    )


def reading_of(view: FeatureView, shape: Shape, features: Sequence[str]) -> Reading:
    """How some features of a view are read.

    Args:
        view: the view.
        shape: its shape.
        features: their names.
    """
    asked: dict[str, tuple[Job, Window]] = {}
    for one, job in zip(view.aggregations, shape.jobs, strict=True):
        asked |= {name: (job, window) for name, window in zip(one.feature_names, one.over, strict=True)}
    return Reading(shape, [asked[feature] for feature in features])
