"""The HTTP server: hot routes in a hand-written ASGI callable, everything else in a FastAPI app behind it.

    import gnomon.server
    app = gnomon.server.app(FeatureStore("."))      # an ASGI app: run it with uvicorn, or mount it in your own

`settings` says how it shall behave, `problems` how every error looks, `access` who may do what, `hot` answers online
reads, `routes` the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module, util
from typing import TYPE_CHECKING, Any

from gnomon.errors import MissingExtra

if TYPE_CHECKING:
    from gnomon.server.access.contract import Access
    from gnomon.server.metrics import Metrics
    from gnomon.server.recording import Recorder
    from gnomon.server.settings import ServerSettings
    from gnomon.store import FeatureStore

__all__ = ["app"]

NEEDED = ("fastapi", "msgspec", "orjson")


def app(
    store: FeatureStore,
    settings: ServerSettings | None = None,
    access: Access | None = None,
    *,
    metrics: Metrics | None = None,
    recorder: Recorder | None = None,
    closing: Callable[[], object] | None = None,
) -> Any:
    """An ASGI app that serves a store.

    Args:
        store: whose features it serves.
        settings: how it behaves; by default what `feature_server` in feature_store.yaml says.
        access: who may ask; by default everybody who reaches it.
        metrics: what counts requests; by default nothing does.
        recorder: what keeps answers that are wanted later; by default nothing does.
        closing: what is called when the app ends, such as `store.close`.

    Raises:
        MissingExtra: a package it needs is not installed.
        ConfigError: `feature_server` cannot be followed.
        BackendError: the registry cannot be read.
    """
    needed(*NEEDED)
    from gnomon.server.asgi import Server, nothing_else
    from gnomon.server.context import Context, Definitions
    from gnomon.server.settings import ServerSettings

    context = Context(
        store=store,
        settings=ServerSettings.of(store.config.feature_server) if settings is None else settings,
        definitions=Definitions(store.snapshot),
    )
    for name, given in (("access", access), ("metrics", metrics), ("recorder", recorder)):
        if given is not None:
            setattr(context, name, given)
    behind = nothing_else
    if util.find_spec("gnomon.server.routes") is not None:
        behind = import_module("gnomon.server.routes").app(context)
    return Server(context, behind, closing)


def needed(*packages: str) -> None:
    """Say which extra is missing, before anything fails for the lack of it.

    Raises:
        MissingExtra: one of these is not installed.
    """
    for package in packages:
        if util.find_spec(package) is None:
            raise MissingExtra(package=package, extra="server", purpose="the HTTP server")
