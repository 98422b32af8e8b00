"""What an aggregation is: types in, type out, and a state that can be added to and merged.

A state stands for a multiset of events: however the events are split, added and merged, in whatever order, the result
is the same to the bit. That is why any part of gnomon may keep partial states, and why every path agrees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from gnomon.errors import DefinitionError
from gnomon.types import Array, Bool, Decimal, FeatureType, Float32, Float64, Int32, Int64

__all__ = ["FLOATS", "INTEGERS", "INVALID", "NUMBERS", "Event", "Function", "Invalid", "Unfit"]

INTEGERS = (Bool, Int32, Int64)
FLOATS = (Float32, Float64)
NUMBERS = "numbers and truth values"


class Invalid:
    """The value of an aggregation whose exact result its type cannot hold."""

    def __repr__(self) -> str:
        return "INVALID"


INVALID = Invalid()

Event = tuple[int, int, Any]
"""(event time, known time, value): one event as a state sees it. The value is never null."""


class Unfit(DefinitionError):  # noqa: N818 - as in gnomon.errors
    """An aggregation cannot take a column's type."""


@dataclass(frozen=True, slots=True)
class Function(ABC):
    """One aggregation function with its arguments, apart from columns and windows.

    Subclasses are frozen dataclasses whose fields are the arguments users give.
    """

    name: ClassVar[str]
    """The word for it: in `gnomon.agg`, in documents, in feature names."""

    takes: ClassVar[str] = NUMBERS
    """What values it takes, for people."""

    default: ClassVar[Any] = None
    """Its value where there is no event."""

    by_element: ClassVar[bool] = False
    """Whether it works on vectors, element by element."""

    needs_order: ClassVar[bool] = False
    """Whether the result depends on event and known times."""

    @property
    def word(self) -> str:
        """The word for it in a default feature name, with what tells it from its siblings: `last_3`."""
        return self.name

    @property
    def arguments(self) -> dict[str, Any]:
        """Its arguments by name, as they are kept in documents."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @abstractmethod
    def output(self, dtype: FeatureType) -> FeatureType:
        """The type of the result.

        Raises:
            Unfit: it takes no values of that type.
        """

    @abstractmethod
    def empty(self) -> Any:
        """The state of no events."""

    @abstractmethod
    def add(self, state: Any, event: Event, dtype: FeatureType) -> Any:
        """The state with one more event; the state given stays as it is."""

    def of(self, events: Iterable[Event], dtype: FeatureType) -> Any:
        """The state of some events; the same as adding them one by one, and faster where there are many."""
        state = self.empty()
        for event in events:
            state = self.add(state, event, dtype)
        return state

    @abstractmethod
    def merge(self, left: Any, right: Any) -> Any:
        """The state of both states' events; the states given stay as they are."""

    @abstractmethod
    def result(self, state: Any, dtype: FeatureType) -> Any:
        """The value: None for null, `INVALID` where the exact one does not fit; lists for arrays, instants as µs."""

    @abstractmethod
    def to_bytes(self, state: Any) -> bytes:
        """The state as bytes; equal states may have different bytes."""

    @abstractmethod
    def from_bytes(self, raw: bytes) -> Any:
        """The state that `to_bytes` wrote."""

    def unfit(self, dtype: FeatureType) -> Unfit:
        """The error for a type it does not take."""
        return Unfit(f"{self.name} takes {self.takes}, not {dtype}.", hint=self._way_out(dtype))

    def _way_out(self, dtype: FeatureType) -> str:
        if isinstance(dtype, Array) and self.by_element:
            return "vectors are aggregated element by element where their length is given: length=128, say."
        if isinstance(dtype, Array):
            return "of arrays use count, first or last."
        return "use another column, or another aggregation, such as count, last or count_distinct."


def is_number(dtype: FeatureType) -> bool:
    """Whether sums and means of it make sense."""
    return dtype in INTEGERS or dtype in FLOATS or isinstance(dtype, Decimal)


def is_scalar(dtype: FeatureType) -> bool:
    """Whether it is a single value."""
    return not isinstance(dtype, Array)
