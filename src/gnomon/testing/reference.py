"""The oracle: what a feature's value is, in plain Python, slow and meant to be seen right at a glance.

It is written from the time contract (`docs/time.md`) alone and shares no line with any engine or store, so that
agreement with it means something. Each function states the rule it is. Instants are µs since the epoch, UTC;
values are Python objects, timestamps among them int µs, arrays lists or tuples. What windowed views answer is in
`gnomon.testing.reference_windows`.

>>> from gnomon.types import Int64
>>> rows = [Row(key=(7,), event=10, known=10, values=(1,)), Row(key=(7,), event=20, known=50, values=(2,))]
>>> as_of(rows, (7,), 30, dtypes=[Int64]).values
(2,)
>>> as_of(rows, (7,), 30, dtypes=[Int64], as_known="then").values
(1,)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from gnomon.errors import RequestError
from gnomon.types import Array, FeatureType, Float32, Float64, String

__all__ = [
    "NOT_FOUND",
    "NULL_VALUE",
    "OUTSIDE_MAX_AGE",
    "PRESENT",
    "Answer",
    "AsKnown",
    "Part",
    "Row",
    "as_of",
    "known_time",
    "order_key",
    "row_order_key",
    "same_value",
    "training_rows",
    "visible",
]

PRESENT = "PRESENT"
NULL_VALUE = "NULL_VALUE"
NOT_FOUND = "NOT_FOUND"
OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"

AsKnown = Literal["now", "then"] | int
"""How much hindsight is allowed: all of it, none row by row, or what was known by an instant (µs)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a view's history.

    Args:
        key: values of the join keys, in the view's order.
        event: event time; None where the source has none.
        known: known time, as `known_time` gives it; None only where `event` is.
        values: values of the view's columns, in schema order.
    """

    key: tuple[Any, ...]
    event: int | None
    known: int | None
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a view answers about one key at one instant.

    Args:
        status: of the row: PRESENT, NOT_FOUND or OUTSIDE_MAX_AGE.
        values: one per column; all None unless the row is PRESENT.
        event: event time of the row that won; None if there was none.
        known: known time of that row.
    """

    status: str
    values: tuple[Any, ...]
    event: int | None = None
    known: int | None = None

    @property
    def statuses(self) -> tuple[str, ...]:
        """One status per column: a null in a row that is PRESENT is a NULL_VALUE."""
        if self.status != PRESENT:
            return tuple(self.status for _ in self.values)
        return tuple(NULL_VALUE if value is None else PRESENT for value in self.values)

    def filled(self, defaults: Sequence[Any]) -> tuple[Any, ...]:
        """The values with each column's default (None for none) where there is null; the statuses stay what they are.

        >>> Answer(NOT_FOUND, (None, None)).filled((0, None))
        (0, None)
        """
        return tuple(default if value is None else value for value, default in zip(self.values, defaults, strict=True))


@dataclass(frozen=True, slots=True)
class Part:
    """One view's part in a question about several.

    Args:
        rows: the view's history, in any order.
        columns: the question's columns that hold the view's join keys.
        dtypes: types of the view's columns, in schema order.
        ttl: how long a row counts; None or zero for ever.
    """

    rows: Sequence[Row]
    columns: tuple[str, ...]
    dtypes: tuple[FeatureType, ...]
    ttl: timedelta | None = None


def known_time(event: int | None, created: int | None = None, delay: timedelta | None = None) -> int | None:
    """When a batch row could first be used: what it says itself, else its event time + the source's delay (none: 0).

    >>> known_time(100, 130), known_time(100, None, timedelta(microseconds=5)), known_time(100)
    (130, 105, 100)
    """
    if event is None:
        return None
    if created is not None:
        return created
    return event + _micros(delay or timedelta(0))


def order_key(value: Any, dtype: FeatureType) -> tuple[Any, ...]:
    """What Python can compare so that values come in the contract's order.

    Null is least. Floats run from −inf over −0.0 and 0.0 to +inf, then NaN, of which there is one. Strings compare by
    their UTF-8 bytes. Arrays compare element by element, by these same rules; where one ends, it is the lesser.
    """
    if value is None:
        return (0,)
    if isinstance(dtype, Array):
        return (1, tuple(order_key(one, dtype.element) for one in value))
    if dtype in (Float32, Float64):
        if math.isnan(value):
            return (2,)
        return (1, value, math.copysign(1.0, value))
    if dtype == String:
        return (1, value.encode("utf-8"))
    return (1, value)


def row_order_key(values: Sequence[Any], dtypes: Sequence[FeatureType]) -> tuple[Any, ...]:
    """The order of whole rows: over the view's columns, in schema order."""
    return tuple(order_key(value, dtype) for value, dtype in zip(values, dtypes, strict=True))


def same_value(left: Any, right: Any, dtype: FeatureType) -> bool:
    """Whether two values are one and the same to the bit: NaN is NaN, −0.0 is not 0.0."""
    return order_key(left, dtype) == order_key(right, dtype)


def as_of(
    rows: Iterable[Row],
    key: tuple[Any, ...],
    at: int,
    *,
    dtypes: Sequence[FeatureType],
    as_known: AsKnown = "now",
    ttl: timedelta | None = None,
) -> Answer:
    """A row view's answer: the latest visible row of a key as of an instant.

    Args:
        rows: the view's history, in any order.
        key: values of the join keys.
        at: the instant T asked about.
        dtypes: types of the view's columns, in schema order.
        as_known: how much hindsight is allowed.
        ttl: how long a row counts; None or zero for ever.
    """
    nothing = Answer(NOT_FOUND, (None,) * len(dtypes))
    if any(part is None for part in key):  # a key with a null part finds nothing
        return nothing

    candidates = [
        row
        for row in rows
        if row.key == key  # so rows whose key has a null never count
        and row.event is not None  # nor do rows without an event time
        and row.known is not None
        and row.event <= at  # a row states what is true from its event time on, inclusive
        and visible(row.known, at, as_known)
    ]
    if not candidates:
        return nothing

    # Greatest event time; of those, greatest known time; of those, the row that compares greatest.
    winner = max(candidates, key=lambda row: (row.event, row.known, row_order_key(row.values, dtypes)))

    # Only now the ttl: no older or other row is looked for when the winner is too old.
    assert winner.event is not None
    if ttl and at - winner.event > _micros(ttl):
        return Answer(OUTSIDE_MAX_AGE, nothing.values, winner.event, winner.known)
    return Answer(PRESENT, tuple(winner.values), winner.event, winner.known)


def training_rows(
    parts: Mapping[str, Part],
    asked: Sequence[tuple[Mapping[str, Any], int | None]],
    *,
    as_known: AsKnown = "now",
) -> list[dict[str, Answer]]:
    """A training set: each view answers for itself, one row out per row asked, in the order asked.

    Args:
        parts: by the name each view goes by.
        asked: per row, the values of the key columns, and the instant.
        as_known: how much hindsight is allowed.

    Raises:
        RequestError: an instant is null.
    """
    answers = []
    for place, (columns, at) in enumerate(asked):
        if at is None:
            raise RequestError(f"row {place} has no instant.", hint="give every row asked an instant.", row=place)
        answers.append(
            {
                name: as_of(
                    part.rows,
                    tuple(columns[column] for column in part.columns),
                    at,
                    dtypes=part.dtypes,
                    as_known=as_known,
                    ttl=part.ttl,
                )
                for name, part in parts.items()
            }
        )
    return answers


def visible(known: int, at: int, as_known: AsKnown) -> bool:
    """Whether what became known at an instant may be seen in a question about another; all in µs."""
    if as_known == "now":
        return True  # all rows, whenever they became known
    if as_known == "then":
        return known <= at  # what could have been used at T, row by row
    return known <= as_known  # what was known by K


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
