"""Windows turned round: enter, leave, ends, reach and entry say of every event what the contract says of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.clock import micros_of
from gnomon.core.windows import FOREVER, LONGEST, Window, label_of, window_of
from gnomon.errors import DefinitionError
from gnomon.testing.reference_windows import is_inside
from gnomon.testing.strategies import instants, windows

EXTREMES = [-62_135_596_800_000_000, 253_402_300_799_999_999]
"""The first and the last instant of the calendar: year 1 and year 9999."""

KINDS: dict[str, dict[str, Any]] = {
    "sliding": {"size": "6us"},
    "a hop that divides it": {"size": "6us", "hop": "2us"},
    "a hop that does not": {"size": "6us", "hop": "4us"},
    "a hop as long as it": {"size": "6us", "hop": "6us"},
    "tumbling": {"size": "6us", "kind": "tumbling"},
    "lifetime": {"size": None},
}


@pytest.mark.parametrize("closed", ["left", "right"])
@pytest.mark.parametrize("offset", [None, "1us", "5us", "6us"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_instants_around_the_epoch(kind: str, offset: str | None, closed: Any) -> None:
    window = Window(**KINDS[kind], offset=offset, closed=closed)
    for event in range(-20, 20):
        for at in range(-20, 50):
            check(window, event, at)


@given(windows(), instants() | st.sampled_from(EXTREMES), st.data())
def test_every_window_at_the_moments_where_it_changes(window: Window, event: int, data: st.DataObject) -> None:
    moments = [window.enter(event), window.leave(event) % FOREVER, event + (window.reach or 0)]
    at = data.draw(st.sampled_from(moments) | instants()) + data.draw(st.sampled_from([-1, 0, 1]))
    check(window, event, at)


def check(window: Window, event: int, at: int) -> None:
    """All that the window says of an event at an instant is what the contract says."""
    inside = is_inside(event, at, window)
    assert (window.enter(event) <= at < window.leave(event)) == inside
    old, new = window.ends(at)
    assert (old <= event < new) == inside
    assert window.entry.enter(event) == window.enter(event)
    assert window.entry.ends(at)[1] == new
    if inside and window.reach is not None:
        assert at - event <= window.reach


@given(windows(), instants(), st.integers(0, 10**12) | st.sampled_from([0, 1, 2]))
def test_both_ends_grow_with_the_event_time(window: Window, event: int, more: int) -> None:
    assert window.enter(event) <= window.enter(event + more)
    assert window.leave(event) <= window.leave(event + more)
    assert window.enter(event) <= window.leave(event)
    earlier, later = window.ends(event), window.ends(event + more)
    assert earlier[0] <= later[0]
    assert earlier[1] <= later[1]


@given(windows(), st.lists(instants() | st.sampled_from(EXTREMES)))
def test_arrays_say_what_single_instants_say(window: Window, at: list[int]) -> None:
    array = np.array(at, dtype=np.int64)
    assert window.enter(array).tolist() == [window.enter(one) for one in at]
    assert window.leave(array).tolist() == [window.leave(one) for one in at]
    old, new = window.ends(array)
    assert list(zip(old.tolist(), new.tolist(), strict=True)) == [window.ends(one) for one in at]
    assert {one.dtype for one in (window.enter(array), window.leave(array), old, new)} == {np.dtype(np.int64)}


@pytest.mark.parametrize("offset", [None, "5us"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lifetime"])
def test_the_reach_is_no_longer_than_needed(kind: str, offset: str | None) -> None:
    """What is just so old counts at some instant; where an end moves in steps, what is a microsecond younger."""
    window = Window(**KINDS[kind], offset=offset)
    ages = [at - event for event in range(20) for at in range(50) if is_inside(event, at, window)]
    assert max(ages) == window.reach - (kind != "sliding")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("window", "reach"),
    [
        (Window("24h"), timedelta(hours=24)),
        (Window("24h", hop="5h"), timedelta(hours=29)),
        (Window("5m", kind="tumbling"), timedelta(minutes=10)),
        (Window("24h", offset="7d"), timedelta(hours=24, days=7)),
        (Window("5m", kind="tumbling", offset="1h"), timedelta(minutes=70)),
        (Window(None, offset="1h"), None),
    ],
)
def test_how_far_back_each_kind_reaches(window: Window, reach: timedelta | None) -> None:
    assert window.reach == (None if reach is None else micros_of(reach))


def test_a_lifetime_is_left_never() -> None:
    assert Window(None).leave(5) == FOREVER
    assert Window(None).leave(np.array([5, -5])).tolist() == [FOREVER] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": "0s"}, "window of size '0s' holds nothing"),
        ({"size": timedelta(0)}, "holds nothing"),
        ({"size": timedelta(seconds=-1)}, "ends before it begins"),
        ({"size": "-1h"}, "'-1h' is no duration"),
        ({"size": ""}, "'' is no duration"),
        ({"size": "24"}, "'24' is no duration"),
        ({"size": "1.5h"}, "'1.5h' is no duration"),
        ({"size": "1y"}, "'1y' is no duration"),
        ({"size": 3600}, "3600 is no duration"),
        ({"size": LONGEST + timedelta(microseconds=1)}, "at most 7300000 days"),
        ({"size": "99999999999d"}, "longer than a duration can be"),
        ({"size": "1h", "hop": "0s"}, "hop is 0s"),
        ({"size": "1h", "hop": "2h"}, "hop is 2h"),
        ({"size": "1h", "hop": timedelta(hours=-1)}, "hop is -1 day"),
        ({"size": "1h", "hop": "often"}, "hop: 'often' is no duration"),
        ({"size": "1h", "hop": "5m", "kind": "tumbling"}, "a tumbling window has a hop"),
        ({"size": None, "hop": "5m"}, "a lifetime has a hop"),
        ({"size": None, "kind": "tumbling"}, "cannot be tumbling"),
        ({"size": "1h", "kind": "session"}, "kind is 'session'"),
        ({"size": "1h", "closed": "both"}, "closed is 'both'"),
        ({"size": "1h", "offset": timedelta(hours=-1)}, "offset is -1 day"),
        ({"size": "1h", "offset": "soon"}, "offset: 'soon' is no duration"),
    ],
)
def test_mistakes_say_what_to_write(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Window(**arguments)
    assert words in str(caught.value)
    assert "Hint: " in str(caught.value)


@pytest.mark.parametrize("given", [5, b"1h", ["1h"], True])
def test_what_is_no_window_is_told_so(given: Any) -> None:
    with pytest.raises(DefinitionError, match=r"view v: .* is no window"):
        window_of("view v", given)


def test_a_mistake_in_a_size_names_the_owner() -> None:
    with pytest.raises(DefinitionError, match="view v: window: size: '1y' is no duration"):
        window_of("view v", "1y")


@given(windows())
def test_what_is_written_is_what_is_kept(window: Window) -> None:
    again = Window(window.size, hop=window.hop, kind=window.kind, offset=window.offset, closed=window.closed)  # type: ignore[attr-defined]
    assert again == window
    assert hash(again) == hash(window)
    assert window_of("v", window) is window


@pytest.mark.parametrize(
    ("written", "label"),
    [
        (Window("1 d 12 h"), "1d12h"),
        (Window("36h"), "36h"),
        (Window(timedelta(hours=36)), "1d12h"),
        (Window("24h", hop="1h"), "24h"),
        (Window(None, offset="36h"), "lifetime_offset_1d12h"),
        (Window("1h", offset="0s"), "1h"),
    ],
)
def test_labels_are_as_their_author_wrote_them(written: Window, label: str) -> None:
    assert label_of(written) == label
