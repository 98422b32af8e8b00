"""Expressions of on-demand views over tables: run by the engine, and cast by Arrow.

Single rows go through the compiled functions (`flows.computing`); the two are equal for every value. Where a value does
not fit its declared type, the rows are computed one by one after all, so that the one that does not fit is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.contracts.engine import Engine
from gnomon.core.expressions import parse
from gnomon.plan.questions import Computation
from gnomon.types import Decimal, FeatureType, Float32, to_arrow

__all__ = ["Expressing"]

WIDEST = 38


@dataclass(frozen=True, slots=True)
class Expressing:
    """The expressions of one computation.

    Args:
        evaluate: gives their values over a table of the inputs.
        names: what the view calls its inputs.
        features: the features wanted, with their declared types.
    """

    evaluate: Callable[[pa.Table], pa.Table]
    names: tuple[str, ...]
    features: tuple[tuple[str, FeatureType], ...]

    @classmethod
    def of(cls, computation: Computation, engine: Engine) -> Expressing | None:
        """The expressions of a computation; None where it has none, or looks at nothing."""
        view = computation.view
        if view.mode != "sql" or not computation.inputs:
            return None
        dtypes = {one.name: one.dtype for one in view.schema}
        types = {name: dtype for name, _, dtype in computation.inputs}
        features = tuple((feature, dtypes[feature]) for feature, _ in computation.features)
        expressions = {
            feature: parse(view.expressions[feature], value=True).giving(dtype, types) for feature, dtype in features
        }
        return cls(engine.evaluator(expressions), tuple(types), features)

    def columns(self, inputs: Sequence[pa.Array]) -> list[pa.Array] | None:
        """The features of some rows; None where a value does not fit its type."""
        made = self.evaluate(pa.table(list(inputs), names=list(self.names)))
        found = []
        for feature, dtype in self.features:
            column = _cast(_whole(made[feature]), dtype)
            if column is None:
                return None
            found.append(column)
        return found


def _cast(column: pa.Array, dtype: FeatureType) -> pa.Array | None:
    """A column as one of a declared type; None where a value does not fit."""
    target = to_arrow(dtype)
    if column.type != target:
        try:
            if isinstance(dtype, Decimal) and pa.types.is_integer(column.type):
                column = column.cast(to_arrow(Decimal(WIDEST, dtype.scale)))  # Arrow asks for room for any integer
            cast = column.cast(target, safe=dtype != Float32)
        except pa.ArrowInvalid:
            return None
        if dtype == Float32 and pc.any(pc.not_equal(pc.is_inf(cast), pc.is_inf(column))).as_py():
            return None
        column = cast
    if pa.types.is_floating(target):
        odd = pc.is_nan(column)
        if pc.any(odd).as_py():  # of the many NaNs one
            column = pc.if_else(odd, pa.scalar(math.nan, target), column)
    return column


def _whole(column: pa.ChunkedArray) -> pa.Array:
    made = column.combine_chunks()
    return made if isinstance(made, pa.Array) else pa.concat_arrays(made.chunks)
