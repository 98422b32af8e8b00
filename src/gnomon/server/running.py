"""The server as processes: one that answers, or one that watches over several."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

import gnomon.server
from gnomon.errors import BackendError, ConfigError
from gnomon.server.protocol import Config, Limited
from gnomon.server.settings import ServerSettings
from gnomon.store import FeatureStore

__all__ = ["Serving", "serve"]

TOLD = "GNOMON_SERVING"
"""The environment variable by which worker processes are told what they serve."""
IDLE_SECONDS = 75
"""How long a connection may be without a request: longer than the proxies in front of servers keep theirs."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What is served, and how.

    Args:
        repo: the repo's folder.
        host: the address to listen on.
        port: the port; 0 for any that is free.
        workers: how many processes answer.
        ssl_keyfile: the key of the certificate; None for no TLS.
        ssl_certfile: the certificate.
        insecure: whether everybody may ask who reaches the address.
        log_level: which messages are printed.
    """

    repo: str
    host: str
    port: int
    workers: int
    ssl_keyfile: str | None = None
    ssl_certfile: str | None = None
    insecure: bool = False
    log_level: str = "warning"

    def settings(self, store: FeatureStore) -> ServerSettings:
        """What the configuration says, with what was said here in its place."""
        found = ServerSettings.of(store.config.feature_server)
        return replace(found, host=self.host, port=self.port, workers=self.workers)

    def app(self) -> Any:
        """The app of one process, with a store of its own.

        Raises:
            ConfigError: nobody could ask, or everybody could and that was not said.
        """
        if self.repo not in sys.path:
            sys.path.append(self.repo)  # where the repo's own aggregations are imported from
        store = FeatureStore(self.repo)
        settings = self.settings(store)
        return gnomon.server.app(store, settings, self.access(store, settings), closing=store.close)

    def access(self, store: FeatureStore, settings: ServerSettings) -> Any:
        """Who may ask.

        Raises:
            ConfigError: nobody could ask, or everybody could and that was not said.
        """
        if self.host not in LOOPBACK and not self.insecure:
            raise ConfigError(
                f"{self.host} is not loopback, and nothing says who may ask.",
                hint="listen on 127.0.0.1; or let everybody in who reaches it: --insecure.",
            )
        return None


def worker() -> Any:
    """The app of a worker process."""
    return Serving(**json.loads(os.environ[TOLD])).app()


def serve(serving: Serving, ready: Callable[[str], object] = print) -> None:
    """Answer until told to stop; what was begun is finished, as far as `drain` gives it time.

    Args:
        serving: what, and how.
        ready: is told the address once it can be asked.

    Raises:
        BackendError: the address cannot be had, or the app did not begin.
    """
    with FeatureStore(serving.repo) as store:
        settings = serving.settings(store)
        serving.access(store, settings)  # said now, not by each worker again and again
    with _listening(serving.host, serving.port) as listening:
        serving = replace(serving, port=listening.getsockname()[1])
        app: Any = "gnomon.server.running:worker" if serving.workers > 1 else serving.app
        config = Config(
            app,
            factory=True,
            interface="asgi3",
            workers=serving.workers,
            http=Limited,
            loop="uvloop",
            ws="none",
            lifespan="on",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_level=serving.log_level,
            ssl_keyfile=serving.ssl_keyfile,
            ssl_certfile=serving.ssl_certfile,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=max(1, round(settings.drain.total_seconds())),
            head_seconds=settings.timeout.total_seconds(),
        )
        shown = f"[{serving.host}]" if ":" in serving.host else serving.host
        ready(f"{'https' if serving.ssl_certfile else 'http'}://{shown}:{serving.port}")
        server = uvicorn.Server(config)
        if serving.workers == 1:
            server.run(sockets=[listening])
            if not server.started:
                raise BackendError("the server did not begin.", hint="see what it said above.")
            return
        os.environ[TOLD] = json.dumps(asdict(serving))
        Multiprocess(config, sockets=[listening]).run()


def _listening(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as wrong:
        made.close()
        raise BackendError(
            f"{host}:{port} cannot be listened on.",
            instead=str(wrong),
            hint="see what else listens there, or take another --port.",
        ) from wrong
    made.set_inheritable(True)
    return made
