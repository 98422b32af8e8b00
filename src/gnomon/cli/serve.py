"""The command that serves features over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from gnomon.cli.root import examples
from gnomon.cli.session import Session
from gnomon.errors import ConfigError

__all__ = ["COMMANDS"]

LEVELS = ("critical", "error", "warning", "info", "debug")


@click.command(epilog=examples("gnomon serve", "gnomon serve --port 8080 --workers 2"))
@click.option("--host", metavar="ADDRESS", help="Listen on this address; by default 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="And this port; by default 6566.")
@click.option("--workers", type=click.IntRange(min=1), metavar="COUNT", help="Answer in so many processes.")
@click.option("--ssl-keyfile", type=click.Path(path_type=Path), help="The key of the certificate.")
@click.option("--ssl-certfile", type=click.Path(path_type=Path), help="Speak TLS with this certificate.")
@click.option("--insecure", is_flag=True, help="Let everybody ask who reaches the address.")
@click.option("--log-level", type=click.Choice(LEVELS), default="warning", show_default=True, help="What is printed.")
@click.pass_obj
def serve(
    run: Session,
    host: str | None,
    port: int | None,
    workers: int | None,
    ssl_keyfile: Path | None,
    ssl_certfile: Path | None,
    insecure: bool,
    log_level: str,
) -> None:
    """Serve features over HTTP, until stopped.

    What is not said here, feature_store.yaml says under feature_server. Ctrl-C, or SIGTERM, lets it finish the requests
    that were begun.
    """
    from gnomon.config import load
    from gnomon.server import NEEDED, needed
    from gnomon.server.settings import ServerSettings

    needed(*NEEDED, "httptools", "uvicorn", "uvloop")
    if (ssl_keyfile is None) != (ssl_certfile is None):
        raise ConfigError("TLS needs a certificate and its key.", hint="give both --ssl-certfile and --ssl-keyfile.")
    from gnomon.server.running import Serving
    from gnomon.server.running import serve as begin

    said = ServerSettings.of(load(run.repo).feature_server)
    serving = Serving(
        repo=str(run.repo.absolute()),
        host=said.host if host is None else host,
        port=said.port if port is None else port,
        workers=said.workers if workers is None else workers,
        ssl_keyfile=_path(ssl_keyfile),
        ssl_certfile=_path(ssl_certfile),
        insecure=insecure,
        log_level=log_level,
    )
    begin(serving, lambda address: click.echo(f"Serving on {address}"))


COMMANDS = (serve,)


def _path(given: Path | None) -> str | None:
    return None if given is None else str(given.absolute())
