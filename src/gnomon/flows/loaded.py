"""What a row view of files had online at an instant: its table keeps no mark, so the registry's loads say it."""

from __future__ import annotations

from collections.abc import Sequence

from gnomon.contracts.registry import Registry, Run
from gnomon.definitions.sources import PushSource
from gnomon.definitions.views import FeatureView
from gnomon.plan.questions import NO_ROWS, Through

__all__ = ["Loads", "is_of_runs"]


def is_of_runs(view: FeatureView) -> bool:
    """Whether only the registry knows what of a view is online."""
    return not view.aggregations and not isinstance(view.source, PushSource)


class Loads:
    """The loads of a project's views, each view's looked up once.

    Args:
        registry: remembers them.
        project: the project.
    """

    def __init__(self, registry: Registry, project: str) -> None:
        self._registry, self._project = registry, project
        self._runs: dict[str, Sequence[Run]] = {}

    def last(self, view: str, at: int) -> Run | None:
        """The last load of a view, by its id, that was done by an instant (µs)."""
        return next((run for run in self._of(view) if run.finished <= at), None)

    def through(self, view: str, at: int) -> Through:
        """Which rows of files a view, by its id, had at an instant (µs)."""
        whole = (run for run in self._of(view) if run.start is None and run.finished <= at)
        return next((Through(end=run.end, known=max(run.end, run.started)) for run in whole), NO_ROWS)

    def _of(self, view: str) -> Sequence[Run]:
        if view not in self._runs:
            self._runs[view] = self._registry.runs(self._project, view)
        return self._runs[view]
