"""Apply: make the registry say what the objects say, after showing what that changes.

    given → merged with what is registered → resolved against the sources → diff → commit

`plan` stops before the commit; both take the same path, so that what was shown is what happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from gnomon.definitions.catalog import Catalog, Key
from gnomon.definitions.codec import Definition, stored_fingerprint
from gnomon.definitions.entities import Entity
from gnomon.definitions.views import FeatureView
from gnomon.flows.repo import repo_definitions
from gnomon.flows.resolve import resolve
from gnomon.plan.changes import Change, affected_views, diff, differences, render

if TYPE_CHECKING:
    from gnomon.contracts.engine import Engine
    from gnomon.contracts.registry import Registry

__all__ = ["Plan", "apply", "plan", "repo_definitions", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What applying changes, or has changed; print it.

    Args:
        project: the project.
        base: the version it starts from.
        version: the version it became; None while it is only a plan.
        changes: what changes, ordered by kind and id.
        notes: what authors should know, a sentence each.
        affected: views (`name@version`) there before and after whose answers differ.
        reload: those of them that may be online, and should be loaded anew.
    """

    project: str
    base: int
    version: int | None = None
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.changes:
            parts = ["Nothing to change."]
        else:
            parts = [self._headline(), "\n".join(render(change) for change in self.changes)]
        if self.affected:
            told = [f"Answers of {', '.join(self.affected)} will differ from those given so far."]
            if self.reload:
                told.append("Reload what is online of them: gnomon materialize --replace")
            parts.append("\n".join(told))
        return "\n\n".join([*parts, *(f"Note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON: its fields, each change with its `action` and the `fields` that differ."""
        changes = [
            {
                **asdict(change),
                "affects": list(change.affects),
                "action": change.action,
                "fields": [asdict(one) for one in differences(change.before or {}, change.after or {})],
            }
            for change in self.changes
        ]
        return {
            "project": self.project,
            "base": self.base,
            "version": self.version,
            "changes": changes,
            "notes": list(self.notes),
            "affected": list(self.affected),
            "reload": list(self.reload),
        }

    def _headline(self) -> str:
        count = f"{len(self.changes)} change{'s' if len(self.changes) > 1 else ''}"
        if self.version is None:
            return f"Project {self.project}: {count} to apply on version {self.base}."
        return f"Project {self.project}: {count} applied, now at version {self.version}."


def plan(registry: Registry, engine: Engine, project: str, objects: Sequence[Any], prune: bool = False) -> Plan:
    """What `apply` would change.

    Args:
        registry: holds what is registered.
        engine: reads the sources' columns.
        project: the project.
        objects: definitions; what they reach is meant too.
        prune: take out what is registered and not among them; otherwise it stays.

    Raises:
        DefinitionError: a definition is wrong or does not fit its source.
        SourceError: a source cannot be read.
    """
    base = registry.read(project)
    given = Catalog.of(objects)
    wanted = given if prune else base.catalog.with_definitions(_wanted(base.catalog, given, objects))
    known = base.catalog.definitions
    only = {key for key, one in wanted.definitions.items() if key in given.definitions or one != known.get(key)}
    resolved = resolve(wanted, engine, only=only)
    affected = affected_views(base.catalog, resolved.catalog)
    views = resolved.catalog.views
    return Plan(
        project=project,
        base=base.version,
        changes=diff(base.catalog, resolved.catalog),
        notes=resolved.notes,
        affected=affected,
        reload=tuple(name for name in affected if name in views and _to_reload(base.catalog.views[name], views[name])),
    )


def apply(
    registry: Registry,
    engine: Engine,
    project: str,
    objects: Sequence[Any],
    prune: bool = False,
    expected_version: int | None = None,
    *,
    at: int,
    by: str,
) -> Plan:
    """Commit what `plan` shows, all or none.

    Args:
        registry: holds what is registered.
        engine: reads the sources' columns.
        project: the project.
        objects: definitions; what they reach is meant too.
        prune: take out what is registered and not among them; otherwise it stays.
        expected_version: the version the caller looked at; by default the newest when it starts.
        at: now, in µs UTC.
        by: who: a login name.

    Raises:
        ConflictError: the project is at another version than expected, or somebody else applied meanwhile.
        DefinitionError: a definition is wrong or does not fit its source.
        SourceError: a source cannot be read.
    """
    planned = plan(registry, engine, project, objects, prune=prune)
    expected = planned.base if expected_version is None else expected_version
    version = registry.commit(project, planned.changes, expected_version=expected, at=at, by=by)
    return replace(planned, version=version)


def _to_reload(before: FeatureView, after: FeatureView) -> bool:
    """Whether what is online of a view is no longer what the view says; defaults are put in when it is read."""
    return after.online and stored_fingerprint(before) != stored_fingerprint(after)


def _wanted(registered: Catalog, given: Catalog, objects: Sequence[Any]) -> dict[Key, Definition | None]:
    """What is given, but for entities a view only mentions by name: of those, what is registered stays."""
    meant = {one.name for one in objects if isinstance(one, Entity)}

    def only_mentioned(one: Definition) -> bool:
        return isinstance(one, Entity) and one.name not in meant and one == Entity(name=one.name)

    known = registered.definitions
    return {key: one for key, one in given.definitions.items() if not (key in known and only_mentioned(one))}
