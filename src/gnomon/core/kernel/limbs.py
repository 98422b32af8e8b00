"""Exact sums of columns: a float is cut into whole numbers on fixed grids, and int64 sums of those lose nothing.

With u the exponent of a grid, x + 1.5·2^(u+52) rounds x to a multiple of 2^u, and the difference of the two floats'
bits is that multiple, the *limb*. What is left of x goes to the next, finer grid, until nothing is. A prefix sum of
limbs may wrap around 2^64 without harm: only the sum over a window has to fit, and the grids' step is chosen so.
(Kin to Neal's small superaccumulator, arXiv 1505.05571, and to Rump, Ogita & Oishi's AccSum.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnomon.core.kernel.columns import Floats, Ints
from gnomon.core.kernel.lanes import Lane

__all__ = ["GREATEST", "Limbs", "digits", "nearest", "of_floats", "of_whole", "over_windows"]

WIDEST_STEP = 44
GREATEST = 2.0**960
"""Beyond it, a grid's constant would be no float."""
LEAST_EXPONENT = -1074


@dataclass(frozen=True, slots=True)
class Limbs:
    """Numbers as sums of whole multiples of powers of two: Σ parts[k] · 2^exponents[k].

    Args:
        parts: one array per grid, the coarsest first.
        exponents: of the grids, each `step` less than the one before.
        step: how many bits each grid has before the next coarser one.
    """

    parts: tuple[Ints, ...]
    exponents: tuple[int, ...]
    step: int


def step_for(count: int) -> int:
    """The step at which a sum of so many limbs, of two numbers each, fits 63 bits."""
    return min(WIDEST_STEP, 60 - count.bit_length())


def of_floats(numbers: Sequence[Floats], count: int) -> Limbs:
    """The sum of some arrays of finite floats, element by element, in limbs.

    Args:
        numbers: one array, or two of which the second holds what the first lacks; none beyond `GREATEST`.
        count: how many elements will be added up at most.
    """
    step = step_for(count)
    greatest = max((float(np.abs(one).max(initial=0.0)) for one in numbers), default=0.0)
    exponent = (np.frexp(greatest)[1] if greatest else 0) - step
    left = list(numbers)
    parts: list[Ints] = []
    exponents: list[int] = []
    while not parts or any(one.any() for one in left):
        exponent = max(int(exponent), LEAST_EXPONENT)
        limb, left = _cut(left, exponent)
        parts.append(limb)
        exponents.append(exponent)
        exponent -= step
    return Limbs(tuple(parts), tuple(exponents), step)


def _cut(left: Sequence[Floats], exponent: int) -> tuple[Ints, list[Floats]]:
    """The multiples of a grid nearest to some numbers, and what is left of them."""
    constant = np.ldexp(1.5, exponent + 52)
    shifted = [one + constant for one in left]
    limbs = [one.view(np.int64) - constant.view(np.int64) for one in shifted]
    rest = [one - (over - constant) for one, over in zip(left, shifted, strict=True)]
    return limbs[0] if len(limbs) == 1 else limbs[0] + limbs[1], rest


def of_whole(numbers: Ints, count: int) -> Limbs:
    """Whole numbers in limbs: one where every sum fits, else two of 32 bits."""
    greatest = max(abs(int(numbers.max(initial=0))), abs(int(numbers.min(initial=0))))
    if greatest.bit_length() + count.bit_length() <= 62:
        return Limbs((numbers,), (0,), 32)
    return Limbs((numbers >> 32, numbers & 0xFFFFFFFF), (32, 0), 32)


def over_windows(lane: Lane, limbs: Limbs) -> list[Limbs]:
    """Per window of a lane, the sums over the events that count at each row.

    Args:
        lane: the lane.
        limbs: a number for each of its main events, then of its extras.
    """
    main = len(lane.main)
    sums: list[list[Ints]] = [[] for _ in lane.spans]
    for part in limbs.parts:
        prefix = np.zeros(main + 1, np.int64)
        np.cumsum(part[:main], out=prefix[1:])
        at_right: dict[int, Ints] = {}
        for span, found in zip(lane.spans, sums, strict=True):
            if id(span.right) not in at_right:
                at_right[id(span.right)] = prefix[span.right]
            found.append(at_right[id(span.right)] - prefix[span.left] + lane.extras_added(span, part[main:]))
    return [Limbs(tuple(found), limbs.exponents, limbs.step) for found in sums]


def nearest(sums: Limbs) -> Floats:
    """The float nearest to each sum, ties to even; ±inf beyond the floats' range."""
    parts, negative = digits(sums)
    number, rest, exponent = parts[0] >> 32, parts[0] & 0xFFFFFFFF, np.full(len(parts[0]), sums.exponents[0] + 32)
    sticky = np.zeros(len(number), np.bool_)
    number, exponent, sticky = _taken_in(number, exponent, sticky, rest, 32)
    for part, (before, after) in zip(parts[1:], zip(sums.exponents, sums.exponents[1:], strict=False), strict=True):
        number, exponent, sticky = _taken_in(number, exponent, sticky, part, before - after)
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.ldexp((number | sticky).astype(np.float64), exponent)
    return np.where(negative, -rounded, rounded) + 0.0


def digits(sums: Limbs) -> tuple[list[Ints], npt.NDArray[np.bool_]]:
    """Magnitudes as digits: the first of any size, the others within their grid's step; and which sums are negative."""
    carried = _carried(sums.parts, sums.exponents)
    negative = carried[0] < 0
    if not negative.any():
        return carried, negative
    sign = np.where(negative, -1, 1)
    return _carried([part * sign for part in sums.parts], sums.exponents), negative


def _carried(parts: Sequence[Ints], exponents: Sequence[int]) -> list[Ints]:
    """The same numbers, with all parts but the first from 0 to below 2^(step to the one before)."""
    made = list(parts)
    for place in range(len(made) - 1, 0, -1):
        bits = exponents[place - 1] - exponents[place]
        over = made[place] >> bits
        made[place] = made[place] - (over << bits)
        made[place - 1] = made[place - 1] + over
    return made


def _taken_in(
    number: Ints, exponent: Ints, sticky: npt.NDArray[np.bool_], digit: Ints, bits: int
) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """A number with the next digit's bits behind it, as many as 62 bits hold; `sticky` tells whether any were lost."""
    free = 62 - np.frexp(number.astype(np.float64))[1].astype(np.int64)
    take = np.clip(free, 0, bits)
    kept = digit >> (bits - take)
    lost = digit != kept << (bits - take)
    return (number << take) | kept, exponent - take, sticky | lost
