"""`gnomon.agg`: the aggregations of a windowed view, as its author writes them.

    from gnomon import agg, Window

    agg.count(over=["1h", "24h"])                                   # count_1h, count_24h
    agg.sum("amount", over="7d")                                    # amount_sum_7d
    agg.mean("amount", over=Window("30d", hop="1h"))                # amount_mean_30d
    agg.sum("amount", over="24h", where="status = 'declined'", name="declined_24h")

Every function takes `over` (one window or a list of them), `where` (SQL over the events' own columns), `name`, and
`default` (what stands where the value would be null); the value at an instant is computed from the events in the window
as `docs/time.md` says.
"""

# ruff: noqa: A001 - these are the field's words

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from gnomon.core.aggregations.custom import Custom, ExactSum, named
from gnomon.core.windows import Window
from gnomon.definitions.aggregations import Aggregation

__all__ = [
    "Aggregation",
    "Custom",
    "ExactSum",
    "approx_count_distinct",
    "approx_percentile",
    "count",
    "count_distinct",
    "custom",
    "first",
    "first_n",
    "histogram",
    "last",
    "last_distinct_n",
    "last_n",
    "max",
    "mean",
    "min",
    "mode",
    "stddev",
    "sum",
    "top_k",
    "variance",
]

Over = Window | str | timedelta | Sequence[Window | str | timedelta]
"""A window, its size, or several of them; a lifetime is Window(None)."""


def count(column: str = "", *, over: Over, where: str = "", name: str = "", default: Any = None) -> Aggregation:
    """How many events there are; of a column, how many have a value in it. 0 where there is none.

    >>> count(over="24h").feature_names, count("amount", over="24h").feature_names
    (('count_24h',), ('amount_count_24h',))
    """
    return _made("count", column, over, where, name, default)


def sum(
    column: str, *, over: Over, where: str = "", name: str = "", length: int | None = None, default: Any = None
) -> Aggregation:
    """The exact sum: of whole numbers Int64, of floats rounded once, of decimals Decimal(38, scale).

    Args:
        column: numbers or truth values; vectors of them, if their `length` is given.
        over: the windows.
        where: SQL over the events' columns.
        name: the feature's name.
        length: how many elements every vector has.
        default: what stands where the value would be null.
    """
    return _made("sum", column, over, where, name, default, length=length)


def mean(
    column: str, *, over: Over, where: str = "", name: str = "", length: int | None = None, default: Any = None
) -> Aggregation:
    """The exact sum rounded to a float, divided by the number of values; arguments as for `sum`."""
    return _made("mean", column, over, where, name, default, length=length)


def min(
    column: str, *, over: Over, where: str = "", name: str = "", length: int | None = None, default: Any = None
) -> Aggregation:
    """The least value, NaN only if there is nothing else; arguments as for `sum`, values of any type."""
    return _made("min", column, over, where, name, default, length=length)


def max(
    column: str, *, over: Over, where: str = "", name: str = "", length: int | None = None, default: Any = None
) -> Aggregation:
    """The greatest value, NaN only if there is nothing else; arguments as for `sum`, values of any type."""
    return _made("max", column, over, where, name, default, length=length)


def variance(
    column: str,
    *,
    over: Over,
    population: bool = False,
    where: str = "",
    name: str = "",
    length: int | None = None,
    default: Any = None,
) -> Aggregation:
    """The exact variance, rounded once: of a sample (null below two values), or of a population."""
    return _made("variance", column, over, where, name, default, length=length, population=population or None)


def stddev(
    column: str,
    *,
    over: Over,
    population: bool = False,
    where: str = "",
    name: str = "",
    length: int | None = None,
    default: Any = None,
) -> Aggregation:
    """The square root of the variance."""
    return _made("stddev", column, over, where, name, default, length=length, population=population or None)


def first(column: str, *, over: Over, where: str = "", name: str = "", default: Any = None) -> Aggregation:
    """The value of the earliest event, by (event time, known time, value)."""
    return _made("first", column, over, where, name, default)


def last(column: str, *, over: Over, where: str = "", name: str = "", default: Any = None) -> Aggregation:
    """The value of the latest event, by (event time, known time, value)."""
    return _made("last", column, over, where, name, default)


def first_n(column: str, n: int, *, over: Over, where: str = "", name: str = "", default: Any = None) -> Aggregation:
    """The values of the n earliest events, earliest first: `city_first_3_24h`."""
    return _made("first_n", column, over, where, name, default, n=n)


def last_n(column: str, n: int, *, over: Over, where: str = "", name: str = "", default: Any = None) -> Aggregation:
    """The values of the n latest events, latest last: `city_last_3_24h`."""
    return _made("last_n", column, over, where, name, default, n=n)


def last_distinct_n(
    column: str, n: int, *, over: Over, where: str = "", name: str = "", default: Any = None
) -> Aggregation:
    """The n latest values that differ, latest last: `city_last_distinct_3_24h`."""
    return _made("last_distinct_n", column, over, where, name, default, n=n)


def count_distinct(column: str, *, over: Over, where: str = "", name: str = "", default: Any = None) -> Aggregation:
    """How many different values there are, exactly. 0 where there is none."""
    return _made("count_distinct", column, over, where, name, default)


def approx_count_distinct(
    column: str, *, over: Over, precision: int = 12, where: str = "", name: str = "", default: Any = None
) -> Aggregation:
    """How many different values there are, with a standard error of 1.04 / √2^precision (4 to 16)."""
    return _made(
        "approx_count_distinct", column, over, where, name, default, precision=None if precision == 12 else precision
    )


def approx_percentile(
    column: str,
    q: float,
    *,
    over: Over,
    relative_error: float = 0.01,
    where: str = "",
    name: str = "",
    default: Any = None,
) -> Aggregation:
    """The value that a share q (0 to 1) of the values do not exceed, nearly: `amount_approx_p99_7d`."""
    given = None if relative_error == 0.01 else relative_error
    return _made("approx_percentile", column, over, where, name, default, q=q, relative_error=given)


def histogram(
    column: str, edges: Sequence[float], *, over: Over, where: str = "", name: str = "", default: Any = None
) -> Aggregation:
    """How many values lie below the first edge, between each two, and from the last one on."""
    return _made(
        "histogram", column, over, where, name, default, edges=tuple(edges) if isinstance(edges, list) else edges
    )


def top_k(column: str, k: int, *, over: Over, where: str = "", name: str = "", default: Any = None) -> Aggregation:
    """The k most frequent values, most frequent first, the lesser first of equally frequent ones: `city_top_3_7d`."""
    return _made("top_k", column, over, where, name, default, k=k)


def mode(column: str, *, over: Over, where: str = "", name: str = "", default: Any = None) -> Aggregation:
    """The most frequent value, the least of equally frequent ones."""
    return _made("mode", column, over, where, name, default)


def custom(
    own: type[Custom] | str, column: str, *, over: Over, where: str = "", name: str = "", default: Any = None
) -> Aggregation:
    """An aggregation of your own.

    Args:
        own: a subclass of `agg.Custom` at the top level of a module of your repo, or its place, "module:Class".
        column: the column of the events.
        over: the windows.
        where: SQL over the events' columns.
        name: the feature's name.
        default: what stands where the value would be null.
    """
    return _made("custom", column, over, where, name, default, **named(own))


def _made(function: str, column: str, over: Over, where: str, name: str, default: Any, **arguments: Any) -> Aggregation:
    given = {name: value for name, value in arguments.items() if value is not None}
    windows: Any = over if isinstance(over, (list, tuple)) else (over,)
    return Aggregation(
        function=function, column=column, over=windows, where=where, name=name, arguments=given, default=default
    )
