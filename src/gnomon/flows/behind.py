"""Behind: how far what is online is behind the logs of pushed events, view by view. Cheap: marks and ends are read.

[Behind(source="payments", view="spend@1", position=120, applied=118, stamped=…)]
"""

from __future__ import annotations

from dataclasses import dataclass

from gnomon.contracts.log import Logs
from gnomon.contracts.online import OnlineStore
from gnomon.contracts.registry import Snapshot
from gnomon.core.marks import MARK, Mark
from gnomon.definitions.sources import PushSource
from gnomon.flows.tables import table_of

__all__ = ["Behind", "behind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """How far a view is behind its log.

    Args:
        source: the push source.
        view: `name@version`.
        position: the log's last event; 0 where there is none.
        applied: the last event that was applied; 0 where none was.
        stamped: the known time of that event, µs; None where none was applied.
    """

    source: str
    view: str
    position: int
    applied: int
    stamped: int | None

    @property
    def events(self) -> int:
        """How many events are in the log, and not online."""
        return max(self.position - self.applied, 0)

    def seconds(self, now: int) -> float:
        """For how long at most the oldest of them has been waiting, at an instant (µs); 0 where there is none."""
        return (now - self.stamped) / 1e6 if self.events and self.stamped is not None else 0.0


def behind(snapshot: Snapshot, logs: Logs, store: OnlineStore) -> list[Behind]:
    """How far each view of a push source that is online is behind.

    Args:
        snapshot: the definitions.
        logs: the logs.
        store: what is online.

    Raises:
        BackendError: a log or the store cannot be read.
    """
    views = [one for one in snapshot.catalog.views.values() if one.online and isinstance(one.source, PushSource)]
    found = store.read([(table_of(snapshot.project, view), [MARK]) for view in views]) if views else []
    # The marks first: what is applied meanwhile makes nobody look further ahead than the log is.
    ends = {name: logs.log(name).position() for name in {view.source.name for view in views}}
    marks = [Mark.from_bytes(raw) for (raw,) in found]
    return [
        Behind(
            source=view.source.name,
            view=view.id,
            position=ends[view.source.name],
            applied=mark.position if mark else 0,
            stamped=mark.stamped if mark else None,
        )
        for view, mark in zip(views, marks, strict=True)
    ]
