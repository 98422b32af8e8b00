"""Commands about definitions: see what would change, change it, look at what is there and how it came to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from gnomon.cli import show
from gnomon.cli.root import Group, examples
from gnomon.cli.session import Session
from gnomon.clock import duration_text, instant_text
from gnomon.definitions.catalog import KIND_WORDS
from gnomon.errors import listing

if TYPE_CHECKING:
    from gnomon.plan.changes import Change
    from gnomon.store import FeatureStore

__all__ = ["COMMANDS"]

_EMPTY = "Nothing is registered yet; `gnomon apply` registers what the repo's files define."

prune_option = click.option("--prune", is_flag=True, help="Also remove what is registered but no longer in the repo.")


@click.command(epilog=examples("gnomon plan --prune"))
@prune_option
@click.pass_obj
def plan(run: Session, prune: bool) -> None:
    """Show what `apply` would change.

    Each change is marked: it changes values, or it only describes.
    """
    with run.store() as store:
        _note_ignored(run, store)
        planned = store.plan(prune=prune)
    show.answer(run, planned.to_dict(), lambda: click.echo(str(planned)))


@click.command(epilog=examples("gnomon plan && gnomon apply"))
@prune_option
@click.pass_obj
def apply(run: Session, prune: bool) -> None:
    """Register what the repo's files define.

    All of it or nothing. What is registered and no longer in the repo stays, unless --prune says otherwise.
    """
    with run.store() as store:
        _note_ignored(run, store)
        applied = store.apply(prune=prune)
    show.answer(run, applied.to_dict(), lambda: click.echo(str(applied)))


@click.command(epilog=examples("gnomon history --limit 5"))
@click.option("--limit", "-n", type=click.IntRange(min=1), metavar="N", help="Only the newest N commits.")
@click.pass_obj
def history(run: Session, limit: int | None) -> None:
    """Show who changed what, and when.

    Newest first.
    """
    with run.store() as store:
        commits = store.history(limit)
    document = [
        {"version": one.version, "at": instant_text(one.at), "by": one.by, "changes": list(map(_change, one.changes))}
        for one in commits
    ]
    rows = [[one.version, instant_text(one.at), one.by, ", ".join(map(_brief, one.changes))] for one in commits]
    show.answer(run, document, lambda: show.table(["VERSION", "AT", "BY", "CHANGES"], rows, _EMPTY))


def _change(change: Change) -> dict[str, Any]:
    return {"action": change.action, "kind": change.kind, "id": change.id, "changes_values": change.changes_values}


def _brief(change: Change) -> str:
    sign = {"add": "+", "remove": "-", "change": "~"}[change.action]
    return f"{sign} {KIND_WORDS.get(change.kind, change.kind)} {change.id}"


def _note_ignored(run: Session, store: FeatureStore) -> None:
    if store.config.ignored and not run.json:
        click.echo(f"Note: no effect here: {', '.join(store.config.ignored)} (feature_store.yaml).", err=True)


def _entity_row(one: Any) -> list[Any]:
    return [one.name, ", ".join(one.join_keys), one.value_type and str(one.value_type), one.description]


def _view_row(one: Any) -> list[Any]:
    entities = ", ".join(entity.name for entity in one.entities)
    ttl = one.ttl and duration_text(one.ttl)
    return [one.id, entities, listing(one.feature_names, limit=8), ttl, one.source.name, one.description]


def _on_demand_row(one: Any) -> list[Any]:
    sources = ", ".join(source.name for source in one.sources)
    return [one.id, one.mode, listing(one.feature_names, limit=8), sources, one.description]


def _service_row(one: Any) -> list[Any]:
    parts = [f"{part.name}[{', '.join(part.features)}]" if part.features else part.name for part in one.features]
    return [one.name, ", ".join(parts), one.description]


def _source_row(one: Any) -> list[Any]:
    if not hasattr(one, "path"):
        return [one.name, one.where, one.timestamp_field, "its stamp", one.description]
    known = one.created_timestamp_column or (one.delay is not None and f"{duration_text(one.delay)} later") or None
    return [one.name, one.path, one.timestamp_field, known, one.description]


def _group(what: str, plural: str, columns: list[str], row: Callable[[Any], list[Any]]) -> click.Group:
    """The commands about one kind of definition: `list` and `describe`."""
    name = plural.replace(" ", "-")
    group = Group(name, help=f"List and describe {plural}.", no_args_is_help=True)

    @group.command("list", help=f"List the registered {plural}.", epilog=examples(f"gnomon {name} list --json"))
    @click.pass_obj
    def list_all(run: Session) -> None:
        from gnomon.definitions.codec import encode

        with run.store() as store:
            found = getattr(store, f"list_{_snake(plural)}")()
        show.answer(run, [encode(one) for one in found], lambda: show.table(columns, map(row, found), _EMPTY))

    @group.command("describe", help=f"Describe the {what} NAME.", epilog=examples(f"gnomon {name} describe NAME"))
    @click.argument("name")
    @click.pass_obj
    def describe(run: Session, name: str) -> None:
        from gnomon.definitions.codec import encode

        with run.store() as store:
            document = encode(getattr(store, f"get_{_snake(what)}")(name))
        show.answer(run, document, lambda: click.echo(_as_yaml(document)))

    return group


def _snake(words: str) -> str:
    return words.replace(" ", "_").replace("-", "_")


def _as_yaml(document: dict[str, Any]) -> str:
    import yaml

    named = {key: document[key] for key in ("kind", "name")} | _worded(document)
    return yaml.safe_dump(named, sort_keys=False, allow_unicode=True, width=1_000).rstrip()


def _worded(value: Any) -> Any:
    """A document with its windows and aggregations in words."""
    from gnomon.plan.changes import shown

    if isinstance(value, list):
        return [_worded(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("kind") in ("Aggregation", "Window"):
        return {value["name"]: shown(value)} if "name" in value else shown(value)
    return {name: _worded(one) for name, one in value.items()}


COMMANDS = (
    plan,
    apply,
    history,
    _group("entity", "entities", ["NAME", "JOIN KEYS", "TYPE", "DESCRIPTION"], _entity_row),
    _group(
        "feature view",
        "feature views",
        ["NAME", "ENTITIES", "FEATURES", "TTL", "SOURCE", "DESCRIPTION"],
        _view_row,
    ),
    _group(
        "on-demand feature view",
        "on-demand feature views",
        ["NAME", "MODE", "FEATURES", "SOURCES", "DESCRIPTION"],
        _on_demand_row,
    ),
    _group("feature service", "feature services", ["NAME", "FEATURES", "DESCRIPTION"], _service_row),
    _group("data source", "data sources", ["NAME", "PATH", "EVENT TIME", "KNOWN TIME", "DESCRIPTION"], _source_row),
)
