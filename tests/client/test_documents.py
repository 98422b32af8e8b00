"""What goes out is JSON that says the same."""

from __future__ import annotations

import base64
import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.client.documents import columns_of, written
from gnomon.errors import RequestError

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (NOON, "2024-01-01T12:00:00Z"),
        (date(2024, 1, 1), "2024-01-01"),
        (b"\x00\xff", "AP8="),
        (Decimal("1.50"), "1.50"),
        (float("-inf"), "-Infinity"),
        (np.float64("nan"), "NaN"),
        (np.int64(5), 5),
        (np.array([1, 2]), [1, 2]),
        (np.array([0.5, np.nan]), [0.5, "NaN"]),
        (pd.Timestamp(NOON), "2024-01-01T12:00:00Z"),
        (pd.NaT, None),
        ((1, 2), [1, 2]),
        ("\ud800", "\ud800"),
        (2**70, 2**70),
    ],
)
def test_values(value: Any, said: Any) -> None:
    assert json.loads(written({"a": [value, float("nan")]}))["a"] == [said, "NaN"]
    if said != "NaN" and "Infinity" not in str(said) and not isinstance(value, np.ndarray):
        assert json.loads(written({"a": [value]}))["a"] == [said]


def test_what_cannot_be_sent() -> None:
    with pytest.raises(RequestError, match="It is a object"):
        written({"a": object()})


plain = st.none() | st.booleans() | st.integers() | st.text() | st.floats() | st.binary()


@given(rows=st.lists(st.fixed_dictionaries({"a": plain, "b": st.lists(plain, max_size=2)}), min_size=1, max_size=5))
def test_rows_come_back_as_columns(rows: list[dict[str, Any]]) -> None:
    columns = json.loads(written(columns_of(rows)))
    assert columns == json.loads(written({name: [row[name] for row in rows] for name in ("a", "b")}))
    for row, value in zip(rows, columns["a"], strict=True):
        if isinstance(row["a"], bytes):
            assert base64.b64decode(value) == row["a"]


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": 1, "b": "x"}, {"b": None, "a": 2}],
        {"a": (1, 2), "b": ["x", None]},
        {"a": np.array([1, 2]), "b": ["x", None]},
        pa.table({"a": [1, 2], "b": ["x", None]}),
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    ],
)
def test_forms_of_rows(rows: Any) -> None:
    assert columns_of(rows) == {"a": [1, 2], "b": ["x", None]}
    assert columns_of([]) == {}
