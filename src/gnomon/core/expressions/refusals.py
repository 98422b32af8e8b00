"""What is said of SQL that conditions do not take: what it is, where it stands, what to write instead."""

from __future__ import annotations

from typing import Any

from gnomon.core.expressions.tree import FUNCTIONS
from gnomon.errors import DefinitionError, nearest_hint

__all__ = ["cannot", "refuse"]

UNSETTLED = frozenset(
    (
        *("now", "today", "getdate", "get_current_timestamp", "get_current_time", "transaction_timestamp", "localtime"),
        *("currenttimestamp", "currentdate", "currenttime", "currentdatetime", "currentuser", "localtimestamp"),
        *("current_timestamp", "current_date", "current_time", "current_localtimestamp", "current_localtime"),
        *("random", "rand", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "setseed", "nextval", "currval"),
    )
)
SUBQUERIES = frozenset(("subquery", "select", "exists", "any", "all", "union"))
SIMPLER = {
    "dpipe": "compare the columns one by one.",
    "concat": "compare the columns one by one.",
    "intdiv": "for whole numbers write x % n; `/` divides as floats.",
    "regexplike": "use like, starts_with, ends_with or contains.",
    "similarto": "use like, starts_with, ends_with or contains.",
    "glob": "use like, starts_with, ends_with or contains.",
    "interval": "compare with an instant: ts >= timestamp '2024-01-01 00:00:00'; a window's size says how far back.",
    "trycast": "cast exists where nothing can be lost: cast(x as bigint).",
    "if": "write case when … then … else … end.",
    "collate": "text is compared by its code points; lower() folds A to Z.",
    "bytestring": "write the text in plain quotes.",
    "rawstring": "write the text in plain quotes.",
    "tuple": "compare column by column, joined by and.",
    "bracket": "arrays cannot be used in a condition.",
    "array": "for one of several values write x in (1, 2).",
}


def cannot(owner: str, what: str, text: str, hint: str) -> DefinitionError:
    """The error for a part that cannot stand in a condition."""
    return DefinitionError(
        f"{owner}: {what} cannot stand in a condition.", instead=f"It says: {text}", hint=hint, text=text
    )


def refuse(node: Any, owner: str, text: str) -> DefinitionError:
    """The error for a node of sqlglot's that is not in the subset.

    Args:
        node: the node.
        owner: what the text was written on.
        text: the whole text.
    """
    from sqlglot import ErrorLevel, exp

    part = f"`{node.sql('duckdb', unsupported_level=ErrorLevel.IGNORE)}`"
    key = node.key
    if key in SUBQUERIES or node.args.get("query") is not None:
        return cannot(owner, f"the subquery {part}", text, "a condition sees one event; list the values: x in (1, 2).")
    if key in ("window", "windowspec"):
        return cannot(owner, f"the window function {part}", text, "a condition sees one event and its own columns.")
    if isinstance(node, exp.AggFunc):
        hint = "a condition sees one event; aggregate by the aggregation it stands on."
        return cannot(owner, f"the aggregate {part}", text, hint)
    name = str(node.this).lower() if key == "anonymous" else key
    if name in UNSETTLED:
        hint = "an answer must not depend on when it is computed; compare with a column or a literal."
        return cannot(owner, f"{part}, which differs from call to call,", text, hint)
    if key in ("placeholder", "parameter", "sessionparameter"):
        return cannot(owner, f"the parameter {part}", text, "write the value itself.")
    if key in SIMPLER:
        return cannot(owner, part, text, SIMPLER[key])
    if isinstance(node, exp.Func):
        return _function(name if key == "anonymous" else node.sql_name().lower(), part, owner, text)
    return cannot(owner, part, text, "see docs/where.md for what can.")


def _function(name: str, part: str, owner: str, text: str) -> DefinitionError:
    if name in FUNCTIONS:
        return cannot(owner, f"{part}, with these arguments,", text, f"see docs/where.md for what {name} takes.")
    hint = nearest_hint(name, FUNCTIONS, otherwise=f"there are: {', '.join(FUNCTIONS)}.")
    return cannot(owner, f"the function {part}", text, hint)
