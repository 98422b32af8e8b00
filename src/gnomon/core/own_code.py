"""Code of users' own that a definition stands on: data in the registry, found again by its place and checked by a hash.

Nothing is ever unpickled: what runs is what is imported, and it is refused when it is not what was registered.

>>> hash_of("def f(x): ...")
'f578c48c579537c8'
"""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

from gnomon.errors import DefinitionError

__all__ = ["changed", "hash_of", "imported"]


def hash_of(text: str) -> str:
    """What tells a text of code from others."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def imported(place: str, kind: str, form: str) -> Any:
    """What is at a place, `module:name`.

    Args:
        place: where it is.
        kind: what should be there, for the error: `aggregation`.
        form: how places are written: `module:Class`.

    Raises:
        DefinitionError: there is no such module, or it has nothing of that name.
    """
    module, _, name = place.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as wrong:
        raise DefinitionError(
            f"there is no {kind} at {place!r}: {wrong}.",
            hint=f"name it as {form!r}; the module must be importable: run where it lies, or set PYTHONPATH.",
        ) from wrong
    return found


def changed(place: str) -> DefinitionError:
    """The error for code that is not what was registered."""
    return DefinitionError(
        f"the code of {place!r} is not what it was when the view was applied.",
        hint="apply the view again, as a new version if models use the old values; to make an old training "
        "set again, put the old code back.",
    )
