"""Instants and durations: UTC int64 microseconds, read from a clock that is handed in.

>>> from datetime import datetime, timezone
>>> clock = ManualClock(datetime(2024, 1, 1, tzinfo=timezone.utc))
>>> clock.advance("1h")
>>> from_micros(clock.now()).isoformat()
'2024-01-01T01:00:00+00:00'
"""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta, timezone
from typing import Protocol

from gnomon.errors import RequestError

__all__ = [
    "Clock",
    "ManualClock",
    "SystemClock",
    "duration",
    "duration_text",
    "from_micros",
    "instant_text",
    "micros_of",
    "to_micros",
]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
MIN_MICROS, MAX_MICROS = -(2**63), 2**63 - 1

_UNITS = {
    "us": MICROSECOND,
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DURATION = re.compile(r"(\d+)\s*(us|ms|s|m|h|d|w)")


class Clock(Protocol):
    """Says what time it is; every "now" in gnomon comes from one."""

    def now(self) -> int:
        """The instant, in µs since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        """The instant, in µs since the epoch, UTC."""
        return time.time_ns() // 1000


class ManualClock:
    """A clock that stands still until it is told otherwise: for tests, demos and replays.

    Args:
        start: the first instant; a naive datetime is UTC.
    """

    def __init__(self, start: datetime | int = 0) -> None:
        self._now = to_micros(start)

    def now(self) -> int:
        """The instant last set, in µs since the epoch, UTC."""
        return self._now

    def set(self, instant: datetime | int) -> None:
        """Move to an instant, forwards or back."""
        self._now = to_micros(instant)

    def advance(self, step: timedelta | str) -> None:
        """Move forwards by a duration such as `timedelta(hours=1)` or `"1h"`."""
        self._now += micros_of(duration(step))


def to_micros(instant: datetime | date | str | int) -> int:
    """An instant as µs since the epoch; naive is UTC, a date is its midnight, an int is µs already.

    Raises:
        RequestError: the value is no instant.

    >>> to_micros("2024-01-01T02:00:00+02:00") == to_micros(datetime(2024, 1, 1))
    True
    """
    if isinstance(instant, int) and not isinstance(instant, bool) and MIN_MICROS <= instant <= MAX_MICROS:
        return instant
    if isinstance(instant, str):
        try:
            instant = datetime.fromisoformat(instant)
        except ValueError:
            raise _not_an_instant(instant) from None
    if isinstance(instant, datetime):
        if instant != instant:  # pandas.NaT is a datetime that equals nothing
            raise _not_an_instant(instant)
        aware = instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
        return (aware - EPOCH) // MICROSECOND
    if isinstance(instant, date):
        return (datetime(instant.year, instant.month, instant.day, tzinfo=timezone.utc) - EPOCH) // MICROSECOND
    raise _not_an_instant(instant)


def from_micros(micros: int) -> datetime:
    """µs since the epoch as an aware UTC datetime (years 1 to 9999)."""
    return EPOCH + timedelta(microseconds=micros)


def instant_text(micros: int) -> str:
    """An instant for people: `2024-01-01T00:00:00Z`, or the bare µs outside the years 1 to 9999."""
    try:
        return from_micros(micros).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{micros} µs"


def duration(value: timedelta | str) -> timedelta:
    """A duration from a timedelta or a text such as `"90d"`, `"1h"`, `"1d12h"`, `"500ms"`.

    Raises:
        ValueError: the text is no duration.

    >>> duration("1d12h")
    datetime.timedelta(days=1, seconds=43200)
    """
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no duration (such as '90d', '1h', '1d12h')")
    text = value.strip()
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError(f"{value!r} is no duration (such as '90d', '1h', '1d12h')")
    try:
        return sum((int(number) * _UNITS[unit] for number, unit in parts), timedelta())
    except OverflowError:
        raise ValueError(f"{value!r} is longer than a duration can be ({timedelta.max.days} days)") from None


def micros_of(value: timedelta) -> int:
    """A duration as whole microseconds."""
    return value // MICROSECOND


def duration_text(value: timedelta) -> str:
    """The shortest text that `duration` reads back: `90d`, `1d12h`, `1500ms`.

    >>> duration_text(timedelta(hours=36))
    '1d12h'
    """
    rest, text = micros_of(value), ""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        count, rest = divmod(rest, micros_of(_UNITS[unit]))
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _not_an_instant(value: object) -> RequestError:
    return RequestError(
        f"{value!r} is no instant.",
        hint="pass a datetime (naive means UTC), a date, an ISO-8601 text such as '2024-01-31T12:00:00Z', "
        "or µs as an int64.",
        value=value,
    )
