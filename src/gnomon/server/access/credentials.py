"""The one credential that a request's header fields carry: a key, or a token of an identity provider."""

from __future__ import annotations

from gnomon.server.problems import HttpError

__all__ = ["CHALLENGE", "LONGEST", "credential_of", "forbidden", "refused"]

CHALLENGE = 'Bearer realm="gnomon"'
LONGEST = 8192
"""Bytes of the longest credential that is looked at."""
_HOW = "send it as `Authorization: Bearer …` or as `X-API-Key: …`."


def credential_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The key or token a request carries.

    Args:
        headers: its header fields, names in lower case.

    Raises:
        HttpError: 401 where there is none, or where two differ.
    """
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if value[:7].lower() != b"bearer ":
                continue  # a proxy's own business
            given = value[7:].strip()
        elif name == b"x-api-key":
            given = value.strip()
        else:
            continue
        if found is not None and given != found:
            raise refused("the request carries two different credentials.", hint="send one.")
        found = given
    if not found:
        raise HttpError(
            401,
            "the request carries no API key.",
            hint=f"{_HOW} A key is made with `gnomon keys create`.",
            headers=(("www-authenticate", CHALLENGE),),
        )
    if len(found) > LONGEST:
        raise refused(f"the credential has more than {LONGEST} bytes.")
    return found


def refused(what: str, instead: str | None = None, hint: str | None = None) -> HttpError:
    """A 401: there is a credential, and it is no good."""
    challenge = f'{CHALLENGE}, error="invalid_token"'
    return HttpError(401, what, instead=instead, hint=hint, headers=(("www-authenticate", challenge),))


def forbidden(what: str, scope: str, instead: str | None = None, hint: str | None = None) -> HttpError:
    """A 403: it is known who asks, and that they may not."""
    challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
    return HttpError(403, what, instead=instead, hint=hint, headers=(("www-authenticate", challenge),))
