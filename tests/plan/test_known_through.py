"""A token is one line of text that says what an answer knew, and nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.errors import RequestError
from gnomon.plan.known_through import KnownThrough
from gnomon.plan.questions import Through

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,8}@[1-9][0-9]{0,2}", fullmatch=True)
instants = st.none() | st.integers(-(2**63) + 1, 2**63 - 1)
throughs = st.builds(Through, position=st.none() | st.integers(0, 2**63 - 1), end=instants, known=instants)


@given(st.dictionaries(names, throughs, max_size=4).map(KnownThrough))
def test_a_token_reads_back(token: KnownThrough) -> None:
    text = str(token)
    assert text.startswith("through:")
    assert text.isprintable()
    assert KnownThrough.parse(text) == token
    assert hash(KnownThrough.parse(text)) == hash(token)


@pytest.mark.parametrize(
    "text",
    [
        "spend@1=p1",
        "through:spend=p1",
        "through:spend@0=p1",
        "through:spend@1",
        "through:spend@1=p1.p2",
        "through:spend@1=k1.p2",
        "through:spend@1=p01",
        "through:spend@1=p-1",
        "through:spend@1=p99999999999999999999",
        "through:spend@1=p9999999999999999999",
        "through:spend@1=p1.",
        "through:spend@1=p1,",
        "through:spend@1=p1,spend@1=p1",
        "through:spend@1=p1 ",
        "through:spend@1=q1",
    ],
)
def test_what_is_no_token_is_refused_and_named(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        KnownThrough.parse(text)
    assert repr(text) in str(caught.value)
    assert caught.value.facts["token"] == text


def test_an_answer_of_no_view_has_a_token_too() -> None:
    assert KnownThrough.parse("through:") == KnownThrough({})
