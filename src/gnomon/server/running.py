"""The server as processes: one that answers, or one that watches over several."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

import gnomon.server
from gnomon.errors import BackendError
from gnomon.server.access import of as access_of
from gnomon.server.access.contract import Access
from gnomon.server.metrics.run import RUN, RunFolder, counting
from gnomon.server.protocol import Config, Limited
from gnomon.server.settings import ServerSettings
from gnomon.store import FeatureStore

__all__ = ["Serving", "serve"]

TOLD = "GNOMON_SERVING"
"""The environment variable by which worker processes are told what they serve."""
IDLE_SECONDS = 75
"""How long a connection may be without a request: longer than the proxies in front of servers keep theirs."""


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
        folder: where the workers count together; None for one that counts alone.
    """

    repo: str
    host: str
    port: int
    workers: int
    ssl_keyfile: str | None = None
    ssl_certfile: str | None = None
    insecure: bool = False
    log_level: str = "warning"
    folder: str | None = None

    def settings(self, store: FeatureStore) -> ServerSettings:
        """What the configuration says, with what was said here in its place."""
        found = ServerSettings.of(store.config.feature_server)
        return replace(found, host=self.host, port=self.port, workers=self.workers)

    def app(self) -> Any:
        """The app of one process, with a store of its own.

        Raises:
            ConfigError: nobody could ask.
        """
        if self.repo not in sys.path:
            sys.path.append(self.repo)  # where the repo's own aggregations are imported from
        store = FeatureStore(self.repo)
        settings = self.settings(store)
        metrics = counting(store.repo_path, store.clock, None if self.folder is None else Path(self.folder))

        def close() -> None:
            metrics.close()
            store.close()

        access = self.access(store, settings)
        return gnomon.server.app(store, settings, access, metrics=metrics, closing=close)

    def access(self, store: FeatureStore, settings: ServerSettings) -> Access:
        """Who may ask.

        Raises:
            ConfigError: nobody could ask.
        """
        return access_of(store.config, store, self.host, self.insecure, settings)


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
            with _stopping():
                server.run(sockets=[listening])
            if not server.started:
                raise BackendError("the server did not begin.", hint="see what it said above.")
            return
        with closing(RunFolder(Path(serving.repo) / RUN)) as run:
            os.environ[TOLD] = json.dumps(asdict(replace(serving, folder=str(run.path))))
            Multiprocess(config, sockets=[listening]).run()


@contextmanager
def _stopping() -> Iterator[None]:
    """SIGTERM ends the process well: the server raises it again once its work is done, which else would kill it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: object) -> None:
    raise SystemExit(0)


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
