"""What `auth:` in feature_store.yaml says: nothing, keys, or an identity provider besides; names as Feast has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from gnomon.clock import duration
from gnomon.contracts.keys import Scope
from gnomon.contracts.plugins import check_options
from gnomon.definitions.base import FrozenMap
from gnomon.errors import ConfigError, listing, nearest_hint

__all__ = ["ALGORITHMS", "AuthSettings", "OidcSettings"]

TYPES = ("no_auth", "api_key", "oidc")
ALGORITHMS = ("RS256", "ES256", "RS384", "RS512", "ES384", "ES512", "PS256", "PS384", "PS512", "Ed25519", "EdDSA")
"""Those whose public key verifies and cannot sign: neither `none`, nor those that share a secret."""
CLIENT = ("username", "password", "client_secret", "token", "token_env_var")
"""Feast's options for those who ask, not for who is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """An identity provider, and what its tokens allow.

    Args:
        auth_discovery_url: where it describes itself.
        issuer: what its tokens call it; empty for what it says itself.
        audience: whom a token must be made for: one of these.
        client_id: this server's name at the provider.
        claims: where in a token roles stand, `realm_access.roles`.
        roles: role, group or scope → what it allows.
        algorithms: how tokens may be signed.
        verify_ssl: whether the provider's certificate is checked.
        ca_cert_path: a file of the certificates that may have signed it; empty for the system's.
        jwks_refresh: how often the provider's keys are fetched.
        leeway: how far clocks may be apart.
    """

    auth_discovery_url: str
    issuer: str = ""
    audience: tuple[str, ...] = ()
    client_id: str = ""
    claims: tuple[str, ...] = ("scope", "scp", "roles", "groups", "realm_access.roles")
    roles: Mapping[str, frozenset[Scope]] = field(
        default_factory=lambda: FrozenMap({f"gnomon:{one}": frozenset((one,)) for one in Scope})
    )
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    verify_ssl: bool = True
    ca_cert_path: str = ""
    jwks_refresh: timedelta = timedelta(minutes=5)
    leeway: timedelta = timedelta(seconds=30)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> OidcSettings:
        """Settings from what a configuration says.

        Raises:
            ConfigError: one is missing, unknown or not usable.
        """
        check_options("auth", given, ("type", "scopes_claim", *cls.__slots__, *CLIENT))
        read: dict[str, Any] = {
            name: _text(name, given[name]) for name in ("issuer", "client_id", "ca_cert_path") if name in given
        }
        issuer, url = read.get("issuer", ""), given.get("auth_discovery_url")
        if url is None and not issuer:
            raise ConfigError(
                "auth: nothing says which identity provider it is.", hint="add auth_discovery_url, or issuer."
            )
        wellknown = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        read["auth_discovery_url"] = wellknown if url is None else _text("auth_discovery_url", url)
        if not read["auth_discovery_url"].startswith(("https://", "http://")):
            raise ConfigError(f"auth: {read['auth_discovery_url']!r} is no URL.", hint="it begins with https://.")
        client = read.get("client_id", "")
        read["audience"] = _texts("audience", given.get("audience", client or ()))
        if not read["audience"]:
            raise ConfigError(
                "auth: nothing says whom tokens must be made for.", hint="add client_id, or audience: what `aud` holds."
            )
        named = given.get("claims", given.get("scopes_claim"))
        if named is not None:
            read["claims"] = _texts("claims", named)
        elif client:
            read["claims"] = (*_default("claims"), f"resource_access.{client}.roles")
        if "roles" in given:
            read["roles"] = _roles(given["roles"])
        if "algorithms" in given:
            read["algorithms"] = _algorithms(given["algorithms"])
        if "verify_ssl" in given:
            read["verify_ssl"] = _flag("verify_ssl", given["verify_ssl"])
        read |= {one: _span(one, given[one]) for one in ("jwks_refresh", "leeway") if one in given}
        return cls(**read)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Who may ask the server.

    Args:
        type: `no_auth`: whoever reaches it, if that is this machine only; `api_key`; or `oidc`.
        oidc: the identity provider; None without one.

    >>> AuthSettings.of({}).type
    'no_auth'
    """

    type: str = "no_auth"
    oidc: OidcSettings | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> AuthSettings:
        """Settings from what a configuration says.

        Raises:
            ConfigError: something in it cannot be followed.
        """
        kind = given.get("type", "no_auth")
        if kind not in TYPES:
            near = nearest_hint(str(kind), TYPES, otherwise="use `type: oidc`, or `type: api_key`.")
            raise ConfigError(f"auth: there is no type {kind!r}.", instead=f"There are: {listing(TYPES)}.", hint=near)
        if kind == "oidc":
            return cls(type=kind, oidc=OidcSettings.of(given))
        check_options("auth", given, ("type",))
        return cls(type=kind)


def _default(name: str) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(OidcSettings(auth_discovery_url="-"), name)
    return found


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"auth: {name} is {value!r}.", hint="write a text.")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)):
        raise ConfigError(f"auth: {name} is {value!r}.", hint="write a text, or a list of texts.")
    return tuple(_text(name, one) for one in found)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"auth: {name} is {value!r}.", hint="write true or false.")
    return value


def _span(name: str, value: Any) -> timedelta:
    try:
        return duration(value)
    except ValueError as wrong:
        raise ConfigError(f"auth: {name}: {wrong}.", hint="write a duration such as '30s'.") from None


def _algorithms(value: Any) -> tuple[str, ...]:
    found = _texts("algorithms", value)
    for one in found:
        if one not in ALGORITHMS:
            raise ConfigError(
                f"auth: tokens signed by {one!r} are not accepted.",
                instead=f"There are: {listing(ALGORITHMS)}.",
                hint="have the provider sign by RS256 or ES256.",
            )
    return found


def _roles(value: Any) -> Mapping[str, frozenset[Scope]]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"auth: roles is {value!r}.", hint="write `roles: {name: [read, write]}`.")
    found: dict[str, frozenset[Scope]] = {}
    for role, scopes in value.items():
        for one in _texts(f"roles: {role}", scopes):
            if one not in set(Scope):
                near = nearest_hint(one, map(str, Scope), otherwise="name one of them.")
                instead = f"There are: {listing(Scope)}."
                raise ConfigError(f"auth: roles: {role}: there is no scope {one!r}.", instead=instead, hint=near)
        found[str(role)] = frozenset(Scope(one) for one in _texts(str(role), scopes))
    return FrozenMap(found)
