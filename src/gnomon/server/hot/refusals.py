"""Errors on Feast's route, as Feast's clients read them: a JSON text that holds a JSON document.

    "{\"module\": \"feast.errors\", \"class\": \"FeatureViewNotFoundException\", \"message\": …, \"error\": {…}}"

Their `FeastError.from_error_detail` makes an exception of it by the first three; `error` is gnomon's own, as every
other route has it.
"""

from __future__ import annotations

from orjson import dumps

from gnomon.errors import GnomonError, NotRegistered
from gnomon.server.problems import body_of, status_of

__all__ = ["feast_body"]

NOT_FOUND = {
    "feature service": "FeatureServiceNotFoundException",
    "feature view": "FeatureViewNotFoundException",
    "entity": "EntityNotFoundException",
}


def feast_body(error: BaseException, request_id: str) -> bytes:
    """The body that says an error.

    >>> import json
    >>> told = json.loads(json.loads(feast_body(NotRegistered(kind="feature view", name="v", known=[]), "r1")))
    >>> told["class"], told["error"]["request_id"]
    ('FeatureViewNotFoundException', 'r1')
    """
    own = body_of(error, request_id)
    message = str(error) if isinstance(error, GnomonError) else own["error"]["message"]
    told = {"module": "feast.errors", "class": _class_of(error), "message": message, **own}
    return dumps(dumps(told).decode())


def _class_of(error: BaseException) -> str:
    if isinstance(error, NotRegistered):
        return NOT_FOUND.get(str(error.facts.get("kind")), "FeastObjectNotFoundException")
    return "FeastPermissionError" if status_of(error) in (401, 403) else "FeastError"
