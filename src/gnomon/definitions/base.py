"""What every definition shares: names that are checked, maps that stay put, fields that only describe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import field
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from gnomon.clock import duration
from gnomon.errors import DefinitionError

K = TypeVar("K")
V = TypeVar("V")

_OBJECT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")


class FrozenMap(dict[K, V]):
    """A dict that cannot change and can be hashed."""

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("definitions are frozen: make a changed copy with dataclasses.replace")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type, tuple[dict[K, V]]]:
        return FrozenMap, (dict(self),)


def describing(**kwargs: Any) -> Any:
    """A dataclass field that tells people something and never changes a value."""
    return field(metadata={"describes": True}, **kwargs)


def put(obj: object, **values: object) -> None:
    """Set fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(obj, name, value)


def check_name(kind: str, name: object) -> str:
    """A name fit for an entity, a view, a service: it can stand in `view:feature` and in a file's name.

    Raises:
        DefinitionError: it cannot.
    """
    if isinstance(name, str) and _OBJECT_NAME.fullmatch(name):
        return name
    raise DefinitionError(
        f"{kind} name {name!r} is not usable.",
        hint="start with a letter or _, go on with letters, digits, _ . or -.",
    )


def check_column(owner: str, name: object) -> str:
    """A name fit for a column: any text without `:` and control characters.

    Raises:
        DefinitionError: it is none.
    """
    if isinstance(name, str) and name and ":" not in name and name.isprintable():
        return name
    raise DefinitionError(
        f"{owner}: {name!r} is not usable as a column name.",
        hint="use a text without ':' and control characters; field_mapping renames columns of a source.",
    )


def check_unreserved(owner: str, name: str) -> None:
    """Columns that begin with two underscores are gnomon's own, such as `__event` beside a view's rows.

    Raises:
        DefinitionError: the name is one of them.
    """
    if name.startswith("__"):
        raise DefinitionError(
            f"{owner}: {name!r} is reserved, for it begins with two underscores.",
            hint="give it another name; field_mapping renames columns of a source.",
        )


def check_tags(owner: str, tags: Mapping[str, str] | None, name: str = "tags") -> FrozenMap[str, str]:
    """Tags, or another argument of that form, as a frozen map of text to text.

    Raises:
        DefinitionError: something in them is no text.
    """
    if tags is not None and not isinstance(tags, Mapping):
        raise DefinitionError(f"{owner}: {name} is {tags!r}.", hint=f"{name} is a dict of text to text.")
    for key, value in (tags or {}).items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise DefinitionError(f"{owner}: {name} has {key!r}: {value!r}, not all text.", hint="write both as str.")
    return FrozenMap(tags or {})


def check_texts(where: str, /, **texts: object) -> None:
    """Descriptions, owners and the like must be text.

    Raises:
        DefinitionError: one is not.
    """
    for name, value in texts.items():
        if not isinstance(value, str):
            raise DefinitionError(f"{where}: {name} is {value!r}.", hint=f"{name} is a text.")


def check_duration(owner: str, name: str, value: timedelta | str) -> timedelta:
    """A duration from what a user wrote.

    Raises:
        DefinitionError: it is none.
    """
    try:
        return duration(value)
    except ValueError as wrong:
        hint = "write a timedelta, or numbers with units: us, ms, s, m, h, d, w."
        raise DefinitionError(f"{owner}: {name}: {wrong}.", hint=hint) from None


def duplicates(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, each once, in order."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    return list(twice)


def listed(owner: str, name: str, value: object) -> tuple[Any, ...]:
    """A list argument as a tuple, None as an empty one.

    A text is refused, for it falls apart into letters, and so is what has no order of its own.

    Raises:
        DefinitionError: it is no list.
    """
    if value is None:
        return ()
    if isinstance(value, (str, bytes, Set, Mapping)) or not isinstance(value, Iterable):
        raise DefinitionError(f"{owner}: {name} is {value!r:.80}.", hint=f"{name} is a list: {name}=[…].")
    return tuple(value)
