"""An identity provider's description of itself and its public keys, fetched beside requests."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.request import Request, urlopen

from gnomon.clock import micros_of
from gnomon.errors import BackendError, MissingExtra
from gnomon.server.access.settings import OidcSettings

__all__ = ["Fetch", "Provider", "fetch_by"]

Fetch = Callable[[str], Any]
"""Gives the JSON document at a URL."""

LARGEST = 1024 * 1024
TIMEOUT = 5.0
SOONEST = 10_000_000
"""µs between two looks at the keys, however many tokens name one that is not known."""


class Provider:
    """Knows the public keys of an identity provider.

    Args:
        settings: which provider it is.
        fetch: gives documents.

    Raises:
        MissingExtra: joserfc is not installed.
    """

    def __init__(self, settings: OidcSettings, fetch: Fetch) -> None:
        try:
            import joserfc.jwk  # noqa: F401
        except ImportError:
            raise MissingExtra(
                package="joserfc", extra="oidc", purpose="checking the tokens of OpenID Connect"
            ) from None
        self._settings, self._fetch = settings, fetch
        self._documents: Any = None
        self._looked: int | None = None
        self._wanted = False
        self.issuer = settings.issuer
        self.keys: dict[str | None, Any] = {}

    def key(self, key_id: str | None) -> Any:
        """The key of an id, or None; then it is looked for soon. A token that names none is of the only key."""
        if key_id is None and len(self.keys) == 1:
            return next(iter(self.keys.values()))
        found = self.keys.get(key_id)
        if found is None:
            self._wanted = True
        return found

    def refresh(self, now: int) -> bool:
        """Look at the keys if it is time, and whether they are others than before.

        Raises:
            BackendError: the provider does not answer, or with something else.
        """
        since = None if self._looked is None else now - self._looked
        if since is not None and 0 <= since < (SOONEST if self._wanted else micros_of(self._settings.jwks_refresh)):
            return False
        self._looked, self._wanted = now, False
        try:
            found = self._read()
        except (OSError, ValueError, HTTPException, RecursionError) as error:
            self._wanted = True  # the next look comes soon, and not at once: it may take long to fail, too
            url = self._settings.auth_discovery_url
            raise BackendError(
                f"the identity provider at {url} does not tell its keys: {error}.",
                hint="check auth_discovery_url (or issuer) in feature_store.yaml, and that this machine reaches it.",
            ) from error
        moved: bool = found != self._documents
        if moved:
            self._documents = found
            self.issuer, self.keys = found[0], _keys_of(found[1])
        return moved

    def _read(self) -> tuple[str, list[Any]]:
        about = self._fetch(self._settings.auth_discovery_url)
        if not isinstance(about, dict) or not isinstance(url := about.get("jwks_uri"), str):
            raise ValueError("it names no jwks_uri")
        issuer = about.get("issuer")
        if not isinstance(issuer, str) or (self._settings.issuer and issuer != self._settings.issuer):
            raise ValueError(f"it says that it is {issuer!r}, not {self._settings.issuer!r}")
        documents = self._fetch(url)
        if not isinstance(documents, dict) or not isinstance(documents.get("keys"), list):
            raise ValueError(f"{url} has no keys")
        return issuer, documents["keys"]


def fetch_by(settings: OidcSettings) -> Fetch:
    """Fetches documents over HTTP, as far as they are of a sensible size and come in time.

    Raises:
        OSError: the certificates cannot be read.
    """
    context = ssl.create_default_context(cafile=settings.ca_cert_path or None)
    if not settings.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def fetch(url: str) -> Any:
        if not url.startswith(("https://", "http://")):
            raise ValueError(f"{url!r} is no URL of HTTP")
        request = Request(url, headers={"accept": "application/json", "user-agent": "gnomon"})
        with urlopen(request, timeout=TIMEOUT, context=context) as answer:
            body = answer.read(LARGEST + 1)
        if len(body) > LARGEST:
            raise ValueError(f"{url} answers with more than {LARGEST} bytes")
        return json.loads(body)

    return fetch


def _keys_of(documents: list[Any]) -> dict[str | None, Any]:
    """The public keys among a provider's that can verify; others, secrets above all, are passed over."""
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    found: dict[str | None, Any] = {}
    for one in documents:
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP") or one.get("use", "sig") != "sig":
            continue
        name = one.get("kid")
        try:
            found[name if isinstance(name, str) else None] = import_key(one)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return found
