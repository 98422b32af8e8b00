"""What a variable gave is printed as it was written: `${PASSWORD}`, never its value.

>>> {"user": "me", "key": Expanded("open sesame", "${KEY}")}
{'user': 'me', 'key': '${KEY}'}
>>> masked({"path": "postgresql://me:open@db/gnomon", "auth": {"password": "sesame"}})
{'path': 'postgresql://me:***@db/gnomon', 'auth': {'password': '***'}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

__all__ = ["Expanded", "ExpandedInt", "masked"]

_SECRET_KEY = re.compile(r"passw|passphrase|secret|token|credential|api_?key|access_?key", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]*(?=@)")
_LISTED_PASSWORD = re.compile(r"\b(passw(?:or)?d|pwd|secret|token)=[^,;&\s]+", re.IGNORECASE)

T = TypeVar("T", bound="_Written")


class _Written:
    """Something that remembers how it was written."""

    written: str

    def __new__(cls: type[T], value: Any, written: str) -> T:
        """The value itself, with what was written beside it."""
        made = super().__new__(cls, value)  # type: ignore[call-arg]
        made.written = written
        return made

    def __repr__(self) -> str:
        return repr(masked(self.written))


class Expanded(_Written, str):
    """A text with variables in it, expanded."""


class ExpandedInt(_Written, int):
    """A whole number that a variable gave."""

    __str__ = int.__repr__


def masked(value: Any, key: str = "") -> Any:
    """A copy fit for printing: values of secret-sounding keys and passwords in URLs are `***`."""
    if isinstance(value, Mapping):
        return {name: masked(one, str(name)) for name, one in value.items()}
    if _SECRET_KEY.search(key) and value is not None:
        return "***"
    if isinstance(value, list):
        return [masked(one) for one in value]
    if isinstance(value, _Written):
        return masked(value.written)
    if isinstance(value, str):
        return _LISTED_PASSWORD.sub(r"\1=***", _URL_PASSWORD.sub(r"\1***", value))
    return value
