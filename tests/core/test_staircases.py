import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.ordering import row_key
from gnomon.core.rows import Layout, instants
from gnomon.core.staircases import at, joined, merging, steps
from gnomon.errors import NewerFormat
from gnomon.types import Float64, Int64

LAYOUT = Layout([("x", Int64), ("y", Float64)])
NOW = 5
ROWS = st.tuples(
    st.integers(0, 9),
    st.integers(0, 9),
    st.tuples(st.sampled_from([None, 0, 1]), st.sampled_from([None, -0.0, 0.0, float("nan")])),
)


def order(row):
    return instants(row), row_key(LAYOUT.values(row), LAYOUT.dtypes)


def oracle(rows, instant):
    """Of the rows usable at an instant, the greatest."""
    usable = [row for row in rows if max(instants(row)) <= instant]
    return max(usable, key=order, default=None)


def merged(rows, stored=None, now=NOW):
    merge = merging(LAYOUT, now)
    for row in rows:
        value = merge(stored, row)
        stored = stored if value is None else value
    return stored


@settings(max_examples=400)
@given(st.lists(ROWS, min_size=1, max_size=7), st.randoms(use_true_random=False))
def test_any_order_and_any_split_give_the_oracles_answers(drawn, random):
    rows = [LAYOUT.pack(*row) for row in drawn]
    shuffled = random.sample(rows, len(rows))
    cut = random.randrange(len(rows) + 1)
    values = [merged(rows), merged(shuffled)]
    if 0 < cut < len(rows):
        values.append(merged([merged(shuffled[:cut]), merged(shuffled[cut:])]))
    for instant in range(NOW, 11):
        expected = oracle(rows, instant)
        assert [at(value, instant) for value in values] == [expected] * len(values)


@given(st.lists(ROWS, min_size=1, max_size=7))
def test_merging_again_changes_nothing(drawn):
    rows = [LAYOUT.pack(*row) for row in drawn]
    stored, merge = merged(rows), merging(LAYOUT, NOW)
    assert [merge(stored, row) for row in [*rows, stored]] == [None] * (len(rows) + 1)


@given(st.lists(ROWS, min_size=1, max_size=7))
def test_only_rows_that_can_be_an_answer_are_kept(drawn):
    rows = [LAYOUT.pack(*row) for row in drawn]
    kept = steps(merged(rows))
    answers = {oracle(rows, instant) for instant in range(NOW, 11)} - {None}
    assert answers <= set(kept)
    assert sum(max(instants(row)) <= NOW for row in kept) <= 1 or len(rows) == 1
    usable_from = [max(instants(row)) for row in kept]
    assert usable_from == sorted(set(usable_from))
    assert [instants(row) for row in kept] == sorted(map(instants, kept))


@settings(max_examples=400)
@given(st.lists(st.tuples(ROWS, st.integers(0, 3)), min_size=1, max_size=7))
def test_as_the_clock_goes_on_answers_stay_right(drawn):
    now, stored, seen = 0, None, []
    for row, passed in drawn:
        now += passed
        seen.append(LAYOUT.pack(*row))
        stored = merged(seen[-1:], stored, now)
        for instant in range(now, 11):
            assert at(stored, instant) == oracle(seen, instant)


def test_answers_never_go_back():
    merge = merging(LAYOUT, now=100)
    stored = LAYOUT.pack(50, 60, [1, 1.0])
    for event, known, x in [(49, 99, 9), (50, 59, 9), (50, 60, 0), (50, 60, None)]:
        assert merge(stored, LAYOUT.pack(event, known, [x, 1.0])) is None
    newer = LAYOUT.pack(50, 61, [None, None])
    assert merge(stored, newer) == newer


def test_a_row_known_in_the_future_waits_for_it():
    late = LAYOUT.pack(10, 150, [2, 2.0])
    stored = merged([LAYOUT.pack(20, 20, [1, 1.0]), late, LAYOUT.pack(5, 5, [0, 0.0])], now=100)
    # It happened before the row of now: when it becomes known it is old already.
    assert steps(stored) == [LAYOUT.pack(20, 20, [1, 1.0])]
    waiting = LAYOUT.pack(30, 150, [2, 2.0])
    stored = merged([waiting], stored, now=100)
    assert [at(stored, instant) == waiting for instant in (149, 150)] == [False, True]
    assert at(merged([waiting], now=100), 149) is None


def test_of_a_tie_between_layouts_the_incoming_row_wins():
    newer = Layout([("x", Int64), ("z", Int64)])
    old, new = LAYOUT.pack(1, 1, [9, 9.0]), newer.pack(1, 1, [None, None])
    assert merging(newer, 5)(old, new) == new
    assert merging(newer, 5)(old, newer.pack(1, 0, [1, 1])) is None
    assert merging(newer, 5)(old, newer.pack(0, 5, [1, 1])) is None
    assert merging(newer, 5)(old, newer.pack(1, 2, [1, 1])) == newer.pack(1, 2, [1, 1])


def test_steps_of_joined_rows():
    rows = [LAYOUT.pack(instant, instant, [instant, None]) for instant in range(3)]
    assert steps(joined(rows)) == rows
    assert joined(rows[:1]) == rows[0]


def test_a_newer_format_is_told_apart():
    with pytest.raises(NewerFormat, match="format 7"):
        steps(b"\x07" + bytes(40))
