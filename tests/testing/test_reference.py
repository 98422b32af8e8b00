"""The oracle: worked examples for every sentence of the contract's row-view section, and laws."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal as Exact
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.definitions.views import FeatureView
from gnomon.errors import RequestError
from gnomon.testing.reference import (
    NOT_FOUND,
    NULL_VALUE,
    OUTSIDE_MAX_AGE,
    PRESENT,
    Answer,
    Part,
    Row,
    as_of,
    known_time,
    order_key,
    same_value,
    training_rows,
)
from gnomon.testing.strategies import feature_types, histories, questions, row_views, rows_of, values
from gnomon.types import Array, Bool, Bytes, Decimal, Float32, Float64, Int64, String, UnixTimestamp

NAN, INF = float("nan"), float("inf")
HOUR = 3_600_000_000


def row(event: int | None, *values: Any, known: int | None = None, key: tuple[Any, ...] = (7,)) -> Row:
    return Row(key, event, event if known is None else known, values)


@dataclass(frozen=True)
class Case:
    rule: str
    rows: list[Row]
    at: int
    status: str
    values: tuple[Any, ...] = (None,)
    dtypes: tuple[Any, ...] = (Int64,)
    key: tuple[Any, ...] = (7,)
    options: dict[str, Any] = field(default_factory=dict)


def tie(rule: str, dtype: Any, less: Any, greater: Any) -> Case:
    """Rows equal in both times: the one with the greater value holds, wherever it stands."""
    return Case(rule, [row(5, greater), row(5, less)], 9, PRESENT, (greater,), (dtype,))


CASES = [
    Case("no row at all", [], 9, NOT_FOUND),
    Case("rows of another key do not count", [row(5, 1, key=(8,))], 9, NOT_FOUND),
    Case("the greatest event time up to T wins", [row(3, 1), row(5, 2), row(4, 3)], 9, PRESENT, (2,)),
    Case("a row counts at its own event time", [row(5, 1)], 5, PRESENT, (1,)),
    Case("a row does not count a microsecond before", [row(5, 1)], 4, NOT_FOUND),
    Case("a row after T leaves the one before it", [row(5, 1), row(10, 2)], 9, PRESENT, (1,)),
    Case("event times before 1970 are times like others", [row(-5, 1), row(-7, 2)], -5, PRESENT, (1,)),
    Case("event time comes before known time", [row(5, 1, known=8), row(4, 2, known=9)], 9, PRESENT, (1,)),
    Case("tied event times: the greatest known time", [row(5, 9, known=6), row(5, 1, known=7)], 9, PRESENT, (1,)),
    Case("tied known times: the greatest value", [row(5, 1), row(5, 3), row(5, 2)], 9, PRESENT, (3,)),
    Case(
        "values compare in schema order",
        [row(5, 1, "z"), row(5, 2, "a"), row(5, 2, "b")],
        9,
        PRESENT,
        (2, "b"),
        (Int64, String),
    ),
    tie("null is least", Int64, None, -(2**63)),
    tie("−inf is the least float", Float64, -INF, -1.7976931348623157e308),
    tie("null is less than −inf", Float64, None, -INF),
    tie("+inf is greater than all numbers", Float64, 1.7976931348623157e308, INF),
    tie("NaN is greatest", Float64, INF, NAN),
    tie("NaN is greatest in Float32, too", Float32, INF, NAN),
    tie("−0.0 comes before 0.0", Float64, -0.0, 0.0),
    tie("subnormals are numbers", Float64, 0.0, 5e-324),
    tie("integers beyond 2^53 differ", Int64, 2**53, 2**53 + 1),
    tie("false before true", Bool, False, True),
    tie("strings by their bytes: case", String, "Z", "a"),
    tie("strings by UTF-8, where UTF-16 differs", String, "\ufffd", "\U0001d11e"),
    tie("NUL is a character", String, "a", "a\0"),
    tie("the empty string is a string", String, None, ""),
    tie("bytes are unsigned", Bytes, b"\x7f", b"\x80"),
    tie("decimals by value", Decimal(38, 1), Exact("-9.5"), Exact("9.5")),
    tie("timestamps by instant", UnixTimestamp, -1, 0),
    tie("an array element by element", Array(Int64), [1, 9], [2, 0]),
    tie("a shorter array may be greater", Array(Int64), [1, 9], [2]),
    tie("a null element is least", Array(Int64), [None, 9], [-5, 0]),
    tie("an array that ends is less", Array(Int64), [1], [1, None]),
    tie("no array is less than an empty one", Array(Int64), None, []),
    tie("floats in arrays as floats alone", Array(Float64), [-0.0, NAN], [0.0, INF]),
    tie("strings in arrays as strings alone", Array(String), ["\ufffd"], ["\U0001d11e"]),
    Case("the whole row wins, nulls included", [row(4, 1, 1), row(5, None, 2)], 9, PRESENT, (None, 2), (Int64, Int64)),
    Case("ttl: a row counts at exactly that age", [row(5, 1)], 9, PRESENT, (1,), options={"ttl": timedelta(0, 0, 4)}),
    Case("ttl: and not a microsecond older", [row(5, 1)], 10, OUTSIDE_MAX_AGE, options={"ttl": timedelta(0, 0, 4)}),
    Case("no ttl: for ever", [row(-(2**62), 1)], 2**62, PRESENT, (1,), options={"ttl": None}),
    Case("a ttl of zero: for ever", [row(5, 1)], 9, PRESENT, (1,), options={"ttl": timedelta(0)}),
    Case(
        "ttl is measured on event time, not on known time",
        [row(5, 1, known=9)],
        10,
        OUTSIDE_MAX_AGE,
        options={"ttl": timedelta(0, 0, 4)},
    ),
    Case("now: late rows count", [row(5, 1, known=999)], 9, PRESENT, (1,)),
    Case(
        "then: a row counts when it is known at T", [row(5, 1, known=9)], 9, PRESENT, (1,), options={"as_known": "then"}
    ),
    Case("then: and not a microsecond before", [row(5, 1, known=10)], 9, NOT_FOUND, options={"as_known": "then"}),
    Case(
        "then: an unknown row does not hide a known one",
        [row(3, 1), row(5, 2, known=10)],
        9,
        PRESENT,
        (1,),
        options={"as_known": "then"},
    ),
    Case(
        "then: known before it happens, a row waits",
        [row(10, 1, known=1)],
        9,
        NOT_FOUND,
        options={"as_known": "then"},
    ),
    Case("K: a row counts when it is known at K", [row(5, 1, known=20)], 9, PRESENT, (1,), options={"as_known": 20}),
    Case("K: and not a microsecond before", [row(5, 1, known=21)], 9, NOT_FOUND, options={"as_known": 20}),
    Case("K before T is no bound on event times", [row(8, 1, known=2)], 9, PRESENT, (1,), options={"as_known": 2}),
    Case("a key with a null part finds nothing", [row(5, 1, key=(7, None))], 9, NOT_FOUND, key=(7, None)),
    Case("rows without an event time never count", [row(None, 1), row(3, 2)], 9, PRESENT, (2,)),
    Case("all parts of a key must match", [row(5, 1, key=(7, 8)), row(5, 2, key=(7, 9))], 9, PRESENT, (1,), key=(7, 8)),
    Case("a view without entities has one key, the empty one", [row(5, 1, key=())], 9, PRESENT, (1,), key=()),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
@pytest.mark.parametrize("backwards", [False, True], ids=["as written", "backwards"])
def test_rule(case: Case, backwards: bool) -> None:
    rows = case.rows[::-1] if backwards else case.rows
    answer = as_of(rows, case.key, case.at, dtypes=case.dtypes, **case.options)
    assert answer.status == case.status
    assert len(answer.values) == len(case.dtypes) or case.status != PRESENT
    if case.status == PRESENT:
        assert all(map(same_value, answer.values, case.values, case.dtypes)), answer
    else:
        assert set(answer.values) == {None}


def test_every_rule_has_one_name() -> None:
    assert len({case.rule for case in CASES}) == len(CASES)


def test_an_answer_carries_the_times_of_the_row_that_won() -> None:
    rows = [row(5, 1, known=8), row(6, 2, known=7)]
    assert as_of(rows, (7,), 9, dtypes=[Int64]) == Answer(PRESENT, (2,), event=6, known=7)
    assert as_of(rows, (7,), 4, dtypes=[Int64]) == Answer(NOT_FOUND, (None,), event=None, known=None)


def test_ttl_is_applied_to_the_winner_only() -> None:
    # The winner by known time is as old as the other: neither is looked past.
    rows = [row(5, 1, known=6), row(5, None, known=7)]
    answer = as_of(rows, (7,), 10, dtypes=[Int64], ttl=timedelta(microseconds=4))
    assert answer == Answer(OUTSIDE_MAX_AGE, (None,), event=5, known=7)


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        (Answer(PRESENT, (1, None), 5, 5), (PRESENT, NULL_VALUE)),
        (Answer(NOT_FOUND, (None, None)), (NOT_FOUND, NOT_FOUND)),
        (Answer(OUTSIDE_MAX_AGE, (None, None), 5, 5), (OUTSIDE_MAX_AGE, OUTSIDE_MAX_AGE)),
    ],
    ids=["present", "not found", "too old"],
)
def test_statuses_are_said_of_each_value(answer: Answer, statuses: tuple[str, ...]) -> None:
    assert answer.statuses == statuses


@pytest.mark.parametrize(
    ("event", "created", "delay", "known"),
    [
        (100, 130, None, 130),
        (100, 70, None, 70),
        (100, None, None, 100),
        (100, None, timedelta(hours=1), 100 + HOUR),
        (100, 130, timedelta(hours=1), 130),
        (100, 0, timedelta(hours=1), 0),
        (None, 130, timedelta(hours=1), None),
    ],
    ids=["own", "before it happened", "none", "delay", "own beats delay", "the epoch is not null", "no event time"],
)
def test_known_time(event: int | None, created: int | None, delay: timedelta | None, known: int | None) -> None:
    assert known_time(event, created, delay) == known


def test_each_view_answers_for_itself_and_no_row_asked_is_lost_or_moved() -> None:
    parts = {
        "user": Part([row(5, 1)], ("user",), (Int64,)),
        "from": Part([row(5, "a", key=("x",)), row(6, "b", key=("y",))], ("origin",), (String,)),
        "to": Part([row(5, "a", key=("x",)), row(6, "b", key=("y",))], ("dest",), (String,), timedelta(microseconds=1)),
    }
    asked: list[tuple[dict[str, Any], int | None]] = [
        ({"user": 7, "origin": "y", "dest": "x"}, 7),
        ({"user": None, "origin": "x", "dest": "y"}, 7),
        ({"user": 7, "origin": "y", "dest": "x"}, 7),
    ]
    answers = training_rows(parts, asked)
    assert [{name: (one.status, one.values) for name, one in answer.items()} for answer in answers] == [
        {"user": (PRESENT, (1,)), "from": (PRESENT, ("b",)), "to": (OUTSIDE_MAX_AGE, (None,))},
        {"user": (NOT_FOUND, (None,)), "from": (PRESENT, ("a",)), "to": (PRESENT, ("b",))},
        {"user": (PRESENT, (1,)), "from": (PRESENT, ("b",)), "to": (OUTSIDE_MAX_AGE, (None,))},
    ]


def test_a_null_instant_is_refused() -> None:
    with pytest.raises(RequestError, match="row 1 has no instant") as caught:
        training_rows({"user": Part([], ("user",), (Int64,))}, [({"user": 7}, 5), ({"user": 7}, None)])
    assert caught.value.row == 1  # type: ignore[attr-defined]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[FeatureView, list[Row], list[tuple[tuple[Any, ...], int]]]:
    view = draw(row_views())
    rows = draw(histories(view))
    return view, rows_of(view, rows), draw(questions(view, rows, max_size=5))


def ask(view: FeatureView, rows: list[Row], key: tuple[Any, ...], at: int, as_known: Any = "now") -> tuple[Any, ...]:
    """An answer in a form that `==` compares to the bit."""
    dtypes = [one.dtype for one in view.schema]
    answer = as_of(rows, key, at, dtypes=dtypes, as_known=as_known, ttl=view.ttl)
    return answer.statuses, tuple(map(order_key, answer.values, dtypes)), answer.event, answer.known


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_rows_says_nothing(world: Any, random: Any) -> None:
    view, rows, asked = world
    shuffled = random.sample(rows, len(rows))
    for key, at in asked:
        for as_known in ("now", "then", at - 1):
            assert ask(view, shuffled, key, at, as_known) == ask(view, rows, key, at, as_known)


@given(worlds())
def test_rows_said_twice_say_nothing_new(world: Any) -> None:
    view, rows, asked = world
    for key, at in asked:
        for as_known in ("now", "then"):
            assert ask(view, rows + rows, key, at, as_known) == ask(view, rows, key, at, as_known)


@given(worlds(), st.data())
def test_what_becomes_known_after_an_instant_changes_nothing_as_known_then(world: Any, data: st.DataObject) -> None:
    view, rows, asked = world
    instant = data.draw(st.sampled_from(sorted({at for _, at in asked})))
    earlier = [one for one in rows if one.known is not None and one.known <= instant]
    for key, at in asked:
        assert ask(view, rows, key, at, instant) == ask(view, earlier, key, at, instant)
        assert ask(view, rows, key, at, instant) == ask(view, earlier, key, at, "now")


@given(worlds())
def test_then_is_now_over_what_was_known(world: Any) -> None:
    view, rows, asked = world
    for key, at in asked:
        known = [one for one in rows if one.known is not None and one.known <= at]
        assert ask(view, rows, key, at, "then") == ask(view, known, key, at, "now") == ask(view, rows, key, at, at)


@given(worlds())
def test_rows_with_nulls_in_their_key_or_event_time_say_nothing(world: Any) -> None:
    view, rows, asked = world
    counted = [one for one in rows if one.event is not None and None not in one.key]
    for key, at in asked:
        assert ask(view, rows, key, at) == ask(view, counted, key, at)


@given(st.data())
@settings(max_examples=200)
def test_the_order_of_values_is_one_order(data: st.DataObject) -> None:
    dtype = data.draw(feature_types())
    a, b, c = (order_key(data.draw(values(dtype)), dtype) for _ in range(3))
    assert (a < b) + (a == b) + (a > b) == 1
    assert not (a <= b <= c) or a <= c
    assert order_key(None, dtype) <= a
