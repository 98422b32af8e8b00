"""The functions of on-demand views, brought from the repo's files beside requests whenever definitions have moved."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Hashable, Iterable

from gnomon.contracts.registry import Snapshot
from gnomon.core.functions import Code
from gnomon.errors import BackendError, DefinitionError
from gnomon.flows.repo import bring_functions, repo_files
from gnomon.store import FeatureStore

__all__ = ["Functions", "not_here"]

log = logging.getLogger("gnomon.server")


class Functions:
    """Brings functions; what is lacking is looked for again when the repo's files have changed.

    Args:
        store: whose definitions it brings functions for.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._lacking: dict[Code, str] = {}
        self._told: set[Code] = set()

    def read(self) -> Snapshot:
        """The newest definitions; their functions are at hand, or it has been said why not.

        Raises:
            BackendError: the registry cannot be read.
        """
        snapshot = self._store.snapshot()
        codes = {view.code: view.name for view in snapshot.catalog.on_demand_views.values() if view.code is not None}
        self._bring(code for code in codes if not code.at_hand)
        self._lacking = {code: name for code, name in codes.items() if not code.at_hand}
        self._tell()
        return snapshot

    def newest(self) -> Hashable:
        """What tells the newest definitions and functions from others, for less than reading them costs."""
        return tuple(self._store.history(1)), self._files() if self._lacking else None

    def _bring(self, codes: Iterable[Code]) -> None:
        if lacking := list(codes):
            bring_functions(self._store.repo_path, [code.place for code in lacking])
        for code in lacking:
            with contextlib.suppress(DefinitionError):
                _ = code.function  # one of an importable module

    def _files(self) -> Hashable:
        """What tells the repo's files from what they were."""
        found = []
        for file in repo_files(self._store.repo_path.resolve()):
            with contextlib.suppress(OSError):  # gone meanwhile
                found.append((file, file.stat().st_mtime_ns, file.stat().st_size))
        return tuple(found)

    def _tell(self) -> None:
        for code, name in self._lacking.items():
            if code not in self._told:
                log.warning(
                    "on-demand view %r is not served: this server's files have not the code of %r that was applied.",
                    *(name, code.place),
                )
        self._told = set(self._lacking)


def not_here(wrong: DefinitionError) -> BackendError:
    """What a reader is told, who defines nothing: what is wrong with definitions, or their code, is the operator's."""
    return BackendError(
        f"this server cannot compute what is asked: {wrong.what}",
        instead=wrong.instead,
        hint="bring the files that were applied to where it runs, or apply those that are there; it looks again when "
        "they, or the registry, change.",
    )
