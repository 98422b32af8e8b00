"""Commands that keep what was pushed in order: the logs, erasing an entity, how late events are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gnomon.cli import show
from gnomon.cli.root import Group, examples
from gnomon.cli.session import Session
from gnomon.clock import instant_text

if TYPE_CHECKING:
    from gnomon.contracts.log import LogStatus, Span
    from gnomon.flows.erasures import Erasure
    from gnomon.flows.lag import SourceLag

__all__ = ["COMMANDS"]


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog=examples("gnomon log", "gnomon log merge", "gnomon log trim payments --before 2024-01-01"),
)
@click.pass_context
def log(ctx: click.Context) -> None:
    """Show and keep the logs of pushed events.

    Without a command it shows what they hold.
    """
    if ctx.invoked_subcommand is None:
        _status(ctx.obj, None)


_served = click.option("--served", is_flag=True, help="The logs of served rows; SOURCE is a feature service then.")


@log.command(epilog=examples("gnomon log status payments", "gnomon log status --served"))
@click.argument("source", required=False)
@_served
@click.pass_obj
def status(run: Session, source: str | None, served: bool) -> None:
    """Show what logs hold: events, bytes, files, positions, from when to when."""
    _status(run, source, served)


@log.command(epilog=examples("gnomon log merge", "gnomon log merge payments", "gnomon log merge --served"))
@click.argument("source", required=False)
@_served
@click.pass_obj
def merge(run: Session, source: str | None, served: bool) -> None:
    """Put small files of logs together into larger ones.

    Nothing changes but the files. Those that were merged stay for a day (log: merge_grace), for whoever is reading
    them; a later merge removes them.
    """
    with run.store() as store:
        done = store.merge_log(source, served=served)

    def say() -> None:
        rows = ([name, one.files, one.into, one.removed] for name, one in done.items())
        show.table([_head(served), "FILES MERGED", "INTO", "REMOVED"], rows, _nothing(served))

    show.answer(run, {name: asdict(one) for name, one in done.items()}, say)


@log.command(
    epilog=examples("gnomon log trim", "gnomon log trim payments --before 2024-01-01 --yes", "gnomon log trim --served")
)
@click.argument("source", required=False)
@_served
@click.option("--before", metavar="INSTANT", help="Events go that happened and were known before it.")
@click.option("--force", is_flag=True, help="Pass over views that may need any event, however old.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def trim(run: Session, source: str | None, served: bool, before: str | None, force: bool, yes: bool) -> None:
    """Let the oldest events of logs go.

    Without --before, those that are older than log: {retain: …} says in feature_store.yaml; of served rows, than the
    LoggingConfig of their service. They go by whole files; none that a view's windows, or ttl, may still reach.
    """
    with run.store() as store:
        if before is not None and not yes:
            show.confirm(f"Remove the events of {source!r} from before {before}, for good?")
        reports = store.trim_log(source, before, force=force, served=served)
    document = [one.to_dict() for one in reports]
    nothing = "No service that is logged says how long its rows are kept." if served else _nothing(served)
    show.answer(run, document, lambda: click.echo("\n".join(map(str, reports)) or nothing))


@click.command(epilog=examples("gnomon erase user_id=7", "gnomon erase --list"))
@click.argument("entity", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--source", "-s", "sources", multiple=True, metavar="NAME", help="Only this source; repeat it.")
@click.option("--list", "listed", is_flag=True, help="Show what was erased, and what was begun and is not done.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(run: Session, entity: tuple[str, ...], sources: tuple[str, ...], listed: bool, yes: bool) -> None:
    """Erase all that is kept of one entity.

    Its events in logs, its rejected rows and its rows online go, for good. Files of batch sources are yours: those are
    named that still have rows of it. What was erased is written down, without the key. Interrupted, run it again.
    """
    with run.store() as store:
        if listed:
            found = store.erasures()
            show.answer(run, [one.to_dict() for one in found], lambda: _tell_erasures(found))
            return
        key = _key(entity)
        if not yes:
            show.confirm(f"Erase all that is kept of {' '.join(entity)}, for good?")
        report = store.erase(key, sources or None)
    show.answer(run, report.to_dict(), lambda: click.echo(str(report)))


@click.command(epilog=examples("gnomon lag", "gnomon lag payments --json"))
@click.argument("source", required=False)
@click.pass_obj
def lag(run: Session, source: str | None) -> None:
    """Show how late events are known.

    Of logs, and of files with a created_timestamp_column. For files beside a log that have neither that nor a delay,
    one is proposed.
    """
    with run.store() as store:
        found = store.source_lag(source)
    show.answer(run, [one.to_dict() for one in found], lambda: _tell_lags(found))


COMMANDS = (log, erase, lag)


def _head(served: bool) -> str:
    return "LOG" if served else "SOURCE"


def _nothing(served: bool) -> str:
    return "There is no log of served rows." if served else "There is no push source, and no log."


def _status(run: Session, source: str | None, served: bool = False) -> None:
    with run.store() as store:
        found = store.log_status(source, served=served)

    def say() -> None:
        heads = [_head(served), "EVENTS", "BYTES", "FILES", "POSITIONS", "KNOWN", "HAPPENED"]
        show.table(heads, (_status_row(name, one) for name, one in found.items()), _nothing(served))

    show.answer(run, {name: _status_document(one) for name, one in found.items()}, say)


def _status_row(name: str, one: LogStatus) -> list[Any]:
    positions = f"{one.begins} to {one.position}" if one.position else ""
    return [name, one.events, one.bytes, one.files, positions, _span_text(one.known), _span_text(one.happened)]


def _status_document(one: LogStatus) -> dict[str, Any]:
    spans = {name: getattr(one, name) for name in ("known", "happened")}
    told = {name: span and list(map(instant_text, span)) for name, span in spans.items()}
    return {**asdict(one), **told, "lessened": None if one.lessened is None else instant_text(one.lessened)}


def _span_text(span: Span | None) -> str:
    return "" if span is None else f"{instant_text(span[0])} to {instant_text(span[1])}"


def _key(pairs: Sequence[str]) -> dict[str, str]:
    key: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or name in key:
            raise click.UsageError(f"{pair!r} is no KEY=VALUE, or the key stands twice.")
        key[name] = value
    if not key:
        raise click.UsageError("name an entity: user_id=7; or say --list.")
    return key


def _tell_erasures(found: Sequence[Erasure]) -> None:
    rows = (
        [
            one.id,
            instant_text(one.begun),
            "not done: erase it again" if one.done is None else instant_text(one.done),
            one.by,
            ", ".join(one.join_keys),
            one.key,
            ", ".join(one.sources) or "all",
            ", ".join(f"{place}: {count}" for place, count in one.removed.items()),
        ]
        for one in found
    )
    heads = ["ERASURE", "BEGUN", "DONE", "BY", "JOIN KEYS", "HASH OF THE KEY", "SOURCES", "REMOVED"]
    show.table(heads, rows, "Nothing was erased.")


def _tell_lags(found: Sequence[SourceLag]) -> None:
    from gnomon.flows.lag import lag_text

    def row(one: SourceLag) -> list[Any]:
        lags = (one.p50, one.p90, one.p99, one.p999, one.longest)
        share = f"{one.negative:.2%}" if one.events else ""
        return [one.source, one.kind, one.events, *("" if lag is None else lag_text(lag) for lag in lags), share]

    heads = ["SOURCE", "OF", "EVENTS", "P50", "P90", "P99", "P99.9", "MAX", "NEGATIVE"]
    show.table(heads, map(row, found), "No source is registered.")
    for one in found:
        if one.note:
            click.echo(f"{one.source}: {one.note}")
