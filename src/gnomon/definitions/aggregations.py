"""Aggregations as definitions: a function of a column, over some windows, of the events that a condition selects.

Users write them with `gnomon.agg`. What the functions mean is in `gnomon.core.aggregations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gnomon.core.aggregations import Function, function_of
from gnomon.core.defaults import written
from gnomon.core.windows import Window, label_of, window_of
from gnomon.definitions.base import FrozenMap, check_column, check_unreserved, listed, put
from gnomon.errors import DefinitionError
from gnomon.types import FeatureType, Int64

if TYPE_CHECKING:
    from gnomon.core.expressions import Expression, TypedExpression

__all__ = ["Aggregation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """One function of one column, over one or several windows; each window makes a feature.

    Args:
        function: its name, such as "sum".
        column: the column of the events; empty for `count` of the events themselves.
        over: the windows.
        where: SQL over the events' columns; only events for which it is true are taken. Empty for all.
        name: the feature's name, or with several windows what it begins with; by default
            `{column}_{function}_{window}`.
        arguments: what the function takes besides, by name.
        default: what stands where a value would be null, in training sets and online.

    Raises:
        DefinitionError: a part is unusable.

    >>> spend = Aggregation(function="sum", column="amount", over=["1h", "24h"])
    >>> spend.feature_names
    ('amount_sum_1h', 'amount_sum_24h')
    """

    function: str
    column: str = ""
    over: tuple[Window, ...] = ()
    where: str = ""
    name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=FrozenMap)
    default: Any = field(default=None, metadata={"shown": True})

    def __post_init__(self) -> None:
        owner = f"aggregation {self.shown}"
        given = self.over if isinstance(self.over, (list, tuple)) else [self.over]
        over = tuple(window_of(owner, one) for one in listed(owner, "over", given))
        if not over:
            raise DefinitionError(f"{owner} has no window.", hint='over="24h", over=["1h", "24h"], or Window(None).')
        if self.column:
            check_column(owner, self.column)
        elif self.function != "count":
            raise DefinitionError(f"{owner} names no column.", hint=f"agg.{self.function}('amount', over='24h').")
        if self.name:
            check_column(owner, self.name)
            check_unreserved(owner, self.name)
        arguments = {name: tuple(one) if isinstance(one, list) else one for name, one in sorted(self.arguments.items())}
        put(
            self,
            over=over,
            where=_checked_where(owner, self.where),
            arguments=FrozenMap(arguments),
            default=written(self.default),
        )
        try:
            self.made()
        except DefinitionError as wrong:
            what = wrong.what if self.name else wrong.what.removeprefix(f"{self.function}: ")  # which the owner says
            raise DefinitionError(f"{owner}: {what}", instead=wrong.instead, hint=wrong.hint) from None

    @property
    def shown(self) -> str:
        """What it is called in messages: `amount_declined`, `sum('amount')`."""
        return repr(self.name) if self.name else f"{self.function}({self.column and repr(self.column)})"

    def made(self) -> Function:
        """The function with its arguments."""
        return function_of(self.function, self.arguments)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of its features, one per window, in the windows' order."""
        labels = [label_of(window) for window in self.over]
        if self.name:
            return (self.name,) if len(labels) == 1 else tuple(f"{self.name}_{label}" for label in labels)
        stem = "_".join(filter(None, (self.column, self.made().word)))
        return tuple(f"{stem}_{label}" for label in labels)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the events that it looks at."""
        of_where = _parsed(self.where).columns if self.where else ()
        return tuple(dict.fromkeys(filter(None, (self.column, *of_where))))

    def output(self, columns: Mapping[str, FeatureType]) -> FeatureType:
        """The type of its features.

        Args:
            columns: types of the events' columns.

        Raises:
            Unfit: the function takes no values of the column's type.
        """
        return self.made().output(columns[self.column] if self.column else Int64)

    def condition(self, columns: Mapping[str, FeatureType]) -> TypedExpression | None:
        """What its events must be; None for all.

        Args:
            columns: types of the events' columns.

        Raises:
            DefinitionError: the condition's types do not fit.
        """
        return _parsed(self.where).typed(columns) if self.where else None

    def features(self, columns: Mapping[str, FeatureType]) -> Iterator[tuple[str, FeatureType]]:
        """Names and types of its features.

        Raises:
            DefinitionError: the function does not take the column's type, or the condition's types do not fit.
        """
        dtype = self.output(columns)
        self.condition(columns)
        return ((name, dtype) for name in self.feature_names)


def _checked_where(owner: str, where: object) -> str:
    """The condition, normalised.

    Raises:
        DefinitionError: it is no condition.
    """
    if where in ("", None):
        return ""
    if not isinstance(where, str):
        raise DefinitionError(f"{owner}: where is {where!r}.", hint="where is SQL text: \"status = 'declined'\".")
    from gnomon.core.expressions import parse

    return parse(where, f"{owner}: where").text


@lru_cache(maxsize=1_024)
def _parsed(where: str) -> Expression:
    """A condition, read once: a view asks for its columns and types again and again."""
    from gnomon.core.expressions import parse

    return parse(where)
