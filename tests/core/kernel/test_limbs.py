"""Limbs add up exactly: sums are those of fractions, rounded once."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.kernel.limbs import GREATEST, Limbs, nearest, of_floats, of_whole

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-GREATEST, max_value=GREATEST)
awkward = st.sampled_from([0.1, -0.1, 1e17, -1e17, 1.0, 5e-324, -5e-324, 1e-300, 1e280, -1e280, 2.0**-1022, 2.0**960])
columns = st.lists(finite | awkward, max_size=12)


def summed(limbs: Limbs) -> Limbs:
    """The sum over all elements, as a window of one row has it."""
    return Limbs(tuple(part.sum(keepdims=True) for part in limbs.parts), limbs.exponents, limbs.step)


def rounded(total: Fraction) -> float:
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


@given(columns)
def test_a_sum_of_floats_is_the_fraction_rounded_once(numbers: list[float]) -> None:
    got = nearest(summed(of_floats([np.array(numbers)], len(numbers))))
    assert got[0] == rounded(sum(map(Fraction, numbers), Fraction(0)))
    assert not (got[0] == 0 and math.copysign(1, got[0]) < 0)


@given(st.lists(st.tuples(finite | awkward, finite | awkward), max_size=8))
def test_two_arrays_add_up_element_by_element(pairs: list[tuple[float, float]]) -> None:
    one, two = (np.array([pair[place] for pair in pairs], np.float64) for place in (0, 1))
    got = nearest(summed(of_floats([one, two], len(pairs))))
    assert got[0] == rounded(sum((Fraction(x) for pair in pairs for x in pair), Fraction(0)))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12))
def test_a_sum_of_whole_numbers_is_rounded_once(numbers: list[int]) -> None:
    got = nearest(summed(of_whole(np.array(numbers, np.int64), len(numbers))))
    assert got[0] == float(sum(numbers))


@given(st.integers(1, 2**40), finite | awkward, finite | awkward)
def test_many_of_them_do_not_overflow(count: int, one: float, two: float) -> None:
    """Limbs that were cut for so many elements hold the sum of so many."""
    limbs = of_floats([np.array([one, two])], 2 * count)
    total = Limbs(tuple(count * part.sum(keepdims=True) for part in limbs.parts), limbs.exponents, limbs.step)
    assert nearest(total)[0] == rounded(count * (Fraction(one) + Fraction(two)))


@pytest.mark.parametrize("lost", [1, -1])
def test_half_a_last_bit_and_a_crumb_beyond_all_digits(lost: int) -> None:
    """2^53 + 1 is a tie: what decides is a number 2^-1000, more than a thousand bits below."""
    numbers = [2.0**53, 1.0, lost * 2.0**-1000]
    got = nearest(summed(of_floats([np.array(numbers)], 3)))
    assert got[0] == (2.0**53 + 2 if lost > 0 else 2.0**53)


def test_nothing_is_no_number_of_events() -> None:
    assert nearest(summed(of_floats([np.empty(0)], 0))).tolist() == [0.0]
