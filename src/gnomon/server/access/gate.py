"""The gate all requests pass: who asks, how often, and whether they may."""

from __future__ import annotations

from gnomon.clock import Clock
from gnomon.contracts.keys import Scope
from gnomon.errors import BackendError
from gnomon.flows.keys import PREFIX
from gnomon.server.access.contract import Caller
from gnomon.server.access.credentials import credential_of, forbidden, refused
from gnomon.server.access.grants import Grants

__all__ = ["Gate"]


class Gate:
    """Lets in who has a key, or a token of the identity provider.

    Args:
        project: what the server serves.
        clock: says when keys expire, and how often is too often.
        keys: knows API keys.
        tokens: knows tokens; None where there is no provider.
    """

    def __init__(self, project: str, clock: Clock, keys: Grants, tokens: Grants | None = None) -> None:
        self._project, self._clock, self._keys, self._tokens = project, clock, keys, tokens

    def check(self, headers: list[tuple[bytes, bytes]], scope: Scope) -> Caller:
        """As the contract says."""
        credential = credential_of(headers)
        now = self._clock.now()
        if credential.startswith(PREFIX):
            grant = self._keys.of(credential, now)
        elif self._tokens is not None:
            grant = self._tokens.of(credential, now)
        else:
            raise refused(
                "the credential is no API key.", hint="a key begins with gn_: `gnomon keys create` makes one."
            )
        rate = grant.rate
        if rate.limit and (wait := rate.wait(now)):
            raise rate.exceeded(wait)
        if not grant.here:
            raise forbidden(
                f"{grant.caller.name!r} has no rights in project {self._project!r}.",
                scope,
                hint="have a key made for it: `gnomon keys create --project …`.",
            )
        if scope not in grant.scopes:
            raise forbidden(
                f"{grant.caller.name!r} lacks the scope {str(scope)!r}.",
                scope,
                instead=f"It has: {', '.join(sorted(grant.scopes)) or 'none'}.",
                hint=f"have a key made with it: `gnomon keys create --scope {scope}`.",
            )
        return grant.caller

    def refresh(self) -> None:
        """As the contract says; of two things that cannot be seen the first is told."""
        now, wrong = self._clock.now(), []
        for one in (self._keys, self._tokens):
            try:
                if one is not None:
                    one.refresh(now)
            except BackendError as error:
                wrong.append(error)
        if wrong:
            raise wrong[0]
