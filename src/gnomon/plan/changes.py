"""A change is a value: what was, what will be, and whether any answer differs for it.

Diff, plan, commit, audit and going back all pass the same tuples of `Change` around.

>>> from gnomon import Entity
>>> before, after = Catalog.of([Entity(name="user")]), Catalog.of([Entity(name="user", owner="risk")])
>>> changes = diff(before, after)
>>> print(render(changes[0]))
~ entity user (only describes)
    owner: not set → risk
>>> apply_changes(before, changes) == after
True
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gnomon.core.windows import Window, words_of
from gnomon.definitions.catalog import KIND_WORDS, Catalog, Key
from gnomon.definitions.codec import Definition, encode, fingerprint, kind_of
from gnomon.definitions.on_demand import OnDemandFeatureView, RequestSource
from gnomon.definitions.sources import file_sources
from gnomon.definitions.views import FeatureView

__all__ = ["Change", "Difference", "affected_views", "apply_changes", "diff", "differences", "render", "shown"]

_PLAIN = re.compile(r"[\w.,@()/*+-]+(, \w+\))?")
"""Texts that need no quotes to be told from the words around them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One definition put in, put in anew, or taken out.

    Args:
        kind: the definition's class: `FeatureView`.
        id: its id: `profile@1`.
        before: its document before; None if it was not there.
        after: its document after; None if it is taken out.
        changes_values: whether answers may differ afterwards, or people are only told something else.
        affects: views (`name@version`), there before and after, whose answers may differ for this change; a change of
            a source names the views that stand on it.
    """

    kind: str
    id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    changes_values: bool
    affects: tuple[str, ...] = ()

    @property
    def action(self) -> str:
        """`add`, `change` or `remove`."""
        if self.before is None:
            return "add"
        return "remove" if self.after is None else "change"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs between two documents.

    Args:
        path: where it stands: `schema.age.dtype`.
        before: its value before; None if it was not set.
        after: its value after; None if it is not set any more.
    """

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {shown(self.before)} → {shown(self.after)}"


def diff(before: Catalog, after: Catalog) -> tuple[Change, ...]:
    """What turns one catalog into another, ordered by kind and id; nothing where they say the same."""
    keys = sorted({*before.definitions, *after.definitions})
    standing: dict[Key, list[str]] = {}
    for view in affected_views(before, after):
        for key in _reached(after.any_view(view)):
            standing.setdefault(key, []).append(view)
    changes = (_change(key, before.definitions.get(key), after.definitions.get(key), standing) for key in keys)
    return tuple(change for change in changes if change is not None)


def apply_changes(catalog: Catalog, changes: Iterable[Change]) -> Catalog:
    """The catalog after the changes.

    Raises:
        DefinitionError: a definition that stays refers to one that is taken out.
    """
    documents: dict[Key, dict[str, Any] | None] = {key: encode(one) for key, one in catalog.definitions.items()}
    documents.update({(change.kind, change.id): change.after for change in changes})
    return Catalog.from_documents(document for document in documents.values() if document is not None)


def affected_views(before: Catalog, after: Catalog) -> tuple[str, ...]:
    """The views in both catalogs whose answers may differ, be it for the view itself, its source or its entities."""
    old, new = before.all_views, after.all_views
    changed = (one for one in sorted(old.keys() & new.keys()) if old[one] != new[one])
    return tuple(one for one in changed if fingerprint(old[one]) != fingerprint(new[one]))


def differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> list[Difference]:
    """The fields in which two documents differ; members of a list are told apart by their names."""
    found: list[Difference] = []
    for name in dict.fromkeys((*before, *after)):
        old, new, here = before.get(name), after.get(name), f"{path}{name}"
        if old != new:
            found.extend(_differ(here, old, new))
    return found


def render(change: Change) -> str:
    """A change for people, a line for it and one for each field."""
    sign = {"add": "+", "remove": "-", "change": "~"}[change.action]
    lines = [f"{sign} {KIND_WORDS.get(change.kind, change.kind)} {change.id}"]
    if change.before is not None and change.after is not None:
        lines[0] += " (changes values)" if change.changes_values else " (only describes)"
        lines += [f"    {one}" for one in differences(change.before, change.after)]
    if others := [view for view in change.affects if view != change.id]:
        lines.append(f"    changes the values of {', '.join(others)}")
    return "\n".join(lines)


def _change(
    key: Key, old: Definition | None, new: Definition | None, standing: Mapping[Key, list[str]]
) -> Change | None:
    before = None if old is None else encode(old)
    after = None if new is None else encode(new)
    if before == after:
        return None
    changes_values = old is None or new is None or fingerprint(old) != fingerprint(new)
    affects = tuple(standing.get(key, ())) if changes_values else ()
    return Change(kind=key[0], id=key[1], before=before, after=after, changes_values=changes_values, affects=affects)


def _reached(view: FeatureView | OnDemandFeatureView) -> Iterator[Key]:
    yield kind_of(view), view.id
    if isinstance(view, OnDemandFeatureView):
        for used in view.sources:
            if isinstance(used, RequestSource):
                yield kind_of(used), used.name
            else:
                yield from _reached(used.view)  # type: ignore[arg-type]
        return
    yield kind_of(view.source), view.source.name
    yield from (("FileSource", one.name) for one in file_sources(view.source) if one != view.source)
    yield from (("Entity", entity.name) for entity in view.entities)


def _differ(path: str, old: Any, new: Any) -> list[Difference]:
    if isinstance(old, dict) and isinstance(new, dict) and not {"ref"} & {*old, *new}:
        return differences(old, new, f"{path}.")
    olds, news = _by_name(old), _by_name(new)
    if olds is None or news is None:
        return [Difference(path, old, new)]
    found = differences(olds, news, f"{path}.")
    kept_before = [name for name in olds if name in news]
    kept_after = [name for name in news if name in olds]
    if kept_before != kept_after:
        found.append(Difference(f"{path} (order)", list(olds), list(news)))
    return found


def _by_name(value: Any) -> dict[str, Any] | None:
    """A list of documents as name → document, or None if it is no such list; nothing is the empty list."""
    members = [] if value is None else value
    if not isinstance(members, list) or not all(_has_name(one) for one in members):
        return None
    named = {_name(one): one for one in members}
    if len(named) < len(members):  # aggregations alike but for windows and conditions
        named = {shown(one): one for one in members}
    return named if len(named) == len(members) and (named or value is not None) else None


def _has_name(member: Any) -> bool:
    """Whether it is a document that is told from its siblings by what it is called; windows are their own names."""
    return isinstance(member, dict) and "kind" in member and member["kind"] != "Window"


def _name(document: Mapping[str, Any]) -> str:
    if document["kind"] == "Aggregation":
        return str(document.get("name") or _function(document))
    view = document.get("view")
    return str(document.get("name") or (view["name"] if view else ""))


def _function(document: Mapping[str, Any]) -> str:
    """An aggregation's function of a column, with its arguments: `last_n(amount, n=3)`."""
    arguments = (f"{name}={shown(one)}" for name, one in document.get("arguments", {}).items())
    return f"{document['function']}({', '.join(filter(None, (document.get('column'), *arguments)))})"


def _aggregation(document: Mapping[str, Any]) -> str:
    where = f" where {document['where']}" if "where" in document else ""
    return f"{_function(document)} over {', '.join(map(shown, document['over']))}{where}"


def shown(value: Any) -> str:
    """A value of a document, or a document within one, for people."""
    if value is None:
        return "not set"
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if not isinstance(value, dict):
        return str(value)
    if "ref" in value:
        return str(value["name"])
    if value.get("kind") == "Field":
        return str(value["dtype"])
    if value.get("kind") == "Window":
        return words_of(Window(**{name: one for name, one in value.items() if name != "kind"}))
    if value.get("kind") == "Aggregation":
        return _aggregation(value)
    return f"{{{', '.join(f'{name}: {shown(one)}' for name, one in value.items() if name != 'kind')}}}"
