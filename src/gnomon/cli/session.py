"""What one run of a command holds: the repo it works on, and whether a person or a program reads its answer."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnomon.store import FeatureStore

__all__ = ["Session"]


@dataclass(frozen=True, slots=True)
class Session:
    """The options every command has.

    Args:
        repo: the repo's folder.
        json: whether the answer is JSON.
    """

    repo: Path
    json: bool

    def store(self) -> FeatureStore:
        """The repo's store."""
        from gnomon.store import FeatureStore

        if str(self.repo) not in sys.path:
            sys.path.append(str(self.repo))  # where the repo's own aggregations are imported from
        return FeatureStore(self.repo)

    def reads(self, given: str) -> str:
        """A path as typed: from where the person stands, if something is there, else from the repo."""
        return str(Path(given).absolute()) if os.path.lexists(given) else given
