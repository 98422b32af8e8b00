"""`first`, `last`, `first_n`, `last_n`, `last_distinct_n`: by (event time, known time, value).

Lists run from the earliest to the latest, so the last of `last_n` is `last`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gnomon.core.aggregations.base import Event, Function, is_scalar
from gnomon.core.aggregations.states import canonical, identity, read, written
from gnomon.errors import DefinitionError
from gnomon.types import Array, FeatureType

__all__ = ["MOST", "First", "FirstN", "Last", "LastDistinctN", "LastN", "Ordered"]

MOST = 1_000
"""Lists are no longer than this."""

Placed = tuple[int, int, tuple[Any, ...], Any]
"""(event time, known time, what the value compares as, value)."""

State = tuple[Placed, ...]
"""The events kept, in order."""


@dataclass(frozen=True, slots=True)
class Ordered(Function):
    """What they share: some of the events, kept in order."""

    takes: ClassVar[str] = "values of any type that is no array"
    needs_order: ClassVar[bool] = True

    def kept(self, events: Sequence[Placed]) -> Sequence[Placed]:
        """Those of some ordered events that can still be in the result."""
        raise NotImplementedError

    def empty(self) -> State:
        """Nothing."""
        return ()

    def add(self, state: State, event: Event, dtype: FeatureType) -> State:
        """Put it into its place."""
        at, known, given = event
        value = canonical(given)
        return self.merge(state, ((at, known, identity(value, dtype), value),))

    def of(self, events: Iterable[Event], dtype: FeatureType) -> State:
        """Those that can be in the result."""
        values = ((at, known, canonical(value)) for at, known, value in events)
        placed = [(at, known, identity(value, dtype), value) for at, known, value in values]
        return tuple(self.kept(sorted(placed, key=lambda one: one[:3])))

    def merge(self, left: State, right: State) -> State:
        """Both, in order."""
        return tuple(self.kept(sorted([*left, *right], key=lambda one: one[:3])))

    def result(self, state: State, dtype: FeatureType) -> Any:
        """The values, in order."""
        return [one[3] for one in state] or None

    def to_bytes(self, state: State) -> bytes:
        """The events kept."""
        return written(state)

    def from_bytes(self, raw: bytes) -> State:
        """The events again."""
        state: State = read(raw)
        return state


@dataclass(frozen=True, slots=True)
class First(Ordered):
    """The value of the earliest event."""

    name: ClassVar[str] = "first"
    takes: ClassVar[str] = "values of any type"

    def output(self, dtype: FeatureType) -> FeatureType:
        """The column's own type."""
        return dtype

    def kept(self, events: Sequence[Placed]) -> Sequence[Placed]:
        """The first."""
        return events[:1]

    def result(self, state: State, dtype: FeatureType) -> Any:
        """Its value."""
        return state[0][3] if state else None


@dataclass(frozen=True, slots=True)
class Last(First):
    """The value of the latest event."""

    name: ClassVar[str] = "last"

    def kept(self, events: Sequence[Placed]) -> Sequence[Placed]:
        """The last."""
        return events[-1:]


@dataclass(frozen=True, slots=True)
class Several(Ordered):
    """What the lists share.

    Args:
        n: at most so many values, from 1 to `MOST`.
    """

    n: int

    def __post_init__(self) -> None:
        if type(self.n) is not int or not 1 <= self.n <= MOST:
            raise DefinitionError(f"{self.name}: n is {self.n!r}.", hint=f"n is a whole number from 1 to {MOST:,}.")

    @property
    def word(self) -> str:
        """The function's name with its number: `last_3`."""
        return f"{self.name.removesuffix('_n')}_{self.n}"

    def output(self, dtype: FeatureType) -> FeatureType:
        """An array of the column's type."""
        if not is_scalar(dtype):
            raise self.unfit(dtype)
        return Array(dtype)


@dataclass(frozen=True, slots=True)
class FirstN(Several):
    """The values of the earliest events."""

    name: ClassVar[str] = "first_n"

    def kept(self, events: Sequence[Placed]) -> Sequence[Placed]:
        """The first n."""
        return events[: self.n]


@dataclass(frozen=True, slots=True)
class LastN(Several):
    """The values of the latest events.

    >>> from gnomon.types import String
    >>> last, state = LastN(n=2), LastN(n=2).empty()
    >>> for at, city in enumerate(["Rome", "Oslo", "Oslo"]):
    ...     state = last.add(state, (at, at, city), String)
    >>> last.result(state, String)
    ['Oslo', 'Oslo']
    """

    name: ClassVar[str] = "last_n"

    def kept(self, events: Sequence[Placed]) -> Sequence[Placed]:
        """The last n."""
        return events[-self.n :]


@dataclass(frozen=True, slots=True)
class LastDistinctN(Several):
    """The latest values that differ, each where it stood last."""

    name: ClassVar[str] = "last_distinct_n"

    def kept(self, events: Sequence[Placed]) -> Sequence[Placed]:
        """The last n that differ."""
        latest = {one[2]: one for one in events}
        return sorted(latest.values(), key=lambda one: one[:3])[-self.n :]
