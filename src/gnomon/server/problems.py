"""Errors as HTTP has them: which status an error has, and the one JSON shape all have.

    {"error": {"type": "UnknownFeature", "message": "view 'spend' has no feature 'x'.", "instead": "It has: …",
               "hint": "did you mean …?", "request_id": "…"}}

Feast's own routes answer in Feast's shape (`feast_body_of`), with the same statuses.
"""

from __future__ import annotations

import json
from typing import Any

from gnomon.errors import (
    BackendError,
    ConflictError,
    DefinitionError,
    GnomonError,
    MissingExtra,
    NotRegistered,
    RequestError,
    UnknownFeature,
)

__all__ = ["FEAST_ROUTES", "STATUSES", "HttpError", "body_of", "feast_body_of", "status_of"]

STATUSES: tuple[tuple[type[GnomonError], int], ...] = (
    (NotRegistered, 404),
    (UnknownFeature, 404),
    (RequestError, 400),
    (ConflictError, 409),
    (DefinitionError, 422),
    (MissingExtra, 501),
    (BackendError, 503),
    (GnomonError, 400),
)
"""The first that fits an error is its status."""

FEAST_ROUTES = frozenset(
    ("/get-online-features", "/push", "/write-to-online-store", "/materialize", "/materialize-incremental")
)
"""The routes that Feast's server has, too: their errors have Feast's shape."""

FEAST_CLASSES = {
    "entity": "EntityNotFoundException",
    "feature service": "FeatureServiceNotFoundException",
    "feature view": "FeatureViewNotFoundException",
    "push source": "PushSourceNotFoundException",
}
"""What is not registered → the error that Feast's client raises for it."""


class HttpError(GnomonError):
    """An error of HTTP's own: a body too large, a key without scope, too many requests.

    Args:
        status: the HTTP status.
        what, instead, hint: as of every error.
        headers: header fields that go with it, such as `retry-after`.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        instead: str | None = None,
        hint: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(what, instead=instead, hint=hint)
        self.status, self.headers = status, headers


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; 500 for one that nobody raised on purpose.

    >>> [status_of(one) for one in (HttpError(413, "large."), BackendError("gone."), KeyError())]
    [413, 503, 500]
    """
    if isinstance(error, HttpError):
        return error.status
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def body_of(error: BaseException, request_id: str | None = None) -> dict[str, Any]:
    """The JSON document that says what was wrong; of an error nobody raised on purpose it says nothing inside.

    >>> body_of(HttpError(413, "the body has 9 MB.", hint="ask for fewer entities at once."))["error"]["type"]
    'HttpError'
    """
    told: dict[str, Any] = {"type": type(error).__name__}
    if isinstance(error, GnomonError):
        told |= {"message": error.what, "instead": error.instead, "hint": error.hint}
    else:
        told |= {"type": "InternalError", "message": "something went wrong inside the server; its log says what."}
    if request_id is not None:
        told["request_id"] = request_id
    return {"error": {name: one for name, one in told.items() if one is not None}}


def feast_body_of(error: BaseException, request_id: str | None = None) -> str:
    """An error as Feast's server says it: a JSON text that is itself the JSON document of the answer.

    Its client makes an error of its own out of it (`FeastError.from_error_detail`), of a class that it must have. What
    stands under `error`, as in every other error, is for gnomon's client.

    >>> json.loads(feast_body_of(NotRegistered(kind="feature view", name="x", known=[])))["class"]
    'FeatureViewNotFoundException'
    """
    told = body_of(error, request_id)["error"]
    hint = f"Hint: {told['hint']}" if "hint" in told else None
    message = "\n".join(part for part in (told["message"], told.get("instead"), hint) if part)
    kind = error.kind if isinstance(error, NotRegistered) else ""  # type: ignore[attr-defined]
    detail = {"module": "feast.errors", "class": FEAST_CLASSES.get(kind, "FeastError"), "message": message}
    return json.dumps(detail | ({"request_id": request_id} if request_id else {}) | {"error": told})
