"""Right requests of which something is changed: they go further in than made-up ones, and break nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import PAYMENTS, SPEND, Client, event
from shop import model, profile

from gnomon.definitions.codec import encode

AT = "2024-01-19T00:00:00Z"
DEFINITIONS = [encode(one) for one in (profile.source, PAYMENTS, *profile.entities, profile, SPEND, model)]
ROWS = {"user_id": [1, 2], "event_timestamp": [AT, AT]}
FEATURES = ["profile:age", "spend:amount_sum_30d"]
REQUESTS = {
    "/features": {"definitions": DEFINITIONS, "expected_version": 1, "dry_run": True},
    "/features/batch": {"entity_df": ROWS, "features": FEATURES, "as_known": "then", "strict": True},
    "/push": {"push_source_name": "payments", "events": [event(1, 2.5, AT)], "to": "offline", "offsets": {"a": 1}},
    "/write-to-online-store": {
        "feature_view_name": "spend",
        "df": {"user_id": [1], "amount": [1.5], "event_timestamp": [AT], "created": [None]},
    },
    "/materialize": {"feature_views": ["profile"], "start_ts": AT, "end_ts": AT, "version": "v2"},
}
WORDS = ["user_id", "spend", "profile@1", "Int64", "Array(Float64)", "-1d", "9999-12-31", "0001-01-01T00:00:00+14:00"]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def places(document: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths to all values in a document."""
    if path:
        yield path
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, one in inside:
        yield from places(one, (*path, name))


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """A document in which a value or two are others, or are gone."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 2))):
        *way, last = draw(st.sampled_from(list(places(document))))
        inside = document
        for step in way:
            inside = inside[step]
        if draw(st.booleans()):
            inside[last] = draw(ANYTHING)
        else:
            del inside[last]
        if not document:
            break
    return document


@pytest.mark.parametrize("path", REQUESTS)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nearly_right_requests(shared: Client, path: str, data: st.DataObject) -> None:
    answer = shared.post(path, data.draw(changed(REQUESTS[path])))
    assert answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()
