"""Routes of the catalog: which features there are, what each comes from, and registering more."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from gnomon.errors import RequestError
from gnomon.plan.lineage import Lineage
from gnomon.plan.references import reference_of, resolve
from gnomon.server.access.contract import Scope
from gnomon.server.routes.answers import Answer
from gnomon.server.routes.bodies import document, takes
from gnomon.server.routes.catalog import Wanted, detailed, listed
from gnomon.server.routes.guard import Guarded, needs
from gnomon.server.routes.parts import Asking, Parts, Shared
from gnomon.server.routes.register import register
from gnomon.server.routes.shapes import FeatureDocument, FeatureList, LineageDocument, PlanDocument, RegisterRequest
from gnomon.server.spelt import read_keys

__all__ = ["keys_of", "router"]

router = APIRouter(route_class=Guarded, tags=["features"])
EntityPairs = Annotated[
    list[str], Query(description="A join key of the entity, `user_id=7`; once for each.", default_factory=list)
]


@router.get("/features", response_model=FeatureList, openapi_extra=needs(Scope.READ))
async def list_features(
    parts: Shared,
    view: Annotated[str | None, Query(description="Only of this view, `name` or `name@version`.")] = None,
    entity: Annotated[str | None, Query(description="Only of views of this entity.")] = None,
    service: Annotated[str | None, Query(description="Only those of this feature service.")] = None,
    owner: Annotated[str | None, Query(description="Only of views of this owner.")] = None,
    tag: Annotated[str | None, Query(description="Only of views with this tag, `name` or `name:value`.")] = None,
    online: Annotated[bool | None, Query(description="Only of views that are, or are not, online.")] = None,
    search: Annotated[str | None, Query(description="Only those with this text in name or description.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="So many at most.")] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1, description="After so many.")] = 0,
) -> Response:
    """All features of all views, by name, page by page."""
    snapshot = parts.context.definitions.snapshot
    wanted = Wanted(view=view, entity=entity, service=service, owner=owner, tag=tag, online=online, search=search)
    found = await parts.hands.run(partial(listed, snapshot.catalog, wanted))
    page = found[offset : offset + limit]
    return Answer({"features": page, "total": len(found), "registry_version": snapshot.version})


@router.get("/features/{name:path}/lineage", response_model=LineageDocument, openapi_extra=needs(Scope.READ))
async def feature_lineage(
    parts: Shared,
    request: Request,
    name: str,
    entity: EntityPairs,
    at: Annotated[str | None, Query(description="The instant of the value; by default now.")] = None,
    as_known: Annotated[str, Query(description="How much hindsight: `now`, `then`, an instant, a token.")] = "now",
) -> Response:
    """What a feature comes from, and who uses it; with an entity (scope `batch`), the events its value is made of."""
    if entity:
        parts.context.access.check(request.headers.raw, Scope.BATCH)  # as for explain, which shows the same events
    graph = await parts.hands.run(partial(_lineage, parts, name, entity, at, as_known))
    return Answer(graph.to_dict())


@router.get("/features/{name:path}", response_model=FeatureDocument, openapi_extra=needs(Scope.READ))
async def one_feature(parts: Shared, name: str) -> Response:
    """One feature: `view:feature`, or `view@2:feature` for a version."""
    snapshot = parts.context.definitions.snapshot
    view, _, feature = reference_of(snapshot.catalog, name).partition(":")
    resolve(snapshot.catalog, [f"{view}:{feature}"])
    return Answer(detailed(snapshot.catalog, snapshot.catalog.any_view(view), feature))


@router.post("/features", response_model=PlanDocument, openapi_extra=needs(Scope.MANAGE, **takes(RegisterRequest)))
async def register_definitions(parts: Shared, caller: Asking, request: Request) -> Response:
    """Register definitions, as documents; with `dry_run`, say what that would change."""
    asked = await document(parts, request, RegisterRequest)
    by = caller.name or caller.id or "http"
    plan = await parts.hands.run(
        partial(register, parts.context, asked.definitions, asked.expected_version, dry_run=asked.dry_run, by=by)
    )
    return Answer(plan.to_dict())


def _lineage(parts: Parts, name: str, entity: list[str], at: str | None, as_known: str) -> Lineage:
    catalog = parts.context.definitions.snapshot.catalog
    keys = read_keys(catalog, name, keys_of(entity)) if entity else None
    return parts.context.store.get_lineage(name, keys, at, as_known)


def keys_of(pairs: list[str]) -> dict[str, Any]:
    """Join keys from `key=value` texts.

    Raises:
        RequestError: one is none, or a key stands twice.

    >>> keys_of(["user_id=7", "shop=a=b"])
    {'user_id': '7', 'shop': 'a=b'}
    """
    keys: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise RequestError(f"entity {pair!r:.80} is no key=value.", hint="write entity=user_id=7.")
        if key in keys:
            raise RequestError(f"entity: {key!r:.80} stands twice.", hint="name each join key once.")
        keys[key] = value
    return keys
