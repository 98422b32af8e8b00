"""Everything of the server but its hot routes: a FastAPI app.

    app = gnomon.server.routes.app(context)

`guard` stands before each route: who may, how large, which shape errors have. `hands` does what takes time in threads.
One file for each group of routes: `features`, `batch`, `writing`, `loading`, `why`, `health`, `scrape`. `hot` declares
what the hot routes take and give, for the OpenAPI document.
"""

from __future__ import annotations

from gnomon.server.routes.application import app

__all__ = ["app"]
