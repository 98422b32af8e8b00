"""The tree over rows gives what going through all intervals gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.kernel.pushdown import NONE, least_over_rows, lists_over_rows, nodes_of, size_of


@st.composite
def intervals(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    rows = draw(st.integers(1, 20))
    ends = st.tuples(st.integers(0, rows), st.integers(0, rows)).filter(lambda pair: pair[0] < pair[1])
    return rows, draw(st.lists(ends, max_size=12))


def parts(some: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([one for one, _ in some], np.int64), np.array([two for _, two in some], np.int64)


@given(intervals())
def test_nodes_are_each_row_of_an_interval_once(given_intervals: tuple) -> None:
    rows, some = given_intervals
    size = size_of(rows)
    covered: list[list[int]] = [[] for _ in some]
    for nodes, which in nodes_of(*parts(some), size):
        for node, one in zip(nodes.tolist(), which.tolist(), strict=True):
            leaves = [leaf for leaf in range(size, 2 * size) if any(leaf >> up == node for up in range(20))]
            covered[one] += [leaf - size for leaf in leaves]
    assert [sorted(one) for one in covered] == [list(range(first, last)) for first, last in some]


@given(intervals(), st.randoms())
def test_the_least_over_each_row(given_intervals: tuple, random: object) -> None:
    rows, some = given_intervals
    value = np.array([random.randint(-5, 5) for _ in some], np.int64)  # type: ignore[attr-defined]
    expected = [
        min((int(one) for one, (a, b) in zip(value, some, strict=True) if a <= row < b), default=int(NONE))
        for row in range(rows)
    ]
    assert least_over_rows(*parts(some), value, rows).tolist() == expected


@given(intervals(), st.randoms(), st.integers(1, 4), st.booleans())
def test_lists_over_each_row(given_intervals: tuple, random: object, count: int, alike: bool) -> None:
    rows, some = given_intervals
    if not some:
        return
    value = np.array(random.sample(range(-50, 50), len(some)), np.int64)  # type: ignore[attr-defined]
    same = np.array([random.randint(0, 2) for _ in some], np.int64) if alike else None  # type: ignore[attr-defined]
    got, _ = lists_over_rows(*parts(some), value, same, rows, count)
    for row in range(rows):
        over = sorted(
            (int(value[place]), place if same is None else int(same[place]))
            for place, (a, b) in enumerate(some)
            if a <= row < b
        )
        kept: dict[int, int] = {}
        for one, kind in over:
            kept.setdefault(kind, one)
        assert [one for one in got[row].tolist() if one != NONE] == sorted(kept.values())[:count]
