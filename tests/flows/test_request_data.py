"""What came with a request: kept in the log as values of the declared types, however they were written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal as Amount
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon import FeatureService, FeatureStore, Field, LoggingConfig, OnDemandFeatureView, RequestSource
from gnomon.clock import MAX_MICROS, MIN_MICROS, ManualClock, to_micros
from gnomon.config import Backend, RepoConfig
from gnomon.flows.request_data import read
from gnomon.flows.responses import computed_of
from gnomon.types import Array, Bool, Bytes, Decimal, FeatureType, Float32, Float64, Int32, Int64, String, UnixTimestamp

MONEY = Decimal(9, 2)
WHOLE, SMALL = st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1)
CENTS = st.integers(-(10**9) + 1, 10**9 - 1).map(lambda one: Amount(one).scaleb(-2))
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001 - naive ones are UTC
WAYS: dict[FeatureType, st.SearchStrategy[Any]] = {
    Bool: st.booleans() | st.booleans().map(np.bool_),
    Int32: SMALL | SMALL.map(float) | SMALL.map(Amount),
    Int64: WHOLE | SMALL.map(float) | WHOLE.map(Amount) | WHOLE.map(np.int64),
    Float32: st.floats(width=32) | SMALL | st.floats(width=32).map(np.float32),
    Float64: st.floats() | WHOLE | CENTS | st.floats().map(np.float64),
    String: st.text(st.characters(codec="utf-8")),
    Bytes: st.binary() | st.binary().map(bytearray),
    UnixTimestamp: TIMES
    | TIMES.map(lambda one: one.replace(tzinfo=timezone.utc))
    | TIMES.map(lambda one: one.date())
    | TIMES.map(lambda one: one.isoformat())
    | TIMES.map(lambda one: np.datetime64(one, "us"))
    | st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)).map(pd.Timestamp)  # noqa: DTZ001
    | st.integers(MIN_MICROS + 1, MAX_MICROS),
    MONEY: CENTS | CENTS.map(str) | st.integers(-(10**7) + 1, 10**7 - 1),
}
ARRAYS = {Array(dtype): st.lists(st.none() | way, max_size=3) for dtype, way in WAYS.items()}
FIELDS = {f"x{number}": dtype for number, dtype in enumerate([*WAYS, *ARRAYS])}
ROWS = st.fixed_dictionaries({name: st.none() | {**WAYS, **ARRAYS}[dtype] for name, dtype in FIELDS.items()})
SECOND = 1_000_000


def told(inputs: dict[str, Any]) -> dict[str, Any]:
    return {f"y{name}": repr(value) for name, value in inputs.items()}


REQUEST = RequestSource(name="r", schema=[Field(name, dtype) for name, dtype in FIELDS.items()])
VIEW = OnDemandFeatureView(
    name="v", sources=[REQUEST], schema=[Field(f"y{name}", String) for name in FIELDS], function=told
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    folder = tmp_path_factory.mktemp("requested")
    config = RepoConfig(project="p", repo_path=folder, online_store=Backend("memory"))
    with FeatureStore(folder, config=config, clock=ManualClock(to_micros("2024-01-01"))) as made:
        made.apply(FeatureService(name="model", features=[VIEW], logging_config=LoggingConfig()))
        yield made


@settings(max_examples=max(settings().max_examples // 4, 10))  # each of many types, and a log that grows
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_however_a_value_is_written_the_log_has_it_and_verifies(
    store: FeatureStore, rows: list[dict[str, Any]]
) -> None:
    assert isinstance(store.clock, ManualClock)
    store.clock.advance("1s")
    response = store.get_online_features("model", rows)
    start = store.clock.now()
    (table,) = [store.served("model", start=start)]
    (answer,) = computed_of(response)
    kept = read(FIELDS, table["request_data"].to_pylist())
    seen = {column: values for (_, column, _), values in zip(answer.computation.inputs, answer.inputs, strict=True)}
    assert repr(kept) == repr({name: seen[name] for name in kept})  # of reprs, NaN is NaN, and −0.0 is not 0.0
    report = store.verify_log("model", start=start)
    assert (report.compared, report.causes) == (len(rows) * len(FIELDS), {}), str(report)


def test_it_is_json_that_people_and_others_read(store: FeatureStore) -> None:
    row = dict.fromkeys(FIELDS)
    names = {str(dtype): name for name, dtype in FIELDS.items()}
    row |= {names["Bytes"]: b"\xff", names["Float64"]: float("inf"), names["Array(Float64)"]: [float("nan"), 1]}
    row |= {names["UnixTimestamp"]: 0, names[str(MONEY)]: 1}
    store.clock.advance("1s")  # type: ignore[attr-defined]
    store.get_online_features("model", [row])

    def none(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    (text,) = store.served("model", start=store.clock.now())["request_data"].to_pylist()
    assert {name: value for name, value in json.loads(text, parse_constant=none).items() if value is not None} == {
        names["Float64"]: "Infinity",
        names["Bytes"]: "/w==",
        names["UnixTimestamp"]: "1970-01-01T00:00:00Z",
        names[str(MONEY)]: "1.00",
        names["Array(Float64)"]: ["NaN", 1.0],
    }


def test_a_service_of_requests_alone_is_logged(store: FeatureStore) -> None:
    store.clock.advance("1s")  # type: ignore[attr-defined]
    store.get_online_features("model", [dict.fromkeys(FIELDS)] * 3, request_id="alone")
    table = store.served("model", start=store.clock.now())
    assert table["request_id"].to_pylist() == ["alone"] * 3
    assert table["known_through"].to_pylist() == ["through:"] * 3
    assert store.served_stats()["model"].failed == 0
