"""A server's answer that is no answer, as the error that its library raises: of the same class, with status and id."""

from __future__ import annotations

import json
import ssl
from typing import Any

import httpx

import gnomon.errors
from gnomon.client.attempts import retry_after
from gnomon.clock import SystemClock
from gnomon.errors import (
    AccessDenied,
    BackendError,
    ConflictError,
    GnomonError,
    NotRegistered,
    RateLimited,
    RequestError,
    ServerAway,
)

__all__ = ["away", "closed", "error_in", "error_of", "unreadable"]

_CLASSES: dict[str, type[GnomonError]] = {name: getattr(gnomon.errors, name) for name in gnomon.errors.__all__}
_OF_STATUS: dict[int, type[GnomonError]] = {
    401: AccessDenied,
    403: AccessDenied,
    409: ConflictError,
    429: RateLimited,
}
_FEASTS = "NotFoundException"
"""How Feast calls what is not registered: FeatureViewNotFoundException."""
_SHORT = 200
_AWAY = "see that it runs and can be reached from here (GET /health), or give it longer: timeout=…."
_CERTIFICATE = (
    "its certificate is not trusted here: name who signed it, http=httpx.Client(verify=ssl.create_default_context("
    "cafile=…)), and the host that it was made for."
)


def error_of(response: httpx.Response) -> GnomonError:
    """The error that an answer tells of."""
    told = _document(response)
    kind = _CLASSES.get(str(told.get("type"))) or _by_status(response.status_code)
    facts: dict[str, Any] = {
        "status": response.status_code,
        "request_id": told.get("request_id") or response.headers.get("x-request-id"),
    }
    if response.status_code in (429, 503):
        facts["retry_after"] = retry_after(response, SystemClock())
    return _made(kind, told, f"the server answers with status {response.status_code}.", facts)


def error_in(told: dict[str, Any], what: str) -> GnomonError:
    """The error in a document that says `type`, `message`, `instead` and `hint`."""
    return _made(_CLASSES.get(str(told.get("type")), BackendError), told, what, {})


def away(base_url: str, error: httpx.TransportError) -> ServerAway:
    """The error of a server that gives no answer."""
    said = str(error) or type(error).__name__
    made = ServerAway(
        f"the server at {base_url} does not answer: {said[:_SHORT]}.",
        hint=_CERTIFICATE if _is_distrusted(error) else _AWAY,
        base_url=base_url,
    )
    made.__cause__ = error
    return made


def closed(base_url: str) -> RequestError:
    """The error of a client that is asked after its end."""
    return RequestError(
        f"the client of {base_url} is closed.",
        hint="make another, or close it after the last question.",
        base_url=base_url,
    )


def _is_distrusted(error: BaseException | None) -> bool:
    """Whether there is no answer because the server's certificate is not trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def unreadable(response: httpx.Response) -> BackendError:
    """The error of an answer that is none of a gnomon server's."""
    return BackendError(
        f"{response.url.copy_with(query=None)} answers with something else than a gnomon server does.",
        instead=f"It is {response.headers.get('content-type', 'of no type')}: {response.text[:_SHORT]!r}.",
        hint="check the address; a proxy may have answered.",
        status=response.status_code,
    )


def _by_status(status: int) -> type[GnomonError]:
    return _OF_STATUS.get(status, BackendError if status >= 500 else RequestError)


def _made(kind: type[GnomonError], told: dict[str, Any], what: str, facts: dict[str, Any]) -> GnomonError:
    """An error made of what was told, whatever its class would be made of itself."""
    said = {name: one for name in ("message", "instead", "hint") if isinstance(one := told.get(name), str) and one}
    made = kind.__new__(kind)
    GnomonError.__init__(made, said.get("message", what), instead=said.get("instead"), hint=said.get("hint"), **facts)
    return made


def _document(response: httpx.Response) -> dict[str, Any]:
    """What an answer tells, in gnomon's shape or in Feast's."""
    found = _json(response.text)
    if isinstance(found, str):  # Feast's: a JSON document in a JSON text
        found = _json(found)
    if not isinstance(found, dict):
        return {}
    inner = found.get("error", found.get("detail"))
    if isinstance(inner, dict):
        return inner
    if isinstance(inner, str):
        return {"message": inner}
    return _of_feast(found) if isinstance(found.get("message"), str) else {}


def _of_feast(found: dict[str, Any]) -> dict[str, Any]:
    lines = found["message"].split("\n")
    hint = lines.pop().removeprefix("Hint: ") if lines[-1].startswith("Hint: ") else None
    kind = NotRegistered.__name__ if str(found.get("class")).endswith(_FEASTS) else None
    told = {"type": kind, "message": lines[0] if lines else "", "instead": "\n".join(lines[1:]), "hint": hint}
    return told | {"request_id": found.get("request_id")}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
