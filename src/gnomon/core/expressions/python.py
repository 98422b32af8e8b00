"""A typed tree as one Python function of a row.

Each node becomes a line that gives it a name, `t3 = None if t1 is None or t2 is None else t1 < t2`: a flat list of
lines, whatever the depth, which Python compiles once. Nothing of the author's text gets into the source: names of
columns and constants are handed in beside it.

>>> from gnomon.core.expressions.typed import Typed
>>> from gnomon.types import Bool, Int64
>>> column, ten = Typed("column", Int64, value="amount"), Typed("constant", Int64, value=10)
>>> over = to_function(Typed(">", Bool, (column, ten)))
>>> over({"amount": 11}), over({"amount": 10}), over({"amount": None})
(True, False, None)
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Mapping
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from gnomon.core.expressions.numbers import FLOATS, INTEGERS
from gnomon.core.expressions.patterns import matcher
from gnomon.core.expressions.typed import Typed

__all__ = ["to_function"]

EXACT = decimal.Context(prec=100)
"""Room for every exact result: the thread's own context rounds to 28 digits."""

LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
UPPER = str.maketrans(ascii_lowercase, ascii_uppercase)


def _remainder(left: Any, right: Any) -> int | None:
    """The remainder with the sign of the left side, as SQL has it; None for a division by zero."""
    whole, by = abs(int(left)), abs(int(right))
    if by == 0:
        return None
    return -(whole % by) if left < 0 else whole % by


HELPERS: dict[str, Any] = {
    "add": EXACT.add,
    "subtract": EXACT.subtract,
    "multiply": EXACT.multiply,
    "remainder": _remainder,
    "isinf": math.isinf,
    "isfinite": math.isfinite,
    "LOWER": LOWER,
    "UPPER": UPPER,
    "__builtins__": {"abs": abs, "float": float, "len": len},
}

# NaN equals NaN and is greater than everything else; Python's own operators say no to both.
FLOAT_ORDER = {
    "=": "({0} == {1} or ({0} != {0} and {1} != {1}))",
    "<": "({0} < {1} or ({1} != {1} and {0} == {0}))",
    "<=": "({0} <= {1} or {1} != {1})",
}
PLAIN_ORDER = {"=": "{0} == {1}", "<": "{0} < {1}", "<=": "{0} <= {1}"}
MIRRORED = {">": "<", ">=": "<="}
TEMPLATES = {
    "not": "not {0}",
    "contains": "{1} in {0}",
    "starts_with": "{0}.startswith({1})",
    "ends_with": "{0}.endswith({1})",
    "lower": "{0}.translate(LOWER)",
    "upper": "{0}.translate(UPPER)",
    "length": "len({0})",
    "isnan": "{0} != {0}",
    "isinf": "isinf({0})",
    "isfinite": "isfinite({0})",
    "/": "{0} / {1} if {1} else None",
    "%": "remainder({0}, {1})",
}
STATES = {"is null": "{0} is None", "is true": "{0} is True", "is false": "{0} is False"}
EXACT_NAMES = {"+": "add", "-": "subtract", "*": "multiply"}


def to_function(typed: Typed) -> Callable[[Mapping[str, Any]], bool | None]:
    """The function that says what a typed tree is worth for a row.

    Args:
        typed: a tree of type Bool.

    Returns:
        A function of a mapping from column to value: true, false, or None for null.
    """
    writer = _Writer()
    result = writer.name_of(typed)
    source = "\n    ".join(["def condition(row):", *writer.lines, f"return {result}"])
    exec(compile(source, "<where>", "exec"), writer.names)
    function: Callable[[Mapping[str, Any]], bool | None] = writer.names["condition"]
    return function


class _Writer:
    """Collects lines, and the constants they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = dict(HELPERS)
        self.read: dict[str, str] = {}

    def name_of(self, typed: Typed) -> str:
        """Write what computes a node; gives the name that then holds its value."""
        if typed.name == "constant":
            return self._constant(typed)
        if typed.name == "column":
            return self._column(typed.value)
        args = [self.name_of(one) for one in typed.args]
        special = SPECIAL.get(typed.name)
        if special is not None:
            return special(self, typed, args)
        if typed.name in STATES:
            return self._line(STATES[typed.name].format(*args))
        return self._strict(self._template(typed), typed, args)

    def _line(self, expression: str) -> str:
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name

    def _given(self, value: Any) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def _constant(self, typed: Typed) -> str:
        value = typed.value
        if value is None or isinstance(value, bool):
            return repr(value)
        return self._given(_held(value))

    def _column(self, column: str) -> str:
        if column not in self.read:
            self.read[column] = self._line(f"row[{self._given(column)}]")
        return self.read[column]

    def _strict(self, template: str, typed: Typed, args: list[str]) -> str:
        """A value that is null where an argument is."""
        expression = template.format(*args)
        nulls = dict.fromkeys(name for name, one in zip(args, typed.args, strict=True) if one.name != "constant")
        if "None" in args:
            return "None"
        checks = " or ".join(f"{name} is None" for name in nulls)
        return self._line(f"None if {checks} else {expression}" if checks else expression)

    def _template(self, typed: Typed) -> str:
        name, floats = typed.name, typed.dtype in FLOATS
        if name in TEMPLATES:
            return TEMPLATES[name]
        if name == "convert":
            if not floats:
                return "{0}"
            # Python's decimals have a negative zero, which exact numbers have not, and floats have.
            return "float({0})" if typed.args[0].dtype in FLOATS else "float({0} or 0)"
        if name in EXACT_NAMES:
            plain = floats or all(map(_is_int, typed.args))
            return f"{{0}} {name} {{1}}" if plain else f"{EXACT_NAMES[name]}({{0}}, {{1}})"
        if name in ("neg", "abs"):
            return self._signed(typed)
        return _order(name, typed.args[0])

    def _signed(self, typed: Typed) -> str:
        """Sign changes; `copy_…` for decimals, whose own operators round to the thread's precision."""
        if typed.dtype in FLOATS or _is_int(typed.args[0]):
            return "-{0}" if typed.name == "neg" else "abs({0})"
        return f"add({{0}}, 0).copy_{'negate' if typed.name == 'neg' else 'abs'}()"

    def _and(self, typed: Typed, args: list[str]) -> str:
        return self._joined(args, "False", "True")

    def _or(self, typed: Typed, args: list[str]) -> str:
        return self._joined(args, "True", "False")

    def _joined(self, args: list[str], settles: str, otherwise: str) -> str:
        settled = " or ".join(f"{name} is {settles}" for name in args)
        unknown = " or ".join(f"{name} is None" for name in args)
        return self._line(f"{settles} if {settled} else None if {unknown} else {otherwise}")

    def _distinct(self, typed: Typed, args: list[str]) -> str:
        left, right = args
        same = _order("=", typed.args[0]).format(left, right)
        return self._line(f"({left} is None) != ({right} is None) if {left} is None or {right} is None else not {same}")

    def _in(self, typed: Typed, args: list[str]) -> str:
        """Membership; in one step where all values are constants, which are never NaN."""
        sought, *items = typed.args
        if any(one.name != "constant" for one in items):
            return self._joined([self._compare("=", sought, args[0], one) for one in args[1:]], "True", "False")
        values = frozenset(_held(one.value) for one in items if one.value is not None)
        missing = "None" if any(one.value is None for one in items) else "False"
        found = f"True if {args[0]} in {self._given(values)} else {missing}"
        return self._line(f"None if {args[0]} is None else {found}")

    def _between(self, typed: Typed, args: list[str]) -> str:
        above = self._compare("<=", typed.args[0], args[1], args[0])
        return self._joined([above, self._compare("<=", typed.args[0], args[0], args[2])], "False", "True")

    def _compare(self, name: str, kind: Typed, left: str, right: str) -> str:
        return self._line(f"None if {left} is None or {right} is None else {_order(name, kind).format(left, right)}")

    def _case(self, typed: Typed, args: list[str]) -> str:
        name = self._line(args[-1])
        branches = list(zip(args[:-1:2], args[1::2], strict=True))
        # Last branch first, each over the one before: the first that holds is the last to write.
        self.lines += [f"if {when}: {name} = {then}" for when, then in reversed(branches)]
        return name

    def _coalesce(self, typed: Typed, args: list[str]) -> str:
        name = self._line(args[0])
        self.lines += [f"if {name} is None: {name} = {other}" for other in args[1:]]
        return name

    def _nullif(self, typed: Typed, args: list[str]) -> str:
        left, right = args
        same = _order("=", typed.args[0]).format(left, right)
        return self._line(f"{left} if {left} is None or {right} is None else None if {same} else {left}")

    def _like(self, typed: Typed, args: list[str]) -> str:
        pattern, escape = typed.value
        fold = typed.name == "ilike"
        matches = self._given(matcher(pattern.translate(LOWER) if fold else pattern, escape))
        text = f"{args[0]}.translate(LOWER)" if fold else args[0]
        return "None" if args[0] == "None" else self._line(f"None if {args[0]} is None else {matches}({text})")


SPECIAL: dict[str, Callable[[_Writer, Typed, list[str]], str]] = {
    "and": _Writer._and,
    "or": _Writer._or,
    "is distinct from": _Writer._distinct,
    "in": _Writer._in,
    "between": _Writer._between,
    "case": _Writer._case,
    "coalesce": _Writer._coalesce,
    "nullif": _Writer._nullif,
    "like": _Writer._like,
    "ilike": _Writer._like,
}


def _order(name: str, kind: Typed) -> str:
    """The template of a comparison of values of a kind."""
    if name == "<>":
        return f"not {_order('=', kind)}"
    ordered = FLOAT_ORDER if kind.dtype in FLOATS else PLAIN_ORDER
    if name in MIRRORED:
        return ordered[MIRRORED[name]].replace("{0}", "{x}").replace("{1}", "{0}").replace("{x}", "{1}")
    return ordered[name]


def _held(value: Any) -> Any:
    """A constant as Python computes with it fastest: whole numbers as ints."""
    return int(value) if isinstance(value, decimal.Decimal) and value == value.to_integral_value() else value


def _is_int(typed: Typed) -> bool:
    """Whether a node's values are Python ints, and not decimals."""
    if typed.name == "constant":
        return isinstance(_held(typed.value), int)
    if typed.name in ("+", "-", "*", "%", "neg", "abs", "convert"):
        return typed.name == "%" or (typed.dtype not in FLOATS and all(map(_is_int, typed.args)))
    return typed.dtype in INTEGERS
