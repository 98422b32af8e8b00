"""Aggregation functions with arguments, the types they take, and columns of values that are hard to aggregate.

Whatever `gnomon.core.aggregations.FUNCTIONS` holds is drawn; a function whose arguments are not known here fails as
soon as it is drawn without them.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st

from gnomon.core.aggregations import FUNCTIONS, Function, Unfit, function_of
from gnomon.core.windows import Window
from gnomon.definitions.aggregations import Aggregation
from gnomon.testing.strategies.values import values
from gnomon.testing.strategies.windows import windows
from gnomon.types import SCALARS, Array, Decimal, FeatureType, Float32, Float64, Int64

__all__ = ["MADE_FUNCTIONS", "aggregations", "column_values", "fitting_types", "functions"]

MADE_FUNCTIONS = tuple(name for name in FUNCTIONS if name != "custom")
"""All functions but the users' own."""

_DECIMALS = [Decimal(1, 0), Decimal(18, 2), Decimal(38, 0), Decimal(38, 38)]
_SCALARS: list[FeatureType] = [*SCALARS.values(), *_DECIMALS]
_TYPES = [*_SCALARS, *map(Array, _SCALARS)]

_COUNTS = st.sampled_from([1, 2, 3, 1_000])
_POPULATION = {"population": st.booleans()}
_EDGES = st.sampled_from([-1e300, -1.0, -0.0, 0.1, 1.0, 10.0, float(2**53), 1e300]) | st.floats(
    allow_nan=False, allow_infinity=False
)
_ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "variance": _POPULATION,
    "stddev": _POPULATION,
    "first_n": {"n": _COUNTS},
    "last_n": {"n": _COUNTS},
    "last_distinct_n": {"n": _COUNTS},
    "top_k": {"k": _COUNTS},
    "approx_count_distinct": {"precision": st.sampled_from([4, 5, 12, 16])},
    "approx_percentile": {
        "q": st.sampled_from([0, 0.07, 0.5, 0.9, 0.99, 1]) | st.floats(0, 1),
        "relative_error": st.sampled_from([0.01, 1e-5, 0.25, 0.5, math.nextafter(2**-7, 0)]) | st.floats(1e-5, 0.5),
    },
    "histogram": {"edges": st.lists(_EDGES, min_size=1, max_size=4, unique=True).map(sorted).map(tuple)},
}

_CANCELLING = [
    [1e17, 1.0, -1e17],
    [0.1, 0.2, 0.3, -0.3],
    [1e300, -1e300, 1e-300],
    [5e-324, -5e-324, 2.2250738585072014e-308],
    [1.7976931348623157e308, -1.7976931348623157e308, 1.0],
    [1e8 + 1, 1e8, 1e8 - 1],
    [float("inf"), float("-inf"), 1.0],
    [float("nan"), float("inf"), 1.0],
    [float("nan"), -0.0],
]


def functions(name: str | None = None) -> st.SearchStrategy[Function]:
    """A function with arguments, of scalars.

    Args:
        name: which; by default any but the users' own.
    """
    return _arguments(name).map(lambda pair: function_of(*pair))


@st.composite
def aggregations(
    draw: st.DrawFn,
    columns: Mapping[str, FeatureType],
    *,
    lengths: Mapping[str, int] | None = None,
    over: Sequence[Window] | None = None,
    max_size: int = 4,
) -> list[Aggregation]:
    """Aggregations of some columns over windows, as a view has them: features named f0, f1, … (and the windows).

    Args:
        draw: given by Hypothesis.
        columns: types of the events' columns by name.
        lengths: how many elements the vectors in a column have.
        over: windows to choose from; by default any.
        max_size: at most so many, at least one.
    """
    chosen = st.sampled_from(list(over)) if over else windows()
    # Two windows of one size and offset would make two features of one name.
    several = st.lists(chosen, min_size=1, max_size=2, unique_by=lambda one: (one.size, one.offset))
    made = []
    for place in range(draw(st.integers(1, max_size))):
        function, column, arguments = draw(_of_columns(columns, lengths or {}))
        made.append(
            Aggregation(
                function=function, column=column, arguments=arguments, over=tuple(draw(several)), name=f"f{place}"
            )
        )
    return made


@cache
def fitting_types(function: Function) -> tuple[FeatureType, ...]:
    """The types of column a function takes, a few decimals among them."""
    return tuple(dtype for dtype in _TYPES if _takes(function, dtype))


@cache
def column_values(dtype: FeatureType, *, length: int | None = None) -> st.SearchStrategy[list[Any]]:
    """A few values of a type, for events to draw from, without null: any, all alike, such as cancel out or overflow.

    Args:
        dtype: the column's type.
        length: of vectors: how many elements each has, nulls among them.
    """
    if length is not None:
        assert isinstance(dtype, Array)
        element = column_values(dtype.element)
        vectors = element.flatmap(
            lambda pool: st.lists(st.tuples(*[st.sampled_from([*pool, None])] * length), min_size=1)
        )
        return vectors.map(lambda some: some[:4])
    any_of_them = st.lists(values(dtype, nulls=False), min_size=1, max_size=4)
    if dtype in (Float32, Float64):
        pools = [[value for value in pool if dtype == Float64 or _is_float32(value)] for pool in _CANCELLING]
        cancelling = st.sampled_from([pool for pool in pools if pool])
        # Chosen first: `|` would weigh this branch as little as each kind of float.
        return st.sampled_from([any_of_them, cancelling]).flatmap(lambda kind: kind)
    least, most = _ends(dtype)
    return any_of_them if most is None else any_of_them | st.sampled_from([[least], [most], [least, most]])


@st.composite
def _arguments(draw: st.DrawFn, name: str | None) -> tuple[str, dict[str, Any]]:
    chosen = name or draw(st.sampled_from(MADE_FUNCTIONS))
    return chosen, draw(st.fixed_dictionaries(_ARGUMENTS.get(chosen, {})))


@st.composite
def _of_columns(
    draw: st.DrawFn, columns: Mapping[str, FeatureType], lengths: Mapping[str, int]
) -> tuple[str, str, dict[str, Any]]:
    """A function, a column it takes (none for a count of events), and arguments."""
    if not columns or draw(st.integers(0, 9)) == 0:
        return "count", "", {}
    column = draw(st.sampled_from(sorted(columns)))
    length = {"length": lengths[column]} if column in lengths else {}
    fit = [name for name in MADE_FUNCTIONS if _takes_column(name, columns[column], length)]
    fit += [name for name in fit if FUNCTIONS[name].by_element] * 2 * len(length)
    fit += ["sum"] * 3 * ("sum" in fit)  # the one that may be INVALID
    function, arguments = draw(st.sampled_from(fit).flatmap(_arguments))
    by_element = FUNCTIONS[function].by_element
    return function, column, {**arguments, **(length if by_element else {})}


@cache
def _example(name: str) -> Mapping[str, Any]:
    """Arguments of a function that change nothing about the types it takes."""
    given = {"n": 1, "k": 1, "q": 0.5, "edges": (0.0,)}
    return {key: given[key] for key in _ARGUMENTS.get(name, {}) if key in given}


def _takes_column(name: str, dtype: FeatureType, length: Mapping[str, int]) -> bool:
    vector = length if FUNCTIONS[name].by_element else {}
    return _takes(function_of(name, {**_example(name), **vector}), dtype)


def _takes(function: Function, dtype: FeatureType) -> bool:
    try:
        function.output(dtype)
    except Unfit:
        return False
    return True


def _ends(dtype: FeatureType) -> tuple[Any, Any]:
    """The least and the greatest value of a type whose sums may be INVALID; two nulls for other types."""
    if isinstance(dtype, Decimal):  # not by minus, which rounds to 28 digits
        least, most = (decimal.Decimal((sign, (9,) * dtype.precision, -dtype.scale)) for sign in (1, 0))
        return least, most
    return (-(2**63), 2**63 - 1) if dtype == Int64 else (None, None)


def _is_float32(value: float) -> bool:
    import numpy as np

    with np.errstate(over="ignore"):
        return float(np.float32(value)) == value
