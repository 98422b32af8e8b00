"""The forms an answer can have: JSON as Feast's, the same document as MessagePack, or an Arrow stream.

`Accept` says which; where it names none of them, JSON. MessagePack has what JSON has not, so in it NaN and the
infinities are numbers and bytes are bytes.
"""

from __future__ import annotations

import functools
from enum import StrEnum
from typing import Any

import msgspec
import orjson

from gnomon.core.casting import cast_key
from gnomon.flows.responses import OnlineResponse, made_of
from gnomon.server.hot.values import native
from gnomon.server.hot.written import Names, in_order, instants
from gnomon.types import FeatureType

__all__ = ["Form", "accepted", "arrow", "msgpack"]


class Form(StrEnum):
    """What an answer is written in: its content type."""

    JSON = "application/json"
    MSGPACK = "application/msgpack"
    ARROW = "application/vnd.apache.arrow.stream"


NAMES = {
    "application/json": Form.JSON,
    "application/*": Form.JSON,
    "*/*": Form.JSON,
    "application/msgpack": Form.MSGPACK,
    "application/x-msgpack": Form.MSGPACK,
    "application/vnd.msgpack": Form.MSGPACK,
    "application/vnd.apache.arrow.stream": Form.ARROW,
}


@functools.lru_cache(maxsize=256)
def accepted(accept: bytes | None) -> Form:
    """The form a request wants.

    >>> accepted(b"text/html, application/msgpack;q=0.9, */*;q=0.1")
    <Form.MSGPACK: 'application/msgpack'>
    """
    best, form = 0.0, Form.JSON
    for one in (accept or b"").decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in one.split(";"))
        weight = _weight(parameters)
        if name in NAMES and weight > best:
            best, form = weight, NAMES[name]
    return form


def msgpack(response: OnlineResponse, given: Names, lean: bool, known: bool) -> bytes:
    """An answer as MessagePack."""
    parts = made_of(response)
    keys, _, answers, order, _ = parts
    key_types = in_order(parts, given)
    results: list[dict[str, Any]] = []
    for name, dtype in key_types.items():
        results.append({"values": _natives(dtype, [cast_key(one, dtype, name) for one in keys[name]])})
        if not lean:
            never = "1970-01-01T00:00:00Z"
            statuses = ["NULL_VALUE" if one is None else "PRESENT" for one in results[-1]["values"]]
            results[-1] |= {"statuses": statuses, "event_timestamps": [never] * len(response)}
    for part, place, dtype, _ in order.values():
        answer = answers[part]
        results.append({"values": _natives(dtype, answer.values(place))})
        if not lean:
            happened = orjson.loads(instants(answer))
            results[-1] |= {"statuses": [str(one) for one in answer.statuses(place)], "event_timestamps": happened}
    metadata: dict[str, Any] = {"feature_names": [*key_types, *order]}
    if known:
        metadata["known_through"] = [str(one) for one in response.known_through]
    return msgspec.msgpack.encode({"metadata": metadata, "results": results})


def arrow(response: OnlineResponse, given: Names, lean: bool, known: bool) -> bytes:
    """An answer as an Arrow IPC stream, each column in its feature's type.

    Statuses and event timestamps are columns beside it, `age__status` and `age__ts`, and what was known is the column
    `known_through`.
    """
    import pyarrow as pa

    parts, table = made_of(response), response.to_arrow()
    answers, order = parts.answers, parts.order
    table = table.select([*in_order(parts, given), *order])
    if not lean:
        for name, (part, place, _, _) in order.items():
            statuses = pa.array([str(one) for one in answers[part].statuses(place)], pa.string())
            stamps = pa.array(answers[part].instants(), pa.timestamp("us", "UTC"))
            table = table.append_column(f"{name}__status", statuses).append_column(f"{name}__ts", stamps)
    if known:
        tokens = pa.array([str(one) for one in response.known_through], pa.string())
        table = table.append_column("known_through", tokens)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _weight(parameters: list[str]) -> float:
    for one in parameters:
        if one.startswith("q="):
            try:
                return float(one[2:])
            except ValueError:
                return 0.0
    return 1.0


def _natives(dtype: FeatureType, values: list[Any]) -> list[Any]:
    spelt = native(dtype)
    return values if spelt is None else [None if one is None else spelt(one) for one in values]
