"""The registry: every state a project's definitions ever had, and what was materialized when.

A change of definitions is a value; a commit is a list of them against the version they were made for. Diff, audit,
locking and going back in time are then one mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gnomon.definitions.catalog import Catalog
from gnomon.plan.changes import Change

__all__ = ["Change", "Commit", "Registry", "Run", "Snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One entry of a project's history.

    Args:
        version: 1 for a project's first commit, then one more each time.
        at: when, in µs UTC.
        by: who: a login name.
        changes: what changed.
    """

    version: int
    at: int
    by: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A project's definitions at one version; version 0 is the empty project.

    Args:
        project: the project.
        version: the version.
        catalog: the definitions.
    """

    project: str
    version: int
    catalog: Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One finished materialization of one view.

    Args:
        view: the view's `name@version`.
        fingerprint: the view's fingerprint then.
        start: rows that happened or became known before this instant (µs) were not looked for; None for no limit.
        end: rows that happened after this instant (µs) were not loaded.
        started: when the run asked its question, µs.
        finished: when it ended, µs.
        rows: rows read from the source.
        replaced: whether it reloaded the view from nothing.
        files: (path, size in bytes, modification time in ns) of the files read; empty where there were too many.
    """

    view: str
    fingerprint: str
    start: int | None
    end: int
    started: int
    finished: int
    rows: int
    replaced: bool = False
    files: tuple[tuple[str, int, int], ...] = ()


class Registry(Protocol):
    """Every state of every project's definitions.

    Every method raises `BackendError` when the registry cannot be reached or is broken, `NewerFormat` when a newer
    gnomon wrote it. Projects in one registry never see each other.
    """

    def read(self, project: str, version: int | None = None) -> Snapshot:
        """A project's definitions at a version, by default the newest; a new project is empty, at version 0.

        Raises:
            RequestError: there was no such version.
        """
        ...

    def commit(self, project: str, changes: Sequence[Change], *, expected_version: int, at: int, by: str) -> int:
        """Put changes in, all or none, and return the new version.

        No changes, no commit: the expected version is returned, if it is the newest.

        Raises:
            ConflictError: the project's newest version is another than `expected_version`.
        """
        ...

    def history(self, project: str, limit: int | None = None) -> list[Commit]:
        """The project's commits, newest first."""
        ...

    def record(self, project: str, run: Run) -> None:
        """Remember a finished materialization; each view keeps its last hundred, and only the last one's files."""
        ...

    def runs(self, project: str, view: str | None = None) -> list[Run]:
        """Materializations of one view (`name@version`) or of all, newest first."""
        ...

    def forget(self, project: str) -> None:
        """Remove a project with its history and runs, and nothing of any other project."""
        ...

    def projects(self) -> list[str]:
        """The projects that have ever committed something, ordered."""
        ...

    def close(self) -> None:
        """Release connections; closing twice is fine."""
        ...
