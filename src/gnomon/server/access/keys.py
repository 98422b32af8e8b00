"""API keys as requests see them: in memory, by their public id."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest

from gnomon.clock import instant_text
from gnomon.contracts.keys import ApiKey, KeyStore
from gnomon.flows.keys import TOKEN, sha256_of
from gnomon.server.access.contract import Caller
from gnomon.server.access.credentials import refused
from gnomon.server.access.grants import Grant
from gnomon.server.access.rates import Rate

__all__ = ["Keys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    sha256: bytes
    revoked: int | None
    grant: Grant


class Keys:
    """The API keys there are.

    Args:
        store: where they are kept.
        project: what the server serves.
        rate_limit: requests a second of a key that says nothing of its own; 0 for any number.
        workers: how many processes share a key's rate.
    """

    def __init__(self, store: KeyStore, project: str, rate_limit: int, workers: int = 1) -> None:
        self._store, self._project, self._rate_limit, self._workers = store, project, rate_limit, workers
        self._known: dict[bytes, _Known] = {}

    def of(self, credential: bytes, now: int) -> Grant:
        """What the key's owner may do."""
        found = TOKEN.fullmatch(credential)
        if found is None:
            raise refused("the API key is not whole.", hint="a key begins with gn_ and has 59 letters.")
        known = self._known.get(found[1])
        # The hash is taken in any case, so that the time it takes does not tell which ids there are.
        if not compare_digest(sha256_of(credential), known.sha256 if known else _NONE) or known is None:
            raise refused("the API key is not known.", hint="`gnomon keys list` shows those there are.")
        if known.revoked is not None:
            raise refused(f"the API key was revoked at {instant_text(known.revoked)}.", hint=_ANOTHER)
        expires = known.grant.expires
        if expires is not None and now >= expires:
            raise refused(f"the API key expired at {instant_text(expires)}.", hint=_ANOTHER)
        return known.grant

    def refresh(self, now: int) -> None:
        """Look at what has changed."""
        before = self._known
        self._known = {one.id.encode(): self._read(one, before.get(one.id.encode())) for one in self._store.all()}

    def usable(self, now: int) -> bool:
        """Whether any of them is good for this project now."""
        known = self._known.values()
        return any(
            one.grant.here and one.revoked is None and (one.grant.expires is None or now < one.grant.expires)
            for one in known
        )

    def _read(self, key: ApiKey, before: _Known | None) -> _Known:
        limit = self._rate_limit if key.rate_limit is None else key.rate_limit
        share = -(-limit // self._workers)
        kept = before is not None and before.grant.rate.limit == share
        grant = Grant(
            caller=Caller(id=key.id, name=key.name),
            scopes=frozenset(key.scopes),
            expires=key.expires,
            here=key.fits(self._project),
            rate=before.grant.rate if before is not None and kept else Rate(share),
        )
        return _Known(sha256=bytes.fromhex(key.sha256), revoked=key.revoked, grant=grant)


_NONE = bytes(32)
_ANOTHER = "have another made: `gnomon keys create`."
