"""A tree whose every node has a type, with every conversion spelled out.

What is written as SQL and what is compiled to Python follow this tree node by node, and neither has a rule of its own
for what meets what.

>>> from gnomon.types import Bool, Int64
>>> column, ten = Typed("column", Int64, value="amount"), Typed("constant", Int64, value=10)
>>> Typed(">", Bool, (column, ten)).dtype
Bool
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gnomon.types import FeatureType

__all__ = ["Typed"]


@dataclass(frozen=True, slots=True)
class Typed:
    """A node with its type.

    Args:
        name: a call's name, or `column`, `constant`, `convert`.
        dtype: the type of its values.
        args: what it is applied to.
        value: a column's name, a constant's value, or the (pattern, escape) of a `like`.
    """

    name: str
    dtype: FeatureType
    args: tuple[Typed, ...] = ()
    value: Any = None
