"""The command line: every command is one call of `FeatureStore`, its answer shown as a table or as JSON.

    gnomon apply && gnomon materialize-incremental
    gnomon get-online-features --service demand --entity station_id=3

A command imports what it needs when it runs, so that `gnomon --help` costs no more than its own text.
"""

from __future__ import annotations

from pathlib import Path

import click

from gnomon import __version__
from gnomon.cli import ask, check, definitions, keep, keys, load, project, serve, stream, why
from gnomon.cli.root import GLOBAL_OPTIONS, Root
from gnomon.cli.session import Session

__all__ = ["app", "main"]


@click.group(
    cls=Root,
    epilog=f"{GLOBAL_OPTIONS} Start with: gnomon init",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--repo",
    "--chdir",
    "-c",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="PATH",
    help="The repo: the folder of feature_store.yaml; by default this one.",
)
@click.option("--json", is_flag=True, help="Answer in JSON on stdout, errors in JSON on stderr.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, message="gnomon %(version)s", help="Print the version.")
@click.pass_context
def app(ctx: click.Context, repo: Path, json: bool, debug: bool) -> None:
    """A feature store that says what was known, and when."""
    ctx.obj = Session(repo, json)


PARTS = (
    project.FIRST,
    definitions.COMMANDS,
    load.COMMANDS,
    stream.COMMANDS,
    keep.COMMANDS,
    ask.COMMANDS,
    serve.COMMANDS,
    check.COMMANDS,
    why.COMMANDS,
    keys.COMMANDS,
    project.LAST,
)
for command in (one for part in PARTS for one in part):
    app.add_command(command)


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="gnomon")
