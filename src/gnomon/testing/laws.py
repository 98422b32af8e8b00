"""The laws of aggregations, and a search for events that break them.

A state stands for a multiset of events. So the result is the same to the bit in whatever order events are added,
however they are split into states, however these are merged, and whether they have been bytes meanwhile. gnomon splits
and merges as it likes: the features of an aggregation that breaks a law differ between training and serving.

    from gnomon.testing import check_aggregation

    def test_geometric_mean() -> None:
        check_aggregation(GeometricMean, values=st.floats(0.01, 1e6))
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gnomon.core.aggregations import INVALID, Event, Function
from gnomon.core.aggregations.custom import Custom, UserFunction
from gnomon.core.aggregations.states import is_of
from gnomon.definitions.aggregations import Aggregation
from gnomon.errors import DefinitionError
from gnomon.types import FeatureType

if TYPE_CHECKING:
    from hypothesis import strategies as st

__all__ = ["LAWS", "BrokenLaw", "Example", "check_aggregation", "examples_of", "how_broken"]


class BrokenLaw(DefinitionError, AssertionError):  # noqa: N818 - as in gnomon.errors
    """An aggregation breaks a law: its attributes are `law`, and `example`, the smallest one found."""


@dataclass(frozen=True, slots=True)
class Example:
    """Events to try a law on.

    Args:
        dtype: the type of their values.
        pieces: events, each with the number of the state it is added to: 0, 1 or 2.
        other: the same in another order.
    """

    dtype: FeatureType
    pieces: tuple[tuple[Event, int], ...]
    other: tuple[tuple[Event, int], ...]

    @property
    def events(self) -> list[Event]:
        """All events."""
        return [event for event, _ in self.pieces]

    def part(self, number: int) -> list[Event]:
        """The events of one of the states."""
        return [event for event, place in self.pieces if place == number]

    def __str__(self) -> str:
        parts = [[event[2] for event in self.part(number)] for number in range(3)]
        again = [event[2] for event, _ in self.other]
        return f"{self.dtype} values {' + '.join(map(repr, filter(None, parts)))}, or {again!r}"


def check_aggregation(
    aggregation: type[Custom] | Aggregation | Function,
    values: st.SearchStrategy[Any] | Sequence[Any] | None = None,
    *,
    examples: int = 200,
) -> None:
    """Look for events with which an aggregation breaks a law.

    Args:
        aggregation: a class of your own, an aggregation as a view has it, or a function of gnomon's.
        values: a Hypothesis strategy for values, or values to choose from, that every type it takes has; by default
            whatever these types have. Nulls are not among them: they are skipped before an aggregation sees them.
        examples: how many to try for each law.

    Raises:
        BrokenLaw: one is broken; the error names it, with the smallest example found.
    """
    function = _function_of(aggregation)
    drawn = examples_of(function, values)

    def broken(one: Example) -> bool:
        return any(how_broken(pairs, function, one) for pairs in LAWS.values())

    met = _found(drawn, broken, examples, small=False)
    if met is None:
        return
    for law, pairs in LAWS.items():  # the first that is broken, and the smallest example of that
        one = _found(drawn, functools.partial(how_broken, pairs, function), examples, small=True) or met
        one = _least(one, functools.partial(how_broken, pairs, function))
        if how := how_broken(pairs, function, one):
            raise BrokenLaw(
                f"{_name_of(function)} breaks a law of aggregations: {law}.",
                instead=f"With {one}: {how}.",
                hint=_HINTS.get(pairs, _HINT),
                law=law,
                example=one,
            )


class _Unplaced(UserFunction):
    """A user's class that need not be found by its name, so that tests may define theirs where they stand."""

    def __init__(self, kind: type[Custom]) -> None:
        UserFunction.__init__(self, f"{kind.__module__}:{kind.__qualname__}")
        object.__setattr__(self, "kept", kind())

    @property
    def own(self) -> Custom:
        kept: Custom = self.kept  # type: ignore[attr-defined]
        return kept


def _function_of(aggregation: Any) -> Function:
    if isinstance(aggregation, Aggregation):
        return aggregation.made()
    if isinstance(aggregation, Function):
        return aggregation
    if not (isinstance(aggregation, type) and issubclass(aggregation, Custom)):
        raise DefinitionError(f"{aggregation!r:.80} is no aggregation.", hint="pass a subclass of gnomon.agg.Custom.")
    for name in ("takes_types", "gives"):
        if not hasattr(aggregation, name):
            raise DefinitionError(f"{aggregation.__name__} does not say {name}.", hint="gives = Float64, say.")
    return _Unplaced(aggregation)


def _name_of(function: Function) -> str:
    return type(function.own).__qualname__ if isinstance(function, UserFunction) else function.word


def examples_of(function: Function, values: Any = None) -> st.SearchStrategy[Example]:
    """Events to try a function's laws on; `values` as for `check_aggregation`."""
    from hypothesis import strategies as st

    from gnomon.testing.strategies import column_values, fitting_types

    length = getattr(function, "length", None)
    dtypes = function.own.takes_types if isinstance(function, UserFunction) else fitting_types(function)
    given = values if values is None or isinstance(values, st.SearchStrategy) else st.sampled_from(list(values))
    few = None if given is None else st.lists(given, min_size=1, max_size=4)
    # Event time, known time, which of the values, which of the states.
    place = st.tuples(*map(st.integers, [0] * 4, [2, 2, 3, 2]))
    few_or_many = st.sampled_from([1, 4, 4]).flatmap(lambda least: st.lists(place, min_size=least, max_size=6))
    order = st.permutations(range(6))

    @st.composite
    def examples(draw: st.DrawFn) -> Example:
        dtype = draw(st.sampled_from(dtypes))
        pool = draw(column_values(dtype, length=length) if few is None else few)
        pieces = [((at, known, pool[which % len(pool)]), number) for at, known, which, number in draw(few_or_many)]
        other = [pieces[number] for number in draw(order) if number < len(pieces)]
        return Example(dtype, tuple(pieces), tuple(other))

    return examples()


def _found(
    drawn: st.SearchStrategy[Example], broken: Callable[[Example], Any], examples: int, *, small: bool
) -> Example | None:
    """An example for which something is broken, the smallest if that is wanted."""
    from hypothesis import HealthCheck, Phase, find, settings
    from hypothesis.errors import NoSuchExample

    phases = [Phase.generate, Phase.shrink] if small else [Phase.generate]
    health = list(HealthCheck)
    chosen = settings(
        max_examples=examples,
        phases=phases,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=health,
    )
    try:
        return find(drawn, lambda one: bool(broken(one)), settings=chosen)
    except NoSuchExample:
        return None


def _least(example: Example, broken: Callable[[Example], Any]) -> Example:
    """The fewest of an example's events for which something is broken; all of them if it never is."""
    for count in range(1, len(example.pieces)):
        for some in itertools.combinations(example.pieces, count):
            other = (one for one in example.other if any(one is kept for kept in some))
            smaller = Example(example.dtype, some, tuple(other))
            if broken(smaller):
                return smaller
    return example


Pairs = Iterator[tuple[Any, Any]]
Law = Callable[[Function, Example], Pairs]
"""Gives what has to be the same, in pairs."""


def how_broken(pairs: Law, function: Function, example: Example) -> str | None:
    """How a law is broken; None where it holds."""
    try:
        for one, other in pairs(function, example):
            if not _same(one, other):
                return f"{one!r} is not {other!r}"
    except Exception as wrong:  # whatever a method raises, it is not what the law says
        return f"{type(wrong).__name__}: {wrong}"
    return None


def _state(function: Function, events: Sequence[Event], dtype: FeatureType) -> Any:
    return functools.reduce(lambda state, event: function.add(state, event, dtype), events, function.empty())


def _parts(function: Function, example: Example) -> list[Any]:
    """The three states that the events are split into."""
    return [_state(function, example.part(number), example.dtype) for number in range(3)]


def _fits_gives(function: Function, example: Example) -> Pairs:
    result = function.result(_state(function, example.events, example.dtype), example.dtype)
    gives = function.output(example.dtype)
    fits = result is None or result is INVALID or is_of(result, gives)
    yield result, result if fits else gives


def _changes_nothing(function: Function, example: Example) -> Pairs:
    one, other, _ = _parts(function, example)
    events = example.events
    before = _kept(function, one), _kept(function, other), copy.deepcopy(events)
    function.merge(one, other)
    for event in events:
        function.add(one, event, example.dtype)
    function.result(one, example.dtype)
    yield before, (_kept(function, one), _kept(function, other), events)


def _kept(function: Function, state: Any) -> bytes:
    """What a later change of a state shows in; of one that cannot be bytes, which another law is about, nothing."""
    try:
        return function.to_bytes(state)
    except Exception:  # whatever a user's method raises
        return b""


def _survives_bytes(function: Function, example: Example) -> Pairs:
    def result(state: Any) -> Any:
        return function.result(state, example.dtype)

    one, other, _ = _parts(function, example)
    read_one, read_other = (function.from_bytes(function.to_bytes(state)) for state in (one, other))
    yield result(one), result(read_one)
    yield result(function.merge(one, other)), result(function.merge(read_one, read_other))
    event = example.events[0]
    yield result(function.add(one, event, example.dtype)), result(function.add(read_one, event, example.dtype))


def _knows_nothing(function: Function, example: Example) -> Pairs:
    one = _state(function, example.events, example.dtype)
    result = function.result(one, example.dtype)
    yield result, function.result(function.merge(function.empty(), one), example.dtype)
    yield result, function.result(function.merge(one, function.empty()), example.dtype)


def _commutes(function: Function, example: Example) -> Pairs:
    one, other, _ = _parts(function, example)
    there, back = function.merge(one, other), function.merge(other, one)
    yield function.result(there, example.dtype), function.result(back, example.dtype)


def _associates(function: Function, example: Example) -> Pairs:
    one, two, three = _parts(function, example)
    first = function.merge(function.merge(one, two), three)
    last = function.merge(one, function.merge(two, three))
    yield function.result(first, example.dtype), function.result(last, example.dtype)


def _splits(function: Function, example: Example) -> Pairs:
    result = function.result(_state(function, example.events, example.dtype), example.dtype)
    merged = functools.reduce(function.merge, _parts(function, example))
    yield result, function.result(merged, example.dtype)


def _has_no_order(function: Function, example: Example) -> Pairs:
    orders = (example.events, [event for event, _ in example.other])
    one, other = (_state(function, events, example.dtype) for events in orders)
    yield function.result(one, example.dtype), function.result(other, example.dtype)


def _adds_many(function: Function, example: Example) -> Pairs:
    one = _state(function, example.events, example.dtype)
    many = function.of(iter(example.events), example.dtype)
    yield function.result(one, example.dtype), function.result(many, example.dtype)


LAWS: Mapping[str, Law] = {
    "it takes every value of its types, and what it gives is of the type it says": _fits_gives,
    "add, merge and result leave what they are handed as it was": _changes_nothing,
    "in whatever order events are added, the result is the same": _has_no_order,
    "a state that has been bytes is the same state": _survives_bytes,
    "merging with the empty state changes nothing": _knows_nothing,
    "merging has no direction": _commutes,
    "merging three states, either pair may come first": _associates,
    "however events are split into states, the result is the same": _splits,
    "add_many is add, one by one": _adds_many,
}
"""Every law by its sentence, in the order they are tried."""

_HINT = "a state stands for a multiset of events and is a value; add floats up in an agg.ExactSum."
_HINTS: Mapping[Law, str] = {
    _fits_gives: "give a value of the type `gives` says, or None; leave out values it cannot take, or their type.",
    _survives_bytes: "make states of tuples of numbers, texts, bytes and exact sums; or override to_bytes, from_bytes.",
}


def _same(one: Any, other: Any) -> bool:
    """Whether two results are the same to the bit."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if one != one and other != other:
        return True  # there is one NaN
    return type(one) is type(other) and bool(one == other)
