"""Commands that bring data in: pushed events into their log, rows into the online store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gnomon.cli import show
from gnomon.cli.root import examples
from gnomon.cli.session import Session

if TYPE_CHECKING:
    from gnomon.flows.materialize import Report

__all__ = ["COMMANDS"]


def views_option(command: Any) -> Any:
    """The option that picks views."""
    return click.option("--views", "-v", multiple=True, metavar="VIEW", help="Only this view; repeat it for several.")(
        command
    )


@click.command(epilog=examples("gnomon materialize 2024-01-01 2024-02-01T12:00:00Z", "gnomon materialize --replace"))
@click.argument("start", required=False)
@click.argument("end", required=False)
@views_option
@click.option("--replace", is_flag=True, help="Load the views anew, and drop what was there.")
@click.pass_obj
def materialize(run: Session, start: str | None, end: str | None, views: tuple[str, ...], replace: bool) -> None:
    """Load a span of time into the online store.

    START and END are instants such as 2024-01-31 or 2024-01-31T12:00:00Z (a naive one is UTC); left out, they are
    the beginning and now. Reads go on meanwhile; run it twice, and nothing is lost or double.
    """
    with run.store() as store, show.progress(run) as bars:
        last = store.clock.now() if end is None else end
        report = store.materialize(start, last, views or None, replace=replace, progress=bars)
    _tell(run, report)


@click.command(epilog=examples("gnomon materialize-incremental --views station_status"))
@click.argument("end", required=False)
@views_option
@click.pass_obj
def materialize_incremental(run: Session, end: str | None, views: tuple[str, ...]) -> None:
    """Load what is new into the online store.

    That is what came since the last time, late rows included, up to END; by default up to now.
    """
    with run.store() as store, show.progress(run) as bars:
        report = store.materialize_incremental(end, views or None, progress=bars)
    _tell(run, report)


@click.command(epilog=examples("gnomon push payments today.parquet", "gnomon push payments today.csv --json"))
@click.argument("source")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def push(run: Session, source: str, file: Path) -> None:
    """Append events to a push source's log.

    SOURCE is the source's name, FILE a Parquet or CSV file. Rows that do not fit the source are not pushed: they are
    counted, and kept in a file with the reasons. Pushed twice, events are there twice; in windowed views they count
    once if the source has an event_id.
    """
    with run.store() as store:
        report = store.push(source, file.absolute())
    show.answer(run, report.to_dict(), lambda: click.echo(str(report)))


COMMANDS = (materialize, materialize_incremental, push)


def _tell(run: Session, report: Report) -> None:
    show.answer(run, report.to_dict(), lambda: click.echo(str(report)))
