"""`GET /metrics`: what was counted, and what is looked at when Prometheus asks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from fastapi import APIRouter, Response

from gnomon.errors import GnomonError
from gnomon.flows.behind import behind
from gnomon.flows.exposition import CONTENT_TYPE, Family, Sample, exposition
from gnomon.server.access.contract import Scope
from gnomon.server.context import Context
from gnomon.server.routes.guard import Guarded, needs
from gnomon.server.routes.parts import Shared

__all__ = ["LOOKS", "router"]

_log = logging.getLogger(__name__)
router = APIRouter(route_class=Guarded, tags=["health"])
TEXT = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text format."}}


@router.get("/metrics", response_class=Response, responses=TEXT, openapi_extra=needs(Scope.METRICS))  # type: ignore[arg-type]
async def metrics(parts: Shared) -> Response:
    """What was counted by all workers, as Prometheus reads it."""
    text = await parts.hands.run(partial(_text, parts.context))
    return Response(text, headers={"content-type": CONTENT_TYPE})


def _text(context: Context) -> str:
    return context.metrics.text() + exposition(family for look in LOOKS for family in _looked(look, context))


def _looked(look: Callable[[Context], Iterable[Family]], context: Context) -> Iterable[Family]:
    """What a look finds; what cannot be looked at is left out, and the rest told."""
    try:
        return list(look(context))
    except GnomonError:
        _log.warning("%s cannot be told", look.__name__, exc_info=True)
        return ()


def ingest_lag(context: Context) -> Iterator[Family]:
    """How far what is online is behind the logs of pushed events."""
    store = context.store
    if store.config.online_store is None:
        return
    found, now = behind(context.definitions.snapshot, store.logs, store.online), store.clock.now()
    of = [(one, {"source": one.source, "view": one.view}) for one in found]
    ends = {one.source: one.position for one in found}
    yield Family(
        "gnomon_ingest_lag_events",
        "gauge",
        "Events that are in the log, and not online.",
        [Sample(one.events, labels) for one, labels in of],
    )
    yield Family(
        "gnomon_ingest_lag_seconds",
        "gauge",
        "For how long at most an event has been in the log, and not online.",
        [Sample(one.seconds(now), labels) for one, labels in of],
    )
    yield Family(
        "gnomon_log_position",
        "gauge",
        "The position of the log's last event.",
        [Sample(position, {"source": source}) for source, position in sorted(ends.items())],
    )


LOOKS: tuple[Callable[[Context], Iterable[Family]], ...] = (ingest_lag,)
"""What is looked at, beside what was counted."""
