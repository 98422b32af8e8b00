"""Instants and durations."""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.clock import (
    MAX_MICROS,
    MIN_MICROS,
    ManualClock,
    SystemClock,
    duration,
    duration_text,
    from_micros,
    instant_text,
    micros_of,
    to_micros,
)
from gnomon.errors import RequestError

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("instant", "micros"),
    [
        (0, 0),
        (-1, -1),
        (MAX_MICROS, MAX_MICROS),
        (datetime(1970, 1, 1), 0),  # noqa: DTZ001
        (datetime(1970, 1, 1, tzinfo=timezone.utc), 0),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc), -1),
        (datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN), 1_729_989_000_000_000),
        (datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN), 1_729_989_000_000_000 + HOUR),
        (date(1970, 1, 2), 24 * HOUR),
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01 01:00:00.000001+01:00", 1),
        (pd.Timestamp("1970-01-01 00:00:00.000001999"), 1),
        (pd.Timestamp("1969-12-31 23:59:59.999999500"), -1),
        (pd.Timestamp("1970-01-01 01:00", tz="Europe/Berlin"), 0),
    ],
    ids=repr,
)
def test_an_instant_is_micros_floored_and_naive_is_utc(instant: Any, micros: int) -> None:
    assert to_micros(instant) == micros


@pytest.mark.parametrize(
    "value",
    [None, True, 1.5, "yesterday", "", pd.NaT, float("nan"), b"1970-01-01", 2**63, -(2**63) - 1, [0]],
    ids=repr,
)
def test_what_is_no_instant_is_refused_with_what_is_one(value: Any) -> None:
    with pytest.raises(RequestError, match=re.escape(repr(value)[:20])) as caught:
        to_micros(value)
    assert "ISO-8601" in str(caught.value.hint)
    assert caught.value.facts == {"value": value} or value != value


@given(st.datetimes(timezones=st.none() | st.timezones()))
def test_datetimes_come_back(instant: datetime) -> None:
    aware = instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
    if aware.utcoffset() and not 2 < instant.year < 9998:
        return  # the same instant in UTC may lie outside Python's years
    assert from_micros(to_micros(instant)) == aware.astimezone(timezone.utc)
    assert to_micros(instant_text(to_micros(instant))) == to_micros(instant)


@pytest.mark.parametrize("micros", [MIN_MICROS, MAX_MICROS])
def test_instants_beyond_datetimes_have_a_text(micros: int) -> None:
    assert instant_text(micros) == f"{micros} µs"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", timedelta(days=90)),
        ("1d12h", timedelta(hours=36)),
        ("1d 12h", timedelta(hours=36)),
        (" 15 m ", timedelta(minutes=15)),
        ("5m5ms5us5s", timedelta(minutes=5, milliseconds=5, microseconds=5, seconds=5)),
        ("2w", timedelta(days=14)),
        ("0s", timedelta(0)),
        (timedelta(days=-1), timedelta(days=-1)),
    ],
)
def test_duration(text: Any, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize(
    "value",
    ["", " ", "d", "5", "5 days", "-5d", "1.5h", "1d-", "5M", "1d,1h", "9999999999d", 5, None, 1.5, b"5d"],
    ids=repr,
)
def test_what_is_no_duration_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(value))):
        duration(value)


@given(st.timedeltas(min_value=timedelta(0)))
def test_durations_come_back_from_their_text(span: timedelta) -> None:
    assert duration(duration_text(span)) == span


def test_micros_of_is_exact_where_floats_are_not() -> None:
    assert micros_of(timedelta.max) == 86_399_999_999_999_999_999


def test_the_system_clock_tells_the_machines_time() -> None:
    before, now, after = time.time_ns() // 1000, SystemClock().now(), time.time_ns() // 1000
    assert before <= now <= after


def test_a_manual_clock_moves_when_it_is_told_to() -> None:
    clock = ManualClock(datetime(1970, 1, 1, tzinfo=timezone.utc))
    assert [clock.now(), clock.now()] == [0, 0]
    clock.advance("1h")
    clock.advance(timedelta(microseconds=1))
    assert clock.now() == HOUR + 1
    clock.set(5)
    assert clock.now() == 5
