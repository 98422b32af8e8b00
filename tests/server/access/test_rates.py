"""A rate lets through what it says, however requests come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gnomon.server.access.rates import Rate


@given(
    limit=st.integers(1, 2_000),
    gaps=st.lists(st.integers(0, 400_000) | st.sampled_from([0, 1, 999_999, 5_000_000]), max_size=300),
)
def test_never_more_than_a_burst_and_the_rate(limit: int, gaps: list[int]) -> None:
    """Of any stretch of time, at most its length × the rate, and one second's worth; and idle ones always get in."""
    rate, now, let_in = Rate(limit), 0, []
    for gap in gaps:
        now += gap
        if not (wait := rate.wait(now)):
            let_in.append(now)
        else:
            assert Rate(limit).wait(now) == 0
            assert 0 < wait <= 1_000_000_000 // limit
    for first in range(len(let_in)):
        for last in range(first, len(let_in)):
            span = let_in[last] - let_in[first]
            assert last - first + 1 <= limit + span * limit / 1_000_000 + 1


@given(limit=st.integers(1, 500), now=st.integers(0, 2**51))
def test_whoever_waits_as_told_gets_in(limit: int, now: int) -> None:
    rate = Rate(limit)
    for _ in range(limit):
        assert rate.wait(now) == 0
    wait = rate.wait(now)
    assert wait > 0
    assert rate.wait(now + -(-wait // 1000)) == 0


def test_any_number() -> None:
    assert [Rate(0).limit, Rate(10**9).wait(5)] == [0, 0]
