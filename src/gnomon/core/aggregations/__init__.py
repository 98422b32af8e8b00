"""What aggregations mean: one file per family, and here the table of them.

| file | functions |
|---|---|
| `counting` | count |
| `summing` | sum, mean |
| `spread` | variance, stddev |
| `extremes` | min, max |
| `ordered` | first, last, first_n, last_n, last_distinct_n |
| `distinct` | count_distinct |
| `approx_distinct` | approx_count_distinct |
| `approx_percentile` | approx_percentile |
| `histogram` | histogram |
| `frequent` | top_k, mode |
| `custom` | a user's own |
| `vectors` | any of those that work element by element, on vectors |

>>> function_of("last_n", {"n": 3}).word
'last_3'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from gnomon.core.aggregations.approx_distinct import ApproxCountDistinct
from gnomon.core.aggregations.approx_percentile import ApproxPercentile
from gnomon.core.aggregations.base import INVALID, Event, Function, Unfit
from gnomon.core.aggregations.counting import Count
from gnomon.core.aggregations.custom import UserFunction
from gnomon.core.aggregations.distinct import CountDistinct
from gnomon.core.aggregations.extremes import Max, Min
from gnomon.core.aggregations.frequent import Mode, TopK
from gnomon.core.aggregations.histogram import Histogram
from gnomon.core.aggregations.ordered import First, FirstN, Last, LastDistinctN, LastN
from gnomon.core.aggregations.spread import Stddev, Variance
from gnomon.core.aggregations.summing import Mean, Sum
from gnomon.core.aggregations.vectors import Vector
from gnomon.errors import DefinitionError, listing, nearest_hint

__all__ = ["FUNCTIONS", "INVALID", "Event", "Function", "Unfit", "function_of"]

FUNCTIONS: Mapping[str, type[Function]] = {
    one.name: one
    for one in (
        Count,
        Sum,
        Mean,
        Variance,
        Stddev,
        Min,
        Max,
        First,
        Last,
        FirstN,
        LastN,
        LastDistinctN,
        CountDistinct,
        ApproxCountDistinct,
        ApproxPercentile,
        Histogram,
        TopK,
        Mode,
        UserFunction,
    )
}
"""Every function by its name."""


def function_of(name: str, arguments: Mapping[str, Any]) -> Function:
    """A function with its arguments, of which `length` makes it one of vectors.

    Raises:
        DefinitionError: there is none of that name, or an argument is unusable.
    """
    if name not in FUNCTIONS:
        hint = nearest_hint(name, FUNCTIONS, otherwise="use one of those.")
        raise DefinitionError(
            f"no aggregation is called {name!r}.", instead=f"There are: {listing(FUNCTIONS)}.", hint=hint
        )
    kind = FUNCTIONS[name]
    own = {key: value for key, value in arguments.items() if key != "length"}
    known = [*(one.name for one in fields(kind)), *(["length"] if kind.by_element else [])]
    if unknown := own.keys() - set(known):
        raise DefinitionError(
            f"{name} has no argument {min(unknown)!r}.",
            hint=f"it takes {listing(known)}." if known else "it takes none.",
        )
    if lacking := [one.name for one in fields(kind) if one.default is MISSING and one.name not in own]:
        raise DefinitionError(f"{name} needs its argument {lacking[0]!r}.", hint=f"it takes {listing(known)}.")
    inner = kind(**own)
    return Vector(inner=inner, length=arguments["length"]) if "length" in arguments else inner
