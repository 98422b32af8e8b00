import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.clock import to_micros
from gnomon.core.casting import cast_key, cast_keys
from gnomon.errors import RequestError
from gnomon.testing.strategies.values import key_types, values
from gnomon.types import KEY_TYPES, Bool, Bytes, Int32, Int64, String, UnixTimestamp, to_arrow

BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "dtype", "cast"),
    [
        (7, Int64, 7),
        ("7", Int64, 7),
        ("-7", Int32, -7),
        (7.0, Int64, 7),
        (-0.0, Int64, 0),
        (np.int16(7), Int32, 7),
        (np.float32(7), Int32, 7),
        (np.uint64(2**63 - 1), Int64, 2**63 - 1),
        (Decimal("7.00"), Int64, 7),
        (2.0**62, Int64, 2**62),
        ("7", String, "7"),
        (7, String, "7"),
        (np.int64(-7), String, "-7"),
        (np.str_("é"), String, "é"),
        ("", String, ""),
        (b"7", Bytes, b"7"),
        (bytearray(b"7"), Bytes, b"7"),
        (memoryview(b"7"), Bytes, b"7"),
        (True, Bool, True),
        (np.False_, Bool, False),
        (5, UnixTimestamp, 5),
        (np.int64(5), UnixTimestamp, 5),
        (datetime.fromisoformat("1970-01-01T00:00:01"), UnixTimestamp, 1_000_000),
        (datetime(1970, 1, 1, 1, tzinfo=BERLIN), UnixTimestamp, 0),
        (date(1970, 1, 2), UnixTimestamp, 86_400_000_000),
        ("1970-01-01T00:00:01Z", UnixTimestamp, 1_000_000),
        (np.datetime64(-1, "ns"), UnixTimestamp, -1),
        (pd.Timestamp(-1, unit="ns"), UnixTimestamp, -1),
        (pd.Timestamp("1970-01-01T01:00", tz="Europe/Berlin"), UnixTimestamp, 0),
    ],
)
def test_what_is_cast(value, dtype, cast):
    found = cast_key(value, dtype)
    assert found == cast
    assert type(found) is type(cast)


@pytest.mark.parametrize("dtype", KEY_TYPES)
@pytest.mark.parametrize(
    "null", [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, Decimal("nan"), np.datetime64("NaT")], ids=repr
)
def test_what_is_null(null, dtype):
    assert cast_key(null, dtype) is None


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (7.5, Int64),
        ("7.5", Int64),
        ("7.0", Int64),
        ("07", Int64),
        ("+7", Int64),
        (" 7", Int64),
        ("-0", Int64),
        ("٧", Int64),
        ("1_000", Int64),
        ("", Int64),
        (True, Int64),
        (np.True_, Int32),
        (b"7", Int64),
        (math.inf, Int64),
        (2.0**63, Int64),
        (2**63, Int64),
        (-(2**63) - 1, Int64),
        (2**31, Int32),
        ("2147483648", Int32),
        (Decimal("7.5"), Int64),
        (Decimal("Infinity"), Int64),
        (datetime.fromisoformat("2024-01-01"), Int64),
        ([7], Int64),
        (np.array([7, 8]), Int64),
        (7.0, String),
        (True, String),
        (b"7", String),
        ("\ud800", String),
        (datetime.fromisoformat("2024-01-01"), String),
        ("7", Bytes),
        (7, Bytes),
        (1, Bool),
        ("true", Bool),
        (1.0, UnixTimestamp),
        (True, UnixTimestamp),
        ("yesterday", UnixTimestamp),
        (2**63, UnixTimestamp),
    ],
)
def test_what_is_refused(value, dtype):
    with pytest.raises(RequestError, match="join key 'user_id'") as caught:
        cast_key(value, dtype, "user_id")
    assert caught.value.value is value
    assert caught.value.dtype == dtype
    assert str(dtype) in str(caught.value)


COLUMNS = st.one_of(
    st.tuples(st.just(pa.float64()), st.lists(st.one_of(st.none(), st.floats(), st.integers(-9, 9).map(float)))),
    st.tuples(st.just(pa.float32()), st.lists(st.one_of(st.none(), st.floats(width=32)))),
    st.tuples(st.just(pa.uint64()), st.lists(st.one_of(st.none(), st.integers(0, 2**64 - 1), st.integers(0, 9)))),
    st.tuples(st.just(pa.int16()), st.lists(st.one_of(st.none(), st.integers(-9, 9)))),
    st.tuples(
        st.just(pa.string()), st.lists(st.one_of(st.none(), st.sampled_from(["7", "07", "x", "-3", "", "9" * 11])))
    ),
    st.tuples(st.just(pa.large_binary()), st.lists(st.one_of(st.none(), st.binary(max_size=2)))),
    st.tuples(st.just(pa.bool_()), st.lists(st.one_of(st.none(), st.booleans()))),
    st.tuples(
        st.just(pa.decimal128(20, 1)),
        st.lists(st.one_of(st.none(), st.sampled_from([Decimal("7.0"), Decimal("7.5"), Decimal("9" * 19)]))),
    ),
    st.tuples(st.just(pa.date32()), st.lists(st.one_of(st.none(), st.dates()))),
    st.tuples(st.just(pa.null()), st.lists(st.none())),
)


REFUSED = object()


def outcome(value, dtype):
    try:
        return cast_key(value, dtype)
    except RequestError:
        return REFUSED


@given(st.data(), key_types())
def test_a_column_is_cast_as_its_values_are(data, dtype):
    own = st.tuples(st.just(to_arrow(dtype)), st.lists(values(dtype)))
    kind, listed = data.draw(st.one_of(COLUMNS, own))
    encoded = data.draw(st.booleans()) and kind not in (pa.null(), pa.bool_())
    array = pa.array(listed, kind)
    cut = data.draw(st.integers(0, len(listed)))
    chunks = pa.chunked_array([array[:cut], array[cut:]], kind)
    column = chunks.dictionary_encode() if encoded else chunks
    raw = array.cast(pa.int64()).to_pylist() if pa.types.is_timestamp(kind) else array.to_pylist()
    singly = [outcome(value, dtype) for value in raw]
    if REFUSED in singly:
        with pytest.raises(RequestError, match=f"'k', row {singly.index(REFUSED)}: "):
            cast_keys(column, dtype, "k")
        return
    found = cast_keys(column, dtype, "k")
    assert found.type == to_arrow(dtype)
    assert (found.cast(pa.int64()) if dtype == UnixTimestamp else found).to_pylist() == singly


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_instants_of_every_unit_become_microseconds(unit, zone):
    column = pa.chunked_array([pa.array([-1, None, 1_700_000_000], pa.timestamp(unit, zone))])
    step = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0.001}[unit]
    found = cast_keys(column, UnixTimestamp, "t").cast(pa.int64()).to_pylist()
    assert found == [math.floor(-1 * step), None, math.floor(1_700_000_000 * step)]


def test_an_instant_too_far_out_is_refused():
    column = pa.chunked_array([pa.array([2**62], pa.timestamp("s"))])
    with pytest.raises(RequestError, match="'t'"):
        cast_keys(column, UnixTimestamp, "t")


@pytest.mark.parametrize("dtype", KEY_TYPES, ids=str)
@pytest.mark.parametrize("value", [[1], {"a": 1}], ids=["list", "struct"])
def test_nested_values_are_no_keys(value, dtype):
    column = pa.array([None, value, value])
    encoded = pa.DictionaryArray.from_arrays(pa.array([None, 0, 0], pa.int32()), column.slice(1, 1))
    for given_as in (pa.chunked_array([column[:1], column[1:]]), pa.chunked_array([encoded[:1], encoded[1:]])):
        with pytest.raises(RequestError, match="'k', row 1: "):
            cast_keys(given_as, dtype, "k")
    nulls = cast_keys(pa.chunked_array([column[:1]]), dtype, "k")
    assert (nulls.type, nulls.to_pylist()) == (to_arrow(dtype), [None])


def test_a_value_that_no_row_has_does_not_matter():
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["7", "bad"]))
    assert cast_keys(pa.chunked_array([column]), Int64, "k").to_pylist() == [7, 7]


def test_dates_and_texts_are_instants():
    texts = pa.chunked_array([pa.array(["2024-01-01", None])])
    assert cast_keys(texts, UnixTimestamp, "t").cast(pa.int64()).to_pylist() == [to_micros("2024-01-01"), None]


@given(
    st.lists(
        st.datetimes().map(lambda at: at.isoformat() + "Z")
        | st.sampled_from(["2024-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01", None])
        | st.from_regex(r"\A\d{4}-[01]\d-[0-3]\d[T ][0-2]\d:\d\d:\d\d(\.\d{3}(\d{3})?)?(Z|\+01:00)?\Z"),
        max_size=6,
    )
)
def test_texts_of_instants_are_read_at_once_as_they_are_one_by_one(texts: list[str | None]) -> None:
    column = pa.chunked_array([pa.array(texts, pa.string())])
    try:
        one_by_one = [cast_key(one, UnixTimestamp) for one in texts]
    except RequestError:
        with pytest.raises(RequestError):
            cast_keys(column, UnixTimestamp)
        return
    assert cast_keys(column, UnixTimestamp).cast(pa.int64()).to_pylist() == one_by_one


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**62, None], pa.int64()).cast(pa.timestamp("s")),
        pa.array([2**63 - 1, None], pa.int64()).cast(pa.timestamp("us")),
        pa.array([1, None], pa.int64()).cast(pa.timestamp("us", "Nowhere/Zone")),
        pa.array([2**31 - 1, None], pa.int32()).cast(pa.date32()),
        pa.array([2**62, None], pa.duration("s")),
        pa.array([b"0" * 16, None], pa.binary(16)).cast(pa.uuid()),
    ],
    ids=lambda column: str(column.type),
)
@pytest.mark.parametrize("dtype", [Int64, String])
def test_values_that_python_does_not_have_are_no_keys(column, dtype):
    with pytest.raises(RequestError, match="'user_id'"):
        cast_keys(pa.chunked_array([column]), dtype, "user_id")
