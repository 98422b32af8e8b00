"""Commands that say why: the events behind one value, and what a feature comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gnomon.cli import show
from gnomon.cli.root import examples
from gnomon.cli.session import Session

if TYPE_CHECKING:
    from gnomon.flows.explanation import Explanation

__all__ = ["COMMANDS"]


def question_options(command: Any) -> Any:
    """What says which value is meant."""
    for option in (
        click.option(
            "--as-known",
            default="now",
            show_default=True,
            metavar="WHEN",
            help="How much hindsight: now, then, an instant, or the token of an online answer.",
        ),
        click.option("--at", metavar="INSTANT", help="The instant asked about; by default now."),
        click.argument("entity", nargs=-1, metavar="[KEY=VALUE]..."),
        click.argument("feature", metavar="VIEW:FEATURE"),
    ):
        command = option(command)
    return command


@click.command(
    epilog=examples(
        "gnomon explain user_spend:amount_sum_24h user_id=7",
        "gnomon explain user_spend:amount_sum_24h user_id=7 --at 2024-01-31T12:00:00Z --as-known then",
    )
)
@question_options
@click.pass_obj
def explain(run: Session, feature: str, entity: tuple[str, ...], at: str | None, as_known: str) -> None:
    """Show the events behind one value, and why.

    KEY=VALUE are the join keys of the entity. The value is the one a training set has; it is made again of the events
    shown, and whether that gives the same is said.
    """
    with run.store() as store:
        explained = store.explain(feature, _keys(entity), at, as_known)
    show.answer(run, explained.to_dict(), lambda: _tell(explained))


@click.command(
    epilog=examples(
        "gnomon lineage user_spend:amount_sum_24h",
        "gnomon lineage user_spend:amount_sum_24h user_id=7 --at 2024-01-31T12:00:00Z",
    )
)
@question_options
@click.pass_obj
def lineage(run: Session, feature: str, entity: tuple[str, ...], at: str | None, as_known: str) -> None:
    """Show what a feature comes from, and who uses it.

    With KEY=VALUE, the join keys of an entity: the events that its value is made of.
    """
    with run.store() as store:
        graph = store.get_lineage(feature, _keys(entity) if entity else None, at, as_known)
    show.answer(run, graph.to_dict(), lambda: click.echo(str(graph)))


COMMANDS = (explain, lineage)


def _keys(pairs: Sequence[str]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{pair!r} is no KEY=VALUE.")
        if key in keys:
            raise click.UsageError(f"{key!r} stands twice.")
        keys[key] = value
    return keys


def _tell(explained: Explanation) -> None:
    click.echo(explained.head)
    for line in explained.lines:
        click.echo(f"  {line}")
    for part in explained.parts():
        click.echo(f"\n{part.title}:")
        show.table(part.columns, part.rows)
    for note in explained.notes():
        click.echo(note, err=True)
