"""Tracks find what bisect finds, whether instants or their ranks are packed."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.kernel.tracks import Track

FAR = 7 * 10**18
instants = st.sampled_from([-FAR, -1, 0, 1, 2, 3, 10**15, FAR]) | st.integers(-FAR, FAR)
pairs = st.lists(st.tuples(st.integers(0, 3), instants), max_size=12)


@given(pairs, pairs)
def test_as_many_come_before_as_bisect_says(given_pairs: list, asked: list) -> None:
    given_pairs = sorted(given_pairs)
    track = Track.of(*columns(given_pairs), keys=4)
    assert track.before(*columns(asked)).tolist() == [bisect_left(given_pairs, pair) for pair in asked]


@given(pairs)
def test_packed_pairs_compare_as_pairs_do(given_pairs: list) -> None:
    key, at = columns(given_pairs)
    packed = Track.scale(at, 4).pack(key, at).tolist()
    for one, two in zip(range(len(packed)), range(1, len(packed)), strict=False):
        assert (packed[one] < packed[two]) is (given_pairs[one] < given_pairs[two])


def columns(some: list) -> tuple[np.ndarray, np.ndarray]:
    return np.array([key for key, _ in some], np.int64), np.array([at for _, at in some], np.int64)
