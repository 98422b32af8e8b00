"""What the hot routes take and give, for the OpenAPI document. They are answered before this app sees a request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gnomon.server.access.contract import Scope
from gnomon.server.routes.guard import needs
from gnomon.server.routes.tables import ARROW

__all__ = ["router"]

MSGPACK = "application/msgpack"
Status = Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "INVALID"]


class OnlineRequest(BaseModel):
    """Features, and the entities they are wanted of."""

    model_config = ConfigDict(extra="forbid")
    entities: dict[str, list[Any]] = Field(description="Join key → its values, one for each entity.")
    features: list[str] = Field([], description="References such as `view:feature`.")
    feature_service: str | None = Field(None, description="A service, in place of `features`.")
    full_feature_names: bool = Field(False, description="Name the answers `view__feature`.")
    include_feature_view_version_metadata: bool = Field(False, description="Feast's; it has no effect.")
    lean: bool = Field(False, description="Leave out statuses and event timestamps.")
    known_through: bool = Field(False, description="Say of each entity what its answer knew.")


class OnlineMetadata(BaseModel):
    """What the columns are."""

    feature_names: list[str] = Field(description="Join keys first, then features in the order asked.")
    known_through: list[str] | None = Field(None, description="A token for each entity, where it was asked for.")


class OnlineColumn(BaseModel):
    """One column of an answer."""

    values: list[Any]
    statuses: list[Status] | None = None
    event_timestamps: list[str] | None = None


class OnlineAnswer(BaseModel):
    """The features of some entities as of now, column by column."""

    metadata: OnlineMetadata
    results: list[OnlineColumn]


FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {MSGPACK: {}, ARROW: {"schema": {"type": "string", "format": "binary"}}},
        "description": "The answer, in the form that `accept` asks for.",
    }
}
router = APIRouter(tags=["online"])


@router.post("/get-online-features", response_model=OnlineAnswer, responses=FORMS, openapi_extra=needs(Scope.READ))
async def get_online_features(asked: OnlineRequest) -> None:
    """The features of some entities as of now: Feast's document, and what is gnomon's own."""


@router.get("/features/online/{entity}", response_model=OnlineAnswer, responses=FORMS, openapi_extra=needs(Scope.READ))
async def get_online_features_of_one(
    entity: str,
    features: Annotated[list[str], Query(description="References, with commas or one by one.", default_factory=list)],
    feature_service: Annotated[str | None, Query(description="A service, in place of `features`.")] = None,
    full_feature_names: Annotated[bool, Query(description="Name the answers `view__feature`.")] = False,
    lean: Annotated[bool, Query(description="Leave out statuses and event timestamps.")] = False,
    known_through: Annotated[bool, Query(description="Say what the answer knew.")] = False,
) -> None:
    """The features of one entity as of now. Its join keys stand in the path, `user_id=7/shop=2`."""
