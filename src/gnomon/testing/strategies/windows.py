"""Windows of every kind, from a microsecond to years, with hops that divide them and hops that do not."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from gnomon.clock import duration, duration_text, micros_of
from gnomon.core.windows import Window

__all__ = ["windows"]

MICROSECOND = timedelta(microseconds=1)

_SIZES = ["1us", "2us", "3us", "10us", "999ms", "1s", "5m", "1h", "24h", "1d12h", "7d", "30d", "365d", "3650d"]
_OFFSETS = ["0s", "1us", "1s", "1h", "7d"]


@st.composite
def windows(draw: st.DrawFn, *, sizes: st.SearchStrategy[str] | None = None, lifetimes: bool = True) -> Window:
    """A window: sliding, with a hop, tumbling or lifetime; with an offset or not; closed left or right.

    Args:
        draw: given by Hypothesis.
        sizes: texts to draw sizes from; by default from 1µs to ten years.
        lifetimes: whether lifetimes are among them.
    """
    kind = draw(st.sampled_from(["sliding", "hop", "tumbling"] + ["lifetime"] * lifetimes))
    size = None if kind == "lifetime" else draw(st.sampled_from(_SIZES) if sizes is None else sizes)
    offsets = [None, *map(duration, _OFFSETS), *([duration(size)] if size else [])]
    return Window(
        size,
        hop=draw(_hops(duration(size))) if kind == "hop" and size else None,
        kind="tumbling" if kind == "tumbling" else "sliding",
        offset=draw(st.sampled_from(offsets)),
        closed=draw(st.sampled_from(["left", "right"])),
    )


def _hops(size: timedelta) -> st.SearchStrategy[timedelta | str]:
    """From 1µs to the whole size; some divide it, some do not."""
    whole = micros_of(size)
    picked = {1, whole, *(max(1, whole // part) for part in (2, 3, 7)), max(1, whole - 1)}
    hops = st.sampled_from(sorted(picked)) | st.integers(1, whole)
    spans = hops.map(lambda micros: micros * MICROSECOND)
    return spans | spans.map(duration_text)
