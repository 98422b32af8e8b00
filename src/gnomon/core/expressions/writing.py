r"""The normalised text of a tree: one text for each meaning's form, which reads back as the same tree.

>>> from gnomon.core.expressions.tree import Call, Column, Literal
>>> write(Call("not", (Call("in", (Column("Order"), Literal("text", "it's"), Literal("null", None))),)))
'"Order" not in (\'it\'\'s\', null)'
"""

from __future__ import annotations

import re
from decimal import Decimal

from gnomon.clock import from_micros
from gnomon.core.expressions.tree import Call, Column, Literal, Node
from gnomon.types import Decimal as DecimalType
from gnomon.types import FeatureType

__all__ = ["SQL_NAMES", "text_literal", "write"]

OR, AND, NOT, PREDICATE, SUM, PRODUCT, SIGN, ATOM = range(8)
INFIX = {
    **dict.fromkeys(("=", "<>", "<", "<=", ">", ">=", "is distinct from"), PREDICATE),
    **dict.fromkeys("+-", SUM),
    **dict.fromkeys("*/%", PRODUCT),
}
NEGATED = {
    "is null": "is not null",
    "is true": "is not true",
    "is false": "is not false",
    "is distinct from": "is not distinct from",
    "in": "not in",
    "between": "not between",
    "like": "not like",
    "ilike": "not ilike",
}
SQL_NAMES = {
    "Bool": "boolean",
    "Int32": "integer",
    "Int64": "bigint",
    "Float32": "float",
    "Float64": "double",
    "String": "varchar",
    "Bytes": "blob",
    "UnixTimestamp": "timestamptz",
}
PLAIN_DIGITS = 40


def write(node: Node) -> str:
    """The text of a tree: keywords in lower case, no parentheses but those needed."""
    return _write(node)[0]


def text_literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _write(node: Node) -> tuple[str, int]:
    """The text, and how tightly it holds together."""
    if isinstance(node, Column):
        return _name(node.name), ATOM
    if isinstance(node, Literal):
        return _literal(node)
    name, args = node.name, node.args
    if name in ("and", "or"):
        level = AND if name == "and" else OR
        return f" {name} ".join(_within(one, level + 1) for one in args), level
    if name == "not":
        return _not(args[0])
    if name in INFIX:
        level = INFIX[name]
        # Left to right where equals meet; predicates never meet without parentheses.
        return f"{_within(args[0], level + (level == PREDICATE))} {name} {_within(args[1], level + 1)}", level
    if name in NEGATED:
        return _predicate(name, args), PREDICATE
    if name == "neg":
        return f"-{_within(args[0], ATOM)}", SIGN
    return _call(node), ATOM


def _within(node: Node, level: int) -> str:
    text, own = _write(node)
    return text if own >= level else f"({text})"


def _not(inner: Node) -> tuple[str, int]:
    if isinstance(inner, Call) and inner.name in NEGATED:
        return _predicate(NEGATED[inner.name], inner.args), PREDICATE
    return f"not {_within(inner, NOT)}", NOT


def _predicate(words: str, args: tuple[Node, ...]) -> str:
    first, *rest = (_within(one, SUM) for one in args)
    if words.endswith("between"):
        return f"{first} {words} {rest[0]} and {rest[1]}"
    if words.endswith("like"):
        return f"{first} {words} {' escape '.join(rest)}"
    if words.endswith("in"):
        return f"{first} {words} ({', '.join(map(write, args[1:]))})"
    return " ".join([first, words, *rest])


def _call(node: Call) -> str:
    if node.dtype is not None:
        return f"cast({write(node.args[0])} as {_type_name(node.dtype)})"
    if node.name != "case":
        return f"{node.name}({', '.join(map(write, node.args))})"
    *branches, default = map(write, node.args)
    whens = [f"when {when} then {then}" for when, then in zip(branches[::2], branches[1::2], strict=True)]
    return " ".join(["case", *whens, *([] if default == "null" else [f"else {default}"]), "end"])


def _literal(node: Literal) -> tuple[str, int]:
    value = node.value
    if isinstance(value, Decimal):
        plain = -PLAIN_DIGITS <= value.adjusted() <= PLAIN_DIGITS
        return format(value, "f" if plain else "e").lower(), SIGN if value < 0 else ATOM
    if value is None:
        return "null", ATOM
    if isinstance(value, bool):
        return str(value).lower(), ATOM
    return (text_literal(value) if isinstance(value, str) else f"timestamptz '{from_micros(value)}'"), ATOM


def _type_name(dtype: FeatureType) -> str:
    if isinstance(dtype, DecimalType):
        return f"decimal({dtype.precision}, {dtype.scale})"
    return SQL_NAMES[dtype.name]


def _name(name: str) -> str:
    bare = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in RESERVED
    return name if bare else '"' + name.replace('"', '""') + '"'


# Words that mean something to a reader of SQL where a column's name may stand. Not taken from sqlglot or DuckDB, whose
# lists grow: a normalised text must not change with them.
RESERVED = frozenset(
    """
    all alter always analyse analyze and anti any array as asc asof asymmetric attach begin between both call case
    cast check coalesce collate column commit connect_by_root constraint copy create cross current_catalog
    current_date current_time current_timestamp current_user date default deferrable delete desc describe detach
    distinct do drop else end escape except exclude execute exists explain export extract false fetch filter for
    force foreign from full glob grant group having if ilike import in initially inner inout insert install
    intersect interval into is isnull join lambda lateral leading left like limit localtime localtimestamp lock map
    merge nan natural no not notnull null nullable nullif offset on only optimize or order out outer over overlay
    partitioned_by pivot pivot_longer pivot_wider placing position positional pragma prepare primary qualify
    recursive references regexp rename reset returning revoke right rlike rollback row rows select semi session_user
    set show similar some struct substring summarize symmetric table tablesample then time timestamp timestamptz to
    trailing trim true truncate try_cast uncache union unique unknown unpivot update use using vacuum values
    variadic when where window with xor
    """.split()  # noqa: SIM905 - read as the text it is
)
