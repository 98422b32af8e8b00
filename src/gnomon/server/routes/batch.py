"""`POST /features/batch`: training sets, as a stream of Arrow or Parquet, or as JSON columns where they are small.

A stream is made batch by batch, in threads, and only as fast as the client takes it. One that breaks off in the middle
lacks its end, by which readers see that it is not whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from gnomon.errors import DefinitionError, RequestError
from gnomon.flows.training import TrainingSet
from gnomon.server.access.contract import Scope
from gnomon.server.functions import not_here
from gnomon.server.problems import HttpError
from gnomon.server.routes.answers import Answer
from gnomon.server.routes.bodies import JSON, media_type_of, read, takes
from gnomon.server.routes.guard import Guarded, needs
from gnomon.server.routes.parts import Parts, Shared
from gnomon.server.routes.shapes import BatchRequest, TrainingColumns
from gnomon.server.routes.tables import ARROW, PARQUET, Pieces, held, read_table, too_many
from gnomon.server.spelt import asked_types, read_columns

__all__ = ["router"]

MOST_JSON_ROWS = 10_000
"""An answer of more rows is too large for JSON."""
BINARY = {"schema": {"type": "string", "format": "binary"}}
BODY = takes(BatchRequest, content={ARROW: BINARY, PARQUET: BINARY})

router = APIRouter(route_class=Guarded, tags=["training"])


@router.post(
    "/features/batch",
    response_model=TrainingColumns,
    responses={200: {"content": {ARROW: BINARY, PARQUET: BINARY}}},
    openapi_extra=needs(Scope.BATCH, **BODY),
)
async def batch_features(
    parts: Shared,
    request: Request,
    features: Annotated[list[str], Query(description="References such as `view:feature`.", default_factory=list)],
    feature_service: Annotated[str | None, Query(description="A service, in place of `features`.")] = None,
    as_known: Annotated[str, Query(description="How much hindsight: `now`, `then`, an instant, a token.")] = "now",
    full_feature_names: Annotated[bool, Query(description="Name the answers `view__feature`.")] = False,
    strict: Annotated[bool, Query(description="An error where a value is more than its type holds.")] = False,
) -> Response:
    """The features of every row asked, each as of its own instant.

    The body is a JSON document; or the rows themselves, as an Arrow stream or a Parquet file, and then all else stands
    in the query.
    """
    media_type = _media_type(request)
    answer = _answer_type(request, media_type)
    body = await request.body()
    if media_type == JSON:
        _check_query(request)
        asked = await parts.hands.run(partial(read, body, BatchRequest))
    else:
        rest: dict[str, Any] = {"features": features or None, "feature_service": feature_service, "as_known": as_known}
        rest |= {"full_feature_names": full_feature_names, "strict": strict}
        asked = BatchRequest(entity_df={}, **rest)
    made = await parts.hands.run(partial(_ask, parts, asked, media_type, body, answer))
    if isinstance(made, Response):
        return made
    first = await parts.hands.run(made.next)
    return StreamingResponse(_streamed(parts, made, first), media_type=answer)


def _ask(parts: Parts, asked: BatchRequest, media_type: str, body: bytes, answer: str) -> Response | Pieces:
    """The answer itself, or the pieces it will come in."""
    most = parts.context.settings.batch_rows
    rows: Any = asked.entity_df if media_type == JSON else read_table(body, media_type, most)
    if media_type == JSON and (count := max(map(len, asked.entity_df.values()), default=0)) > most:
        raise too_many(count, most)
    features = _features(asked)
    if media_type == JSON:
        rows = read_columns(rows, asked_types(parts.context.definitions.snapshot.catalog, features))
    with held("a join key or an instant"):
        try:
            training = parts.context.store.get_historical_features(
                rows,
                features,
                as_known=asked.as_known,
                full_feature_names=asked.full_feature_names,
                strict=asked.strict,
            )
        except DefinitionError as wrong:
            raise not_here(wrong) from wrong
    return _as_columns(training) if answer == JSON else Pieces(training.to_reader(), answer)


def _features(asked: BatchRequest) -> list[str] | str:
    """References, or the name of a service."""
    if (asked.features is None) == (asked.feature_service is None):
        raise RequestError("say what is asked for, once.", hint="pass features=[…], or feature_service='…'.")
    if asked.feature_service is None:
        return asked.features or []
    if ":" in asked.feature_service:
        raise RequestError(
            f"feature_service is {asked.feature_service!r:.80}.", hint="name a service; features takes references."
        )
    return asked.feature_service


def _as_columns(training: TrainingSet) -> Response:
    if training.spine.rows > MOST_JSON_ROWS:
        raise HttpError(
            413,
            f"{training.spine.rows:,} rows are too many for JSON, which takes {MOST_JSON_ROWS:,}.",
            hint=f"say accept: {ARROW}, or {PARQUET}.",
        )
    table = training.to_arrow()
    with held("JSON"):
        columns = {
            name: column.to_pylist()
            for name, column in zip(table.column_names, map(_plain, table.columns), strict=True)
        }
    return Answer({"columns": columns, "metadata": dict(training.metadata)})


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column whose values Python has; it has no nanoseconds."""
    kind = column.type
    coarse = pa.types.is_timestamp(kind) and kind.unit == "ns"
    return column.cast(pa.timestamp("us", kind.tz), safe=False) if coarse else column


async def _streamed(parts: Parts, pieces: Pieces, first: bytes | None) -> AsyncIterator[bytes]:
    """The pieces, each made when the one before has left."""
    piece = first
    try:
        while piece is not None:
            yield piece
            piece = await parts.hands.run(pieces.next)
    finally:
        parts.hands.spare(pieces.close)


def _check_query(request: Request) -> None:
    """A JSON document says everything itself: what stood in the query besides would be left aside.

    Raises:
        RequestError: something does.
    """
    if said := next(iter(request.query_params), None):
        raise RequestError(
            f"the body is JSON, and the query has {said!r:.80}.",
            hint="put it into the document, or send the rows as Arrow or Parquet.",
        )


def _media_type(request: Request) -> str:
    """What the body is."""
    said = media_type_of(request)
    if said in (JSON, ARROW, PARQUET):
        return said
    raise HttpError(415, f"content-type is {said!r:.80}.", hint=f"send {JSON}, {ARROW} or {PARQUET}.")


def _answer_type(request: Request, media_type: str) -> str:
    """What the answer shall be; where that is left open, what the question is."""
    said = [one.partition(";")[0].strip().lower() for one in request.headers.get("accept", "*/*").split(",")]
    known = [one for one in said if one in (JSON, ARROW, PARQUET)]
    if known:
        return known[0]
    if {"*/*", "application/*", ""} & set(said):
        return media_type
    raise HttpError(406, f"accept is {', '.join(said)!r:.80}.", hint=f"take {JSON}, {ARROW} or {PARQUET}.")
