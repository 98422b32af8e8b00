"""Every law catches the aggregation that breaks it, with a small example, and lets through what keeps them all."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from decimal import Decimal as Exact
from typing import Any

import pytest
from hypothesis import strategies as st

from gnomon.core.aggregations import function_of
from gnomon.definitions import agg
from gnomon.definitions.agg import Custom, ExactSum
from gnomon.errors import DefinitionError
from gnomon.testing import BrokenLaw, check_aggregation
from gnomon.testing.laws import LAWS, is_of
from gnomon.types import Array, Bool, Bytes, Decimal, FeatureType, Float32, Float64, Int32, Int64, String, UnixTimestamp


class GeometricMean(Custom):
    takes_types = (Float64,)
    gives = Float64

    def empty(self) -> Any:
        return 0, ExactSum()

    def add(self, state: Any, value: float) -> Any:
        return state[0] + 1, state[1].plus(ExactSum.of(math.log(value)))

    def merge(self, left: Any, right: Any) -> Any:
        return left[0] + right[0], left[1].plus(right[1])

    def result(self, state: Any) -> float:
        return math.exp(state[1].value / state[0])


class Longest(Custom):
    takes_types = (String,)
    gives = String

    def empty(self) -> str:
        return ""

    def add(self, state: str, value: str) -> str:
        return max(state, value, key=lambda text: (len(text), text))

    def merge(self, left: str, right: str) -> str:
        return self.add(left, right)

    def result(self, state: str) -> str:
        return state


class Numbers(Custom):
    """What the broken ones break: the sorted numbers, and their count as the result."""

    takes_types = (Int64,)
    gives = Int64

    def empty(self) -> Any:
        return ()

    def add(self, state: Any, value: int) -> Any:
        return (*state, value)

    def merge(self, left: Any, right: Any) -> Any:
        return (*left, *right)

    def result(self, state: Any) -> Any:
        return len(state)


class SaysWhole(Numbers):
    def result(self, state: Any) -> Any:
        return len(state) / 2


class TakesNoZero(Numbers):
    def add(self, state: Any, value: int) -> Any:
        return (*state, 1 // value)


class AppendsToItsState(Numbers):
    def empty(self) -> Any:
        return []

    def add(self, state: Any, value: int) -> Any:
        state.append(value)
        return state

    def to_bytes(self, state: Any) -> bytes:
        return repr(state).encode()

    def from_bytes(self, raw: bytes) -> Any:
        return list(eval(raw))


class LossyBytes(Numbers):
    def result(self, state: Any) -> Any:
        return max(state)

    def to_bytes(self, state: Any) -> bytes:
        return b"".join(struct.pack("<i", max(-(2**31), min(value, 2**31 - 1))) for value in state)

    def from_bytes(self, raw: bytes) -> Any:
        return tuple(value for (value,) in struct.iter_unpack("<i", raw))


class SetState(Numbers):
    def empty(self) -> Any:
        return frozenset()

    def add(self, state: Any, value: int) -> Any:
        return state | {value}

    def merge(self, left: Any, right: Any) -> Any:
        return left | right


class CountsMerges(Numbers):
    def merge(self, left: Any, right: Any) -> Any:
        return (*left, *right, 0)


class LeftIsRight(Numbers):
    """Adds as it should; of two states, the left one has the say."""

    def add(self, state: Any, value: int) -> Any:
        return (max((*state, value)),)

    def merge(self, left: Any, right: Any) -> Any:
        return left or right

    def result(self, state: Any) -> Any:
        return state[0]


class WeighsMerges(Numbers):
    """Knows the empty state and no direction, but what is merged first weighs more."""

    def empty(self) -> Any:
        return 0

    def add(self, state: Any, value: int) -> Any:
        return state + 1

    def merge(self, left: Any, right: Any) -> Any:
        return 2 * (left + right) if left and right else left or right

    def result(self, state: Any) -> Any:
        return state


class MergesToLess(Numbers):
    """Merging is a fine maximum, and forgets what add keeps."""

    def merge(self, left: Any, right: Any) -> Any:
        return max(left, right, key=lambda one: (len(one), one))


class FloatSum(Numbers):
    takes_types = (Float64,)
    gives = Float64

    def empty(self) -> Any:
        return 0.0

    def add(self, state: Any, value: float) -> Any:
        return state + value

    def merge(self, left: Any, right: Any) -> Any:
        return left + right

    def result(self, state: Any) -> Any:
        return state


class HurriedAddMany(Numbers):
    def add_many(self, state: Any, values: Any) -> Any:
        return (*state, *set(values))


@pytest.mark.parametrize("own", [GeometricMean, Longest, Numbers])
def test_what_keeps_the_laws_passes(own: type[Custom]) -> None:
    check_aggregation(own, values=st.floats(0.01, 1e6) if own is GeometricMean else None)


@pytest.mark.parametrize(
    ("own", "law"),
    [
        (SaysWhole, "it takes every value"),
        (TakesNoZero, "it takes every value"),
        (AppendsToItsState, "leave what they are handed"),
        (LossyBytes, "has been bytes"),
        (SetState, "has been bytes"),
        (CountsMerges, "with the empty state"),
        (LeftIsRight, "no direction"),
        (WeighsMerges, "either pair may come first"),
        (MergesToLess, "split into states"),
        (FloatSum, "in whatever order"),
        (HurriedAddMany, "add_many"),
    ],
)
def test_each_law_catches_its_breaker(own: type[Custom], law: str) -> None:
    with pytest.raises(BrokenLaw, match=f"{own.__name__} breaks a law of aggregations: .*{law}") as caught:
        check_aggregation(own)
    assert isinstance(caught.value, AssertionError)
    assert caught.value.law in LAWS  # type: ignore[attr-defined]
    assert len(caught.value.example.events) <= 4  # type: ignore[attr-defined]


def test_every_law_has_a_breaker_here() -> None:
    breakers = next(one for one in test_each_law_catches_its_breaker.pytestmark if one.name == "parametrize").args[1]
    assert [law for law in LAWS if not any(words in law for _, words in breakers)] == []


def test_the_error_shows_the_smallest_example_and_the_next_step() -> None:
    with pytest.raises(BrokenLaw) as caught:
        check_aggregation(FloatSum, values=[0.1, 0.2, 0.3])
    what, instead, hint = str(caught.value).splitlines()
    assert what == "FloatSum breaks a law of aggregations: in whatever order events are added, the result is the same."
    assert "Float64 values" in instead
    assert "0.6000000000000001" in instead
    assert "agg.ExactSum" in hint


def test_values_may_be_the_users() -> None:
    check_aggregation(TakesNoZero, values=[1, 2, 3])
    with pytest.raises(BrokenLaw, match="ZeroDivisionError"):
        check_aggregation(TakesNoZero, values=st.integers(-1, 1))


def test_aggregations_and_functions_are_checked_too() -> None:
    check_aggregation(agg.top_k("city", 2, over="7d"), examples=50)
    check_aggregation(function_of("mean", {"length": 2}), examples=50)


@pytest.mark.parametrize("wrong", [int, Custom, "sum", None])
def test_what_is_no_aggregation_is_told_so(wrong: Any) -> None:
    with pytest.raises(DefinitionError, match=r"is no aggregation|does not say takes_types"):
        check_aggregation(wrong)


@pytest.mark.parametrize(
    ("value", "dtype", "fits"),
    [
        (True, Bool, True),
        (1, Bool, False),
        (True, Int64, False),
        (2**31 - 1, Int32, True),
        (2**31, Int32, False),
        (-(2**63), Int64, True),
        (2**63, Int64, False),
        (1, Float64, False),
        (1.5, Float32, True),
        ("a", String, True),
        (b"a", String, False),
        (b"a", Bytes, True),
        (5, UnixTimestamp, True),
        (Exact("1.25"), Decimal(3, 2), True),
        (Exact("1.255"), Decimal(38, 2), False),
        (Exact("10.00"), Decimal(3, 2), False),
        (Exact("NaN"), Decimal(3, 2), False),
        (1.25, Decimal(3, 2), False),
        ([1, None], Array(Int64), True),
        ((), Array(Int64), True),
        ([1.5], Array(Int64), False),
        (1, Array(Int64), False),
    ],
)
def test_which_values_are_of_a_type(value: Any, dtype: FeatureType, fits: bool) -> None:
    assert is_of(value, dtype) is fits


def test_importing_the_checks_does_not_import_hypothesis() -> None:
    code = "import sys, gnomon.testing; print('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_hint_is_about_the_law_that_is_broken() -> None:
    with pytest.raises(BrokenLaw, match=r"frozenset\(\{.*has no place in a state") as caught:
        check_aggregation(SetState)
    assert "override to_bytes, from_bytes" in str(caught.value)
