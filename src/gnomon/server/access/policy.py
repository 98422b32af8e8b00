"""Whether a server needs keys: not on loopback, unless the configuration says so; elsewhere, unless told not to."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from gnomon.config import RepoConfig
from gnomon.errors import ConfigError
from gnomon.server.access.contract import Access, Open
from gnomon.server.access.gate import Gate
from gnomon.server.access.keys import Keys
from gnomon.server.access.settings import AuthSettings
from gnomon.server.settings import ServerSettings

if TYPE_CHECKING:
    from gnomon.store import FeatureStore

__all__ = ["is_loopback", "of"]


def of(
    config: RepoConfig,
    store: FeatureStore,
    host: str,
    insecure: bool = False,
    settings: ServerSettings | None = None,
) -> Access:
    """The access control of a server.

    Args:
        config: what says who may ask.
        store: whose keys they are.
        host: the address the server listens on.
        insecure: whether everybody may ask who reaches it.
        settings: how it behaves; by default what `config` says.

    Raises:
        ConfigError: the address is not loopback and there is no key at all; or `auth` cannot be followed.
        BackendError: keys cannot be read, or the identity provider does not answer.
        MissingExtra: there is a provider, and joserfc is not installed.
    """
    auth = AuthSettings.of(config.auth)
    if insecure and auth.type != "no_auth":
        raise ConfigError(
            f"auth: type is {auth.type}, and --insecure says that nobody is asked.",
            hint="leave --insecure out, or `auth` in feature_store.yaml.",
        )
    if insecure or (auth.type == "no_auth" and is_loopback(host)):
        return Open()
    settings = ServerSettings.of(config.feature_server) if settings is None else settings
    keys = Keys(store.key_store, store.project, settings.rate_limit, settings.workers)
    tokens = None
    if auth.oidc is not None:
        from gnomon.server.access.tokens import Tokens

        tokens = Tokens(auth.oidc, -(-settings.rate_limit // settings.workers))
    gate = Gate(store.project, store.clock, keys, tokens)
    gate.refresh()
    if tokens is None and not keys.usable(store.clock.now()):
        said = auth.type != "no_auth"
        why = f"auth: type is {auth.type}" if said else f"{host} is not loopback"
        otherwise = "" if said else " Or let everybody in who reaches it: --insecure."
        raise ConfigError(
            f"{why}, and there is no key for project {store.project!r}: nobody could ask.",
            hint=f"make one: `gnomon keys create --name …`.{otherwise}",
        )
    return gate


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only.

    >>> [is_loopback(one) for one in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "", "example.org")]
    [True, True, True, False, False, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
