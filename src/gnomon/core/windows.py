"""Windows: which events count at an instant, and, turned round, at which instants an event counts.

A window maps each event to one interval of instants, [enter, leave), in which the event is inside. Every kind is such
an interval, and both ends grow with the event time; so "the events in the window at T" is a search by T, and training,
streams and serving need not know which kind of window they handle.

>>> day = Window("24h")
>>> day.enter(0), day.leave(0)                # the event at 0 counts from 1 µs after it, for 24 hours
(1, 86400000001)
>>> day.ends(86_400_000_000)                  # and so, at 24:00, those with 0 ≤ event time < 24:00
(0, 86400000000)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gnomon.clock import duration, duration_text, micros_of
from gnomon.errors import DefinitionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FOREVER", "Kind", "Side", "Window", "label_of", "window_of", "words_of"]

Instants = TypeVar("Instants", int, "npt.NDArray[np.int64]")
"""One instant in µs, or an array of them."""

Kind = Literal["sliding", "tumbling"]
Side = Literal["left", "right"]

FOREVER = 2**63 - 1
"""The instant at which an event leaves a lifetime window."""

LONGEST = timedelta(days=20_000 * 365)
"""No window is longer, nor an offset, so that instants of any calendar plus a window fit int64 µs."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time that ends at, or before, the instant asked about.

    Args:
        size: how long it is: "24h" or a timedelta > 0; None for all that ever was.
        hop: its old end moves in steps of so much, counted from the epoch; at most `size`.
        kind: "sliding", or "tumbling" for the last complete one of those that begin every `size` from the epoch on.
        offset: so long before the instant asked about it ends; zero or more. What was known is still held against the
            instant itself.
        closed: "left" has the event at the old end and not the one at the new end; "right" the other way round.

    Raises:
        DefinitionError: a duration is unusable, or the arguments exclude each other.

    >>> Window("30d", hop="1h").reach == micros_of(timedelta(days=30, hours=1))
    True
    >>> Window("5m", kind="tumbling").ends(7 * 60_000_000)
    (0, 300000000)
    """

    size: str | None
    hop: timedelta | None = None
    kind: InitVar[Kind] = "sliding"
    offset: timedelta | None = None
    closed: Side = "left"
    tumbling: bool = False

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            size: timedelta | str | None,
            *,
            hop: timedelta | str | None = None,
            kind: Kind = "sliding",
            offset: timedelta | str | None = None,
            closed: Side = "left",
            tumbling: bool = False,
        ) -> None: ...

    def __post_init__(self, kind: Kind) -> None:
        size, span = _size(self.size)
        shown = f"window {size or 'lifetime'!r}"
        if kind not in ("sliding", "tumbling"):
            raise DefinitionError(f"{shown}: kind is {kind!r}.", hint='kind is "sliding" or "tumbling".')
        if self.closed not in ("left", "right"):
            raise DefinitionError(f"{shown}: closed is {self.closed!r}.", hint='closed is "left" or "right".')
        tumbling = self.tumbling or kind == "tumbling"
        hop, offset = _span(shown, "hop", self.hop), _span(shown, "offset", self.offset)
        _check_together(shown, span, hop, tumbling)
        values: dict[str, object] = {"size": size, "hop": hop or None, "offset": offset or None, "tumbling": tumbling}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def width(self) -> int | None:
        """Its length in µs; None for a lifetime."""
        return None if self.size is None else micros_of(duration(self.size))

    @property
    def shift(self) -> int:
        """The offset in µs."""
        return micros_of(self.offset or timedelta(0))

    @property
    def reach(self) -> int | None:
        """How far back of the instant asked about an event can lie and count, in µs; None for a lifetime."""
        if self.width is None:
            return None
        step = self.width if self.tumbling else micros_of(self.hop or timedelta(0))
        return self.width + step + self.shift

    @property
    def entry(self) -> Window:
        """The lifetime that events enter when they enter this window: what alone decides the new end."""
        return replace(self, hop=None) if self.tumbling else replace(self, size=None, hop=None)

    def ends(self, instant: Instants) -> tuple[Instants, Instants]:
        """The window at an instant as (old end, new end): an event is inside if old end ≤ event time < new end."""
        late = 0 if self.closed == "left" else 1
        at = instant - self.shift
        if self.tumbling:
            new = _floor(at, self._width)
            return new - self._width + late, new + late
        new = at + late
        if self.width is None:
            return _constant(new, -FOREVER - 1), new
        old = at - self._width
        return (_floor(old, micros_of(self.hop)) if self.hop else old) + late, new

    def bounds(self) -> Callable[[int], tuple[int, int]]:
        """The function `ends`, for one instant after the other: what it needs of the window is worked out once.

        >>> Window("24h").bounds()(86_400_000_000)
        (0, 86400000000)
        """
        if self.tumbling or self.hop:
            return self.ends
        late = (0 if self.closed == "left" else 1) - self.shift
        if self.width is None:
            return lambda instant: (-FOREVER - 1, instant + late)
        early = late - self.width
        return lambda instant: (instant + early, instant + late)

    def enter(self, event: Instants) -> Instants:
        """The first instant at which an event is inside."""
        at = event if self.closed == "left" else event - 1
        return (_floor(at, self._width) + self._width if self.tumbling else at + 1) + self.shift

    def leave(self, event: Instants) -> Instants:
        """The first instant at which an event is no longer inside; `FOREVER` for a lifetime."""
        at = event if self.closed == "left" else event - 1
        if self.tumbling:
            return _floor(at, self._width) + 2 * self._width + self.shift
        if self.width is None:
            return _constant(at, FOREVER)
        hop = micros_of(self.hop) if self.hop else 1
        return _floor(at, hop) + hop + self._width + self.shift

    @property
    def _width(self) -> int:
        assert self.width is not None
        return self.width


# `kind` is what a user writes and reads; what is kept is `tumbling`, for documents use `kind` for the class's name.
Window.kind = property(lambda self: "tumbling" if self.tumbling else "sliding")  # type: ignore[attr-defined]


def window_of(owner: str, given: Any) -> Window:
    """What a user wrote for a window: a Window, or its size.

    Raises:
        DefinitionError: it is none.
    """
    if isinstance(given, Window):
        return given
    if isinstance(given, (str, timedelta)):
        try:
            return Window(given)
        except DefinitionError as wrong:
            raise DefinitionError(f"{owner}: {wrong.what}", hint=wrong.hint) from None
    raise DefinitionError(
        f"{owner}: {given!r} is no window.",
        hint='write "24h", or Window("30d", hop="1h"); several stand in a list; a lifetime is Window(None).',
    )


def label_of(window: Window) -> str:
    """The window in a feature's name: its size as its author wrote it, and its offset.

    >>> label_of(Window("24h")), label_of(Window(None)), label_of(Window("1h", offset="7d"))
    ('24h', 'lifetime', '1h_offset_7d')
    """
    size = "lifetime" if window.size is None else window.size
    return f"{size}_offset_{duration_text(window.offset)}" if window.offset else size


def words_of(window: Window) -> str:
    """The window in words, all that tells it from others.

    >>> words_of(Window("30d", hop="1h", offset="7d")), words_of(Window("5m", kind="tumbling")), words_of(Window(None))
    ('30d hop 1h offset 7d', '5m tumbling', 'lifetime')
    """
    words = ["lifetime" if window.size is None else window.size]
    words += ["tumbling"] if window.tumbling else []
    words += [f"hop {duration_text(window.hop)}"] if window.hop else []
    words += [f"offset {duration_text(window.offset)}"] if window.offset else []
    words += ["closed right"] if window.closed == "right" else []
    return " ".join(words)


def _size(given: timedelta | str | None) -> tuple[str | None, timedelta | None]:
    """The size as a text without spaces, and as a duration."""
    if given is None:
        return None, None
    if isinstance(given, timedelta) and given < timedelta(0):
        raise DefinitionError(f"window of size {given} ends before it begins.", hint=_SIZES)
    span = _span("window", "size", given)
    assert span is not None
    text = "".join(given.split()) if isinstance(given, str) else duration_text(span)
    if not span:
        raise DefinitionError(f"window of size {text!r} holds nothing.", hint=_SIZES)
    return text, span


_SIZES = "a window is longer than zero; Window(None) is a lifetime."


def _span(owner: str, name: str, given: timedelta | str | None) -> timedelta | None:
    if given is None:
        return None
    try:
        span = duration(given)
    except ValueError as wrong:
        raise DefinitionError(f"{owner}: {name}: {wrong}.", hint="numbers with units: us, ms, s, m, h, d, w.") from None
    if not timedelta(0) <= span <= LONGEST:
        raise DefinitionError(
            f"{owner}: {name} is {span}.", hint=f"it is zero or more, and at most {LONGEST.days} days."
        )
    return span


def _check_together(shown: str, span: timedelta | None, hop: timedelta | None, tumbling: bool) -> None:
    if tumbling and span is None:
        raise DefinitionError(f"{shown} cannot be tumbling.", hint="give a tumbling window its size.")
    if hop is None:
        return
    if tumbling:
        raise DefinitionError(f"{shown}: a tumbling window has a hop.", hint="it moves by its size: leave hop out.")
    if span is None:
        raise DefinitionError(f"{shown}: a lifetime has a hop.", hint="it has no old end to move: leave hop out.")
    if hop > span or not hop:
        hint = "a hop is more than zero and at most the window's size."
        raise DefinitionError(f"{shown}: hop is {duration_text(hop)}.", hint=hint)


def _floor(instant: Instants, step: int) -> Instants:
    """Toward −∞, counted from the epoch."""
    return instant // step * step


def _constant(like: Instants, value: int) -> Instants:
    return like * 0 + value
