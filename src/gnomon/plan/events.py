"""The events of a view as a table: what its columns are called, whoever reads it.

A column of the source keeps its name, and no such name has a `:` or begins with two underscores. So the columns that
say something *about* an event have names of that form.
"""

from __future__ import annotations

from gnomon.core.expressions import TypedExpression
from gnomon.core.ledger.incoming import GONE, ID, condition_column
from gnomon.core.packing import EVENT, KNOWN
from gnomon.definitions.entities import Field
from gnomon.definitions.views import FeatureView

__all__ = [
    "EVENT",
    "FILE",
    "GONE",
    "ID",
    "KNOWN",
    "PLACES",
    "POSITION",
    "ROW",
    "condition_column",
    "conditions_of",
    "input_columns",
]

FILE, ROW, POSITION = "__file", "__row", "__position"
"""Where it is: a row of a file, counted from 0, or a position in a log."""
PLACES = (FILE, ROW, POSITION)


def input_columns(view: FeatureView) -> dict[str, Field]:
    """What a view looks at, by the name of the column that has it.

    A join key that is looked at, too, stands once; if it is looked at as another type, it has a column of its own,
    `column:…`.
    """
    keys = {one.name: one.dtype for one in view.entity_columns}
    found = {}
    for one in view.inputs if view.aggregations else view.schema:
        differs = one.name in keys and keys[one.name] != one.dtype
        found[f"column:{one.name}" if differs else one.name] = one
    return found


def conditions_of(view: FeatureView) -> dict[str, TypedExpression]:
    """The distinct conditions of a view's aggregations, by their text."""
    types = {one.name: one.dtype for one in view.inputs}
    conditions = {one.where: one.condition(types) for one in view.aggregations if one.where}
    return {where: condition for where, condition in conditions.items() if condition is not None}
