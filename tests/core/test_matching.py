"""Which rows are about an entity: column by column as Arrow compares, value by value as keys are cast."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.casting import cast_key
from gnomon.core.matching import about
from gnomon.errors import RequestError
from gnomon.types import Int64, String

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)


def found(column: Any, value: Any) -> list[bool]:
    return about(pa.table({"key": column}), {"key": value}).to_pylist()


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (pa.array([7, 8, None]), 7, [True, False, False]),
        (pa.array([7, 8], pa.int8()), 7, [True, False]),
        (pa.array([7, 2**63], pa.uint64()), 7, [True, False]),
        (pa.array([7.0, 7.5, float("nan")]), 7, [True, False, False]),
        (pa.array(["7", "07", " 7", "7.0"]), 7, [True, False, False, False]),
        (pa.array(["7", None, "8"]).dictionary_encode(), 7, [True, False, False]),
        (pa.array(["7"], pa.large_string()), "7", [True]),
        (pa.array([7, 300]), "7", [True, False]),
        (pa.array([7, 8], pa.int32()), 2**40, [False, False]),
        (pa.array(["x", "y"]), "x", [True, False]),
        (pa.array([b"x", b"y"]), b"x", [True, False]),
        (pa.array([b"x", b"y"], pa.large_binary()), b"x", [True, False]),
        (pa.array([True, False]), True, [True, False]),
        (pa.array([1, 0]), True, [False, False]),
        (pa.array([NOON, None], pa.timestamp("us", "UTC")), NOON, [True, False]),
        (pa.array([NOON], pa.timestamp("ns", "UTC")), NOON, [True]),
        (pa.array([NOON], pa.timestamp("us", "UTC")), "2024-01-01T12:00:00Z", [True]),
        (pa.array([[7], [8]]), 7, [False, False]),
        (pa.nulls(2), 7, [False, False]),
        (pa.array([], pa.int64()), 7, []),
    ],
)
def test_a_column_of_any_type(column: pa.Array, value: Any, expected: list[bool]) -> None:
    assert found(column, value) == expected


def test_all_values_have_to_be_there() -> None:
    rows = pa.table({"a": [1, 1, 2], "b": ["x", "y", "x"]})
    assert about(rows, {"a": 1, "b": "x"}).to_pylist() == [True, False, False]
    assert about(rows, {"a": 1, "c": "x"}).to_pylist() == [False] * 3
    assert about(rows, {}).to_pylist() == [True] * 3


@given(texts=st.lists(st.none() | st.sampled_from(["7", "8", "-7", "007", "7.0", "x", ""]), max_size=8))
def test_texts_as_they_would_be_cast(texts: list[str | None]) -> None:
    def is_seven(text: str | None) -> bool:
        try:
            return text is not None and cast_key(text, Int64) == 7
        except RequestError:
            return False

    assert found(pa.array(texts, pa.string()), 7) == list(map(is_seven, texts))
    assert found(pa.array(texts, pa.string()).dictionary_encode(), 7) == list(map(is_seven, texts))


@given(numbers=st.lists(st.none() | st.integers(-9, 9), max_size=8), value=st.integers(-9, 9))
def test_numbers_as_texts(numbers: list[int | None], value: int) -> None:
    column = pa.array(numbers, pa.int64())
    expected = [one == value for one in numbers]
    assert found(column, value) == found(column, cast_key(value, String)) == expected
    assert found(column.cast(pa.string()), value) == expected
    assert found(column.cast(pa.float64()), value) == expected
