"""The HTTP server: hot routes in a hand-written ASGI callable, everything else in a FastAPI app behind it.

    import gnomon.server
    app = gnomon.server.app(FeatureStore("."))      # an ASGI app: run it with uvicorn, or mount it in your own

`settings` says how it shall behave, `problems` how every error looks, `access` who may do what, `hot` answers online
reads, `routes` the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import util
from typing import TYPE_CHECKING, Any

from gnomon.errors import BackendError, MissingExtra
from gnomon.server.metrics import Quiet

if TYPE_CHECKING:
    from gnomon.server.access.contract import Access
    from gnomon.server.context import Definitions
    from gnomon.server.metrics import Metrics
    from gnomon.server.metrics.counted import Counted
    from gnomon.server.recording import Recorder
    from gnomon.server.settings import ServerSettings
    from gnomon.store import FeatureStore

__all__ = ["app"]

NEEDED = ("fastapi", "fastapi_offline", "msgspec", "orjson")
LOOPBACK = "127.0.0.1"

log = logging.getLogger("gnomon.server")


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
        access: who may ask; by default everybody who reaches it, unless `auth` in feature_store.yaml says otherwise.
        metrics: what counts requests; by default it is counted in the repo's folder, if that can be written.
        recorder: what keeps answers that are wanted later; by default the store's served-row log.
        closing: what is called when the app ends, such as `store.close`.

    Raises:
        MissingExtra: a package it needs is not installed.
        ConfigError: `feature_server` cannot be followed.
        BackendError: the registry cannot be read.
    """
    needed(*NEEDED)
    from gnomon.server import routes
    from gnomon.server.access import of as access_of
    from gnomon.server.asgi import Server
    from gnomon.server.context import Context, Definitions
    from gnomon.server.functions import Functions
    from gnomon.server.settings import ServerSettings

    settings = ServerSettings.of(store.config.feature_server) if settings is None else settings
    functions = Functions(store)
    definitions = Definitions(functions.read, functions.newest)
    counted = None if metrics is not None else _counting(store)
    context = Context(
        store=store,
        settings=settings,
        definitions=definitions,
        recorder=_recording(store, definitions) if recorder is None else recorder,
        access=access_of(store.config, store, LOOPBACK, settings=settings) if access is None else access,
        metrics=metrics or counted or Quiet(),
    )
    ends = [one for one in (None if counted is None else counted.close, closing) if one is not None]
    return Server(context, routes.app(context), ends)


def _counting(store: FeatureStore) -> Counted | None:
    """What counts; None where there is no place to count in: that is no reason not to serve."""
    from gnomon.server.metrics.run import counting

    try:
        return counting(store.repo_path, store.clock)
    except BackendError as wrong:
        log.warning("nothing is counted: %s", wrong)
        return None


def _recording(store: FeatureStore, definitions: Definitions) -> Recorder:
    """The store's served-row log, for the services that today's definitions want logged."""
    recorder = store.recorder
    definitions.before.append(lambda found: lambda: recorder.following(found))
    return recorder.following(definitions.snapshot)


def needed(*packages: str) -> None:
    """Say which extra is missing, before anything fails for the lack of it.

    Raises:
        MissingExtra: one of these is not installed.
    """
    for package in packages:
        if util.find_spec(package) is None:
            raise MissingExtra(package=package, extra="server", purpose="the HTTP server")
