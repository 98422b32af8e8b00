"""What the routes of one server share."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from gnomon.contracts.registry import Snapshot
from gnomon.server.access.contract import Access, Open
from gnomon.server.metrics import Metrics, Quiet
from gnomon.server.recording import Recorder
from gnomon.server.settings import ServerSettings
from gnomon.store import FeatureStore

__all__ = ["Context", "Definitions"]


class Definitions:
    """The definitions requests go by: looked at anew beside requests, never within one.

    Args:
        read: gives the newest.
        newest: gives what tells the newest from others, for less than reading it costs.
    """

    def __init__(self, read: Callable[[], Snapshot], newest: Callable[[], Hashable] | None = None) -> None:
        self._read, self._newest = read, newest
        self._seen = None if newest is None else newest()
        self.snapshot = read()
        self.before: list[Callable[[Snapshot], Callable[[], object]]] = []
        """What is made ready for new definitions while requests still go by the old: each gives what puts it in place,
        which takes no time."""

    def refresh(self) -> bool:
        """Look at the registry, and whether it has moved; what was known stays if it cannot be read.

        Raises:
            BackendError: it cannot.
        """
        seen = None if self._newest is None else self._newest()
        if seen is not None and seen == self._seen:
            return False
        found = self._read()
        self._seen = seen
        if found.catalog == self.snapshot.catalog and found.version == self.snapshot.version:
            return False
        ready = [prepare(found) for prepare in self.before]
        self.snapshot = found
        for put_in_place in ready:
            put_in_place()
        return True


@dataclass(slots=True, kw_only=True)
class Context:
    """What the routes of one server share.

    Args:
        store: whose features it serves.
        settings: how it behaves.
        access: who may ask.
        metrics: counts.
        recorder: keeps what was served.
        definitions: the newest definitions known.
    """

    store: FeatureStore
    settings: ServerSettings
    definitions: Definitions
    recorder: Recorder
    access: Access = field(default_factory=Open)
    metrics: Metrics = field(default_factory=Quiet)
