"""A user's own aggregation: a small class in the user's repo, named in the definition by where it is.

    class GeometricMean(Custom):
        takes_types = (Float64,)
        gives = Float64

        def empty(self):
            return ExactSum()

        def add(self, state, value):
            return state.plus(ExactSum.of(math.log(value)))
        …

It must be one of a multiset: `gnomon.testing.check_aggregation` holds it to the laws.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gnomon.core.aggregations.base import Event, Function, Unfit
from gnomon.core.aggregations.states import canonical, is_of, read, written
from gnomon.core.exact import ExactSum
from gnomon.core.own_code import changed, hash_of, imported
from gnomon.errors import DefinitionError, listing
from gnomon.types import FeatureType, parse

__all__ = ["Custom", "ExactSum", "UserFunction", "named"]


class Custom(ABC):
    """What a user's own aggregation says; states are values: `add` and `merge` give new ones.

    Events may be added in any order, and states merged in any way: the result must be the same.
    """

    takes_types: ClassVar[tuple[FeatureType, ...]]
    """The types of column it takes."""

    gives: ClassVar[FeatureType]
    """The type of its results."""

    @abstractmethod
    def empty(self) -> Any:
        """The state of no events."""

    @abstractmethod
    def add(self, state: Any, value: Any) -> Any:
        """The state with one more value, which is never null; instants come as int µs, UTC."""

    def add_many(self, state: Any, values: Sequence[Any]) -> Any:
        """The state with several more values; override it where that is faster than one by one."""
        for value in values:
            state = self.add(state, value)
        return state

    @abstractmethod
    def merge(self, left: Any, right: Any) -> Any:
        """The state of both."""

    @abstractmethod
    def result(self, state: Any) -> Any:
        """The value; None for null. It is not asked where there is no event: that is null."""

    def to_bytes(self, state: Any) -> bytes:
        """The state as bytes; override it where a state is more than tuples of numbers, texts, bytes, sums."""
        return written(state)

    def from_bytes(self, raw: bytes) -> Any:
        """The state that `to_bytes` wrote."""
        return read(raw)


@dataclass(frozen=True, slots=True)
class UserFunction(Function):
    """A user's own aggregation among the others: what a definition says of it is data, its class is found when it runs.

    Args:
        place: where its class is: `module:Class`.
        code: a hash of the class's source text, so that a change of it is a change of the definition.
        types: names of the types it takes; empty where only the class says.
        gives: name of the type it gives; empty where only the class says.
    """

    name: ClassVar[str] = "custom"
    place: str
    code: str = ""
    types: tuple[str, ...] = ()
    gives: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.place, str) or not all(self.place.partition(":")):
            raise DefinitionError(
                f"there is no aggregation at {self.place!r}: it names no module and class.",
                hint="write 'module:Class'.",
            )

    @property
    def own(self) -> Custom:
        """The user's object.

        Raises:
            DefinitionError: there is no such class, it is no aggregation, or its code is no longer what was registered.
        """
        return _found(self.place, self.code)

    @property
    def word(self) -> str:
        """The class's name in snake_case: `geometric_mean`."""
        name = self.place.rpartition(":")[2].rpartition(".")[2]
        return "".join(f"_{one.lower()}" if one.isupper() and place else one.lower() for place, one in enumerate(name))

    def output(self, dtype: FeatureType) -> FeatureType:
        """What the class says."""
        takes = self.types or tuple(map(str, self.own.takes_types))
        if str(dtype) in takes:
            return parse(self.gives) if self.gives else self.own.gives
        raise Unfit(
            f"{self.word} takes {listing(takes)}, not {dtype}.",
            hint=f"add {dtype} to takes_types, or use another column.",
        )

    def empty(self) -> tuple[int, Any]:
        """No events."""
        return 0, self.own.empty()

    def add(self, state: tuple[int, Any], event: Event, dtype: FeatureType) -> tuple[int, Any]:
        """Its value."""
        return state[0] + 1, self.own.add(state[1], canonical(event[2]))

    def of(self, events: Iterable[Event], dtype: FeatureType) -> tuple[int, Any]:
        """Their values, added together."""
        values = [canonical(one[2]) for one in events]
        return len(values), self.own.add_many(self.own.empty(), values)

    def merge(self, left: tuple[int, Any], right: tuple[int, Any]) -> tuple[int, Any]:
        """Both."""
        return left[0] + right[0], self.own.merge(left[1], right[1])

    def result(self, state: tuple[int, Any], dtype: FeatureType) -> Any:
        """The user's result."""
        value = canonical(self.own.result(state[1])) if state[0] else None
        gives = parse(self.gives) if self.gives else self.own.gives
        if value is not None and not is_of(value, gives):
            raise TypeError(f"result gave {value!r:.60}, which is no {gives}")
        return value

    def to_bytes(self, state: tuple[int, Any]) -> bytes:
        """The count in eight bytes, then the user's bytes."""
        return state[0].to_bytes(8, "little") + self.own.to_bytes(state[1])

    def from_bytes(self, raw: bytes) -> tuple[int, Any]:
        """The state again."""
        return int.from_bytes(raw[:8], "little"), self.own.from_bytes(raw[8:])


def place_of(given: Any) -> str:
    """Where a class is, as `module:Class`; of a text, the text.

    Raises:
        DefinitionError: it is no class that can be found again by its name.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, type) and issubclass(given, Custom):
        if "<locals>" not in given.__qualname__ and given.__module__ != "__main__":
            return f"{given.__module__}:{given.__qualname__}"
        raise DefinitionError(
            f"the aggregation {given.__name__} is defined where it cannot be found again.",
            hint="put the class into a module of the repo, at the top level of a file.",
        )
    raise DefinitionError(
        f"{given!r} is no aggregation.", hint="pass a subclass of gnomon.agg.Custom, or 'module:Class'."
    )


def code_of(own: type[Custom]) -> str:
    """A hash of a class's source text; empty where that cannot be read."""
    try:
        text = inspect.getsource(own)
    except (OSError, TypeError):
        return ""
    return hash_of(text)


def named(given: Any) -> dict[str, Any]:
    """The arguments that stand for a user's class, or for its place.

    Raises:
        DefinitionError: there is no such class, or it is no aggregation.
    """
    place = place_of(given)
    own = _made(place, _imported(place) if isinstance(given, str) else given)
    code = code_of(type(own))
    _MADE[place, code] = own
    return {"place": place, "code": code, "types": tuple(map(str, own.takes_types)), "gives": str(own.gives)}


_MADE: dict[tuple[str, str], Custom] = {}
"""Users' objects by place and code: repos of one process may have different classes of one name."""


def _found(place: str, code: str) -> Custom:
    if (place, code) not in _MADE:
        own = _made(place, _imported(place))
        if code and code_of(type(own)) != code:
            raise changed(place)
        _MADE[place, code] = own
    return _MADE[place, code]


def _imported(place: str) -> Any:
    return imported(place, "aggregation", "module:Class")


def _made(place: str, found: Any) -> Custom:
    if not (isinstance(found, type) and issubclass(found, Custom)):
        raise DefinitionError(f"{place!r} is no aggregation.", hint="make it a subclass of gnomon.agg.Custom.")
    for name in ("takes_types", "gives"):
        if not hasattr(found, name):
            raise DefinitionError(
                f"{place!r} does not say {name}.", hint="takes_types = (Float64,), gives = Float64, say."
            )
    try:
        return found()
    except TypeError as wrong:
        raise DefinitionError(
            f"{place!r} cannot be made: {wrong}.", hint="it takes no arguments and lacks no method."
        ) from wrong
