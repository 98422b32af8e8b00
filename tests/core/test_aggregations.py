"""Every function there is keeps the laws of states, and gives what the oracle gives, to the bit."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.aggregations import FUNCTIONS, INVALID, Function, Unfit, function_of
from gnomon.core.aggregations import approx_distinct as hyperloglog
from gnomon.core.aggregations.approx_percentile import bucket_of, middle_of
from gnomon.core.aggregations.states import read, written
from gnomon.core.aggregations.vectors import Vector
from gnomon.core.exact import ExactSum
from gnomon.errors import DefinitionError
from gnomon.testing import reference_sketches
from gnomon.testing.laws import LAWS, examples_of, how_broken
from gnomon.testing.reference import same_value
from gnomon.testing.reference_aggregations import OutsideRangeError, aggregated
from gnomon.testing.strategies import column_values, fitting_types, functions
from gnomon.testing.strategies.aggregations import MADE_FUNCTIONS
from gnomon.types import Array, Bool, Decimal, FeatureType, Float32, Float64, Int64, String

NAN, INF = float("nan"), float("inf")

BY_ELEMENT = [name for name in MADE_FUNCTIONS if FUNCTIONS[name].by_element]
SUBJECTS = [*MADE_FUNCTIONS, *(f"{name} of vectors" for name in BY_ELEMENT)]


def drawn(data: st.DataObject, subject: str) -> Function:
    """A function with arguments, or one of vectors."""
    name, vector, _ = subject.partition(" of vectors")
    function = data.draw(functions(name))
    return Vector(inner=function, length=data.draw(st.integers(1, 3))) if vector else function


def made(function: Function, values: list[Any], dtype: FeatureType) -> Any:
    """What a function makes of some values."""
    state = function.empty()
    for at, value in enumerate(values):
        state = function.add(state, (at, at, value), dtype)
    return function.result(state, dtype)


@pytest.mark.parametrize("subject", SUBJECTS)
@given(data=st.data())
def test_states_keep_the_laws(subject: str, data: st.DataObject) -> None:
    function = drawn(data, subject)
    example = data.draw(examples_of(function))
    assert {law: how for law, pairs in LAWS.items() if (how := how_broken(pairs, function, example))} == {}


@pytest.mark.parametrize("subject", SUBJECTS)
@given(data=st.data())
def test_results_are_the_oracles(subject: str, data: st.DataObject) -> None:
    function = drawn(data, subject)
    dtype = data.draw(st.sampled_from(fitting_types(function)))
    length = function.arguments.get("length")
    pool = data.draw(column_values(dtype, length=length))
    event = st.tuples(st.integers(-1, 2), st.integers(-1, 2), st.sampled_from(pool))
    events = data.draw(st.lists(event, max_size=8))

    state = function.empty()
    for one in events:
        state = function.add(state, one, dtype)
    result = function.result(state, dtype)

    try:
        expected = aggregated(subject.partition(" of vectors")[0], events, dtype, function.arguments)
    except OutsideRangeError:
        expected = INVALID
    if expected is INVALID or result is INVALID:
        assert result is expected
    else:
        assert same_value(result, expected, function.output(dtype)), (result, expected)


@pytest.mark.parametrize("name", MADE_FUNCTIONS)
@given(data=st.data())
def test_functions_come_back_from_their_arguments(name: str, data: st.DataObject) -> None:
    function = data.draw(functions(name))
    assert function_of(name, function.arguments) == function


@pytest.mark.parametrize("name", BY_ELEMENT)
@given(data=st.data())
def test_vectors_come_back_from_their_arguments(name: str, data: st.DataObject) -> None:
    inner = data.draw(functions(name))
    vector = Vector(inner=inner, length=2)
    assert function_of(name, vector.arguments) == vector
    assert vector.word == inner.word


@pytest.mark.parametrize("name", MADE_FUNCTIONS)
@given(data=st.data())
def test_of_no_events_the_result_is_the_default(name: str, data: st.DataObject) -> None:
    function = data.draw(functions(name))
    for dtype in fitting_types(function):
        assert function.result(function.empty(), dtype) == function.default


@pytest.mark.parametrize("name", MADE_FUNCTIONS)
@given(data=st.data())
def test_types_that_do_not_fit_are_told_what_does(name: str, data: st.DataObject) -> None:
    function = data.draw(functions(name))
    for dtype in {Bool, Int64, String, Array(Float64), Array(String)} - set(fitting_types(function)):
        with pytest.raises(Unfit, match=f"{name} takes .*, not ") as caught:
            function.output(dtype)
        assert "Hint: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("avg", {}, "no aggregation is called 'avg'"),
        ("count_distict", {}, "did you mean 'count_distinct'"),
        ("sum", {"n": 1}, "sum has no argument 'n'"),
        ("last_n", {"k": 1}, "it takes n"),
        ("last_n", {"n": 0}, "last_n: n is 0"),
        ("last_n", {"n": True}, "last_n: n is True"),
        ("first_n", {"n": 1_001}, "from 1 to 1,000"),
        ("last_distinct_n", {"n": 2.0}, "n is a whole number"),
        ("top_k", {"k": -1}, "top_k: k is -1"),
        ("top_k", {"k": "3"}, "k is a whole number"),
        ("approx_percentile", {"q": 1.5}, "q is from 0 to 1"),
        ("approx_percentile", {"q": NAN}, "q is nan"),
        ("approx_percentile", {"q": True}, "q is True"),
        ("approx_percentile", {"q": 0.5, "relative_error": 0}, "relative_error is from 1e-05 to 0.5"),
        ("approx_count_distinct", {"precision": 3}, "from 4 to 16"),
        ("approx_count_distinct", {"precision": 17}, "from 4 to 16"),
        ("histogram", {"edges": ()}, "edges is ()"),
        ("histogram", {"edges": (1, 1)}, "each greater than the one before"),
        ("histogram", {"edges": (0, INF)}, "the edge inf"),
        ("histogram", {"edges": (2**53 + 1,)}, "no number that a float holds"),
        ("histogram", {"edges": 5}, "edges is 5"),
        ("sum", {"length": 0}, "length is 0"),
        ("sum", {"length": 65_537}, "from 1 to 65,536"),
        ("last", {"length": 2}, "last does not work on vectors"),
        ("custom", {"place": "Nothing"}, "there is no aggregation at 'Nothing': it names no module and class"),
        ("custom", {"place": None}, "there is no aggregation at None"),
        ("custom", {}, "custom needs its argument 'place'"),
        ("last_n", {}, "last_n needs its argument 'n'"),
        ("approx_percentile", {"relative_error": 0.1}, "approx_percentile needs its argument 'q'"),
    ],
)
def test_mistakes_in_arguments_say_what_to_write(name: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        function_of(name, arguments)
    assert words in str(caught.value)
    assert "Hint: " in str(caught.value)


def test_a_mean_that_vanishes_is_plain_zero() -> None:
    assert same_value(made(function_of("mean", {}), [-5e-324, -0.0], Float64), 0.0, Float64)


@pytest.mark.parametrize("error", [1e-5, 0.01, 0.25, 0.4, 0.5])
def test_percentiles_tell_infinity_from_nan(error: float) -> None:
    median = function_of("approx_percentile", {"q": 0.5, "relative_error": error})
    assert [made(median, [value], Float64) for value in (INF, -INF)] == [INF, -INF]
    assert math.isnan(made(median, [NAN], Float64))


@given(st.floats(2.2250738585072014e-308, allow_infinity=False) | st.floats(1, 2), st.floats(1e-5, 0.5))
def test_percentiles_are_as_near_as_they_say(value: float, error: float) -> None:
    for signed in (value, -value):
        found = made(function_of("approx_percentile", {"q": 1, "relative_error": error}), [signed], Float64)
        assert abs(found - signed) <= error * abs(signed)


@given(st.lists(st.floats(allow_nan=False), min_size=2), st.integers(36, 51))
def test_buckets_are_ordered_as_values_are(values: list[float], dropped: int) -> None:
    ordered = sorted(values)
    buckets = [bucket_of(value, dropped) for value in ordered]
    assert buckets == sorted(buckets)
    middles = [middle_of(bucket, dropped) for bucket in buckets]
    assert middles == sorted(middles)
    assert bucket_of(NAN, dropped) > max(buckets)


@pytest.mark.parametrize("precision", [4, 10, 12])
@pytest.mark.parametrize("count", [0, 1, 10, 1_000, 20_000])
def test_distinct_counts_are_as_near_as_they_say(precision: int, count: int) -> None:
    """Within four standard errors, for texts as for numbers; the values are always these, so this holds or does not."""
    for dtype in (Int64, String):
        registers: dict[int, int] = {}
        for value in range(count):
            hashed = hyperloglog.hash_of(value if dtype == Int64 else str(value), dtype)
            place, number = hyperloglog.register(hashed, precision)
            registers[place] = max(registers.get(place, 0), number)
        found = function_of("approx_count_distinct", {"precision": precision}).result(registers, dtype)
        assert abs(found - count) <= 4 * 1.04 / math.sqrt(2**precision) * count


@given(st.data())
def test_estimates_are_the_formulas_whatever_the_registers_hold(data: st.DataObject) -> None:
    precision = data.draw(st.integers(4, 16))
    most = 65 - precision
    some = data.draw(st.lists(st.integers(0, most) | st.just(most), max_size=2**4 - 1))
    counts = [Counter(some)[number] for number in range(most + 1)]
    counts[data.draw(st.integers(0, most - 1))] += 2**precision - len(some)
    expected = reference_sketches.estimate(Counter(dict(enumerate(counts))), precision)
    found = hyperloglog.estimate(counts, precision)
    assert math.isclose(found, expected, rel_tol=1e-12, abs_tol=0.5 + 1e-9)
    (several,) = hyperloglog.estimate(np.array(counts, dtype=np.int64)[:, np.newaxis], precision)
    assert several == found


@given(st.data())
def test_hashes_are_the_oracles(data: st.DataObject) -> None:
    function = function_of("approx_count_distinct", {})
    dtype = data.draw(st.sampled_from(fitting_types(function)))
    for value in data.draw(column_values(dtype)):
        assert hyperloglog.hash_of(value, dtype) == reference_sketches.hash_of(value, dtype)


def test_decimals_and_their_sums_fill_38_digits() -> None:
    from decimal import Decimal as Exact

    total, widest = function_of("sum", {}), Exact(10**38 - 1)
    assert made(total, [widest, Exact(-1)], Decimal(38, 0)) == Exact(10**38 - 2)
    assert made(total, [widest, Exact(1)], Decimal(38, 0)) is INVALID
    assert made(total, [widest, Exact(1), Exact(-1)], Decimal(38, 0)) == widest
    assert made(total, [2**63 - 1, 1, -1], Int64) == 2**63 - 1
    assert made(total, [2**63 - 1, 1], Int64) is INVALID


def test_sums_do_not_overflow_on_the_way() -> None:
    large = 1.7976931348623157e308
    assert made(function_of("sum", {}), [large, large, -large], Float64) == large
    assert made(function_of("sum", {}), [large, large], Float64) == INF
    assert made(function_of("variance", {"population": True}), [large, -large], Float64) == INF
    assert made(function_of("sum", {}), [3.4028234663852886e38] * 2, Float32) == 6.805646932770577e38


@given(
    st.recursive(
        st.none()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary()
        | st.booleans()
        | st.floats(allow_nan=False).map(ExactSum.of)
        | st.decimals(allow_nan=False),
        lambda inner: st.lists(inner).map(tuple),
    )
)
def test_states_come_back_from_bytes_as_they_were(state: Any) -> None:
    again = read(written(state))
    assert again == state
    assert type(again) is type(state)


def test_states_of_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="has no place in a state"):
        written((1, {2}))
