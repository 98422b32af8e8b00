"""The oracle of windowed views: worked examples for every sentence of the contract's section, and laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal as Exact
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.windows import Window
from gnomon.testing.reference import NOT_FOUND, NULL_VALUE, PRESENT, same_value
from gnomon.testing.reference_windows import INVALID, WindowAnswer, WindowEvent, selected_events, windowed
from gnomon.testing.strategies import event_histories, event_tables, events_of, window_questions, windows
from gnomon.types import Array, Bool, Bytes, Decimal, FeatureType, Float32, Float64, Int64, String, UnixTimestamp

NAN, INF = float("nan"), float("inf")
TEN = Window("10us")


def event(at: int | None, value: Any = 1, known: int | None = None, **more: Any) -> WindowEvent:
    """An event of key 7 with one column, x."""
    return WindowEvent(
        key=more.pop("key", (7,)), event=at, known=at if known is None else known, values={"x": value}, **more
    )


@dataclass(frozen=True)
class Case:
    """A sentence of the contract: which of some events, told apart by x, count at an instant."""

    rule: str
    events: Sequence[WindowEvent]
    counted: Sequence[int]
    at: int = 100
    window: Window = TEN
    options: Mapping[str, Any] = field(default_factory=dict)


def at_each(*instants: int) -> list[WindowEvent]:
    return [event(at, value=at) for at in instants]


EACH = at_each(*range(80, 120))
CASES = [
    Case("left: T − w ≤ event time < T", EACH, range(90, 100)),
    Case("right: T − w < event time ≤ T", EACH, range(91, 101), window=Window("10us", closed="right")),
    Case("hop: the old end moves in steps", EACH, range(88, 100), window=Window("10us", hop="8us")),
    Case("hop: at a step it is exact", EACH, range(94, 104), at=104, window=Window("10us", hop="2us")),
    Case("hop, right", EACH, range(89, 101), window=Window("10us", hop="8us", closed="right")),
    Case("tumbling: the last complete one", EACH, range(90, 100), at=109, window=Window("10us", kind="tumbling")),
    Case("tumbling: complete at its end", EACH, range(90, 100), at=100, window=Window("10us", kind="tumbling")),
    Case(
        "tumbling, right",
        EACH,
        range(91, 101),
        at=100,
        window=Window("10us", kind="tumbling", closed="right"),
    ),
    Case("lifetime: (−∞, T)", at_each(-(2**62), 99, 100), [-(2**62), 99], window=Window(None)),
    Case("lifetime, right: (−∞, T]", at_each(99, 100, 101), [99, 100], window=Window(None, closed="right")),
    Case("offset: T − offset in the bounds", EACH, range(85, 95), window=Window("10us", offset="5us")),
    Case(
        "floor is toward −∞", at_each(-8, -7, -1), [-8, -7], at=0, window=Window("4us", kind="tumbling", offset="4us")
    ),
    Case("now: late events count", [event(95, known=999)], [1]),
    Case("then: known at T", [event(95, 1, 100), event(95, 2, 101)], [1], options={"as_known": "then"}),
    Case(
        "then: known time is held against T, whatever the offset",
        [event(85, 1, 100), event(85, 2, 101)],
        [1],
        window=Window("10us", offset="10us"),
        options={"as_known": "then"},
    ),
    Case("K: known at K", [event(95, 1, 200), event(95, 2, 201)], [1], options={"as_known": 200}),
    Case("K before T is no bound on event times", [event(95, 1, 50)], [1], options={"as_known": 60}),
    Case("without an id every event counts", [event(95), event(95)], [1, 1]),
    Case("of one id the greatest known time holds", [event(95, 1, 97, id=1), event(95, 2, 96, id=1)], [1]),
    Case("ties: the greatest event time", [event(95, 1, 97, id=1), event(96, 2, 97, id=1)], [2]),
    Case("ties: a delete over an upsert", [event(95, 9, 97, id=1), event(95, 1, 97, id=1, delete=True)], []),
    Case("ties: the greatest columns", [event(95, 1, 97, id=1), event(95, 2, 97, id=1)], [2]),
    Case("another id is another event", [event(95, 1, id=1), event(95, 2, id=2)], [1, 2]),
    Case("another key's version is another event", [event(95, 1, 96, id=1), event(95, 2, 97, id=1, key=(8,))], [1]),
    Case(
        "a version not yet known replaces nothing",
        [event(95, 1, id=1), event(95, 2, 101, id=1)],
        [1],
        options={"as_known": "then"},
    ),
    Case("a correction outside the window takes the event along", [event(95, 1, 95, id=1), event(20, 2, 99, id=1)], []),
    Case("a correction in the future, too", [event(95, 1, 95, id=1), event(500, 2, 99, id=1)], []),
    Case("a deleted event is gone", [event(95, 1, 95, id=1), event(95, 1, 96, id=1, delete=True)], []),
    Case(
        "an event deleted and told again is there",
        [event(95, 1, 95, id=1), event(95, 1, 96, id=1, delete=True), event(95, 3, 97, id=1)],
        [3],
    ),
    Case("a delete of nothing is nothing", [event(95, 1, id=1, delete=True), event(96, 2, id=2)], [2]),
    Case("without an event time it never counts", [event(None, 1), event(95, 2)], [2]),
    Case(
        "nor replaces anything",
        [WindowEvent(key=(7,), event=None, known=99, values={"x": 1}, id=1), event(95, 2, id=1)],
        [2],
    ),
    Case(
        "where: true selects, false and null do not",
        at_each(95, 96, 97),
        [95],
        options={"where": {95: True, 96: False, 97: None}.get},
    ),
    Case(
        "where comes after versions",
        [event(95, 5, 95, id=1), event(95, 6, 96, id=1)],
        [],
        options={"where": {5: True}.get},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
@pytest.mark.parametrize("backwards", [False, True], ids=["as written", "backwards"])
def test_which_events_count(case: Case, backwards: bool) -> None:
    events = case.events[::-1] if backwards else case.events
    options = dict(case.options)
    if where := options.get("where"):
        options["where"] = lambda values: where(values["x"])
    taken = selected_events(events, (7,), case.at, window=case.window, dtypes={"x": Int64}, **options)
    assert sorted(one.values["x"] for one in taken) == sorted(case.counted)


def test_every_rule_has_one_name() -> None:
    assert len({case.rule for case in CASES}) == len(CASES)


def answer(function: str, values: Sequence[Any], dtype: FeatureType, **arguments: Any) -> WindowAnswer:
    """What a function makes of values that happened one after the other."""
    events = [event(90 + place, value) for place, value in enumerate(values)]
    return windowed(
        events, (7,), 100, window=TEN, function=function, arguments=arguments, column="x", dtypes={"x": dtype}
    )


LARGE = 1.7976931348623157e308
VECTOR = Array(Float64)
RESULTS: list[tuple[str, dict[str, Any], FeatureType, list[Any], FeatureType, Any]] = [
    ("count", {}, String, ["a", None, "a"], Int64, 2),
    ("count", {}, VECTOR, [[1.0], None], Int64, 1),
    ("sum", {}, Int64, [2**63 - 1, -1, None], Int64, 2**63 - 2),
    ("sum", {}, Bool, [True, True, False], Int64, 2),
    ("sum", {}, Float64, [0.1, 0.2, 0.3], Float64, 0.6),
    ("sum", {}, Float64, [1e17, 1.0, -1e17], Float64, 1.0),
    ("sum", {}, Float64, [LARGE, LARGE, -LARGE], Float64, LARGE),
    ("sum", {}, Float64, [LARGE, LARGE], Float64, INF),
    ("sum", {}, Float64, [INF, 1.0], Float64, INF),
    ("sum", {}, Float64, [INF, -INF], Float64, NAN),
    ("sum", {}, Float64, [NAN, INF], Float64, NAN),
    ("sum", {}, Float64, [-0.0], Float64, 0.0),
    ("sum", {}, Decimal(3, 2), [Exact("9.99"), Exact("0.01")], Decimal(38, 2), Exact("10.00")),
    ("mean", {}, Int64, [2**63 - 1, 2**63 - 1], Float64, 2.0**63),
    ("mean", {}, Bool, [True, False, False, False], Float64, 0.25),
    ("mean", {}, Float64, [LARGE, LARGE], Float64, INF),
    ("mean", {}, Float64, [-5e-324, 0.0], Float64, 0.0),
    ("variance", {}, Float64, [1.0, 2.0, 4.0], Float64, 7 / 3),
    ("variance", {"population": True}, Float64, [1.0, 2.0, 4.0], Float64, 14 / 9),
    ("variance", {}, Float64, [1e8 + 1, 1e8, 1e8 - 1], Float64, 1.0),
    ("variance", {}, Float64, [0.1, 0.1, 0.1], Float64, 0.0),
    ("variance", {}, Float64, [1.0], Float64, None),
    ("variance", {}, Float64, [INF], Float64, None),
    ("variance", {"population": True}, Float64, [INF], Float64, NAN),
    ("variance", {}, Float64, [1.0, INF], Float64, NAN),
    ("variance", {"population": True}, Decimal(3, 2), [Exact("1.00"), Exact("1.50")], Float64, 0.0625),
    ("stddev", {"population": True}, Int64, [1, 3], Float64, 1.0),
    ("stddev", {}, Float64, [LARGE, -LARGE], Float64, INF),
    ("min", {}, Float64, [NAN, 1.0, INF], Float64, 1.0),
    ("max", {}, Float64, [NAN, -INF], Float64, -INF),
    ("max", {}, Float64, [NAN, NAN], Float64, NAN),
    ("min", {}, Float64, [-0.0], Float64, 0.0),
    ("max", {}, String, ["\ufffd", "\U0001d11e"], String, "\U0001d11e"),
    ("min", {}, Bool, [True, False], Bool, False),
    ("min", {}, Bytes, [b"\x80", b"\x7f\x00"], Bytes, b"\x7f\x00"),
    ("max", {}, UnixTimestamp, [-1, -2], UnixTimestamp, -1),
    ("first", {}, Int64, [None, 5, 6], Int64, 5),
    ("last", {}, Int64, [5, 6, None], Int64, 6),
    ("first_n", {"n": 2}, Int64, [3, None, 1, 2], Array(Int64), [3, 1]),
    ("last_n", {"n": 2}, Int64, [3, 1, 2, None], Array(Int64), [1, 2]),
    ("last_n", {"n": 9}, Float64, [-0.0], Array(Float64), [0.0]),
    ("last_distinct_n", {"n": 2}, Int64, [1, 2, 3, 1, 3, 1], Array(Int64), [3, 1]),
    ("count_distinct", {}, Float64, [0.0, -0.0, NAN, -NAN, 1.0, None], Int64, 3),
    ("top_k", {"k": 2}, String, ["c", "b", "a", "b", "c"], Array(String), ["b", "c"]),
    ("top_k", {"k": 9}, Float64, [NAN, NAN, 1.0], Array(Float64), [NAN, 1.0]),
    ("mode", {}, Int64, [3, 2, 3, 2, 1], Int64, 2),
    ("histogram", {"edges": (0.0, 10.0)}, Float64, [-1.0, -0.0, 9.9, 10.0, NAN, None], Array(Int64), [1, 2, 2]),
    ("histogram", {"edges": (2.0**53,)}, Int64, [2**53 - 1, 2**53, 2**53 + 1], Array(Int64), [1, 2]),
    ("approx_percentile", {"q": 0.5}, Float64, [1.0, 3.0, 1000.0], Float64, 3.015625),
    ("approx_percentile", {"q": 0}, Float64, [-1.0, 3.0], Float64, -1.0078125),
    ("approx_percentile", {"q": 1}, Float64, [1.0, NAN], Float64, NAN),
    ("approx_percentile", {"q": 1, "relative_error": 0.5}, Float64, [1.0], Float64, 1.25),
    ("approx_percentile", {"q": 1}, Float64, [5e-324], Float64, 0.0),
    ("approx_percentile", {"q": 1}, Float64, [-INF], Float64, -INF),
    ("approx_count_distinct", {}, String, ["a", "b", "a", None], Int64, 2),
    ("approx_count_distinct", {"precision": 4}, Float64, [0.0, -0.0, NAN, -NAN], Int64, 2),
    ("sum", {"length": 2}, VECTOR, [[1.0, None], None, [2.0, None]], Array(Float64), [3.0, None]),
    ("mean", {"length": 1}, VECTOR, [[1.0], [2.0]], Array(Float64), [1.5]),
    ("min", {"length": 2}, Array(Float32), [[-0.0, NAN], [1.0, 2.0]], Array(Float32), [0.0, 2.0]),
    ("variance", {"length": 1, "population": True}, Array(Int64), [[1], [3]], Array(Float64), [1.0]),
]


@pytest.mark.parametrize(("function", "arguments", "dtype", "values", "gives", "expected"), RESULTS)
def test_what_is_made_of_values(
    function: str, arguments: dict[str, Any], dtype: FeatureType, values: list[Any], gives: FeatureType, expected: Any
) -> None:
    found = answer(function, values, dtype, **arguments)
    assert found.status == (NULL_VALUE if expected is None else PRESENT)
    assert same_value(found.value, expected, gives), found


@pytest.mark.parametrize("values", [[], [None, None]])
def test_what_is_made_of_nothing(values: list[Any]) -> None:
    for function, arguments, dtype, _, _, _ in RESULTS:
        zero = function in ("count", "count_distinct", "approx_count_distinct")
        expected = WindowAnswer(0, PRESENT) if zero else WindowAnswer(None, NULL_VALUE)
        assert answer(function, values, dtype, **arguments) == expected


@pytest.mark.parametrize(
    ("function", "arguments", "dtype", "values"),
    [
        ("sum", {}, Int64, [2**63 - 1, 1]),
        ("sum", {}, Int64, [-(2**63), -1]),
        ("sum", {}, Decimal(38, 0), [Exact(10**38 - 1), Exact(1)]),
        ("sum", {"length": 2}, Array(Int64), [[1, 2**63 - 1], [1, 1]]),
    ],
)
def test_what_its_type_cannot_hold_is_invalid(
    function: str, arguments: dict[str, Any], dtype: FeatureType, values: list[Any]
) -> None:
    assert answer(function, values, dtype, **arguments) == WindowAnswer(None, INVALID)


def test_count_counts_events_that_where_selects_nulls_or_not() -> None:
    events = [event(91, None), event(92, 5), event(93, 6)]
    ask: dict[str, Any] = {"window": TEN, "function": "count", "dtypes": {"x": Int64}}
    assert windowed(events, (7,), 100, **ask) == WindowAnswer(3, PRESENT)
    assert windowed(events, (7,), 100, **ask, where=lambda values: values["x"] != 5) == WindowAnswer(2, PRESENT)
    assert windowed(events, (7,), 100, **ask, column="x") == WindowAnswer(2, PRESENT)
    assert windowed(events, (9,), 100, **ask) == WindowAnswer(0, PRESENT)


def test_a_key_with_a_null_part_finds_nothing_counts_included() -> None:
    ask: dict[str, Any] = {"window": TEN, "function": "count", "dtypes": {"x": Int64}}
    assert windowed([event(95, key=(7, None))], (7, None), 100, **ask) == WindowAnswer(None, NOT_FOUND)


def test_order_is_by_event_time_then_known_time_then_value() -> None:
    events = [event(95, 1, 99), event(95, 3, 97), event(95, 2, 99), event(94, 9, 99)]
    ask: dict[str, Any] = {"window": TEN, "function": "last_n", "arguments": {"n": 4}, "column": "x"}
    assert windowed(events, (7,), 100, **ask, dtypes={"x": Int64}).value == [9, 3, 1, 2]


def test_versions_compare_by_columns_in_name_order() -> None:
    def version(a: int, b: int) -> WindowEvent:
        return WindowEvent(key=(7,), event=95, known=95, values={"b": b, "a": a}, id=1)

    dtypes = {"b": Int64, "a": Int64}
    for events in ([version(1, 9), version(2, 0)], [version(2, 0), version(1, 9)]):
        assert selected_events(events, (7,), 100, window=TEN, dtypes=dtypes) == [version(2, 0)]


@given(st.data())
def test_the_order_of_events_never_shows(data: st.DataObject) -> None:
    table = data.draw(event_tables(inputs=st.just(Float64)))
    window = data.draw(windows())
    rows = data.draw(event_histories(table, [window]))
    asked = data.draw(window_questions(table, rows, [window]))
    column = min(table.inputs)
    for key, at in asked:
        for function in ("sum", "last"):
            one, other = (
                windowed(events, key, at, window=window, function=function, column=column, dtypes=table.inputs)
                for events in (events_of(table, rows), events_of(table, rows[::-1]))
            )
            assert one.status == other.status
            assert same_value(one.value, other.value, Float64)


@given(st.data())
def test_a_window_is_the_difference_of_two_lifetimes(data: st.DataObject) -> None:
    """Without hindsight in play, [T − w, T) is what came before T and not before T − w."""
    table = data.draw(event_tables())
    window = Window(
        data.draw(st.sampled_from(["1us", "1s", "1h", "7d"])), closed=data.draw(st.sampled_from(["left", "right"]))
    )
    events = events_of(table, data.draw(event_histories(table, [window])))

    def count(window: Window, at: int) -> int:
        return windowed(events, key, at, window=window, function="count", dtypes=table.inputs).value

    for key, at in data.draw(window_questions(table, [], [window])) + [(one.key, one.event or 0) for one in events]:
        if None not in key:
            ever = Window(None, closed=window.closed)
            assert count(window, at) == count(ever, at) - count(ever, at - (window.width or 0))
