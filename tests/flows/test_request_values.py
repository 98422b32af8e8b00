"""Values that come with the request are the same whatever they come as: columns of a spine, or values one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal as PythonDecimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from shop import day

from gnomon import FeatureStore, Field, OnDemandFeatureView, RequestSource
from gnomon.clock import ManualClock
from gnomon.errors import RequestError
from gnomon.types import Array, Bool, Bytes, Decimal, Float32, Float64, Int64, String, UnixTimestamp

NAN = float("nan")
SCHEMA = [
    Field("i", Int64),
    Field("f", Float32),
    Field("s", String),
    Field("t", UnixTimestamp),
    Field("b", Bool),
    Field("m", Decimal(6, 2)),
    Field("a", Array(Float64)),
    Field("y", Bytes),
]
REQUEST = RequestSource(name="r", schema=SCHEMA)


def told(inputs: dict[str, Any]) -> str:
    return repr(sorted(inputs.items()))


VIEW = OnDemandFeatureView(name="v", sources=[REQUEST], schema=[Field("x", String)], function=told, singleton=True)
NOTHING = dict.fromkeys([one.name for one in SCHEMA])
ROW: dict[str, Any] = {
    "i": 1,
    "f": 0.1,
    "s": "a",
    "t": pd.Timestamp("2024-01-01T00:00:00.123456789"),
    "b": True,
    "m": PythonDecimal("1.5"),
    "a": [1.0, 2.0],
    "y": b"x",
}
SAID = repr(
    [
        ("a", [1.0, 2.0]),
        ("b", True),
        ("f", 0.10000000149011612),
        ("i", 1),
        ("m", PythonDecimal("1.50")),
        ("s", "a"),
        ("t", datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=timezone.utc)),
        ("y", b"x"),
    ]
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    with FeatureStore(tmp_path, clock=ManualClock(day(20))) as made:
        made.apply([VIEW])
        yield made


def trained(store: FeatureStore, spine: Any) -> list[Any]:
    found: list[Any] = store.get_historical_features(spine, ["v:x"]).to_arrow()["x"].to_pylist()
    return found


def served(store: FeatureStore, *rows: dict[str, Any]) -> list[Any]:
    return list(store.get_online_features(["v:x"], list(rows)).to_dict()["x"])


def test_in_a_frame_and_in_a_request(store: FeatureStore) -> None:
    """Where pandas has no null of its own, whole numbers come as floats, and nulls as NaN and NaT."""
    frame = pd.DataFrame({name: [ROW[name], None] for name in ROW} | {"event_timestamp": [day(2)] * 2})
    assert frame["i"].dtype == np.float64
    assert trained(store, frame) == [SAID, repr(sorted(NOTHING.items()))]
    assert trained(store, pl.from_pandas(frame)) == trained(store, frame)
    odd = {**NOTHING, "i": NAN, "f": np.float32("nan"), "t": pd.NaT, "b": pd.NA, "m": None}
    assert served(store, ROW, odd) == trained(store, frame)


@pytest.mark.parametrize(
    ("name", "columns", "values", "expected"),
    [
        ("i", [pa.array([7], pa.int8()), pa.array([7.0]), [7]], [7, 7.0, np.int32(7), PythonDecimal(7)], 7),
        ("f", [pa.array([3], pa.int64()), pa.array([3.0], pa.float64())], [3, 3.0, np.float64(3)], 3.0),
        ("s", [pa.array(["é"]).dictionary_encode(), pa.array(["é"], pa.large_string())], ["é", np.str_("é")], "é"),
        (
            "t",
            [
                pa.array([5], pa.timestamp("s")),
                pa.array([5_000_000_999], pa.timestamp("ns", "UTC")),
                ["1970-01-01T00:00:05"],
            ],
            [5_000_000, datetime(1970, 1, 1, 0, 0, 5), "1970-01-01T01:00:05+01:00", np.datetime64(5, "s")],  # noqa: DTZ001
            datetime(1970, 1, 1, 0, 0, 5, tzinfo=timezone.utc),
        ),
        ("t", [[date(1970, 1, 2)]], [date(1970, 1, 2)], datetime(1970, 1, 2, tzinfo=timezone.utc)),
        ("b", [[False]], [False, np.False_], False),
        (
            "m",
            [[2], ["2.0"], pa.array([PythonDecimal("2.000")])],
            [2, "2", PythonDecimal("2.000")],
            PythonDecimal("2.00"),
        ),
        ("a", [pa.array([[1.5]], pa.list_(pa.float32())), [[1.5]]], [[1.5], (1.5,), np.array([1.5])], [1.5]),
        ("y", [pa.array([b"z"], pa.large_binary())], [b"z", bytearray(b"z")], b"z"),
    ],
)
def test_many_ways_to_say_a_value(
    store: FeatureStore, name: str, columns: list[Any], values: list[Any], expected: Any
) -> None:
    said = [repr(sorted({**NOTHING, name: expected}.items()))]
    for column in columns:
        spine = {**{one: [None] for one in NOTHING}, name: column, "event_timestamp": [day(2)]}
        assert trained(store, spine) == said
    for value in values:
        assert served(store, {**NOTHING, name: value}) == said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("i", 1.5),
        ("i", "1"),
        ("i", True),
        ("i", 2**63),
        ("f", "0.1"),
        ("f", 1e300),
        ("s", 1),
        ("t", "soon"),
        ("t", timedelta(1)),
        ("b", 1),
        ("m", PythonDecimal("1.555")),
        ("m", 10**6),
        ("m", "much"),
        ("a", 1.0),
        ("a", ["x"]),
        ("y", "text"),
    ],
)
def test_values_of_other_types_are_refused_on_both_sides(store: FeatureStore, name: str, value: Any) -> None:
    with pytest.raises(RequestError, match=f"'{name}', which on-demand view 'v' takes from the request"):
        trained(store, {**{one: [None] for one in NOTHING}, name: [value], "event_timestamp": [day(2)]})
    with pytest.raises(RequestError, match=f"'{name}' is .* in row 1, and on-demand view 'v' takes"):
        served(store, ROW, {**NOTHING, name: value})


def test_each_answer_made_of_the_request_alone_has_a_token(store: FeatureStore) -> None:
    """It names no view, and training takes it."""
    response = store.get_online_features(["v:x"], [ROW, NOTHING], known_through=True)
    assert [str(one) for one in response.known_through] == ["through:"] * 2
    spine = {**{name: [value] for name, value in ROW.items()}, "event_timestamp": [day(2)]}
    made = store.get_historical_features(spine, ["v:x"], as_known=str(response.known_through[0])).to_arrow()
    assert made["x"].to_pylist() == [SAID]
    assert not store.verify([response]).differences
