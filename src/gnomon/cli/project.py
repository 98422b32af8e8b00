"""Commands about a whole project: begin one, see one, take one down."""

from __future__ import annotations

import click

from gnomon import __version__
from gnomon.cli import show
from gnomon.cli.root import examples
from gnomon.cli.session import Session

__all__ = ["FIRST", "LAST"]


@click.command(epilog=examples("gnomon init shop && cd shop && gnomon apply"))
@click.argument("name", default="my_features")
@click.option("--template", "-t", default="minimal", show_default=True, help="What to begin with.")
@click.pass_obj
def init(run: Session, name: str, template: str) -> None:
    """Make a new repo that works.

    It has a configuration, an entity, a view, a service, and data to try them on. NAME is the folder to make, by
    default my_features; it becomes the project's name. Nothing is overwritten.
    """
    from gnomon.cli import templates
    from gnomon.clock import SystemClock

    made = templates.write(template, run.repo / name, now=SystemClock().now())
    document = {"repo": str(made.folder), "project": made.project, "files": list(made.files)}
    show.answer(
        run,
        document,
        lambda: click.echo(
            f"Made project {made.project!r} in {made.folder}: {', '.join(made.files)}.\n"
            f"Next: cd {made.folder} && gnomon apply     (README.md has the other three commands)"
        ),
    )


@click.command(epilog=examples("pip install 'gnomon[demo]' && gnomon demo", "gnomon demo --keep flights"))
@click.option("--keep", metavar="FOLDER", help="Make its repo here and leave it there.")
@click.pass_obj
def demo(run: Session, keep: str | None) -> None:
    """Run the flights example, end to end.

    A year of real departures, and what leakage does to a model of delays; then the same features online, compared with
    the training rows value by value. It works in a temporary folder, unless told to keep one.
    """
    from gnomon.examples.flights.demo import run as run_demo

    report = run_demo(None if keep is None else run.repo / keep, quiet=run.json)
    if run.json:
        show.answer(run, report.to_dict(), lambda: None)


@click.command(epilog=examples("gnomon teardown --yes"))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def teardown(run: Session, yes: bool) -> None:
    """Remove this project from where it is kept.

    Its definitions, their history and its online features go; sources and the repo's files stay.
    """
    with run.store() as store:
        if not yes:
            show.confirm(f"Remove project {store.project!r} from its registry and online store?")
        store.teardown()
        show.answer(run, {"removed": store.project}, lambda: click.echo(f"Removed project {store.project!r}."))


@click.command(epilog=examples("gnomon version"))
@click.pass_obj
def version(run: Session) -> None:
    """Print gnomon's version."""
    show.answer(run, {"version": __version__}, lambda: click.echo(f"gnomon {__version__}"))


FIRST = (init, demo)
LAST = (teardown, version)
