import pyarrow as pa
import pytest

from gnomon import Entity, FeatureView, Field, FileSource
from gnomon.contracts.online import Table
from gnomon.core.keys import encode_key
from gnomon.core.rows import Layout
from gnomon.errors import RequestError
from gnomon.flows.tables import entries_of, known_layouts, layout_of, remember_layout, table_of
from gnomon.online.memory import MemoryStore
from gnomon.types import Int64, String

KEYS = [Entity(name="a", value_type=Int64), Entity(name="b", value_type=String)]


def view(entities=KEYS, version=1):
    schema = [Field("x", Int64), Field("s", String)]
    return FeatureView(name="v", entities=entities, source=FileSource(path="x"), schema=schema, version=version)


def batch(**keys):
    count = len(next(iter(keys.values()), [0, 0]))
    columns = {"s": ["é"] * count, "__known": [2] * count, "__event": [1] * count, "x": [None] * count}
    return pa.record_batch(
        {**keys, **{name: pa.array(one, pa.int64()) if name != "s" else one for name, one in columns.items()}}
    )


def test_each_version_of_a_view_has_its_table():
    assert table_of("p", view(version=2)) == Table("p", "v@2")


def test_entries_are_keys_and_rows_whatever_the_order_of_columns():
    layout = layout_of(view())
    row = layout.pack(1, 2, [None, "é"])
    made = entries_of(view(), layout, batch(b=pa.array([7, 8]), a=pa.array(["1", "2"])))
    assert made == [(encode_key((1, "7"), (Int64, String)), row), (encode_key((2, "8"), (Int64, String)), row)]


def test_rows_with_a_null_in_the_key_are_left_out():
    made = entries_of(view(), layout_of(view()), batch(a=pa.array([1, None, 3]), b=pa.array(["x", "y", None])))
    assert [key for key, _ in made] == [encode_key((1, "x"), (Int64, String))]


def test_a_view_of_the_whole_world_has_one_key():
    assert [key for key, _ in entries_of(view([]), layout_of(view([])), batch())] == [b"", b""]


def test_a_key_that_loses_something_is_an_error():
    with pytest.raises(RequestError, match="join key 'a', row 1"):
        entries_of(view(), layout_of(view()), batch(a=pa.array([1.0, 1.5]), b=pa.array(["x", "y"])))


def test_layouts_are_remembered_once():
    store, table = MemoryStore(), Table("p", "v@1")
    first, second = layout_of(view()), Layout([("x", String)])
    for layout in (first, second, first):
        remember_layout(store, table, layout)
    store.note(table, "other", b"")
    assert {number: layout.fields for number, layout in known_layouts(store, table).items()} == {
        first.id: first.fields,
        second.id: second.fields,
    }
    assert len(store.notes(table)) == 3
