"""Kept answers: not too old, of today's definitions, never more than there is room for."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from gnomon.clock import ManualClock
from gnomon.server.hot.cache import ENTRY, Cache

TODAY, TOMORROW = object(), object()


def cache(clock: ManualClock, most: int = 10_000) -> Cache:
    made = Cache({"s": timedelta(seconds=1)}, clock, most)
    assert made.get("s", "nothing", TODAY) is None
    return made


def test_an_answer_is_given_until_it_is_too_old() -> None:
    clock = ManualClock(5_000_000)
    kept = cache(clock)
    kept.put("k", b"body", TODAY, 5_000_000)
    clock.set(6_000_000)
    assert kept.get("s", "k", TODAY) == b"body"
    clock.set(6_000_001)
    assert kept.get("s", "k", TODAY) is None
    clock.set(4_000_000)  # a clock that is set back
    kept.put("k", b"body", TODAY, 5_000_000)
    assert kept.get("s", "k", TODAY) is None


def test_other_definitions_other_answers() -> None:
    kept = cache(ManualClock(0))
    kept.put("k", b"body", TODAY, 0)
    assert kept.get("s", "k", TOMORROW) is None
    kept.put("k", b"late", TODAY, 0)  # made of the old definitions, and done after the new ones came
    assert kept.get("s", "k", TOMORROW) is None


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    kept = cache(ManualClock(0), 3 * (ENTRY + 100))
    for key in "abc":
        kept.put(key, key.encode() * 100, TODAY, 0)
    assert kept.get("s", "a", TODAY) is not None
    kept.put("d", b"d" * 100, TODAY, 0)
    assert [key for key in "abcd" if kept.get("s", key, TODAY)] == ["a", "c", "d"]
    kept.put("large", b"x" * 10_000, TODAY, 0)
    assert kept.get("s", "large", TODAY) is None


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3_000), st.sampled_from([TODAY, TOMORROW]))))
def test_there_is_never_more_than_room(steps: list[tuple[str, int, object]]) -> None:
    kept = cache(ManualClock(0), 8_000)
    for key, size, of in steps:
        kept.get("s", key, of)
        kept.put(key, b"x" * size, of, 0)
        assert kept._bytes == sum(len(body) + ENTRY for _, body in kept._kept.values()) <= 8_000
