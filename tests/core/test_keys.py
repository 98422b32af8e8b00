import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.keys import MANY_KEYS, column_encoder, encode_key, encode_keys, key_encoder
from gnomon.errors import RequestError
from gnomon.testing.strategies.values import key_types, values
from gnomon.types import Bool, Bytes, Int32, Int64, String, UnixTimestamp, to_arrow


@st.composite
def keys(draw, least=1, most=6):
    """A signature and keys of it without nulls."""
    dtypes = draw(st.lists(key_types(), min_size=1, max_size=3))
    key = st.tuples(*(values(dtype, nulls=False) for dtype in dtypes))
    return dtypes, draw(st.lists(key, min_size=least, max_size=most))


@given(keys(), st.booleans())
def test_every_encoder_gives_the_same_bytes(drawn, long):
    dtypes, listed = drawn
    listed = listed * MANY_KEYS if long else listed
    names = [f"k{place}" for place in range(len(dtypes))]
    expected = [encode_key(key, dtypes) for key in listed]
    columns = [[key[place] for key in listed] for place in range(len(dtypes))]
    arrays = [pa.array(column, to_arrow(dtype)) for column, dtype in zip(columns, dtypes, strict=True)]
    assert [key_encoder(names, dtypes)(*key) for key in listed] == expected
    assert column_encoder(names, dtypes)(*columns) == expected
    assert encode_keys(arrays, dtypes) == expected
    assert encode_keys([pa.chunked_array([one[:1], one[1:]]) for one in arrays], dtypes) == expected
    assert encode_keys([one[1:] for one in arrays], dtypes) == expected[1:]


@given(keys(least=2))
def test_different_keys_have_different_bytes(drawn):
    dtypes, listed = drawn
    assert len({encode_key(key, dtypes) for key in listed}) == len(set(listed))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_whole_numbers_sort_as_numbers(numbers):
    encoded = {encode_key((number,), (Int64,)): number for number in numbers}
    assert [encoded[key] for key in sorted(encoded)] == sorted(set(numbers))


def test_a_widened_key_finds_its_rows():
    assert encode_key((-7,), (Int32,)) == encode_key((-7,), (Int64,))
    assert encode_key((-7, "a"), (Int32, String)) == encode_key((-7, "a"), (Int64, String))


def test_types_do_not_meet():
    alike = [((1,), (Int64,)), ((1,), (UnixTimestamp,)), ((True,), (Bool,)), (("1",), (String,)), ((b"1",), (Bytes,))]
    assert len({encode_key(*one) for one in alike}) == len(alike)


def test_raw_values_are_cast_and_nulls_have_no_key():
    encode = key_encoder(("a", "b"), (Int64, String))
    assert encode("7", 7) == encode_key((7, "7"), (Int64, String))
    assert encode(None, "x") is encode(7, float("nan")) is None
    with pytest.raises(RequestError, match="join key 'a'"):
        encode(7.5, "x")
    with pytest.raises(RequestError, match="join key 'b'"):
        encode(7, "\ud800")


@pytest.mark.parametrize("dtype", [Int32, Int64])
def test_long_columns_are_cast_as_single_values(dtype):
    encode, one = column_encoder(("a",), (dtype,)), key_encoder(("a",), (dtype,))
    mixed = [*range(-20, 20), None, "7", 7.0]
    assert encode(mixed) == [one(value) for value in mixed]
    assert encode(list(range(40))) == [one(value) for value in range(40)]
    limit = 2 ** (31 if dtype == Int32 else 63)
    assert encode([limit - 1, -limit] * 20) == [one(limit - 1), one(-limit)] * 20
    for bad in (limit, -limit - 1, True):
        with pytest.raises(RequestError, match="join key 'a'"):
            encode([*range(40), bad])


def test_a_view_of_the_whole_world_has_one_key():
    assert encode_key((), ()) == key_encoder((), ())() == b""


def test_nulls_have_no_bytes_in_bulk_either():
    with pytest.raises(RequestError, match="null part"):
        encode_keys([pa.array([1, None])], [Int64])
