"""What an online answer knew, in one line of text, so that it can be held against history later.

>>> token = KnownThrough({"spend@1": Through(position=120, end=60, known=90), "profile@2": Through(end=60)})
>>> str(token)
'through:profile@2=e60,spend@1=p120.e60.k90'
>>> KnownThrough.parse(str(token)) == token
True
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gnomon.clock import MAX_MICROS
from gnomon.definitions.base import FrozenMap, put
from gnomon.errors import RequestError
from gnomon.plan.questions import Through

__all__ = ["PREFIX", "KnownThrough"]

PREFIX = "through:"
"""What the text begins with, so that it is told from an instant."""

_VIEW = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*@[1-9][0-9]*")
_NUMBER = re.compile(r"(p(?!-)|[ek])(-?[0-9]{1,19})")
_LETTERS = {"p": "position", "e": "end", "k": "known"}


@dataclass(frozen=True, slots=True)
class KnownThrough:
    """Which rows of each view an online answer was made of.

    Args:
        views: of each view, by its id (`name@version`), which rows.
    """

    views: Mapping[str, Through]

    def __post_init__(self) -> None:
        put(self, views=FrozenMap(self.views))

    def __str__(self) -> str:
        return PREFIX + ",".join(f"{view}={_written(self.views[view])}" for view in sorted(self.views))

    @classmethod
    def parse(cls, text: str) -> KnownThrough:
        """The token that a text says.

        Raises:
            RequestError: it says none.
        """
        views: dict[str, Through] = {}
        said = text.removeprefix(PREFIX)
        for part in said.split(",") if said else ():
            view, _, numbers = part.partition("=")
            through = _read(numbers)
            # What is written otherwise than it would be is broken, wherever the break is.
            if view in views or not _VIEW.fullmatch(view) or part != f"{view}={_written(through)}":
                raise _broken(text, f"This part of it cannot be read: {part!r}.")
            views[view] = through
        if not text.startswith(PREFIX):
            raise _broken(text, f"It does not begin with {PREFIX!r}.")
        return cls(views)


def _written(through: Through) -> str:
    numbers = {letter: getattr(through, name) for letter, name in _LETTERS.items()}
    return ".".join(f"{letter}{number}" for letter, number in numbers.items() if number is not None)


def _read(numbers: str) -> Through:
    """What can be read of it."""
    found = (_NUMBER.fullmatch(one) for one in numbers.split("."))
    return Through(**{_LETTERS[one[1]]: int(one[2]) for one in found if one and abs(int(one[2])) <= MAX_MICROS})


def _broken(text: str, why: str) -> RequestError:
    return RequestError(
        f"{text!r:.200} is no token of what an answer knew.",
        instead=why,
        hint="pass it as the answer gave it: through:view@1=p120.e1714521600000000,other@1=p7.",
        token=text,
    )
