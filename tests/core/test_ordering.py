import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.ordering import row_key, sort_key
from gnomon.testing.reference import order_key, row_order_key
from gnomon.testing.strategies.values import feature_types, values
from gnomon.types import Array, Bool, Bytes, Decimal, Float32, Float64, Int64, String, UnixTimestamp

NAN = math.nan


@pytest.mark.parametrize(
    ("dtype", "ordered"),
    [
        (Bool, [None, False, True]),
        (Int64, [None, -(2**63), -1, 0, 2**63 - 1]),
        (Float64, [None, -math.inf, -1.5, -0.0, 0.0, 5e-324, math.inf, NAN]),
        (Float32, [None, -math.inf, -0.0, 0.0, math.inf, NAN]),
        (String, [None, "", "A", "a", "ab", "ä", "\ufffd", "\U0001d11e"]),
        (Bytes, [None, b"", b"\x00", b"a", b"\xff"]),
        (Decimal(38, 2), [None, -1, 0, 1]),
        (UnixTimestamp, [None, -1, 0, 1]),
        (Array(Float64), [None, [], [None], [None, 1.0], [-0.0], [0.0], [1.0], [1.0, None], [NAN]]),
    ],
)
def test_the_order_of_values(dtype, ordered):
    key = sort_key(dtype)
    keys = [key(value) for value in ordered]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_all_nans_are_equal():
    assert sort_key(Float64)(NAN) == sort_key(Float64)(-NAN)


@given(st.data())
def test_the_order_is_the_references(data):
    dtypes = data.draw(st.lists(feature_types(), min_size=1, max_size=3))
    rows = data.draw(st.lists(st.tuples(*map(values, dtypes)), min_size=2, max_size=4))
    for left in rows:
        for right in rows:
            ours = row_key(left, dtypes) < row_key(right, dtypes)
            assert ours == (row_order_key(left, dtypes) < row_order_key(right, dtypes))
            same = row_key(left, dtypes) == row_key(right, dtypes)
            assert same == all(order_key(a, t) == order_key(b, t) for a, b, t in zip(left, right, dtypes, strict=True))
