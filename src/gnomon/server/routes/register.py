"""Registering definitions that came as JSON documents: strangers' texts, so looked at before they are believed.

A document may say what a definition is; it may not bring code, or name code of the repo, and no files that lie outside
of the repo: who can register over HTTP could else read whatever the server can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.definitions.catalog import KIND_WORDS, Catalog
from gnomon.definitions.codec import Definition, id_of, kind_of
from gnomon.definitions.sources import FileSource
from gnomon.errors import ConflictError, DefinitionError, SourceError, listing
from gnomon.flows.apply import Plan, apply, plan
from gnomon.server.context import Context

__all__ = ["register"]

VIEW_KINDS = ("FeatureView", "OnDemandFeatureView")
_MALFORMED = (AttributeError, KeyError, RecursionError, TypeError, ValueError)
"""What comes of documents that are no documents of ours at all."""


def register(
    context: Context, documents: Sequence[Mapping[str, Any]], expected: int | None, *, dry_run: bool, by: str
) -> Plan:
    """Register definitions, or say what that would change.

    Args:
        context: of the server.
        documents: the definitions, as the registry has them; what they refer to is among them or registered.
        expected: the registry version this was decided on; None for whichever is the newest.
        dry_run: change nothing.
        by: who asks.

    Raises:
        DefinitionError: a definition is wrong, or may not come this way.
        ConflictError: somebody else applied since.
    """
    store = context.store
    snapshot = store.snapshot()
    if expected is not None and expected != snapshot.version:
        raise ConflictError(
            f"project {store.project!r} is at version {snapshot.version}, not {expected}.",
            hint="look at what changed, and decide again.",
        )
    _refuse_code(documents)
    objects = list(_decoded(documents, snapshot.catalog))
    _refuse_files_outside(objects, snapshot.catalog, store.repo_path)
    try:
        if dry_run:
            return plan(store.registry, store.engine, store.project, objects)
        at = store.clock.now()
        done = apply(store.registry, store.engine, store.project, objects, expected_version=expected, at=at, by=by)
    except SourceError as wrong:  # the definition names it: its author must act, not the operator
        raise DefinitionError(wrong.what, instead=wrong.instead, hint=wrong.hint) from wrong
    store.refresh_registry()
    context.definitions.refresh()
    return done


def _refuse_code(documents: Iterable[Mapping[str, Any]]) -> None:
    """Refuse what is of a kind that is not only data."""
    for document in documents:
        kind = document.get("kind")
        if not isinstance(kind, str) or kind not in KIND_WORDS:
            raise DefinitionError(
                f"there is no kind of definition {kind!r:.80}.", instead=f"There are: {listing(KIND_WORDS)}."
            )
        if kind == "OnDemandFeatureView" and document.get("mode") != "sql":
            raise DefinitionError(
                f"{KIND_WORDS[kind]} {document.get('name')!r:.80} has code, which cannot come over HTTP.",
                hint="register it from the repo: gnomon apply; or write it in SQL.",
            )
        if any(part.get("function") == "custom" for part in _parts(document)):
            raise DefinitionError(
                f"{KIND_WORDS[kind]} {document.get('name')!r:.80} has an aggregation whose code is in the repo.",
                hint="register it from there: gnomon apply.",
            )


def _parts(document: Any) -> Iterator[Mapping[str, Any]]:
    """All mappings within a document."""
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _decoded(documents: Sequence[Mapping[str, Any]], registered: Catalog) -> Iterator[Definition]:
    """The definitions, with what is registered to refer to."""
    given = {(one["kind"], _id(one)) for one in documents}
    known = [one for one in registered.documents() if (one["kind"], _id(one)) not in given]
    try:
        catalog = Catalog.from_documents([*known, *documents])
    except _MALFORMED as wrong:
        raise DefinitionError(
            "the definitions cannot be read.",
            instead=f"{type(wrong).__name__}: {wrong}"[:200],
            hint="write them as `gnomon show --json` shows those that are registered.",
        ) from wrong
    return (one for key, one in catalog.definitions.items() if (kind_of(one), id_of(one)) in given)


def _id(document: Mapping[str, Any]) -> str:
    name = str(document.get("name") or document.get("path"))  # a file source may be called like its path
    return f"{name}@{document.get('version', 1)}" if document["kind"] in VIEW_KINDS else name


def _refuse_files_outside(objects: Iterable[Definition], registered: Catalog, repo: Path) -> None:
    known, home = registered.sources, repo.resolve()
    for one in objects:
        if not isinstance(one, FileSource) or known.get(one.name) == one:
            continue
        inside = not one.path.startswith("~") and "://" not in one.path
        if not inside or not (home / one.path).resolve().is_relative_to(home):
            raise DefinitionError(
                f"file source {one.name!r} names {one.path!r}, which is not in the repo.",
                hint="register it from the repo: gnomon apply; or put the files there.",
            )
