"""Bodies: JSON documents read fast, and beside the event loop where they are large.

A browser sends whatever a page of somebody else's tells it to, as long as the body is of a kind that forms have. So a
body that is not said to be JSON is taken from programs only, which name no origin.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from gnomon.errors import listing, nearest_hint
from gnomon.server.problems import HttpError
from gnomon.server.routes.parts import Parts

__all__ = ["JSON", "document", "media_type_of", "read", "takes"]

JSON = "application/json"
UNSAID = ("", "application/x-www-form-urlencoded", "text/plain")
"""What clients say that were not told what they send."""
SMALL = 65_536
"""A body of so many bytes is read on the spot."""
M = TypeVar("M", bound=BaseModel)


def takes(model: type[BaseModel], **others: Any) -> dict[str, Any]:
    """The body of a route, for the OpenAPI document.

    Args:
        model: what a JSON body is.
        others: nothing, or `content` by content type, what else it may be.
    """
    content = {JSON: {"schema": model.model_json_schema()}, **others.get("content", {})}
    return {"requestBody": {"required": True, "content": content}}


async def document(parts: Parts, request: Request, model: type[M]) -> M:
    """The document in a request's body.

    Raises:
        HttpError: 400, it is no JSON; 415, it is not said to be.
        RequestValidationError: it is not as it should be.
    """
    if (said := media_type_of(request)) != JSON:
        raise HttpError(415, f"content-type is {said!r:.80}.", hint=f"send {JSON}.")
    body = await request.body()
    return read(body, model) if len(body) <= SMALL else await parts.hands.run(partial(read, body, model))


def media_type_of(request: Request) -> str:
    """What a body is said to be; JSON where nothing better was said, and no page of somebody else's sent it."""
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return JSON if said in UNSAID and "origin" not in request.headers else said


def read(body: bytes, model: type[M]) -> M:
    """A document from its bytes.

    Raises:
        HttpError: 400, they are no JSON; 422, a field is unknown.
        RequestValidationError: it is not as it should be.
    """
    try:
        return model.model_validate(_decoded(body))
    except ValidationError as wrong:
        _refuse_unknown(wrong, model)
        errors = [{**one, "loc": ("body", *one["loc"])} for one in wrong.errors(include_url=False)]
        raise RequestValidationError(errors) from wrong


def _refuse_unknown(wrong: ValidationError, model: type[BaseModel]) -> None:
    """Say of a field that there is none what it may have been meant for.

    Raises:
        HttpError: 422, there is one.
    """
    unknown = [str(one["loc"][0]) for one in wrong.errors() if one["type"] == "extra_forbidden"]
    if unknown:
        known = list(model.model_fields)
        raise HttpError(
            422,
            f"the body has an unknown field {unknown[0]!r:.80}.",
            instead=f"It may have: {listing(known, len(known))}.",
            hint=nearest_hint(unknown[0], known, otherwise="leave it out; GET /docs shows what the route takes."),
        ) from None


def _decoded(body: bytes) -> Any:
    try:
        if b"NaN" in body or b"Infinity" in body:
            return json.loads(body)  # Python writes them so, and no other reader takes them
        return msgspec.json.decode(body)
    except (ValueError, RecursionError) as wrong:  # msgspec's errors are ValueErrors, too
        raise HttpError(400, f"the body is no JSON: {wrong!s:.200}.", hint="GET /docs shows what it may be.") from None
