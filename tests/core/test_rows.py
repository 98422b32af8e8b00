import decimal
import math
import struct

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.ordering import row_key
from gnomon.core.packing import EVENT, KNOWN, pack
from gnomon.core.rows import FEW, Layout, instants, schema_of
from gnomon.errors import NewerFormat
from gnomon.testing.strategies.values import feature_types, values
from gnomon.testing.strategies.values import instants as some_instants
from gnomon.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
    to_arrow,
)

LATE = 2**62


def same(left, right, dtypes):
    """Equal to the bit, NaN and −0.0 included."""
    return row_key(left, dtypes) == row_key(right, dtypes)


@st.composite
def tables(draw, least=0, most=12):
    """A layout and rows of it: (event, known, values)."""
    dtypes = draw(st.lists(feature_types(), min_size=1, max_size=10))
    row = st.tuples(some_instants(), some_instants(), st.tuples(*map(values, dtypes)))
    rows = draw(st.lists(row, min_size=least, max_size=most))
    return Layout((f"c{place}", dtype) for place, dtype in enumerate(dtypes)), rows


def batch_of(layout, rows):
    columns = {
        name: pa.array([row[2][place] for row in rows], to_arrow(dtype))
        for place, (name, dtype) in enumerate(layout.fields)
    }
    events, knowns = (pa.array([row[at] for row in rows], pa.int64()) for at in (0, 1))
    return pa.record_batch({**columns, EVENT: events, KNOWN: knowns})


@given(tables())
def test_values_come_back_to_the_bit(table):
    layout, rows = table
    for event, known, row in rows:
        packed = layout.pack(event, known, row)
        assert instants(packed) == (event, known)
        assert schema_of(packed) == layout.id
        assert same(layout.values(packed), row, layout.dtypes)


@given(tables())
def test_packing_a_batch_is_packing_row_by_row(table):
    layout, rows = table
    assert pack(layout, batch_of(layout, rows)) == [layout.pack(*row) for row in rows]


@given(tables(least=1), st.integers(0, 5), st.integers(0, 5))
def test_packing_a_slice_of_a_batch(table, start, length):
    layout, rows = table
    packed = pack(layout, batch_of(layout, rows).slice(start, length))
    assert packed == [layout.pack(*row) for row in rows[start : start + length]]


@settings(max_examples=200)
@given(tables(least=1, most=2 * FEW), st.data())
def test_few_and_many_rows_are_read_alike(table, data):
    layout, rows = table
    places = data.draw(st.lists(st.sampled_from(range(len(layout.fields))), unique=True))
    packed = [layout.pack(*row) for row in rows]
    reading = layout.reading(places)
    wanted = [layout.dtypes[place] for place in places]
    for read in (reading._few, reading._many):
        columns, events = read(packed, LATE)
        assert events == [event for event, _, _ in rows]
        assert len(columns) == len(places)
        for (_, _, row), *found in zip(rows, *columns, strict=True):
            assert same(found, [row[place] for place in places], wanted)


def test_no_rows_are_no_rows():
    layout = Layout([("a", Int64), ("b", String)])
    assert layout.reading([0, 1]).columns([], LATE) == ([[], []], [])
    assert pack(layout, batch_of(layout, [])) == []


@pytest.mark.parametrize("count", [1, 3, FEW, 50])
def test_rows_that_are_not_plain_are_left_to_the_slow_way(count):
    layout = Layout([("a", Int64), ("s", String)])
    other = Layout([("a", Int64), ("s", Bytes), ("t", Int64)])
    plain = [layout.pack(10, 10, [place, "x" * place]) for place in range(count)]
    reading = layout.reading([0, 1])
    assert reading.columns(plain, 10) is not None
    for odd in (layout.pack(11, 10, [1, ""]), layout.pack(10, 11, [1, ""]), other.pack(1, 1, [1, b"", 2]), b"\x02\x00"):
        assert reading.columns([*plain[1:], odd], 10) is None
        assert reading.columns([odd, *plain[1:]], 10) is None


def test_rows_of_other_lengths_that_add_up_are_told_apart():
    layout, short, long = Layout([("a", Int64)]), Layout([("a", Int32)]), Layout([("a", Int64), ("b", Int32)])
    rows = [layout.pack(1, 1, [0])] * FEW + [short.pack(1, 1, [0]), long.pack(1, 1, [0, 0])]
    assert len(b"".join(rows)) == len(rows) * layout.struct.size
    assert layout.reading([0]).columns(rows, LATE) is None


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (Decimal(38, 0), decimal.Decimal(10**38 - 1)),
        (Decimal(38, 38), decimal.Decimal("-0." + "9" * 38)),
        (Decimal(19, 2), decimal.Decimal("-12345678901234567.89")),
        (Decimal(18, 2), decimal.Decimal("-1234567890123456.78")),
        (UnixTimestamp, -(2**63) + 1),
        (Float32, 3.4028234663852886e38),
        (String, "a\0b"),
        (Array(String), ["", None, "ä" * 300, ""]),
        (Array(Bool), [True, None, False]),
        (Array(Decimal(38, 2)), [decimal.Decimal("1.25"), None]),
        (Array(Bytes), []),
        (Array(Float32), [1.5] * 128),
    ],
)
def test_edges_of_types(dtype, value):
    layout = Layout([("before", String), ("x", dtype), ("after", Array(Int64))])
    row = layout.pack(-5, -7, ["é", value, [1, None]])
    assert layout.values(row) == ["é", value, [1, None]]
    assert instants(row) == (-5, -7)
    batch = batch_of(layout, [(-5, -7, ["é", value, [1, None]])])
    assert pack(layout, batch) == [row]


def test_null_lists_that_hide_elements_pack_as_nulls():
    hidden = pa.ListArray.from_arrays(
        pa.array([0, 2, 3], pa.int32()), pa.array([1, 2, 3]), mask=pa.array([True, False])
    )
    layout = Layout([("x", Array(Int64))])
    batch = pa.record_batch({"x": hidden, EVENT: pa.array([1, 1]), KNOWN: pa.array([1, 1])})
    assert pack(layout, batch) == [layout.pack(1, 1, [None]), layout.pack(1, 1, [[3]])]


def test_other_arrow_types_are_cast():
    layout = Layout([("s", String), ("t", UnixTimestamp), ("a", Array(Float64))])
    columns = {
        "s": pa.array(["x"], pa.large_string()).dictionary_encode(),
        "t": pa.array([1], pa.timestamp("s")),
        "a": pa.array([[1.0]], pa.large_list(pa.float64())),
    }
    batch = pa.record_batch({**columns, EVENT: pa.array([1]), KNOWN: pa.array([1])})
    assert pack(layout, batch) == [layout.pack(1, 1, ["x", 1_000_000, [1.0]])]


def test_nan_has_one_form_whatever_its_bits():
    odd = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0001))[0]
    layout = Layout([("x", Float64), ("a", Array(Float64))])
    batch = batch_of(layout, [(1, 1, [odd, [odd]])])
    assert layout.pack(1, 1, [odd, [odd]]) == layout.pack(1, 1, [math.nan, [math.nan]])
    assert pack(layout, batch) == [layout.pack(1, 1, [math.nan, [math.nan]])]


def test_the_schema_id_is_of_names_types_and_order():
    layout = Layout([("a", Int64), ("b", String)])
    assert layout.id == Layout(layout.fields).id == 0xDF2B1F7F  # what a store keeps must mean the same for ever
    others = [
        [("a", Int32), ("b", String)],
        [("b", String), ("a", Int64)],
        [("a", Int64)],
        [("a", Int64), ("c", String)],
    ]
    assert len({layout.id, *(Layout(other).id for other in others)}) == 5


@given(st.lists(feature_types(), min_size=1, max_size=5))
def test_a_layout_comes_back_from_its_json(dtypes):
    layout = Layout((f"größe {place}", dtype) for place, dtype in enumerate(dtypes))
    again = Layout.from_json(layout.to_json().encode())
    assert (again.fields, again.id) == (layout.fields, layout.id)


def test_a_row_of_an_older_layout_keeps_what_matches_by_name_and_type():
    older = Layout([("gone", String), ("a", Int64), ("b", Int32), ("c", String)])
    layout = Layout([("c", String), ("b", Int64), ("a", Int64), ("new", Float64)])
    row = layout.adapt(older.pack(3, 4, ["x", 1, 2, "y"]), older)
    assert layout.values(row) == ["y", None, 1, None]
    assert instants(row) == (3, 4)


def test_a_newer_format_is_told_apart():
    with pytest.raises(NewerFormat, match="format 9"):
        schema_of(b"\x09" + bytes(40))
