"""Answers: JSON that any reader takes, and errors in the one shape they have.

Numbers that JSON has no word for are texts: "NaN", "Infinity", "-Infinity". Bytes are base64, instants ISO-8601.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from gnomon.clock import instant_text, to_micros
from gnomon.server.problems import FEAST_ROUTES, HttpError, body_of, feast_body_of, status_of

__all__ = ["Answer", "plain", "problem"]


def plain(value: Any) -> Any:
    """A value as JSON has it.

    >>> plain({"a": (1, float("-inf"), b"hm", datetime(2024, 1, 31))})
    {'a': [1, '-Infinity', 'aG0=', '2024-01-31T00:00:00Z']}
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if value != value else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return instant_text(to_micros(value))
    return value.isoformat() if isinstance(value, date) else str(value)


class Answer(JSONResponse):
    """A JSON document, in ASCII: a text that is no proper Unicode can be told, too."""

    def render(self, content: Any) -> bytes:
        """The document as bytes."""
        return json.dumps(plain(content), allow_nan=False, separators=(",", ":")).encode("ascii")


def problem(error: BaseException, route: str, request_id: str | None = None) -> Response:
    """An error as an answer; on Feast's routes, in Feast's shape.

    Args:
        error: the error.
        route: the route's template.
        request_id: names the request.
    """
    body = feast_body_of(error, request_id) if route in FEAST_ROUTES else body_of(error, request_id)
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    return Answer(body, status_code=status_of(error), headers=headers)
