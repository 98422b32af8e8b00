"""Tokens of an identity provider: verified once, then known until they expire."""

from __future__ import annotations

from hashlib import sha256
from threading import Lock
from typing import Any, TypeVar

from gnomon.clock import micros_of
from gnomon.contracts.keys import Scope
from gnomon.server.access.contract import Caller
from gnomon.server.access.credentials import refused
from gnomon.server.access.grants import Grant
from gnomon.server.access.provider import Fetch, Provider, fetch_by
from gnomon.server.access.rates import Rate
from gnomon.server.access.settings import OidcSettings

__all__ = ["MOST", "Tokens"]

MOST = 10_000
"""So many verified tokens are remembered, and rates of so many people; the oldest make room."""
_SECOND = 1_000_000
_LAST = 2**62 // _SECOND

T = TypeVar("T")


class Tokens:
    """The tokens of an identity provider.

    Args:
        settings: which provider, and what its tokens allow.
        rate_limit: requests a second of one person; 0 for any number.
        fetch: gives the provider's documents; by default over HTTP.

    Raises:
        MissingExtra: joserfc is not installed.
    """

    def __init__(self, settings: OidcSettings, rate_limit: int, fetch: Fetch | None = None) -> None:
        self._settings, self._rate_limit = settings, rate_limit
        self._provider = Provider(settings, fetch_by(settings) if fetch is None else fetch)
        self._leeway = micros_of(settings.leeway)
        self._verified: dict[bytes, Grant] = {}
        self._rates: dict[str, Rate] = {}
        self._lock = Lock()

    def of(self, credential: bytes, now: int) -> Grant:
        """What the token's owner may do."""
        digest = sha256(credential).digest()
        found = self._verified.get(digest)
        if found is not None and found.expires is not None and now < found.expires:
            return found
        claims = self._claims(credential)
        with self._lock:  # routes may be answered in threads
            grant = self._grant(claims, now)
            _remember(self._verified, digest, grant)
        return grant

    def refresh(self, now: int) -> None:
        """Look at the provider's keys; when they have changed, tokens have to prove themselves anew."""
        if self._provider.refresh(now):
            self._verified = {}

    def _claims(self, credential: bytes) -> dict[str, Any]:
        """What a token claims, if one of the provider's keys has signed it."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        unknown = False

        def key(token: Any) -> Any:
            nonlocal unknown
            named = token.headers().get("kid")
            found = self._provider.key(named if isinstance(named, str) else None)
            unknown = found is None
            if found is None:
                raise ValueError("unknown key")
            return found

        try:
            claims = jwt.decode(credential, key, algorithms=list(self._settings.algorithms)).claims
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            if unknown:
                what = "the token is signed with a key that is not known."
                raise refused(what, hint="try again in some seconds: the provider is asked for new keys.") from None
            raise refused("the token is none of the identity provider's.", hint="send one as it gave it.") from None
        return claims if isinstance(claims, dict) else {}

    def _grant(self, claims: dict[str, Any], now: int) -> Grant:
        if claims.get("iss") != self._provider.issuer:
            raise refused("the token is of another issuer.", instead=f"Accepted: {self._provider.issuer}.")
        made_for = claims.get("aud")
        if not any(one in self._settings.audience for one in (made_for if isinstance(made_for, list) else [made_for])):
            accepted = ", ".join(self._settings.audience)
            raise refused("the token was made for somebody else.", instead=f"Accepted as `aud`: {accepted}.")
        expires = _instant(claims, "exp")
        if expires is None:
            raise refused("the token does not say when it expires.")
        if now >= expires + self._leeway:
            raise refused("the token has expired.", hint="ask the identity provider for a new one.")
        begins = _instant(claims, "nbf")
        if begins is not None and now < begins - self._leeway:
            raise refused("the token is not valid yet.", hint="compare this machine's clock with the provider's.")
        subject = _first_text(claims, "sub", "client_id", "azp")
        if subject is None:
            raise refused("the token does not say whose it is.")
        rate = self._rates.get(subject)
        if rate is None:
            _remember(self._rates, subject, rate := Rate(self._rate_limit))
        return Grant(
            caller=Caller(id=subject, name=_first_text(claims, "preferred_username", "name", "email") or subject),
            scopes=self._scopes(claims),
            expires=expires + self._leeway,
            here=True,
            rate=rate,
        )

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Scope]:
        roles = {role for path in self._settings.claims for role in _words(_at(claims, path))}
        return frozenset().union(*(self._settings.roles.get(one, frozenset()) for one in roles))


def _at(claims: Any, path: str) -> Any:
    """What stands at a path of names with dots between; names may hold dots themselves.

    >>> _at({"realm": {"a.b": ["x"]}}, "realm.a.b")
    ['x']
    """
    if not isinstance(claims, dict):
        return None
    if path in claims:
        return claims[path]
    cuts = (at for at, letter in enumerate(path) if letter == "." and path[:at] in claims)
    return next((found for at in cuts if (found := _at(claims[path[:at]], path[at + 1 :])) is not None), None)


def _words(found: Any) -> list[str]:
    if isinstance(found, str):
        return found.split()
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _first_text(claims: dict[str, Any], *names: str) -> str | None:
    return next((found for one in names if isinstance(found := claims.get(one), str) and found), None)


def _instant(claims: dict[str, Any], name: str) -> int | None:
    found = claims.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, (int, float)) or found != found:
        raise refused(f"the token's {name} is no instant.")
    return int(min(max(found, -_LAST), _LAST) * _SECOND)


def _remember(where: dict[Any, T], name: Any, value: T) -> None:
    """Put it in; the oldest makes room."""
    if len(where) >= MOST:
        where.pop(next(iter(where)), None)
    where[name] = value
