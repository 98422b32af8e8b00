"""The command that holds what is served against history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gnomon.cli import show
from gnomon.cli.root import examples
from gnomon.cli.session import Session

if TYPE_CHECKING:
    from gnomon.flows.verdicts import VerifyReport

__all__ = ["COMMANDS"]

ENTITIES = 1_000


@click.command(
    epilog=examples(
        "gnomon verify --sample 5000",
        "gnomon verify --service fraud_v1 --json",
        "gnomon verify --log fraud_v1 --since 2024-01-01",
    )
)
@click.option("--features", "-f", multiple=True, metavar="VIEW:FEATURE", help="Only this feature; repeat it.")
@click.option("--service", metavar="NAME", help="Only the features of a service.")
@click.option("--log", metavar="SERVICE", help="What was served of a service, and logged.")
@click.option("--since", metavar="INSTANT", help="With --log: only what was served then or later.")
@click.option("--until", metavar="INSTANT", help="With --log: only what was served before.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    help=f"So many entities of each view, {ENTITIES:,} by default; with --log so many rows, by default all.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another one draws others.")
@click.pass_obj
def verify(
    run: Session,
    features: tuple[str, ...],
    service: str | None,
    log: str | None,
    since: str | None,
    until: str | None,
    sample: int | None,
    seed: int,
) -> int:
    """Make served answers again from history.

    Entities are drawn, half of them with events of late, and read as they are now; with --log, rows of the served-row
    log are taken. What each answer knew is asked of history; all of it has to be the same, bit by bit. Exits with 1 if
    something is not, and nothing explains it.
    """
    if sum(map(bool, (features, service, log))) > 1:
        raise click.UsageError("say which features, once: --features, repeated, or --service, or --log.")
    if (since or until) and not log:
        raise click.UsageError("--since and --until go with --log.")
    with run.store() as store:
        if log:
            report = store.verify_log(log, since, until, sample=sample, seed=seed)
        else:
            asked = store.get_feature_service(service) if service else list(features)
            report = store.verify(features=asked, sample=sample or ENTITIES, seed=seed)
    show.answer(run, report.to_dict(), lambda: _tell(report))
    return 1 if report.disagreements else 0


COMMANDS = (verify,)


def _tell(report: VerifyReport) -> None:
    heads = ["VIEW", "ENTITIES", "ANSWERS", "AGREE", "NOT EMPTY", "LAG", "CAUSES"]
    rows = (
        [
            one.view,
            one.entities,
            one.compared,
            one.agreed,
            f"{one.filled / one.compared:.0%}" if one.compared else "",
            one.lagging or None,
            ", ".join(f"{count} {cause}" for cause, count in one.causes.items()) or None,
        ]
        for one in report.views
    )
    show.table(heads, rows, "")
    click.echo(str(report))
