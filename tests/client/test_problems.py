"""Whatever a server, or what stands before it, answers: an error of ours, with what it said."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from misbehaving import Misbehaving, Reply

import gnomon.errors
from gnomon.client import AsyncClient, Client
from gnomon.client.problems import away, error_of
from gnomon.errors import (
    AccessDenied,
    BackendError,
    ConflictError,
    DefinitionError,
    GnomonError,
    MissingExtra,
    NewerFormat,
    NotRegistered,
    RateLimited,
    RequestError,
    UnknownFeature,
)
from gnomon.server.problems import HttpError, body_of, status_of


def answered(status: int, document: Any, **headers: str) -> GnomonError:
    return error_of(httpx.Response(status, json=document, headers=headers))


@pytest.mark.parametrize(
    "error",
    [
        UnknownFeature(view="v", feature="x", known=["y"]),
        NotRegistered(kind="feature view", name="v", known=[]),
        RequestError("what.", instead="instead.", hint="hint."),
        ConflictError("what."),
        DefinitionError("what.", hint="hint."),
        BackendError("what."),
        NewerFormat(path="a", found=2, supported=1),
        MissingExtra(package="a", extra="b", purpose="c"),
    ],
)
def test_what_the_server_raises_the_client_raises(error: GnomonError) -> None:
    told = answered(status_of(error), body_of(error, "r-1"))
    assert type(told) is type(error)
    assert str(told) == str(error)
    assert (told.facts["status"], told.facts["request_id"]) == (status_of(error), "r-1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AccessDenied),
        (403, AccessDenied),
        (404, RequestError),
        (408, RequestError),
        (413, RequestError),
        (422, RequestError),
        (429, RateLimited),
        (500, BackendError),
        (503, BackendError),
        (599, BackendError),
    ],
)
def test_errors_of_http_by_their_status(status: int, kind: type[GnomonError]) -> None:
    told = answered(status, body_of(HttpError(status, "what.", hint="hint.")))
    assert (type(told), told.what, told.hint) == (kind, "what.", "hint.")
    assert type(answered(status, body_of(KeyError()))) is kind
    assert type(error_of(httpx.Response(status, text="<html>no</html>"))) is kind


def test_feasts_shape() -> None:
    detail = {
        "module": "feast.errors",
        "class": "FeatureViewNotFoundException",
        "message": "no v.\nThere is: w.\nHint: w?",
    }
    told = answered(404, json.dumps(detail | {"request_id": "r"}))
    assert (type(told), told.what, told.instead, told.hint) == (NotRegistered, "no v.", "There is: w.", "w?")
    assert told.facts["request_id"] == "r"
    told = answered(400, json.dumps(detail | {"class": "FeastError", "message": "no."}))
    assert (type(told), told.what) == (RequestError, "no.")
    inner = {"type": "UnknownFeature", "message": "what.", "hint": "hint."}
    told = answered(404, json.dumps(detail | {"error": inner}))
    assert (type(told), told.what) == (UnknownFeature, "what.")


def test_shapes_of_others() -> None:
    assert answered(404, {"detail": "Not Found"}).what == "Not Found"
    assert answered(422, {"detail": [{"msg": "x"}]}).what == "the server answers with status 422."
    assert answered(500, {}, **{"x-request-id": "r"}).facts["request_id"] == "r"


documents = st.recursive(
    st.none() | st.integers() | st.text() | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "type", "message", "hint", "instead", "request_id", "class", "detail", "module"])
            | st.text(max_size=3),
            inner | st.sampled_from([*gnomon.errors.__all__, "HttpError"]),
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(status=st.integers(400, 599), document=documents, twice=st.booleans())
def test_any_document_is_an_error(status: int, document: Any, twice: bool) -> None:
    told = answered(status, json.dumps(document) if twice else document)
    assert isinstance(told, GnomonError)
    assert str(told)
    assert told.facts["status"] == status


@given(status=st.integers(400, 599), body=st.binary(max_size=50) | st.just(b"[" * 100_000))
def test_any_bytes_are_an_error(status: int, body: bytes) -> None:
    assert isinstance(error_of(httpx.Response(status, content=body)), GnomonError)


@pytest.mark.parametrize(
    "body", [b"<html>welcome</html>", b"", b"[]", b"{}", b'{"metadata": {"feature_names": ["a"]}, "results": []}', b"5"]
)
def test_an_answer_that_is_none(body: bytes) -> None:
    """A portal, say, that answers everything with its own page."""
    with Misbehaving(Reply(200, body=body)) as server, Client(server.url) as client:
        for arrow in (False, True):
            with pytest.raises(BackendError, match="something else than a gnomon server"):
                client.get_online_features(["v:f"], {"a": [1]}, arrow=arrow)
        with pytest.raises(BackendError, match="something else than a gnomon server"):
            client.get_historical_features({"a": [1]}, ["v:f"])


def test_arrow_that_breaks_off() -> None:
    fields = {"content-type": "application/vnd.apache.arrow.stream"}
    with (
        Misbehaving(Reply(200, fields, body=b"\xff\xff\xff\xff\x10")) as server,
        Client(server.url) as client,
        pytest.raises(BackendError, match="something else than a gnomon server"),
    ):
        client.get_online_features(["v:f"], {"a": [1]}, arrow=True)


def test_a_certificate_that_is_not_trusted_is_said_to_be() -> None:
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("certificate verify failed")
    assert "certificate is not trusted" in str(away("https://here", error).hint)
    assert "GET /health" in str(away("https://here", httpx.ConnectError("refused")).hint)


def test_a_closed_client_says_so() -> None:
    client = Client("http://127.0.0.1:1")
    client.close()
    with pytest.raises(RequestError, match="is closed"):
        client.health()


def test_a_closed_asynchronous_client_says_so() -> None:
    async def ask() -> None:
        client = AsyncClient("http://127.0.0.1:1")
        await client.close()
        await client.health()

    with pytest.raises(RequestError, match="is closed"):
        asyncio.run(ask())
