"""Who may do what: API keys, OIDC tokens, limits of rate; each route names the scope it needs.

    access = of(config, store, host="0.0.0.0", insecure=False)
    access.check(headers, Scope.READ)        # Caller(id='3f9a1c07be52', name='the churn model'), or an HttpError

Everything `check` needs is in memory; `refresh`, beside requests, keeps it up to date.
"""

from __future__ import annotations

from gnomon.server.access.policy import of

__all__ = ["of"]
