"""Answers as JSON, held against the plainest way of writing them, whatever values and statuses they have."""

from __future__ import annotations

import base64
import json
import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal as Exact
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.flows.responses import Answer, Asked, OnlineResponse, shown
from gnomon.server.hot.formats import Form, accepted
from gnomon.server.hot.values import spelling, writer
from gnomon.server.hot.written import LONG, Forms, instants
from gnomon.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    FeatureType,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NEVER = "1970-01-01T00:00:00Z"
NOW = 1_704_110_400_000_000
int64 = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[FeatureType, st.SearchStrategy[Any]] = {
    Bool: st.booleans(),
    Int32: st.integers(-(2**31), 2**31 - 1),
    Int64: int64,
    Float32: st.floats(width=32),
    Float64: st.floats(),
    String: st.text(max_size=5),
    Bytes: st.binary(max_size=5),
    UnixTimestamp: st.integers(-(2**50), 2**50),
    Decimal(18, 2): st.integers(-(10**17), 10**17).map(lambda one: Exact(one).scaleb(-2)),
}
TYPES = [*VALUES, Array(Float64), Array(String), Array(UnixTimestamp), Array(Bytes)]
events = st.integers(0, 2**50) | st.sampled_from([NOW, NOW + 120_000, NOW + 123_456, 0])


def column(dtype: FeatureType, count: int) -> st.SearchStrategy[list[Any]]:
    """Values of a type, nulls among them or not."""
    if isinstance(dtype, Array):
        one: st.SearchStrategy[Any] = st.lists(VALUES[dtype.element] | st.none(), max_size=3)
    else:
        one = VALUES[dtype]
    return st.lists(one, min_size=count, max_size=count) | st.lists(one | st.none(), min_size=count, max_size=count)


def flags(count: int) -> st.SearchStrategy[list[bool] | None]:
    return st.none() | st.lists(st.booleans(), min_size=count, max_size=count)


@st.composite
def answers(draw: st.DrawFn, count: int, types: list[FeatureType]) -> Answer:
    """A view's part of an answer; what is absent is null."""
    absent = draw(flags(count))
    columns = [draw(column(dtype, count)) for dtype in types]
    if absent is not None:
        columns = [[None if gone else one for one, gone in zip(some, absent, strict=True)] for some in columns]
    when = draw(st.lists(events, min_size=count, max_size=count))
    return Answer(columns, when, absent, draw(flags(count)))


@st.composite
def responses(draw: st.DrawFn) -> OnlineResponse:
    """Answers of up to three views, their features in any order, several of one view beside each other or not."""
    count = draw(st.integers(0, 12))
    kinds = draw(st.lists(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4), min_size=1, max_size=3))
    parts = [draw(answers(count, types)) for types in kinds]
    places = [(part, place) for part, types in enumerate(kinds) for place in range(len(types))]
    order = {}
    for part, place in draw(st.permutations(places)):
        dtype = kinds[part][place]
        order[f"v{part}_{place}"] = Asked(part, place, dtype, shown(dtype))
    users = draw(st.lists(int64 | st.none(), min_size=count, max_size=count))
    return OnlineResponse({"user_id": users}, {"user_id": Int64}, parts, order)


def plain(value: Any, dtype: FeatureType) -> Any:
    """A value as the page says it stands in JSON."""
    if value is None:
        return None
    if isinstance(dtype, Array):
        return [plain(one, dtype.element) for one in value]
    if dtype in (Float32, Float64) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if dtype == Bytes:
        return base64.b64encode(value).decode()
    if dtype == UnixTimestamp:
        return value // 1_000_000 if value % 1_000_000 == 0 else value / 1_000_000
    return str(value) if isinstance(dtype, Decimal) else value


def written_instant(micros: int | None) -> str:
    if micros is None:
        return NEVER
    at = EPOCH + timedelta(microseconds=micros)
    if micros % 1_000_000 == 0:
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if micros % 1_000 else at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def reference(response: OnlineResponse, lean: bool) -> dict[str, Any]:
    users = response._keys["user_id"]
    keys = {
        "values": users,
        "statuses": ["NULL_VALUE" if one is None else "PRESENT" for one in users],
        "event_timestamps": [NEVER for _ in users],
    }
    columns: list[dict[str, Any]] = [keys]
    for part, place, dtype, _ in response._order.values():
        answer = response._answers[part]
        columns.append(
            {
                "values": [plain(one, dtype) for one in answer.values(place)],
                "statuses": [str(one) for one in answer.statuses(place)],
                "event_timestamps": [written_instant(one) for one in answer.instants()],
            }
        )
    if lean:
        columns = [{"values": one["values"]} for one in columns]
    return {"metadata": {"feature_names": ["user_id", *response._order]}, "results": columns}


@given(responses(), st.booleans())
def test_what_is_written_is_what_is_meant(response: OnlineResponse, lean: bool) -> None:
    forms = Forms()
    for _ in range(2):  # the second time the question is known
        assert json.loads(forms.write(response, ("user_id",), lean)) == reference(response, lean)


def test_long_columns_are_written_alike() -> None:
    count = LONG + 1
    answer = Answer([[0.5] * count, list(range(count))], [NOW] * count, None, None)
    order = {"f": Asked(0, 0, Float64, None), "i": Asked(0, 1, Int64, None)}
    response = OnlineResponse({"user_id": list(range(count))}, {"user_id": Int64}, [answer], order)
    assert json.loads(Forms().write(response, ("user_id",), False)) == reference(response, False)


@given(st.sampled_from(TYPES).flatmap(lambda dtype: st.tuples(st.just(dtype), column(dtype, 5))))
def test_columns_one_by_one(drawn: tuple[FeatureType, list[Any]]) -> None:
    dtype, values = drawn
    assert json.loads(writer(dtype)(values)) == [plain(one, dtype) for one in values]
    spelt = spelling(dtype)
    assert [one if one is None or spelt is None else spelt(one) for one in values] == [
        plain(one, dtype) for one in values
    ]


@pytest.mark.parametrize("micros", [2**62, -(2**62)])
def test_instants_out_of_all_years(micros: int) -> None:
    assert len(json.loads(instants(Answer([], [micros], None, None)))) == 1
    assert len(json.loads(instants(Answer([], [micros, 0], None, None)))) == 2


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, Form.JSON),
        (b"", Form.JSON),
        (b"text/html", Form.JSON),
        (b"application/*", Form.JSON),
        (b"application/msgpack", Form.MSGPACK),
        (b"Application/X-MsgPack; q=0.5, text/html", Form.MSGPACK),
        (b"application/json;q=0.5, application/vnd.apache.arrow.stream", Form.ARROW),
        (b"application/msgpack;q=0, */*", Form.JSON),
        (b"application/msgpack;q=x", Form.JSON),
        (b"\xff, application/msgpack", Form.MSGPACK),
    ],
)
def test_which_form_is_wanted(accept: bytes | None, form: Form) -> None:
    assert accepted(accept) is form
