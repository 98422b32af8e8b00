"""What a condition says, as a small tree of our own: columns, literals, and calls on them.

sqlglot reads the text and is then done. The tree, its normalised text and what is made of it do not depend on how a
version of sqlglot prints or names things, so a text kept in a registry stays what it was.

>>> tree = Call(">", (Column("amount"), Literal("number", Decimal(10))))
>>> columns_of(Call("and", (tree, Call("is null", (Column("status"),)))))
('amount', 'status')
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from gnomon.types import FeatureType

__all__ = ["FUNCTIONS", "Call", "Column", "Literal", "Node", "columns_of"]

FUNCTIONS = (
    "abs",
    "coalesce",
    "contains",
    "ends_with",
    "isfinite",
    "isinf",
    "isnan",
    "length",
    "lower",
    "nullif",
    "starts_with",
    "upper",
)
"""The functions a condition may call by name."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the event, by its exact name."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written out.

    Args:
        kind: number, text, bool, instant or null. A number is exact and takes its type from what it meets.
        value: a Decimal, a str, a bool, int µs UTC, or None.
    """

    kind: str
    value: Decimal | str | bool | int | None


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function on its arguments.

    Args:
        name: as SQL has it: `and`, `<=`, `is null`, `in`, `lower`. Negated forms are `not` around the plain one.
        args: `and` and `or` have two or more; `case` has condition and value by turns, then what else holds.
        dtype: the type a `cast` casts to.
    """

    name: str
    args: tuple[Node, ...]
    dtype: FeatureType | None = None


Node = Column | Literal | Call


def columns_of(tree: Node) -> tuple[str, ...]:
    """The names of the columns used, each once, in the order of first use."""
    return tuple(dict.fromkeys(_names(tree)))


def _names(node: Node) -> Iterator[str]:
    if isinstance(node, Column):
        yield node.name
    elif isinstance(node, Call):
        for one in node.args:
            yield from _names(one)
