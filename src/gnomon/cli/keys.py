"""Commands about the server's API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gnomon.cli import show
from gnomon.cli.root import Group, examples
from gnomon.cli.session import Session
from gnomon.clock import instant_text

if TYPE_CHECKING:
    from gnomon.contracts.keys import ApiKey
    from gnomon.flows.keys import NewKey

__all__ = ["COMMANDS"]


@click.group(cls=Group)
def keys() -> None:
    """Make, list and revoke the server's API keys."""


@keys.command(
    epilog=examples(
        "gnomon keys create --name churn-model",
        "gnomon keys create --name pipeline --scope write --scope manage --project shop --expires 90d",
    )
)
@click.option("--name", "-n", required=True, help="What it is for.")
@click.option(
    "--scope", "-s", "scopes", multiple=True, help="read (the default), batch, write, manage or metrics; repeat it."
)
@click.option("--project", "-p", "projects", multiple=True, help="This one by default, '*' for all; repeat it.")
@click.option("--expires", metavar="DURATION", help="After how long it is worth nothing: 90d; by default never.")
@click.option("--rate-limit", type=int, metavar="N", help="Requests a second; 0 for any, by default the server's.")
@click.pass_obj
def create(
    run: Session,
    name: str,
    scopes: tuple[str, ...],
    projects: tuple[str, ...],
    expires: str | None,
    rate_limit: int | None,
) -> None:
    """Make a key, and show it: this once, for only its hash is kept."""
    with run.store() as store:
        made = store.create_key(name, scopes or ("read",), projects or None, expires=expires, rate_limit=rate_limit)
    show.answer(run, made.to_dict(), lambda: _tell(made))


@keys.command("list", epilog=examples("gnomon keys list", "gnomon keys list --json"))
@click.pass_obj
def list_(run: Session) -> None:
    """Show all keys of the registry, those revoked and expired too."""
    from gnomon.flows.keys import key_document

    with run.store() as store:
        found, now = store.list_keys(), store.clock.now()
    heads = ["ID", "NAME", "SCOPES", "PROJECTS", "RATE", "CREATED", "BY", "STATE"]
    documents = [key_document(one) for one in found]
    show.answer(run, documents, lambda: show.table(heads, (_row(one, now) for one in found), "There is no key."))


@keys.command(epilog=examples("gnomon keys revoke 3f9a1c07be52"))
@click.argument("id")
@click.pass_obj
def revoke(run: Session, id: str) -> None:  # noqa: A002
    """End a key for good.

    Servers learn of it when they look at the registry next: feature_server: registry_refresh, 5 seconds.
    """
    from gnomon.flows.keys import key_document

    with run.store() as store:
        gone = store.revoke_key(id)
    show.answer(run, key_document(gone), lambda: click.echo(f"Key {gone.id} ({gone.name}) is revoked."))


COMMANDS = (keys,)


def _tell(made: NewKey) -> None:
    click.echo(made.token)
    key = made.key
    ends = "for ever" if key.expires is None else f"until {instant_text(key.expires)}"
    click.echo(
        f"Key {key.id} ({key.name}): {', '.join(key.scopes)} in {', '.join(key.projects)}, {ends}.\n"
        "Keep it now: it is not shown again.",
        err=True,
    )


def _row(one: ApiKey, now: int) -> list[Any]:
    rate = "server's" if one.rate_limit is None else one.rate_limit or "any"
    scopes, projects = (", ".join(many) for many in (one.scopes, one.projects))
    return [one.id, one.name, scopes, projects, rate, instant_text(one.created), one.by, _state(one, now)]


def _state(one: ApiKey, now: int) -> str:
    if one.revoked is not None:
        return f"revoked {instant_text(one.revoked)}"
    if one.expires is None:
        return "good"
    return f"{'expired' if now >= one.expires else 'good until'} {instant_text(one.expires)}"
