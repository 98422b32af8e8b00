"""Keeping logs: what they hold, merging their files, letting old events go.

Trimming knows the views. An event that a window, or a row's ttl, may still reach is kept, whoever asks; a view that may
reach any event, however old, has to be passed over by force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from gnomon.clock import Clock, duration_text, instant_text, micros_of
from gnomon.contracts.log import Logs, LogStatus, Merged
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.sources import PushSource
from gnomon.definitions.views import FeatureView
from gnomon.errors import ConfigError, NotRegistered, RequestError

__all__ = ["TrimReport", "merge_logs", "reach_of", "status_of_logs", "trim_logs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimReport:
    """What trimming did to one log.

    Args:
        source: the push source.
        limit: events that happened or were known at this instant (µs) or later stay.
        events: how many went.
        files: in how many files.
        begins: the position that the log begins with now.
        notes: what the operator should know.
    """

    source: str
    limit: int
    events: int = 0
    files: int = 0
    begins: int = 1
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        line = f"{self.source}: {self.events} events from before {instant_text(self.limit)} are gone"
        line += f"; the log begins at position {self.begins}." if self.begins > 1 else "."
        return "\n  ".join([line, *(f"note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)


def status_of_logs(catalog: Catalog, logs: Logs, source: str | None = None) -> dict[str, LogStatus]:
    """What the logs hold, by source; those of sources that are registered no more, too.

    Args:
        catalog: the definitions.
        logs: the logs.
        source: only this source's.

    Raises:
        NotRegistered: there is no such source, nor a log of that name.
    """
    return {name: logs.log(name).status(_happened(catalog, name)) for name in _names(catalog, logs, source)}


def merge_logs(catalog: Catalog, logs: Logs, source: str | None = None) -> dict[str, Merged]:
    """Merge the files of logs, by source.

    Args:
        catalog: the definitions.
        logs: the logs.
        source: only this source's.

    Raises:
        NotRegistered: there is no such source, nor a log of that name.
        ConflictError: somebody else keeps the log for too long.
    """
    return {name: logs.log(name).merge() for name in _names(catalog, logs, source)}


def trim_logs(
    catalog: Catalog,
    logs: Logs,
    clock: Clock,
    source: str | None = None,
    *,
    before: int | None = None,
    retain: timedelta | None = None,
    force: bool = False,
) -> tuple[TrimReport, ...]:
    """Let events go that are older than an instant, or than logs retain them.

    Args:
        catalog: the definitions.
        logs: the logs.
        clock: says what time it is.
        source: only this source's; it has to be named where `before` is.
        before: the instant, µs.
        retain: how long events are kept, where no instant is given.
        force: pass over views that may need any event, however old. Without it, a source with such a view is refused;
            where no source is named, it is left alone, and its report says so.

    Raises:
        NotRegistered: there is no such push source.
        RequestError: neither an instant nor how long is said, or a view needs events from before the instant.
        ConfigError: a view needs events for longer than they are retained.
        ConflictError: somebody else keeps the log for too long.
    """
    if before is None and retain is None:
        raise RequestError(
            "nothing says how old events have to be to go.",
            hint="say before=… (--before), or log: {retain: 400d} in feature_store.yaml.",
        )
    if before is not None and source is None:
        raise RequestError("before= needs a source.", hint="name the push source whose events shall go.")
    chosen = [_push_source(catalog, source)] if source else _push_sources(catalog)
    now = clock.now()
    limit = before if before is not None else now - micros_of(retain or timedelta(0))
    left_out: dict[str, TrimReport] = {}
    for one in chosen:
        for view in _views(catalog, one):
            if (reach := reach_of(view)) is not None:
                _check_reach(view, reach, now, before, retain)
            elif not force:
                refused = _needs_all(view)
                if source:
                    raise refused
                left_out[one.name] = TrimReport(source=one.name, limit=limit, notes=(f"left alone: {refused.what}",))
    return tuple(left_out.get(one.name) or _trimmed(logs, one, limit) for one in chosen)


def reach_of(view: FeatureView) -> int | None:
    """How far back of an instant a view may need an event, in µs; None for any distance."""
    if not view.aggregations:
        return None if view.ttl is None else micros_of(view.ttl)
    reaches = [window.reach for one in view.aggregations for window in one.over]
    return None if None in reaches else max(reach for reach in reaches if reach is not None)


def _trimmed(logs: Logs, source: PushSource, limit: int) -> TrimReport:
    done = logs.log(source.name).trim(limit, source.timestamp_field)
    notes = []
    if done.events and source.batch_source is not None and source.event_id:
        notes.append(
            f"rows of {source.batch_source.name!r} whose events are gone from the log count again, as they stand there."
        )
    return TrimReport(
        source=source.name,
        limit=limit,
        events=done.events,
        files=done.files,
        begins=done.begins,
        notes=tuple(notes),
    )


def _needs_all(view: FeatureView) -> RequestError:
    why = "a lifetime window" if view.aggregations else "no ttl"
    return RequestError(
        f"view {view.id!r} has {why}: it may need any event of {view.source.name!r}, however old.",
        hint="give it a window or a ttl, or trim by force: force=True (--force).",
        view=view.id,
    )


def _check_reach(view: FeatureView, reach: int, now: int, before: int | None, retain: timedelta | None) -> None:
    """Refuse to let go what a view may need."""
    needed = duration_text(timedelta(microseconds=reach))
    if before is not None and before > now - reach:
        raise RequestError(
            f"view {view.id!r} needs the events of the last {needed}, that is since {instant_text(now - reach)}.",
            hint="trim before that instant, or shorten what the view needs.",
            view=view.id,
            reach=reach,
        )
    if before is None and retain is not None and micros_of(retain) < reach:
        raise ConfigError(
            f"log: retain is {duration_text(retain)}, and view {view.id!r} needs the events of the last {needed}.",
            hint=f"retain them for {needed} at least, or shorten what the view needs.",
            view=view.id,
            reach=reach,
        )


def _views(catalog: Catalog, source: PushSource) -> Iterator[FeatureView]:
    yield from (view for _, view in sorted(catalog.views.items()) if view.source == source)


def _names(catalog: Catalog, logs: Logs, source: str | None) -> list[str]:
    known = sorted({*logs.names(), *(one.name for one in _push_sources(catalog))})
    if source is None:
        return known
    if source not in known:
        raise NotRegistered(kind="push source", name=source, known=known)
    return [source]


def _push_sources(catalog: Catalog) -> list[PushSource]:
    sources: Mapping[str, Any] = catalog.sources
    return [one for _, one in sorted(sources.items()) if isinstance(one, PushSource)]


def _push_source(catalog: Catalog, name: str) -> PushSource:
    found = catalog.sources.get(name)
    if not isinstance(found, PushSource):
        raise NotRegistered(kind="push source", name=name, known=[one.name for one in _push_sources(catalog)])
    return found


def _happened(catalog: Catalog, name: str) -> str:
    found = catalog.sources.get(name)
    return found.timestamp_field if isinstance(found, PushSource) else ""
