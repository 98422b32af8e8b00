"""Routes that write: events for push sources, and rows for views; both go through the log, as any write."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from gnomon.definitions.sources import PushSource
from gnomon.definitions.views import FeatureView
from gnomon.errors import RequestError, listing
from gnomon.flows.ingest import PushReport
from gnomon.server.access.contract import Scope
from gnomon.server.routes.answers import Answer
from gnomon.server.routes.bodies import document, takes
from gnomon.server.routes.guard import Guarded, needs
from gnomon.server.routes.parts import Parts, Shared
from gnomon.server.routes.shapes import Columns, PushDocument, PushRequest, WriteRequest
from gnomon.server.spelt import pushed_types, read_columns, read_rows

__all__ = ["router"]

INSTANT, CREATED = "event_timestamp", "created"
"""What Feast's clients call the event time, and the instant that a row was made."""

router = APIRouter(route_class=Guarded, tags=["writing"])


@router.post("/push", response_model=PushDocument, openapi_extra=needs(Scope.WRITE, **takes(PushRequest)))
async def push(parts: Shared, request: Request) -> Response:
    """Append events to a push source's log, and feed what is online from it. Rows that do not fit are told of.

    A push of which no row fits is an error.
    """
    asked = await document(parts, request, PushRequest)
    if (asked.df is None) == (asked.events is None):
        raise RequestError("say which events are pushed, once.", hint="pass df, a list per column; or events, a list.")
    events: Any = asked.df if asked.events is None else asked.events
    return await _pushed(parts, asked.push_source_name, events, asked.to, asked.offsets)


@router.post(
    "/write-to-online-store", response_model=PushDocument, openapi_extra=needs(Scope.WRITE, **takes(WriteRequest))
)
async def write_to_online_store(parts: Shared, request: Request) -> Response:
    """Write rows of a view, by pushing them to the push source that it stands on."""
    asked = await document(parts, request, WriteRequest)
    view = parts.context.definitions.snapshot.catalog.view(asked.feature_view_name)
    source = view.source
    if not isinstance(source, PushSource):
        raise RequestError(
            f"feature view {view.name!r} stands on files ({source.name!r}), and has no log to write to.",
            hint="write the files, and POST /materialize-incremental; or put a PushSource before them.",
        )
    return await _pushed(parts, source.name, _events(view, source, asked.df), "online_and_offline", {})


async def _pushed(parts: Parts, source: str, events: Any, to: str, offsets: dict[str, int]) -> Response:
    report = await parts.hands.run(partial(_push, parts, source, events, to, offsets))
    if report.rejected and not report.appended:
        raise _none_fits(report)
    return Answer(report.to_dict())


def _push(parts: Parts, source: str, events: Any, to: str, offsets: dict[str, int]) -> PushReport:
    context = parts.context
    types = pushed_types(context.definitions.snapshot.catalog, source)
    read: Any = read_rows(events, types) if isinstance(events, list) else read_columns(events, types)
    return context.store.push(source, read, to, offsets=offsets)


def _none_fits(report: PushReport) -> RequestError:
    reasons = list(dict.fromkeys(one.reason for one in report.rejections))
    return RequestError(
        f"none of the {report.rejected} events fits push source {report.source!r}; nothing was pushed.",
        instead=f"Why: {listing(reasons, 3)}.",
        hint="correct them, and push them again.",
    )


def _events(view: FeatureView, source: PushSource, df: Columns) -> Columns:
    """Rows of a view as events of its source: the columns that Feast's clients name otherwise are renamed."""
    names = {one.name for one in source.schema}
    events = {name: column for name, column in df.items() if name in names or name != CREATED}
    if INSTANT not in names and INSTANT in events and source.timestamp_field not in events:
        events[source.timestamp_field] = events.pop(INSTANT)
    return events
