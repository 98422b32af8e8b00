"""The HTTP server: hot routes in a hand-written ASGI callable, everything else in a FastAPI app behind it.

    import gnomon.server
    app = gnomon.server.app(FeatureStore("."))      # an ASGI app: run it with uvicorn, or mount it in your own

`settings` says how it shall behave, `problems` how every error looks, `access` who may do what, `hot` answers online
reads, `routes` the rest.
"""

from __future__ import annotations

__all__: list[str] = []
