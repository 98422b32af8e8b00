"""Whether the names in a folder are still those that were seen, without listing them.

They are if the folder's modification time is what it was, and was not new at the look: the system counts these times in
steps of some ms, and within a step a name may come after the look.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Names"]

SECOND = 1_000_000_000
STEP, COARSE_STEP = SECOND // 20, 5 * SECOND // 2
"""A modification time this old, in ns, is another than that of any later change; some systems count whole seconds."""


class Names:
    """The names in a folder, as of the last look.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: int | None = None

    def hold(self) -> bool:
        """Whether no name came or went since the last look; False where that cannot be told."""
        return self._seen is not None and self._seen == self._changed()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Around a look at all names."""
        self._seen = None
        at, changed = time.time_ns(), self._changed()
        yield
        if changed is not None and at - changed > (STEP if changed % SECOND else COARSE_STEP):
            self._seen = changed

    def _changed(self) -> int | None:
        try:
            return self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None
