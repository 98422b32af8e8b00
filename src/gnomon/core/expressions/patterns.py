"""Patterns of `like`, as functions: `%` is any text, `_` one code point, all else itself.

>>> from string import ascii_lowercase
>>> starts = matcher("a_c%", None)
>>> starts("abcd"), starts("abd")
(True, False)
>>> matcher("100!%", "!")("100%")
True
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["matcher"]


def matcher(pattern: str, escape: str | None) -> Callable[[str], bool]:
    """A function that says whether a text is like a pattern.

    Args:
        pattern: the pattern; it does not end with its escape.
        escape: the character that makes the one after it plain, or None.
    """
    first, *rest = _pieces(pattern, escape)
    if not rest:
        regex = first
    else:
        # Each piece at its first place, for good: looked for once, and never again from further on.
        middle = (f"(?=(?P<p{place}>.*?{piece}))(?P=p{place})" for place, piece in enumerate(rest[:-1]) if piece)
        regex = f"{first}{''.join(middle)}.*{rest[-1]}"
    fits = re.compile(regex, re.DOTALL).fullmatch
    return lambda text: fits(text) is not None


def _pieces(pattern: str, escape: str | None) -> list[str]:
    """The parts between `%`, as regular expressions."""
    pieces, characters = [""], iter(pattern)
    for character in characters:
        if character == escape:
            pieces[-1] += re.escape(next(characters))
        elif character == "%":
            pieces.append("")
        else:
            pieces[-1] += "." if character == "_" else re.escape(character)
    return pieces
