"""Which of sqlglot's nodes a condition may be made of, by the key of their class, and the parts each may have."""

from __future__ import annotations

from gnomon.core.expressions.writing import SQL_NAMES
from gnomon.types import SCALARS

__all__ = ["BENIGN", "CASTS", "NODES", "PREDICATES"]

NODES: dict[str, tuple[str, tuple[str, ...]]] = {
    "eq": ("=", ("this", "expression")),
    "neq": ("<>", ("this", "expression")),
    "lt": ("<", ("this", "expression")),
    "lte": ("<=", ("this", "expression")),
    "gt": (">", ("this", "expression")),
    "gte": (">=", ("this", "expression")),
    "nullsafeneq": ("is distinct from", ("this", "expression")),
    "in": ("in", ("this", "expressions")),
    "between": ("between", ("this", "low", "high")),
    "add": ("+", ("this", "expression")),
    "sub": ("-", ("this", "expression")),
    "mul": ("*", ("this", "expression")),
    "div": ("/", ("this", "expression")),
    "mod": ("%", ("this", "expression")),
    "abs": ("abs", ("this",)),
    "coalesce": ("coalesce", ("this", "expressions")),
    "contains": ("contains", ("this", "expression")),
    "endswith": ("ends_with", ("this", "expression")),
    "isinf": ("isinf", ("this",)),
    "isnan": ("isnan", ("this",)),
    "length": ("length", ("this",)),
    "lower": ("lower", ("this",)),
    "nullif": ("nullif", ("this", "expression")),
    "startswith": ("starts_with", ("this", "expression")),
    "upper": ("upper", ("this",)),
}
"""Those with one name here, and the parts they are made of, in order. `reading` knows how to read the rest."""

ORDERS = ("=", "<>", "<", "<=", ">", ">=", "is distinct from")
PREDICATES = frozenset((*ORDERS, "is null", "is true", "is false", "in", "between", "like", "ilike"))
BENIGN = {"typed", "safe"}
"""Parts that say how a dialect means a node, not what the author wrote."""
CASTS = {name.upper(): SCALARS[dtype] for dtype, name in SQL_NAMES.items()} | {
    "INT": SCALARS["Int32"],
    "TEXT": SCALARS["String"],
    "VARBINARY": SCALARS["Bytes"],
    "TIMESTAMP": SCALARS["UnixTimestamp"],
    "TIMESTAMPNTZ": SCALARS["UnixTimestamp"],
}
