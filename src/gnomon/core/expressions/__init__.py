"""Conditions on one event, written once as SQL: run by DuckDB over tables and as a Python function over single events.

Text is read into a `tree` (`reading`, by `nodes`, `checks` and `refusals`), which has one normalised text (`writing`).
With the columns' types it becomes a `typed` tree (`checking`, by the rules of `numbers`), in which every conversion is
spelled out; from that, `sql` and a `python` function (with `patterns`) follow node by node, and are equal for every
value.

>>> from gnomon.types import Int64, String
>>> declined = parse("status='declined' AND amount > 10")
>>> declined.text, declined.columns
("status = 'declined' and amount > 10", ('status', 'amount'))
>>> typed = declined.typed({"status": String, "amount": Int64})
>>> typed.sql({"status": "f0", "amount": "f1"}.__getitem__)
"((f0 = 'declined') and (f1 > cast(10 as BIGINT)))"
>>> selects = typed.compile()
>>> selects({"status": "declined", "amount": 11}), selects({"status": "declined", "amount": None})
(True, None)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gnomon.core.expressions.checking import check, check_value
from gnomon.core.expressions.python import to_function
from gnomon.core.expressions.reading import read
from gnomon.core.expressions.sql import to_sql
from gnomon.core.expressions.tree import Node, columns_of
from gnomon.core.expressions.typed import Typed
from gnomon.core.expressions.wording import said_of_values
from gnomon.core.expressions.writing import write
from gnomon.types import FeatureType

__all__ = ["Expression", "TypedExpression", "parse"]


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition whose columns have no types yet; made by `parse`.

    Args:
        text: the normalised SQL. Parsed again, it is the same text.
        columns: the names of the columns used, in the order of first use.
        tree: what it says.
    """

    text: str
    columns: tuple[str, ...]
    tree: Node = field(repr=False)

    def typed(self, columns: Mapping[str, FeatureType], owner: str = "where") -> TypedExpression:
        """The condition over columns of these types; others than those used may be among them.

        Args:
            columns: name → type.
            owner: what the condition was written on, for errors.

        Raises:
            DefinitionError: a column is not there, types do not fit, or the whole is no Bool.

        >>> from gnomon.types import String
        >>> parse("status = 10").typed({"status": String})
        Traceback (most recent call last):
            ...
        gnomon.errors.DefinitionError: where: status (String) and 10 (a number) cannot be compared.
        It says: status = 10
        Hint: text stands in single quotes, numbers in none; compare values of one type.
        """
        return TypedExpression(self.text, check(self.tree, columns, owner))

    def giving(
        self, dtype: FeatureType, columns: Mapping[str, FeatureType], owner: str = "expression"
    ) -> TypedExpression:
        """The expression, not a condition, over columns of these types.

        Args:
            dtype: the type that its values are to be cast to.
            columns: name → type.
            owner: what the expression was written on, for errors.

        Raises:
            DefinitionError: a column is not there, types do not fit, or its values are none of that type.

        >>> from gnomon.types import Float64, Int64
        >>> ratio = parse("amount / nullif(mean, 0)", value=True)
        >>> half = ratio.giving(Float64, {"amount": Int64, "mean": Float64}).compile()
        >>> half({"amount": 1, "mean": 2.0}), half({"amount": 1, "mean": 0.0})
        (0.5, None)
        """
        with said_of_values():
            return TypedExpression(self.text, check_value(self.tree, columns, dtype, owner))


@dataclass(frozen=True, slots=True)
class TypedExpression:
    """A condition over columns of known types, or another expression; made by `Expression.typed` and `giving`.

    Args:
        text: the normalised SQL.
        tree: what it says, with every type and conversion.
    """

    text: str
    tree: Typed = field(repr=False)

    def sql(self, column: Callable[[str], str]) -> str:
        """The condition as a DuckDB expression, in parentheses, of a session whose TimeZone is UTC.

        Args:
            column: gives the SQL term to stand for a column; its DuckDB type must be the column's own.
        """
        return to_sql(self.tree, column)

    @property
    def dtype(self) -> FeatureType:
        """The type of its values: Bool, of a condition."""
        return self.tree.dtype

    def compile(self) -> Callable[[Mapping[str, Any]], Any]:
        """The condition as a function of a row.

        Returns:
            A function of a mapping from column to value (None for null; instants as int µs UTC, decimals as
            `decimal.Decimal`). It gives True, False, or None for null; of another expression its value.
        """
        return to_function(self.tree)


def parse(text: str, owner: str = "where", *, value: bool = False) -> Expression:
    """A condition's text, checked as far as it can be without types.

    Args:
        text: one SQL expression of the subset on the page "Conditions".
        owner: what the text was written on, for errors.
        value: whether it is no condition but an expression for a value; the subset is the same.

    Raises:
        DefinitionError: it is no SQL, or holds what a condition cannot: a subquery, an aggregate, a parameter, …

    >>> parse("lenght(status) > 3")
    Traceback (most recent call last):
        ...
    gnomon.errors.DefinitionError: where: the function `LENGHT(status)` cannot stand in a condition.
    It says: lenght(status) > 3
    Hint: did you mean 'length'?
    """
    with said_of_values(value):
        tree = read(text, owner)
    return Expression(write(tree), columns_of(tree), tree)
