"""From text to tree: sqlglot parses, and what is not in the documented subset is refused by name.

Each kind of node is taken with exactly the parts listed for it. A part that is not listed (`symmetric`, `distinct`,
a subquery after `in`) is refused too, so nothing an author wrote is ever dropped.

>>> read("amount>10 AND NOT status = 'ok'", "where")
Call(name='and', args=(Call(name='>', ...), Call(name='not', ...)), dtype=None)
"""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from typing import Any

from gnomon.clock import to_micros
from gnomon.core.expressions.checks import check_text, check_tokens
from gnomon.core.expressions.nodes import BENIGN, CASTS, NODES, PREDICATES
from gnomon.core.expressions.refusals import cannot, refuse
from gnomon.core.expressions.tree import FUNCTIONS, Call, Column, Literal, Node
from gnomon.core.expressions.writing import SQL_NAMES
from gnomon.errors import DefinitionError, RequestError
from gnomon.types import SCALARS, FeatureType
from gnomon.types import Decimal as DecimalType

__all__ = ["read"]

MAX_DEPTH = 20
"""How deep a condition may nest. sqlglot takes some 20 of Python's 1,000 frames a level; the caller needs some too."""
MAX_DOUBLINGS = 6
MAX_DIGITS = 400
EXACT = decimal.Context(prec=2 * MAX_DIGITS)


def read(text: str, owner: str) -> Node:
    """The tree of a condition's text.

    Args:
        text: one SQL expression.
        owner: what the text was written on, for errors.

    Raises:
        DefinitionError: it is no SQL, or not of the supported subset.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    check_text(text, owner)
    try:
        check_tokens(sqlglot.tokenize(text, read="duckdb"), text, owner)
        parsed = sqlglot.parse_one(text, read="duckdb", into=sqlglot.exp.Condition)
        tree = _Reader(owner, text).node(parsed, 0)
    except SqlglotError as wrong:
        raise _no_sql(wrong, text, owner) from None
    except RecursionError:
        raise _too_deep(owner) from None
    if _doublings(tree) > MAX_DOUBLINGS:
        raise cannot(
            owner,
            f"a `nullif` or a divisor more than {MAX_DOUBLINGS} deep in others",
            text,
            "DuckDB writes its argument twice, and so twice as often at each level: nest fewer of them.",
        )
    return tree


def _doublings(node: Node) -> int:
    """How often one within the other stand arguments that DuckDB writes twice."""
    if not isinstance(node, Call):
        return 0
    twice = {"nullif": 0, "/": 1, "%": 1}.get(node.name)
    return max(_doublings(one) + (place == twice) for place, one in enumerate(node.args))


def _no_sql(wrong: Exception, text: str, owner: str) -> DefinitionError:
    details = (getattr(wrong, "errors", None) or [{}])[0]
    place = f" near {details['highlight']!r}" if details.get("highlight") else ""
    return DefinitionError(
        f"{owner}: this is not one SQL expression{place}.",
        instead=f"It says: {text}",
        hint="write one condition on the event's columns, such as \"status = 'declined' and amount > 10\".",
        text=text,
    )


def _too_deep(owner: str) -> DefinitionError:
    return DefinitionError(
        f"{owner}: the condition nests more than {MAX_DEPTH} deep.",
        hint="`in (…)` says many alternatives at once; long chains of and / or do not count as deep.",
    )


class _Reader:
    """Turns sqlglot's nodes into ours; remembers whose text it is, for errors."""

    def __init__(self, owner: str, text: str) -> None:
        self.owner, self.text = owner, text

    def node(self, given: Any, depth: int) -> Node:
        """Our node for one of sqlglot's."""
        if depth > MAX_DEPTH:
            raise _too_deep(self.owner)
        key = given.key
        special = getattr(self, f"_read_{key}", None)
        if special is not None:
            made: Node = special(given, depth + 1)
            return made
        if key not in NODES:
            raise refuse(given, self.owner, self.text)
        name, parts = NODES[key]
        return self._call(name, self._parts(given, parts), depth + 1, bare=name in PREDICATES)

    def _parts(self, given: Any, names: tuple[str, ...]) -> list[Any]:
        """A node's parts, if it has no others."""
        there = {name: given.args[name] for name in _filled(given) if name not in BENIGN}
        lacks = names[-1] not in there and names[-1] != "expressions"
        if lacks or set(there) - set(names):
            raise refuse(given, self.owner, self.text)
        return [one for name in names for one in _listed(there.get(name, []))]

    def _call(self, name: str, parts: Sequence[Any], depth: int, *, bare: bool = False) -> Call:
        args = tuple(self.node(one, depth) for one in parts)
        if bare:
            self._check_chain(parts, args)
        if name == "in" and len(args) < 2:
            raise cannot(self.owner, "an empty list after `in`", self.text, "list at least one value.")
        return Call(name, args)

    def _check_chain(self, parts: Sequence[Any], args: Sequence[Node]) -> None:
        """Readers of SQL disagree on what `a = b = c` and `1 < x < 9` mean, so they take parentheses."""
        for part, arg in zip(parts, args, strict=True):
            loose = isinstance(arg, Call) and arg.name in (*PREDICATES, "not", "and", "or")
            if loose and part.key != "paren":
                raise cannot(
                    self.owner,
                    "a comparison of a comparison, without parentheses",
                    self.text,
                    "for a range write `x between 1 and 9`; else put the inner one in parentheses.",
                )

    def _read_paren(self, given: Any, depth: int) -> Node:
        return self.node(self._parts(given, ("this",))[0], depth)

    def _read_and(self, given: Any, depth: int) -> Node:
        return self._chain(given, "and", depth)

    def _read_or(self, given: Any, depth: int) -> Node:
        return self._chain(given, "or", depth)

    def _chain(self, given: Any, name: str, depth: int) -> Node:
        """A flat call for a chain that sqlglot nests: `a and (b and c)` is `a and b and c`."""
        parts, rest = [], [given]
        while rest:
            one = rest.pop()
            if one.key == given.key:
                rest += self._parts(one, ("this", "expression"))
            else:
                parts.append(one)
        args: list[Node] = []
        for one in reversed(parts):
            made = self.node(one, depth)
            args += made.args if isinstance(made, Call) and made.name == name else [made]
        return Call(name, tuple(args))

    def _read_not(self, given: Any, depth: int) -> Node:
        return self._call("not", self._parts(given, ("this",)), depth)

    def _read_nullsafeeq(self, given: Any, depth: int) -> Node:
        parts = self._parts(given, ("this", "expression"))
        return Call("not", (self._call("is distinct from", parts, depth, bare=True),))

    def _read_is(self, given: Any, depth: int) -> Node:
        what, state = self._parts(given, ("this", "expression"))
        words = {"null": "is null", "boolean": f"is {str(state.this).lower()}"}.get(state.key)
        if words is None:
            raise refuse(given, self.owner, self.text)
        return self._call(words, [what], depth, bare=True)

    def _read_like(self, given: Any, depth: int, escape: Any = None) -> Node:
        """`like` and `ilike`; newer sqlglot keeps `not` inside."""
        plain = given.copy()
        negated = plain.args.pop("negate", False)
        what, pattern = self._parts(plain, ("this", "expression"))
        made = self._call(given.key, [what, pattern, *([escape] if escape else [])], depth, bare=True)
        self._check_pattern(made)
        return Call("not", (made,)) if negated else made

    _read_ilike = _read_like

    def _read_escape(self, given: Any, depth: int) -> Node:
        inner, escape = self._parts(given, ("this", "expression"))
        if inner.key == "not" and inner.this.key in ("like", "ilike"):
            return Call("not", (self._read_like(inner.this, depth, escape),))
        if inner.key not in ("like", "ilike"):
            raise refuse(given, self.owner, self.text)
        return self._read_like(inner, depth, escape)

    def _check_pattern(self, like: Call) -> None:
        """Patterns are known beforehand, so that what is wrong with one is said here and not by a query."""
        pattern, *escape = (one.value if isinstance(one, Literal) else None for one in like.args[1:])
        if not isinstance(pattern, str):
            raise cannot(self.owner, f"a pattern of `{like.name}` that is no text", self.text, "write it in quotes.")
        if not escape:
            return
        mark = escape[0]
        if not isinstance(mark, str) or len(mark) != 1 or not "!" <= mark <= "~" or mark.isalnum() or mark in "%_":
            raise cannot(self.owner, "an escape that is no single mark", self.text, "write escape '!'.")
        if pattern.replace(mark * 2, "").endswith(mark):
            raise cannot(self.owner, "a pattern that ends with its escape", self.text, f"double it: {mark * 2!r}.")

    def _read_case(self, given: Any, depth: int) -> Node:
        if given.this is not None:
            hint = "write each branch's condition out: case when x = 1 then …"
            raise cannot(self.owner, "`case x when …`", self.text, hint)
        self._parts(given, ("default", "ifs"))
        branches = [part for one in given.args["ifs"] for part in self._parts(one, ("this", "true"))]
        default = given.args.get("default")
        args = [self.node(one, depth) for one in branches]
        return Call("case", (*args, self.node(default, depth) if default else Literal("null", None)))

    def _read_neg(self, given: Any, depth: int) -> Node:
        made = self._call("neg", self._parts(given, ("this",)), depth)
        inner = made.args[0]
        if isinstance(inner, Literal) and isinstance(inner.value, decimal.Decimal):
            return Literal("number", EXACT.minus(inner.value))  # plain zero stays plain: minus(0) is 0
        return made

    def _read_column(self, given: Any, depth: int) -> Node:
        if _filled(given) != ["this"] or given.this.key != "identifier":
            raise cannot(self.owner, f"{given.sql('duckdb')!r}", self.text, "name the event's own columns only.")
        return Column(given.name)

    def _read_literal(self, given: Any, depth: int) -> Node:
        if given.is_string:
            return Literal("text", given.this)
        try:
            value = decimal.Decimal(given.this)
        except decimal.InvalidOperation:
            raise cannot(self.owner, f"the number {given.this}", self.text, "write digits: 10, 0.5, 1e3.") from None
        if abs(value.adjusted()) > MAX_DIGITS or len(value.as_tuple().digits) > MAX_DIGITS:
            raise cannot(self.owner, f"the number {given.this}", self.text, "no type holds it.")
        return Literal("number", value.normalize(EXACT))

    def _read_boolean(self, given: Any, depth: int) -> Node:
        return Literal("bool", bool(given.this))

    def _read_null(self, given: Any, depth: int) -> Node:
        return Literal("null", None)

    def _read_anonymous(self, given: Any, depth: int) -> Node:
        # A function that sqlglot has no class for; which have one differs between its versions.
        name = str(given.this).lower()
        if name not in FUNCTIONS:
            raise refuse(given, self.owner, self.text)
        return self._call(name, self._parts(given, ("this", "expressions"))[1:], depth)

    def _read_cast(self, given: Any, depth: int) -> Node:
        self._parts(given, ("this", "to"))
        dtype = self._dtype(given.to)
        inner = self.node(given.this, depth)
        if dtype == SCALARS["UnixTimestamp"] and isinstance(inner, Literal) and isinstance(inner.value, str):
            return Literal("instant", self._instant(inner.value))
        return Call("cast", (inner,), dtype)

    def _dtype(self, given: Any) -> FeatureType:
        name = getattr(given.this, "name", str(given.this)).upper()
        if name == "DECIMAL" and len(given.expressions) == 2:
            return DecimalType(*(int(one.name) for one in given.expressions))
        if name not in CASTS or given.expressions or given.args.get("nested"):
            known = f"{', '.join(SQL_NAMES.values())}, decimal(18, 2)"
            raise cannot(self.owner, f"the type {given.sql('duckdb')!r}", self.text, f"cast to one of: {known}.")
        return CASTS[name]

    def _instant(self, text: str) -> int:
        try:
            return to_micros(text)
        except RequestError:
            raise cannot(self.owner, f"{text!r} as an instant", self.text, "write '2024-01-31 12:00:00'.") from None


def _filled(given: Any) -> list[str]:
    """The names of the parts that are there."""
    return [name for name, part in given.args.items() if part not in (None, False, [])]


def _listed(part: Any) -> list[Any]:
    return part if isinstance(part, list) else [part]
