"""API keys: made, shown once, and known again by their hash.

    gn_3f9a1c07be52_Qm9…        a token: its kind, the key's public id, 256 random bits

The id says which key to look at, so a server compares one hash, in constant time, however many keys there are.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from gnomon.clock import duration, instant_text, micros_of
from gnomon.contracts.keys import EVERY_PROJECT, ApiKey, KeyStore, Scope
from gnomon.definitions.base import check_name
from gnomon.errors import DefinitionError, RequestError, listing, nearest_hint

__all__ = ["PREFIX", "TOKEN", "NewKey", "create", "key_document", "sha256_of"]

PREFIX = b"gn_"
TOKEN = re.compile(rb"gn_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
"""What a token looks like; the group is the key's id."""

MOST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NewKey:
    """A key that was just made.

    Args:
        token: what its owner sends; it is kept nowhere.
        key: what is kept.
    """

    token: str
    key: ApiKey

    def __repr__(self) -> str:
        return f"NewKey({self.key.id!r})"

    def to_dict(self) -> dict[str, Any]:
        """It as plain data, the token included."""
        return {"token": self.token, **key_document(self.key)}


def create(
    store: KeyStore,
    name: str,
    scopes: Sequence[str],
    projects: Sequence[str],
    *,
    expires: timedelta | str | None,
    rate_limit: int | None,
    at: int,
    by: str,
) -> NewKey:
    """Make a key and keep its hash.

    Args:
        store: where keys are kept.
        name: what it is for.
        scopes: what it allows.
        projects: where it does; `*` for everywhere.
        expires: after how long it is worth nothing; None for never.
        rate_limit: requests a second; 0 for any number, None for what the server says.
        at: now, µs.
        by: who makes it.

    Raises:
        RequestError: there is no such scope, or something else in it is not usable.
    """
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MOST_TEXT or not name.isprintable():
        raise RequestError(f"{name!r:.80} is no name of a key.", hint="say what it is for, in a few words.")
    if rate_limit is not None and (isinstance(rate_limit, bool) or not 0 <= rate_limit <= 10**9):
        raise RequestError(f"the rate limit is {rate_limit!r}.", hint="say how many requests a second, 0 for any.")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    token = f"{PREFIX.decode()}{key_id}_{secret}"
    key = ApiKey(
        id=key_id,
        name=name.strip(),
        sha256=sha256_of(token.encode()).hex(),
        scopes=_scopes(scopes),
        projects=_projects(projects),
        created=at,
        by=by,
        expires=None if expires is None else at + _lifetime(expires),
        rate_limit=rate_limit,
    )
    store.add(key)
    return NewKey(token=token, key=key)


def sha256_of(token: bytes) -> bytes:
    """The hash a token is known by."""
    return sha256(token).digest()


def key_document(key: ApiKey) -> dict[str, Any]:
    """A key as plain data, without its hash."""
    instants = {name: getattr(key, name) for name in ("created", "expires", "revoked")}
    told = {name: None if at is None else instant_text(at) for name, at in instants.items()}
    scopes = [str(one) for one in key.scopes]
    found = {**asdict(key), **told, "scopes": scopes, "projects": list(key.projects)}
    return {name: one for name, one in found.items() if name != "sha256"}


def _scopes(given: Sequence[str]) -> tuple[Scope, ...]:
    for one in given:
        if one not in set(Scope):
            raise RequestError(
                f"there is no scope {one!r}.",
                instead=f"There are: {listing(Scope)}.",
                hint=nearest_hint(one, map(str, Scope), otherwise="name one of them."),
            )
    if not given:
        raise RequestError("a key needs a scope.", instead=f"There are: {listing(Scope)}.", hint="name one or several.")
    return tuple(one for one in Scope if one in given)


def _projects(given: Sequence[str]) -> tuple[str, ...]:
    if not given:
        raise RequestError("a key needs a project.", hint=f"name one or several, or {EVERY_PROJECT!r} for all.")
    for one in given:
        if one != EVERY_PROJECT:
            try:
                check_name("project", one)
            except DefinitionError as wrong:
                raise RequestError(wrong.what, hint=wrong.hint) from None
    return tuple(dict.fromkeys(given))


def _lifetime(given: timedelta | str) -> int:
    try:
        found = micros_of(duration(given))
    except ValueError as wrong:
        raise RequestError(f"expires: {wrong}.", hint="write a duration such as '90d'.") from None
    if not 0 < found <= micros_of(timedelta(days=36_500)):
        raise RequestError(f"expires: {given!r} is no use.", hint="write a duration such as '90d'.")
    return found
