"""Dead letters: messages that could not become events are kept, each once, with the reason, before their offsets count.

They lie in a log of their own, `.gnomon/rejected/SOURCE`, since a log does what they need: an append is durable, and
what a worker that was killed in between appends again is recognised by its offsets. Sealed, they are Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from gnomon.contracts.log import Log
from gnomon.contracts.streams import Letter
from gnomon.errors import ConflictError

__all__ = ["Letters"]

SCHEMA = pa.schema(
    [("payload", pa.binary()), ("reason", pa.string()), ("partition", pa.string()), ("offset", pa.int64())]
)


class Letters:
    """The dead letters of a source.

    Args:
        log: where they are kept.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: dict[str, int] | None = None
        self._written = False

    def unseen(self, letters: Sequence[Letter]) -> list[Letter]:
        """Those that were not kept before."""
        if not letters:
            return []
        self._known = self._log.offsets() if self._known is None else self._known
        return [one for one in letters if one.offset > self._known.get(one.partition, -1)]

    def keep(self, letters: Sequence[Letter]) -> None:
        """Keep letters, durably; those that were kept before are left out."""
        while new := self.unseen(letters):
            known = self._known or {}
            last = {one.partition: one.offset for one in new}
            try:
                self._log.append(_table(new), last, after={name: known.get(name, -1) for name in last})
            except ConflictError as wrong:
                if "offsets" not in wrong.facts:
                    raise
                self._known = None
                continue
            self._known, self._written = {**known, **last}, True

    def seal(self) -> None:
        """Let others read them."""
        if self._written:
            self._log.seal()


def _table(letters: Sequence[Letter]) -> pa.Table:
    rows = {
        "payload": [one.payload for one in letters],
        "reason": [one.reason for one in letters],
        "partition": [one.partition for one in letters],
        "offset": [one.offset for one in letters],
    }
    return pa.table(rows, schema=SCHEMA)
