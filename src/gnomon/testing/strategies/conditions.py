"""Conditions on an event's columns, as trees of `core.expressions`, and the columns and rows to try them on.

Every operator and function of the subset is drawn, over literals that lie where the columns' values lie. Nearly all
have fitting types; a few would need more than 38 digits, and are refused with a DefinitionError.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal as PythonDecimal
from typing import Any

from hypothesis import strategies as st

from gnomon.clock import from_micros
from gnomon.core.expressions.numbers import FLOATS, is_exact
from gnomon.core.expressions.tree import Call, Column, Literal, Node
from gnomon.testing.strategies.values import instants, values
from gnomon.types import Bool, Bytes, Decimal, FeatureType, Float32, Float64, Int32, Int64, String, UnixTimestamp

__all__ = ["conditions", "event_columns", "event_rows", "expressions"]

_NAMES = ["a", "B", "c d", 'q"', "select", "ä"]
_DECIMALS = [Decimal(*one) for one in ((1, 1), (4, 2), (9, 0), (18, 3), (20, 0), (38, 10), (38, 38))]
_TYPES = [Bool, Int32, Int64, Float32, Float64, String, Bytes, UnixTimestamp, *_DECIMALS]
_KINDS = ["number", "text", "instant", "bytes", "truth"]
_ORDERS = ["=", "<>", "<", "<=", ">", ">=", "is distinct from"]
_NUMBERS = [
    *("0", "1", "-1", "2", "10", "0.1", "0.5", "-0.25", "10.5", "1e3", "9007199254740993", "2147483648"),
    *("9223372036854775807", "-9223372036854775808", "9223372036854775808", "9223372036854775295.5"),
]
_PATTERNS = ["", "%", "_", "a%", "%a", "%b%", "a_%b", "_%_", "A", "%%a%%b", "\\%", "a!%b", "%!_", "Ä%", "%.*", "a\n%"]


def event_columns() -> st.SearchStrategy[dict[str, FeatureType]]:
    """Names and types of an event's columns, two of most kinds, names that need quotes among them."""
    types = st.lists(st.sampled_from(_TYPES), min_size=2, max_size=len(_NAMES))
    return types.map(lambda drawn: dict(zip(_NAMES, drawn, strict=False)))


def event_rows(columns: Mapping[str, FeatureType], *, most: int = 8) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows of these columns, with nulls."""
    return st.lists(st.fixed_dictionaries({name: values(dtype) for name, dtype in columns.items()}), max_size=most)


@st.composite
def conditions(draw: st.DrawFn, columns: Mapping[str, FeatureType], *, depth: int = 3) -> Node:
    """A condition over these columns.

    Args:
        draw: given by Hypothesis.
        columns: the columns' names and types.
        depth: how deep it may nest.
    """
    return _Drawing(draw, columns).truth(depth)


@st.composite
def expressions(draw: st.DrawFn, columns: Mapping[str, FeatureType], *, depth: int = 3) -> Node:
    """An expression over these columns, for a value of any kind.

    Args:
        draw: given by Hypothesis.
        columns: the columns' names and types.
        depth: how deep it may nest.
    """
    drawing = _Drawing(draw, columns)
    return drawing.any(drawing.one_of([*_KINDS, "number", "number"]), depth)


class _Drawing:
    """Draws nodes of a kind, each method one kind; at depth zero, columns and literals only."""

    def __init__(self, draw: st.DrawFn, columns: Mapping[str, FeatureType]) -> None:
        self.draw, self.columns = draw, columns

    def one_of(self, options: list[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def number_of(self, least: int, most: int) -> int:
        drawn: int = self.draw(st.integers(least, most))
        return drawn

    def some(self, kind: str, depth: int, least: int = 1, most: int = 3) -> tuple[Node, ...]:
        count = self.number_of(least, most)
        return tuple(self.any(kind, depth) for _ in range(count))

    def any(self, kind: str, depth: int) -> Node:
        if self.number_of(0, 19) == 0:
            return Literal("null", None)
        drawn: Node = getattr(self, kind)(depth)
        return drawn

    def leaf(self, kind: str) -> Node:
        names = [name for name, dtype in self.columns.items() if _kind(dtype) == kind]
        return Column(self.one_of(names)) if names and self.number_of(0, 3) else self.literal(kind)

    def literal(self, kind: str) -> Node:
        if kind == "number":
            return Literal("number", PythonDecimal(self.one_of(_NUMBERS)).normalize())
        if kind == "text":
            return Literal("text", self.draw(values(String, nulls=False)).replace("\0", ""))
        if kind == "instant":
            return Literal("instant", self.draw(instants()))
        return Literal("bool", self.draw(st.booleans())) if kind == "truth" else Literal("null", None)

    def truth(self, depth: int) -> Node:
        if depth <= 0:
            return self.leaf("truth")
        shape = self.one_of(["and", "or", "not", "state", "order", "order", "order", "order", "in", "between", "text"])
        shape = self.one_of([shape, shape, shape, "float", "case", "column"])
        drawn: Node = getattr(self, f"_{shape}")(depth - 1)
        return drawn

    def _column(self, depth: int) -> Node:
        return self.leaf("truth")

    def _and(self, depth: int) -> Node:
        return _joined("and", self.some("truth", depth, 2))

    def _or(self, depth: int) -> Node:
        return _joined("or", self.some("truth", depth, 2))

    def _not(self, depth: int) -> Node:
        return Call("not", (self.any("truth", depth),))

    def _state(self, depth: int) -> Node:
        if self.draw(st.booleans()):
            return Call("is null", (self.any(self.one_of(_KINDS), depth),))
        return Call(self.one_of(["is true", "is false"]), (self.any("truth", depth),))

    def _order(self, depth: int) -> Node:
        kind = self.one_of(_KINDS)
        left, right = self.any(kind, depth), self.any(kind, depth)
        if (
            kind == "instant"
            and isinstance(right, Literal)
            and isinstance(right.value, int)
            and isinstance(left, Column)
        ):
            right = Literal("text", from_micros(right.value).isoformat())
        return Call(self.one_of(_ORDERS), (left, right))

    def _in(self, depth: int) -> Node:
        kind = self.one_of(_KINDS)
        items = [self.literal(kind) for _ in range(self.number_of(1, 4))]
        return Call("in", (self.any(kind, depth), *items, *self.some(kind, 0, 0, 1)))

    def _between(self, depth: int) -> Node:
        kind = self.one_of(_KINDS)
        return Call("between", self.some(kind, depth, 3, 3))

    def _text(self, depth: int) -> Node:
        name = self.one_of(["like", "like", "ilike", "contains", "starts_with", "ends_with"])
        if not name.endswith("like"):
            return Call(name, self.some("text", depth, 2, 2))
        escape = self.one_of([(), (), (Literal("text", "!"),)])
        return Call(name, (self.any("text", depth), Literal("text", self.one_of(_PATTERNS)), *escape))

    def _float(self, depth: int) -> Node:
        names = [name for name, dtype in self.columns.items() if dtype in FLOATS]
        inner = Column(self.one_of(names)) if names else Call("/", self.some("number", 0, 2, 2))
        return Call(self.one_of(["isnan", "isinf", "isfinite"]), (inner,))

    def _case(self, depth: int, kind: str = "truth") -> Node:
        branches = [(self.any("truth", depth), self.any(kind, depth)) for _ in range(self.number_of(1, 2))]
        return Call("case", (*(one for branch in branches for one in branch), self.any(kind, depth)))

    def _choice(self, kind: str, depth: int) -> Node:
        shape = self.one_of(["case", "coalesce", "nullif"])
        if shape == "case":
            return self._case(depth, kind)
        return Call(shape, self.some(kind, depth, 1 + (shape == "nullif"), 2))

    def number(self, depth: int) -> Node:
        if depth <= 0:
            return self.leaf("number")
        shape = self.one_of(["leaf", "leaf", "sum", "sum", "sign", "choice", "length", "cast"])
        if shape == "sum":
            return Call(self.one_of(["+", "-", "*", "/", "%"]), self.some("number", depth - 1, 2, 2))
        if shape == "sign":
            return self._sign(depth - 1)
        if shape == "choice":
            return self._choice("number", depth - 1)
        if shape == "length":
            return Call("length", (self.any(self.one_of(["text", "bytes"]), depth - 1),))
        inner = self.leaf("number")
        return Call("cast", (inner,), self.one_of([Float64, Int64, Decimal(38, 10)])) if shape == "cast" else inner

    def _sign(self, depth: int) -> Node:
        inner = self.any("number", depth)
        negatable = not (isinstance(inner, Literal) and inner.kind == "number")
        return Call(self.one_of(["abs", "neg"]) if negatable else "abs", (inner,))

    def text(self, depth: int) -> Node:
        if depth <= 0 or self.draw(st.booleans()):
            return self.leaf("text")
        if self.draw(st.booleans()):
            return Call(self.one_of(["lower", "upper"]), (self.any("text", depth - 1),))
        return self._choice("text", depth - 1)

    def instant(self, depth: int) -> Node:
        return self._choice("instant", depth - 1) if depth > 0 and self.draw(st.booleans()) else self.leaf("instant")

    def bytes(self, depth: int) -> Node:
        return self._choice("bytes", depth - 1) if depth > 0 and self.draw(st.booleans()) else self.leaf("bytes")


def _joined(name: str, nodes: tuple[Node, ...]) -> Call:
    """A chain as reading makes it: flat."""
    parts = (one.args if isinstance(one, Call) and one.name == name else (one,) for one in nodes)
    return Call(name, tuple(node for part in parts for node in part))


def _kind(dtype: FeatureType) -> str:
    if is_exact(dtype) or dtype in FLOATS:
        return "number"
    return {"Bool": "truth", "String": "text", "Bytes": "bytes", "UnixTimestamp": "instant"}[dtype.name]
