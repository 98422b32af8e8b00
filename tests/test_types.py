"""Types: one value, one name, one Arrow type each."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given

from gnomon import types
from gnomon.errors import DefinitionError
from gnomon.testing.strategies import feature_types
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
    ValueType,
)


@given(feature_types())
def test_a_type_comes_back_from_its_name_from_arrow_and_from_a_copy(dtype: FeatureType) -> None:
    assert types.parse(str(dtype)) == dtype
    assert types.from_arrow(types.to_arrow(dtype)) == dtype
    assert types.coerce(str(dtype), "field 'x'") == dtype
    assert pickle.loads(pickle.dumps(dtype)) == dtype == copy.deepcopy(dtype)
    assert hash(types.parse(str(dtype))) == hash(dtype)


@given(feature_types(), feature_types())
def test_types_are_equal_exactly_if_their_names_are(one: FeatureType, other: FeatureType) -> None:
    assert (one == other) == (str(one) == str(other)) == (types.to_arrow(one) == types.to_arrow(other))


@pytest.mark.parametrize(
    ("arrow", "dtype"),
    [
        (pa.int8(), Int32),
        (pa.uint16(), Int32),
        (pa.int32(), Int32),
        (pa.uint32(), Int64),
        (pa.uint64(), Decimal(20, 0)),
        (pa.float16(), Float32),
        (pa.large_string(), String),
        (pa.string_view(), String),
        (pa.dictionary(pa.int8(), pa.string()), String),
        (pa.binary(16), Bytes),
        (pa.large_binary(), Bytes),
        (pa.date32(), UnixTimestamp),
        (pa.date64(), UnixTimestamp),
        (pa.timestamp("ns", tz="Europe/Berlin"), UnixTimestamp),
        (pa.timestamp("s"), UnixTimestamp),
        (pa.decimal256(38, 2), Decimal(38, 2)),
        (pa.large_list(pa.int64()), Array(Int64)),
        (pa.list_(pa.float32(), 3), Array(Float32)),
        (pa.list_(pa.dictionary(pa.int8(), pa.string())), Array(String)),
        (pa.decimal256(39, 2), None),
        (pa.decimal128(5, -2), None),
        (pa.list_(pa.list_(pa.int64())), None),
        (pa.list_(pa.struct([])), None),
        (pa.struct([("a", pa.int64())]), None),
        (pa.map_(pa.string(), pa.int64()), None),
        (pa.time64("us"), None),
        (pa.duration("us"), None),
        (pa.null(), None),
        (pa.bool_(), Bool),
        (pa.float64(), Float64),
    ],
    ids=str,
)
def test_the_narrowest_type_that_loses_nothing(arrow: pa.DataType, dtype: FeatureType | None) -> None:
    assert types.from_arrow(arrow) == dtype


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (Int64, Int64),
        (ValueType.DOUBLE, Float64),
        (ValueType.STRING_LIST, Array(String)),
        ("Array(Int32)", Array(Int32)),
    ],
    ids=str,
)
def test_a_type_may_be_written_in_several_ways(value: Any, dtype: FeatureType) -> None:
    assert types.coerce(value, "field 'age'") == dtype


def test_every_value_type_stands_for_a_type() -> None:
    assert all(isinstance(one.value, FeatureType) for one in ValueType)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (int, "gnomon.types"),
        (None, "gnomon.types"),
        ("Int63", "gnomon.types"),
        ("int64", "gnomon.types"),
        ("Array(Array(Int64))", "scalar type"),
        ("Array(Nothing)", "gnomon.types"),
        ("Decimal(39, 2)", "1 to 38 digits"),
        (Decimal, "Decimal(18, 2)"),
        (Array, "Array(Float32)"),
        (pa.int64(), "gnomon.types"),
        (FeatureType("Int128"), "gnomon.types"),
    ],
    ids=repr,
)
def test_what_is_no_type_is_refused_by_name(value: Any, hint: str) -> None:
    with pytest.raises(DefinitionError, match="field 'age'") as caught:
        types.coerce(value, "field 'age'")
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    "digits", [(0, 0), (39, 0), (5, 6), (5, -1), (5.0, 2), ("5", 2), (True, 0), (None, 0)], ids=repr
)
def test_decimals_out_of_bounds_are_refused(digits: Any) -> None:
    with pytest.raises(DefinitionError, match="cannot be") as caught:
        Decimal(*digits)
    assert "Decimal(18, 2)" in str(caught.value.hint)


@pytest.mark.parametrize("element", [Array(Int64), int, "Int64", Decimal, None], ids=repr)
def test_arrays_of_what_is_no_scalar_are_refused(element: Any) -> None:
    with pytest.raises(DefinitionError, match="cannot be") as caught:
        Array(element)
    assert "Array(Float32)" in str(caught.value.hint)


@pytest.mark.parametrize(
    "text", ["", "int64", "Array()", "Array(Foo)", "Decimal(5)", "Int64 ", "Decimal(99, 1)", "Array(Array(Int64))"]
)
def test_a_text_that_names_no_type_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="names no type"):
        types.parse(text)


def test_types_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Int64.name = "Int32"  # type: ignore[misc]
