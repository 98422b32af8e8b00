"""Commands about streams: bring their events into logs, and see how far they are."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gnomon.cli import show
from gnomon.cli.root import Group, examples
from gnomon.cli.session import Session
from gnomon.errors import BackendError

if TYPE_CHECKING:
    from gnomon.clock import Clock
    from gnomon.flows.stream import Stop
    from gnomon.flows.tally import Tally

__all__ = ["COMMANDS"]

EVERY = 10_000_000
"""Where no person watches, a line is printed every so many µs, if something came."""


@click.group(cls=Group, no_args_is_help=True)
def stream() -> None:
    """Bring events of Kafka, Redis or files into logs."""


@stream.command(
    epilog=examples("gnomon stream run", "gnomon stream run payments --folder events --once", "gnomon stream run -w w1")
)
@click.argument("sources", nargs=-1)
@click.option("--folder", type=click.Path(path_type=Path), help="Read files in place of the one source's stream.")
@click.option("--worker", "-w", default="", metavar="NAME", help="This worker's name; none is fine.")
@click.option("--once", is_flag=True, help="Stop when all has been read that is there.")
@click.option("--until-idle", metavar="DURATION", help="Stop when nothing has come for so long, such as 30s.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), metavar="PORT", help="Tell Prometheus, on this port.")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, metavar="HOST", help="Tell it at this address.")
@click.pass_obj
def run(
    run: Session,
    sources: tuple[str, ...],
    folder: Path | None,
    worker: str,
    once: bool,
    until_idle: str | None,
    metrics_port: int | None,
    metrics_host: str,
) -> None:
    """Bring events into their logs, each once, until stopped.

    SOURCES are names of sources; all that have a stream by default. Ctrl-C, or SIGTERM, lets it finish its batch; run
    anew, here or elsewhere, it goes on behind what the log has. Several workers share the partitions of a topic.
    """
    from gnomon.flows.stream import Stop

    stop = Stop()
    with (
        run.store() as store,
        _stopping(stop),
        _shown(run, store.clock) as screen,
        _metrics(metrics_port, metrics_host, screen, store.clock),
    ):
        reports = store.stream(
            sources,
            folder=None if folder is None else run.reads(str(folder)),
            worker=worker,
            once=once,
            until_idle=until_idle,
            around={"stop": stop, "watch": screen.watch, "tell": screen.tell},
        )
    show.answer(run, [one.to_dict() for one in reports], lambda: click.echo("\n".join(map(str, reports))))


@stream.command(epilog=examples("gnomon stream status", "gnomon stream status payments --json"))
@click.argument("sources", nargs=-1)
@click.pass_obj
def status(run: Session, sources: tuple[str, ...]) -> None:
    """Show how far logs and streams are.

    OFFSET is that of a partition's last message in the log, END that of the last there is; LAG lies between them.
    """
    with run.store() as store:
        found = store.stream_positions(sources)
    rows = [[one.source, one.partition, one.offset, one.end, one.lag] for one in found]
    document = [dict(zip(("source", "partition", "offset", "end", "lag"), row, strict=True)) for row in rows]
    show.answer(run, document, lambda: show.table(["SOURCE", "PARTITION", "OFFSET", "END", "LAG"], rows))


COMMANDS = (stream,)


@contextlib.contextmanager
def _stopping(stop: Stop) -> Iterator[None]:
    """The first signal asks workers to stop; the next does what it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


class Screen:
    """Shows tallies: on a terminal as a table that changes, elsewhere a line now and then, to a program nothing.

    Args:
        clock: says what time it is.
        say: prints a line.
        plain: whether tallies are printed as lines.
    """

    def __init__(self, clock: Clock, say: Callable[[str], object], plain: bool) -> None:
        self._clock, self._say, self._plain = clock, say, plain
        self._printed: dict[str, tuple[int, int]] = {}
        self.tallies: dict[str, Tally] = {}

    def watch(self, tally: Tally) -> None:
        """Show how far a source is."""
        self.tallies[tally.source] = tally
        now, done = self._clock.now(), tally.appended + tally.rejected
        at, before = self._printed.setdefault(tally.source, (now, 0))
        if self._plain and done > before and not 0 <= now - at < EVERY:
            self._printed[tally.source] = now, done
            self._say(_line(tally, now))

    def tell(self, text: str) -> None:
        """Say something that is no error."""
        self._say(f"Note: {text}")

    def __rich__(self) -> Any:
        from rich.table import Table

        now = self._clock.now()
        made = Table(box=None, pad_edge=False)
        for head in ("SOURCE", "EVENTS", "A SECOND", "LAG", "SINCE THE EVENT", "SINCE THE BROKER", "REJECTED"):
            made.add_column(head)
        for one in list(self.tallies.values()):
            made.add_row(*_cells(one, now))
        return made


def _cells(tally: Tally, now: int) -> list[str]:
    lag = ", ".join(f"{name.rpartition('/')[2]}: {count:,}" for name, count in sorted(tally.lag.items()))
    return [
        tally.source,
        f"{tally.appended:,}",
        f"{tally.rate.a_second(now):,.0f}",
        lag if len(lag) < 40 else f"{sum(tally.lag.values()):,} in {len(tally.lag)} partitions",
        _delay(tally.since_event.quantiles()),
        _delay(tally.since_broker.quantiles()),
        f"{tally.rejected:,}",
    ]


def _delay(quantiles: dict[float, float]) -> str:
    return " / ".join(f"{seconds:,.2f} s" for seconds in quantiles.values())


def _line(tally: Tally, now: int) -> str:
    return (
        f"{tally.source}: {tally.appended} events, {tally.rate.a_second(now):.0f}/s, lag {sum(tally.lag.values())}, "
        f"since the event {_delay(tally.since_event.quantiles()) or '–'}, rejected {tally.rejected}"
    )


@contextlib.contextmanager
def _shown(run: Session, clock: Clock) -> Iterator[Screen]:
    if run.json or not sys.stderr.isatty():
        yield Screen(clock, lambda text: click.echo(text, err=True), plain=not run.json)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, markup=False, highlight=False)
    screen = Screen(clock, console.print, plain=False)
    with Live(screen, console=console, refresh_per_second=4, transient=True):
        yield screen


@contextlib.contextmanager
def _metrics(port: int | None, host: str, screen: Screen, clock: Clock) -> Iterator[None]:
    """Answer Prometheus while the block runs."""
    if port is None:
        yield
        return
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    from gnomon.flows.metrics import CONTENT_TYPE, exposition

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition(list(screen.tallies.values()), clock.now()).encode()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            """Say nothing of each request."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as wrong:
        raise BackendError(
            f"nobody can listen on {host}:{port}: {wrong.strerror}.", hint="choose another --metrics-port."
        ) from wrong
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    screen.tell(f"metrics are at http://{host}:{server.server_address[1]}/metrics")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
