"""A typed tree as DuckDB SQL, each constant and each conversion cast by name, so that DuckDB chooses no type itself.

>>> from gnomon.core.expressions.typed import Typed
>>> from gnomon.types import Bool, Int64
>>> column, ten = Typed("column", Int64, value="amount"), Typed("constant", Int64, value=10)
>>> to_sql(Typed(">", Bool, (column, ten)), {"amount": "f3"}.__getitem__)
'(f3 > cast(10 as BIGINT))'
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as PythonDecimal
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from gnomon.core.expressions.numbers import FLOATS, digits_of
from gnomon.core.expressions.typed import Typed
from gnomon.core.expressions.writing import SQL_NAMES, text_literal
from gnomon.types import Bytes, Decimal, FeatureType, String, UnixTimestamp

__all__ = ["to_sql"]

FOLD = {"lower": (ascii_uppercase, ascii_lowercase), "upper": (ascii_lowercase, ascii_uppercase)}
INFIX = frozenset(["=", "<>", "<", "<=", ">", ">=", "is distinct from"])
WIDE = 19
STATES = frozenset(["is null", "is true", "is false"])


def to_sql(typed: Typed, column: Callable[[str], str]) -> str:
    """The SQL of a typed tree.

    Args:
        typed: the tree.
        column: gives the SQL term that stands for a column; its DuckDB type is the column's.
    """
    if typed.name == "column":
        return column(typed.value)
    if typed.name == "constant":
        return _constant(typed.value, typed.dtype)
    args = [to_sql(one, column) for one in typed.args]
    if typed.name in ("and", "or"):
        return f"({f' {typed.name} '.join(args)})"
    if typed.name in INFIX:
        return f"({args[0]} {typed.name} {args[1]})"
    if typed.name in STATES:
        return f"({args[0]} {typed.name})"
    if typed.name in FOLD:
        return _folded(typed.name, args[0])
    shape = SHAPES.get(typed.name)
    return shape(typed, args) if shape else f"{typed.name}({', '.join(args)})"


def sql_type(dtype: FeatureType) -> str:
    """DuckDB's name of a type."""
    return repr(dtype).upper() if isinstance(dtype, Decimal) else SQL_NAMES[dtype.name].upper()


def _cast(term: str, dtype: FeatureType) -> str:
    return f"cast({term} as {sql_type(dtype)})"


def _constant(value: Any, dtype: FeatureType) -> str:
    if value is None:
        return _cast("null", dtype)
    if dtype == String:
        return text_literal(value)
    if dtype == UnixTimestamp:
        return f"make_timestamptz({value})"
    if isinstance(value, bool):
        return str(value).lower()
    # In quotes where DuckDB reads digits as a type of its choice first: 0.1 as a decimal, or as a float if it is long.
    plain = format(value, "f") if isinstance(value, PythonDecimal) else repr(value)
    return _cast(text_literal(plain) if dtype in FLOATS or isinstance(dtype, Decimal) else plain, dtype)


def _convert(typed: Typed, args: list[str]) -> str:
    source = typed.args[0].dtype
    # DuckDB divides a decimal's digits as floats, which can be off by one; its reading of text is rounded once.
    exact = f"cast({args[0]} as VARCHAR)" if isinstance(source, Decimal) and typed.dtype in FLOATS else args[0]
    return _cast(exact, typed.dtype)


def _sum(typed: Typed, args: list[str]) -> str:
    """A sum or difference; exact ones with room for every digit before they are added."""
    if typed.dtype in FLOATS:
        return f"({args[0]} {typed.name} {args[1]})"
    left, right = (_cast(one, typed.dtype) for one in args)
    return _cast(f"({left} {typed.name} {right})", typed.dtype)


def _product(typed: Typed, args: list[str]) -> str:
    if typed.dtype in FLOATS:
        return f"({args[0]} * {args[1]})"
    # Below 19 digits DuckDB multiplies as int64, and fails where the product needs more; from 19 on it uses 128 bits.
    wide = WIDE if sum(digits_of(typed.dtype)) >= WIDE else 0
    left, right = (_as_decimal(one, part.dtype, wide) for one, part in zip(args, typed.args, strict=True))
    return _cast(f"({left} * {right})", typed.dtype)


def _as_decimal(term: str, dtype: FeatureType, least: int) -> str:
    before, after = digits_of(dtype)
    return _cast(term, Decimal(max(before + after, least), after))


def _quotient(typed: Typed, args: list[str]) -> str:
    return f"({args[0]} / nullif({args[1]}, {_constant(0.0, typed.dtype)}))"


def _remainder(typed: Typed, args: list[str]) -> str:
    left, right = (f"cast({one} as HUGEINT)" for one in args)
    return _cast(f"({left} % nullif({right}, cast(0 as HUGEINT)))", typed.dtype)


def _signed(typed: Typed, args: list[str]) -> str:
    """`-` and `abs`; integers as decimals, in which −2^63 has a positive twin."""
    term = args[0] if typed.dtype in FLOATS else _cast(args[0], typed.dtype)
    return f"abs({term})" if typed.name == "abs" else f"(-{term})"


def _like(typed: Typed, args: list[str]) -> str:
    pattern, escape = typed.value
    # Folded here and not by `ilike`, whose idea of case is wider than A to Z.
    folded = typed.name == "ilike"
    text = _folded("lower", args[0]) if folded else args[0]
    told = _folded("lower", text_literal(pattern)) if folded else text_literal(pattern)
    return f"({text} like {told}{'' if escape is None else f' escape {text_literal(escape)}'})"


def _folded(name: str, term: str) -> str:
    old, new = FOLD[name]
    return f"translate({term}, '{old}', '{new}')"


def _in(typed: Typed, args: list[str]) -> str:
    return f"({args[0]} in ({', '.join(args[1:])}))"


def _between(typed: Typed, args: list[str]) -> str:
    return f"({args[0]} between {args[1]} and {args[2]})"


def _case(typed: Typed, args: list[str]) -> str:
    whens = (f"when {when} then {then}" for when, then in zip(args[:-1:2], args[1::2], strict=True))
    return f"(case {' '.join(whens)} else {args[-1]} end)"


def _length(typed: Typed, args: list[str]) -> str:
    return f"octet_length({args[0]})" if typed.args[0].dtype == Bytes else f"length({args[0]})"


SHAPES: dict[str, Callable[[Typed, list[str]], str]] = {
    "not": lambda typed, args: f"(not {args[0]})",
    "convert": _convert,
    "+": _sum,
    "-": _sum,
    "*": _product,
    "/": _quotient,
    "%": _remainder,
    "neg": _signed,
    "abs": _signed,
    "like": _like,
    "ilike": _like,
    "in": _in,
    "between": _between,
    "case": _case,
    "length": _length,
}
