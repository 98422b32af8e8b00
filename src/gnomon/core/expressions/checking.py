"""From a tree and the columns' types to a typed tree; every decision about what meets what is made here, once.

>>> from gnomon.core.expressions.reading import read
>>> from gnomon.types import Int64
>>> typed = check(read("amount > 10", "where"), {"amount": Int64}, "where")
>>> typed.name, typed.dtype, [one.name for one in typed.args]
('>', Bool, ['column', 'constant'])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal as PythonDecimal
from typing import Any

from gnomon.clock import to_micros
from gnomon.core.expressions import numbers
from gnomon.core.expressions.numbers import FLOATS, INTEGERS, is_exact
from gnomon.core.expressions.tree import Call, Column, Literal, Node
from gnomon.core.expressions.typed import Typed
from gnomon.core.expressions.writing import write
from gnomon.errors import DefinitionError, RequestError, listing, nearest_hint
from gnomon.types import Array, Bool, Bytes, Decimal, FeatureType, Float64, Int64, String, UnixTimestamp

__all__ = ["check", "check_value"]

COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "is distinct from", "in", "between")
TAKES: dict[str, tuple[tuple[FeatureType, ...], FeatureType, int]] = {
    "and": ((Bool,), Bool, 0),
    "or": ((Bool,), Bool, 0),
    "not": ((Bool,), Bool, 1),
    "is true": ((Bool,), Bool, 1),
    "is false": ((Bool,), Bool, 1),
    "contains": ((String,), Bool, 2),
    "starts_with": ((String,), Bool, 2),
    "ends_with": ((String,), Bool, 2),
    "lower": ((String,), String, 1),
    "upper": ((String,), String, 1),
    "isnan": (FLOATS, Bool, 1),
    "isinf": (FLOATS, Bool, 1),
    "isfinite": (FLOATS, Bool, 1),
    "length": ((String, Bytes), Int64, 1),
}
"""Calls whose arguments have one of some types each: those, the type of the result, and how many (0: any number)."""
NULL = Literal("null", None)
GROWS = {"+": numbers.total, "-": numbers.total, "*": numbers.product}


def check(tree: Node, columns: Mapping[str, FeatureType], owner: str) -> Typed:
    """The typed tree of a condition over columns of these types.

    Raises:
        DefinitionError: a column is not there, types do not fit, or the whole is no Bool.
    """
    checker = _Checker(columns, owner)
    found = checker.of(tree)
    if (found.kind != "null") if isinstance(found, Literal) else (found.dtype != Bool):
        raise checker.error(
            f"{checker.named(tree, found)} is no condition; it has to be Bool.", tree, "compare it: x > 0."
        )
    return checker.settle(found, Bool, tree)


def check_value(tree: Node, columns: Mapping[str, FeatureType], dtype: FeatureType, owner: str) -> Typed:
    """The typed tree of an expression whose values are to be of a type.

    It keeps the type that the expression has of itself, wide enough for every value; what the declared type cannot hold
    of these shows when values are cast to it, one by one.

    Raises:
        DefinitionError: a column is not there, types do not fit, or values of the declared type would be others.
    """
    checker = _Checker(columns, owner)
    found = checker.of(tree)
    is_text = isinstance(found, Literal) and found.kind == "text" and dtype in (String, UnixTimestamp)
    if is_text or _is_null(found):
        return checker.settle(found, dtype, tree)
    made = found if isinstance(found, Typed) else checker.settle(found, checker._open(found, tree), tree)
    if not numbers.holds(dtype, made.dtype):
        hint = f"declare it as {made.dtype}."
        if made.dtype in FLOATS or is_exact(made.dtype):
            hint = f"declare it as {'Float64' if made.dtype in FLOATS else f'{made.dtype}, or Float64'}; "
            hint += "nothing is rounded or cut off unless a float is declared."
        raise checker.error(f"{checker.named(tree, made)} is declared as {dtype}.", tree, hint)
    return Typed("convert", Float64, (made,)) if dtype in FLOATS and is_exact(made.dtype) else made


class _Checker:
    def __init__(self, columns: Mapping[str, FeatureType], owner: str) -> None:
        self.columns, self.owner = columns, owner

    def of(self, node: Node) -> Typed | Literal:
        """A node with its type; numbers, texts and null stay open until they meet one."""
        if isinstance(node, Column):
            return self._column(node)
        if isinstance(node, Literal):
            dtype = {"bool": Bool, "instant": UnixTimestamp}.get(node.kind)
            return node if dtype is None else Typed("constant", dtype, value=node.value)
        found = [self.of(one) for one in node.args]
        if node.name in COMPARISONS:
            return Typed(node.name, Bool, self._alike(node, node.args, found))
        if node.name in TAKES:
            return self._plain(node, found)
        method = {"+": "_sum", "-": "_sum", "*": "_sum", "/": "_quotient", "%": "_remainder", "is null": "_is_null"}
        made: Typed | Literal = getattr(self, method.get(node.name, f"_{node.name}"))(node, found)
        return made

    def settle(self, found: Typed | Literal, dtype: FeatureType, node: Node) -> Typed:
        """A node as a value of a type it can have."""
        if isinstance(found, Typed):
            return found if found.dtype == dtype else Typed("convert", dtype, (found,))
        value: Any = found.value
        if isinstance(value, PythonDecimal):
            value = numbers.rounded(value, dtype) if dtype in FLOATS else value
            if value is None:
                raise self.error(f"{write(node)} is beyond {dtype}.", node, "write a number that the column can hold.")
        if isinstance(value, str) and dtype == UnixTimestamp:
            value = self._instant(value, node)
        return Typed("constant", dtype, value=value)

    def named(self, node: Node, found: Typed | Literal) -> str:
        """A node with its type, for errors."""
        kind = f"a {found.kind}" if isinstance(found, Literal) else str(found.dtype)
        return f"{write(node)} ({'null' if kind == 'a null' else kind})"

    def error(self, what: str, node: Node, hint: str) -> DefinitionError:
        """What is wrong, and with which part."""
        return DefinitionError(f"{self.owner}: {what}", instead=f"It says: {write(node)}", hint=hint)

    def _column(self, node: Column) -> Typed:
        dtype = self.columns.get(node.name)
        if dtype is None:
            raise DefinitionError(
                f"{self.owner}: there is no column {node.name!r}.",
                instead=f"There are: {listing(self.columns)}.",
                hint=nearest_hint(node.name, self.columns, "text goes in single quotes, columns in double or none."),
                column=node.name,
            )
        if isinstance(dtype, Array):
            raise self.error(f"column {node.name!r} is an {dtype}.", node, "conditions take single values only.")
        return Typed("column", dtype, value=node.name)

    def _alike(self, node: Call, nodes: Sequence[Node], found: Sequence[Typed | Literal]) -> tuple[Typed, ...]:
        """Some nodes, all as values of the type they have in common."""
        dtype = self._common(node, nodes, found)
        return tuple(self.settle(one, dtype, part) for one, part in zip(found, nodes, strict=True))

    def _common(self, node: Call, nodes: Sequence[Node], found: Sequence[Typed | Literal]) -> FeatureType:
        # What has a type goes first, so that literals take theirs from it, wherever they stand.
        pairs = sorted(zip(found, nodes, strict=True), key=lambda pair: isinstance(pair[0], Literal))
        first, first_node = next((one for one in pairs if not _is_null(one[0])), pairs[0])
        dtype = self._open(first, first_node)
        for one, part in pairs:
            joined = self._join(dtype, one, part)
            if joined is None:
                raise self._unlike(node, (first, first_node, dtype), (one, part))
            dtype = joined
        return dtype

    def _open(self, found: Typed | Literal, node: Node) -> FeatureType:
        """The type of a node by itself."""
        if isinstance(found, Typed):
            return found.dtype
        if isinstance(found.value, PythonDecimal):
            return numbers.integer(found.value) or self._natural(found.value, node)
        return Bool if found.value is None else String

    def _natural(self, value: PythonDecimal, node: Node) -> FeatureType:
        dtype = numbers.natural(value)
        if dtype is None:
            raise self.error(f"{write(node)} has more than 38 digits.", node, "write a number with fewer digits.")
        return dtype

    def _join(self, dtype: FeatureType, found: Typed | Literal, node: Node) -> FeatureType | None:
        if isinstance(found, Typed):
            return numbers.together(dtype, found.dtype)
        if found.value is None:
            return dtype
        if isinstance(found.value, PythonDecimal):
            if dtype in FLOATS:
                return dtype
            whole = numbers.integer(found.value) if dtype in INTEGERS else None
            return numbers.together(dtype, whole or self._natural(found.value, node))
        return dtype if dtype in (String, UnixTimestamp) else None

    def _unlike(
        self, node: Call, first: tuple[Typed | Literal, Node, FeatureType], second: tuple[Typed | Literal, Node]
    ) -> DefinitionError:
        one, two = self.named(first[1], first[0]), self.named(second[1], second[0])
        if is_exact(first[2]) and is_exact(self._open(*second)):
            hint = "write fewer digits, or cast both sides: cast(x as double)."
            return self.error(f"{one} and {two} meet only in more than 38 digits.", node, hint)
        hint = "text stands in single quotes, numbers in none; compare values of one type."
        return self.error(f"{one} and {two} cannot be compared.", node, hint)

    def _plain(self, node: Call, found: Sequence[Typed | Literal]) -> Typed:
        takes, dtype, count = TAKES[node.name]
        self._count(node, count or len(found))
        args = []
        for one, part in zip(found, node.args, strict=True):
            own = takes[0] if _is_null(one) else self._open(one, part)
            if own not in takes:
                wanted = " or ".join(map(str, takes))
                hint = "write a comparison there." if takes == (Bool,) else f"{node.name} is for {wanted} only."
                raise self.error(f"{self.named(part, one)} is not {wanted}, as `{node.name}` needs.", node, hint)
            args.append(self.settle(one, own, part))
        return Typed(node.name, dtype, tuple(args))

    def _count(self, node: Call, count: int) -> None:
        if len(node.args) != count:
            raise self.error(f"{node.name} takes {count} arguments, not {len(node.args)}.", node, "see docs/where.md.")

    def _is_null(self, node: Call, found: Sequence[Typed | Literal]) -> Typed:
        return Typed("is null", Bool, self._alike(node, node.args, found))

    def _like(self, node: Call, found: Sequence[Typed | Literal]) -> Typed:
        if self._open(found[0], node.args[0]) != String and not _is_null(found[0]):
            hint = "like is for text columns."
            raise self.error(f"{self.named(node.args[0], found[0])} is not String, as `{node.name}` needs.", node, hint)
        pattern, escape = (*(one.value for one in node.args[1:] if isinstance(one, Literal)), None)[:2]
        text = self.settle(found[0], String, node.args[0])
        return Typed(node.name, Bool, (text,), (pattern, escape))

    _ilike = _like

    def _numbers(self, node: Call, found: Sequence[Typed | Literal]) -> list[FeatureType]:
        kinds = []
        for one, part in zip(found, node.args, strict=True):
            kind = self._number(one, part)
            if not (is_exact(kind) or kind in FLOATS):
                raise self.error(f"{self.named(part, one)} is no number, as `{node.name}` needs.", node, "use numbers.")
            kinds.append(kind)
        return kinds

    def _number(self, found: Typed | Literal, node: Node) -> FeatureType:
        """A type for arithmetic; literals get no more digits than they have."""
        if isinstance(found, Literal) and isinstance(found.value, PythonDecimal):
            return self._natural(found.value, node)
        return Int64 if _is_null(found) else self._open(found, node)

    def _sum(self, node: Call, found: Sequence[Typed | Literal]) -> Typed:
        kinds = self._numbers(node, found)
        if any(kind in FLOATS for kind in kinds):
            return self._as_floats(node, found)
        dtype = GROWS[node.name](*kinds)
        if dtype is None:
            hint = "make it a float first: cast(x as double)."
            raise self.error(f"{write(node)} can need more than 38 digits.", node, hint)
        args = (self.settle(one, kind, part) for one, kind, part in zip(found, kinds, node.args, strict=True))
        return Typed(node.name, dtype, tuple(args))

    def _as_floats(self, node: Call, found: Sequence[Typed | Literal]) -> Typed:
        args = (self.settle(one, Float64, part) for one, part in zip(found, node.args, strict=True))
        return Typed(node.name, Float64, tuple(args))

    def _quotient(self, node: Call, found: Sequence[Typed | Literal]) -> Typed:
        self._numbers(node, found)
        return self._as_floats(node, found)

    def _remainder(self, node: Call, found: Sequence[Typed | Literal]) -> Typed:
        kinds = self._numbers(node, found)
        dtype = None if any(kind in FLOATS for kind in kinds) else numbers.remainder(*kinds)
        if dtype is None:
            raise self.error(
                f"{write(node)} is not of whole numbers.", node, "% is for Int32, Int64 and Decimal(p, 0)."
            )
        args = (self.settle(one, kind, part) for one, kind, part in zip(found, kinds, node.args, strict=True))
        return Typed("%", dtype, tuple(args))

    def _neg(self, node: Call, found: Sequence[Typed | Literal]) -> Typed:
        self._count(node, 1)
        (kind,) = self._numbers(node, found)
        dtype = Decimal(sum(numbers.digits_of(kind)), numbers.digits_of(kind)[1]) if is_exact(kind) else kind
        return Typed(node.name, dtype, (self.settle(found[0], kind, node.args[0]),))

    _abs = _neg

    def _case(self, node: Call, found: Sequence[Typed | Literal]) -> Typed | Literal:
        when, when_nodes = found[:-1:2], node.args[:-1:2]
        then, then_nodes = (*found[1::2], found[-1]), (*node.args[1::2], node.args[-1])
        conditions = self._plain(Call("and", when_nodes), when).args
        if all(map(_is_null, then)):
            return NULL
        values = self._alike(node, then_nodes, then)
        pairs = zip(conditions, values[:-1], strict=True)
        return Typed("case", values[0].dtype, (*(one for pair in pairs for one in pair), values[-1]))

    def _coalesce(self, node: Call, found: Sequence[Typed | Literal]) -> Typed | Literal:
        if all(map(_is_null, found)):
            return NULL
        args = self._alike(node, node.args, found)
        return Typed(node.name, args[0].dtype, args)

    def _nullif(self, node: Call, found: Sequence[Typed | Literal]) -> Typed | Literal:
        self._count(node, 2)
        return self._coalesce(node, found)

    def _cast(self, node: Call, found: Sequence[Typed | Literal]) -> Typed:
        assert node.dtype is not None
        (one,), (part,) = found, node.args
        if self._join(node.dtype, one, part) != node.dtype and not (
            node.dtype == Float64 and numbers.together(node.dtype, self._open(one, part))
        ):
            hint = "cast where nothing can be lost: an integer to bigint or a wide enough decimal, a number to double."
            raise self.error(f"{self.named(part, one)} cannot be cast to {node.dtype}.", node, hint)
        return self.settle(one, node.dtype, part)

    def _instant(self, text: str, node: Node) -> int:
        try:
            return to_micros(text)
        except RequestError:
            hint = "write it as '2024-01-31 12:00:00' (UTC), or with a zone: '2024-01-31T12:00:00+01:00'."
            raise self.error(f"{write(node)} is no instant, and meets a timestamp.", node, hint) from None


def _is_null(found: Typed | Literal) -> bool:
    return isinstance(found, Literal) and found.value is None
