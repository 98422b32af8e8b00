"""`GET /explain`: the events behind one value."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from gnomon.flows.explanation import Explanation
from gnomon.server.access.contract import Scope
from gnomon.server.routes.answers import Answer
from gnomon.server.routes.features import EntityPairs, keys_of
from gnomon.server.routes.guard import Guarded, needs
from gnomon.server.routes.parts import Parts, Shared
from gnomon.server.spelt import read_keys

__all__ = ["router"]

router = APIRouter(route_class=Guarded, tags=["features"])


@router.get("/explain", response_model=dict[str, Any], openapi_extra=needs(Scope.BATCH))
async def explain(
    parts: Shared,
    feature: Annotated[str, Query(description="`view:feature`, or `view@2:feature` for a version.")],
    entity: EntityPairs,
    at: Annotated[str | None, Query(description="The instant of the value; by default now.")] = None,
    as_known: Annotated[str, Query(description="How much hindsight: `now`, `then`, an instant, a token.")] = "now",
) -> Response:
    """Why a feature of an entity has the value it has: the events behind it, those left out, and the reasons."""
    explained = await parts.hands.run(partial(_explained, parts, feature, entity, at, as_known))
    return Answer(explained.to_dict())


def _explained(parts: Parts, feature: str, entity: list[str], at: str | None, as_known: str) -> Explanation:
    keys = read_keys(parts.context.definitions.snapshot.catalog, feature, keys_of(entity))
    return parts.context.store.explain(feature, keys, at, as_known)
