"""Each question that can be asked, as a value: what is sent, whether it may be sent twice, how the answer is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from gnomon.client.answers import HistoricalFeatures, OnlineFeatures, Pushed, arrow_table, needs_pyarrow
from gnomon.client.attempts import ATTEMPTS
from gnomon.client.documents import as_text, columns_of, instant_of, is_table, written
from gnomon.client.problems import unreadable
from gnomon.errors import ConflictError, RequestError

__all__ = ["ARROW", "PARQUET", "Call", "Wanted"]

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]
Wanted = Sequence[str] | str | Any
"""References such as `profile:age`; or a service, or its name."""

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A question.

    Args:
        method: of HTTP.
        path: the route, without the server's address.
        read: makes the answer of a response.
        params: what stands in the query.
        body: what is sent.
        headers: header fields.
        again: whether asking twice does what asking once does.
        slow: whether it may take long.
        accepts: statuses that are answers.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Pairs = ()
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    again: bool = True
    slow: bool = True
    accepts: tuple[int, ...] = ()

    def is_answered(self, response: httpx.Response) -> bool:
        """Whether a response is an answer, and not an error."""
        return response.is_success or response.status_code in self.accepts


def online(
    features: Wanted,
    entity_rows: Any,
    *,
    full_feature_names: bool,
    known_through: bool,
    lean: bool,
    arrow: bool,
    ids: Mapping[str, str | None],
) -> Call[OnlineFeatures]:
    """Features as of now."""
    if arrow:
        needs_pyarrow()
    entities = columns_of(entity_rows)
    options = {"full_feature_names": full_feature_names, "known_through": known_through, "lean": lean}
    asked = {**_features(features), "entities": entities, **{name: True for name, said in options.items() if said}}
    headers = {**{name: one for name, one in ids.items() if one}, **({"accept": ARROW} if arrow else {})}

    def read(response: httpx.Response) -> OnlineFeatures:
        request_id = response.headers.get("x-request-id")
        if arrow:
            return _of_arrow(response, lambda body: OnlineFeatures.of_arrow(body, request_id))
        return _read(response, lambda told: OnlineFeatures.of_document(told, entities, request_id))

    return _post("/get-online-features", asked, read, headers=headers, slow=False)


def push(source: str, events: Any, to: str, offsets: Mapping[str, int], *, own: bool) -> Call[Pushed]:
    """Events for a push source; with offsets a second sending is recognised, where events enter a log.

    Offsets of the client's own were never sent before: if the log has them, others' events would be taken for these.
    """

    def read(response: httpx.Response) -> Pushed:
        found = _pushed(response)
        if own and found.duplicate and response.extensions.get(ATTEMPTS) == 1:
            raise ConflictError(
                f"the log of {source!r} has greater offsets of this producer; nothing was pushed.",
                instead=f"Its offsets were to be {dict(offsets)}.",
                hint="give no two clients one name (producer=…) at a time, and see that the clock was not set back.",
            )
        return found

    asked = {"push_source_name": source, "df": columns_of(events), "to": to}
    more = {"offsets": dict(offsets)} if offsets else {}
    return _post("/push", asked | more, read, again=bool(offsets) and to != "online")


def write(view: str, rows: Any) -> Call[Pushed]:
    """Rows for a view."""
    return _post("/write-to-online-store", {"feature_view_name": view, "df": columns_of(rows)}, _pushed, again=False)


def load(path: str, views: Iterable[str] | None, instants: Mapping[str, Any], *, replace: bool = False) -> Call[Any]:
    """A load to begin."""
    asked: dict[str, Any] = {name: instant_of(one) for name, one in instants.items() if one is not None}
    if views is not None:
        asked["feature_views"] = list(views)
    return _post(path, asked | ({"replace": True} if replace else {}), _document, again=False)


def historical(
    entity_df: Any, features: Wanted, *, accept: str, as_known: Any, full_feature_names: bool, strict: bool
) -> Call[HistoricalFeatures]:
    """A training set, or the bytes of one."""
    known = as_known if isinstance(as_known, str) else instant_of(as_known)
    asked = {**_features(features), "as_known": known, "full_feature_names": full_feature_names, "strict": strict}
    headers = {"accept": accept}

    def read(response: httpx.Response) -> HistoricalFeatures:
        if accept == ARROW:
            return _of_arrow(response, lambda body: HistoricalFeatures(table=arrow_table(body)))
        return _read(
            response, lambda told: HistoricalFeatures(columns=told["columns"], metadata=told.get("metadata", {}))
        )

    if is_table(entity_df) and (body := _as_arrow(entity_df)) is not None:
        headers["content-type"] = ARROW
        return Call(method="POST", path="/features/batch", read=read, params=_params(asked), body=body, headers=headers)
    return _post("/features/batch", {"entity_df": columns_of(entity_df), **asked}, read, headers=headers)


def features(filters: Mapping[str, Any], offset: int) -> Call[Any]:
    """A page of the features there are."""
    return _get("/features", {**filters, "limit": PAGE, "offset": offset})


def feature(name: str) -> Call[Any]:
    """One feature."""
    return _get(f"/features/{quote(name, safe=':@')}", {})


def lineage(name: str, entity: Mapping[str, Any] | None, at: Any, as_known: Any) -> Call[Any]:
    """What a feature comes from."""
    return _get(f"/features/{quote(name, safe=':@')}/lineage", _about(entity, at, as_known))


def explain(name: str, entity: Mapping[str, Any], at: Any, as_known: Any) -> Call[Any]:
    """Why a value is what it is."""
    return _get("/explain", {"feature": name, **_about(entity, at, as_known)})


def register(definitions: Iterable[Any], expected_version: int | None, *, dry_run: bool) -> Call[Any]:
    """Definitions to register."""
    asked: dict[str, Any] = {"definitions": _documents(definitions)}
    asked |= {} if expected_version is None else {"expected_version": expected_version}
    return _post("/features", asked | ({"dry_run": True} if dry_run else {}), _document, again=dry_run)


def job(job_id: str) -> Call[Any]:
    """How a job gets on."""
    return _get(f"/jobs/{quote(job_id, safe='')}", {})


def health() -> Call[Any]:
    """How the server is; one that is not ready says so, and that is an answer."""
    return Call(method="GET", path="/health", read=_document, accepts=(503,), again=False, slow=False)


def metrics() -> Call[str]:
    """What the server counts."""
    return Call(method="GET", path="/metrics", read=lambda response: response.text)


def _get(path: str, params: Mapping[str, Any]) -> Call[Any]:
    return Call(method="GET", path=path, read=_document, params=_params(params))


def _post(
    path: str,
    document: Any,
    read: Callable[[httpx.Response], T],
    *,
    headers: Mapping[str, str] | None = None,
    again: bool = True,
    slow: bool = True,
) -> Call[T]:
    fields = {"content-type": JSON, **(headers or {})}
    return Call(method="POST", path=path, read=read, body=written(document), headers=fields, again=again, slow=slow)


def _features(asked: Wanted) -> dict[str, Any]:
    """References, or a service, as a request has them."""
    if isinstance(asked, str):
        return {"features": [asked]} if ":" in asked else {"feature_service": asked}
    if isinstance(name := getattr(asked, "name", None), str):
        return {"feature_service": name}
    found = list(asked)
    if not found or not all(isinstance(one, str) for one in found):
        raise RequestError(
            f"{asked!r:.80} asks for no features.", hint="pass references, ['view:feature'], or a service."
        )
    return {"features": found}


def _about(entity: Mapping[str, Any] | None, at: Any, as_known: Any) -> dict[str, Any]:
    known = as_known if isinstance(as_known, str) else instant_of(as_known)
    return {
        "entity": [f"{key}={as_text(value)}" for key, value in (entity or {}).items()],
        "at": instant_of(at),
        "as_known": known,
    }


def _params(given: Mapping[str, Any]) -> Pairs:
    """What is said as pairs of texts; nothing of what is None."""
    pairs = ((name, one) for name, many in given.items() for one in (many if isinstance(many, list) else [many]))
    return tuple(
        (name, str(one).lower() if isinstance(one, bool) else str(one)) for name, one in pairs if one is not None
    )


def _documents(definitions: Iterable[Any]) -> list[Any]:
    from gnomon.definitions.catalog import Catalog

    given = list(definitions)
    plain = [one for one in given if isinstance(one, Mapping)]
    rest = [one for one in given if not isinstance(one, Mapping)]
    return [*plain, *(Catalog.of(rest).documents() if rest else ())]


def _as_arrow(table: Any) -> bytes | None:
    """A table as an Arrow stream; None where there is no pyarrow to write one."""
    try:
        import pyarrow as pa
    except ImportError:
        return None
    if hasattr(table, "iloc"):
        table = pa.Table.from_pandas(table, preserve_index=False)
    elif hasattr(table, "to_arrow"):
        table = table.to_arrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _pushed(response: httpx.Response) -> Pushed:
    return _read(response, Pushed.of_document)


def _document(response: httpx.Response) -> Any:
    return _read(response, lambda told: told)


def _read(response: httpx.Response, make: Callable[[Any], T]) -> T:
    try:
        return make(response.json())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as wrong:
        raise unreadable(response) from wrong


def _of_arrow(response: httpx.Response, make: Callable[[bytes], T]) -> T:
    if not response.headers.get("content-type", "").startswith(ARROW):
        raise unreadable(response)
    try:
        return make(response.content)
    except (ValueError, OSError, KeyError) as wrong:  # pyarrow's errors are ValueErrors
        raise unreadable(response) from wrong
