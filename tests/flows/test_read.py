import decimal
import math
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource
from gnomon.clock import ManualClock
from gnomon.contracts.registry import Snapshot
from gnomon.core.keys import encode_key
from gnomon.core.ordering import row_key
from gnomon.core.rows import Layout
from gnomon.core.staircases import merging
from gnomon.definitions.catalog import Catalog
from gnomon.errors import BackendError, NotRegistered, RequestError, UnknownFeature
from gnomon.flows.read import Reader, get_online_features
from gnomon.flows.responses import Status
from gnomon.flows.tables import layout_of, remember_layout, table_of
from gnomon.online.lmdb import LmdbStore
from gnomon.online.memory import MemoryStore
from gnomon.testing.reference import Row, as_of
from gnomon.testing.strategies.values import feature_types, values
from gnomon.types import Array, Bool, Decimal, Float32, Float64, Int64, String, UnixTimestamp

SOURCE = FileSource(path="x.parquet")
USER, AIRPORT = Entity(name="user_id", value_type=Int64), Entity(name="faa", value_type=String)
PAIR = Entity(name="pair", join_keys=["a", "b"], value_type=Int64)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

PROFILE = FeatureView(
    name="profile",
    entities=[USER],
    source=SOURCE,
    ttl=timedelta(microseconds=100),
    schema=[Field("age", Int64), Field("city", String), Field("seen", UnixTimestamp)],
)
AIRPORTS = FeatureView(name="airport", entities=[AIRPORT], source=SOURCE, schema=[Field("altitude", Float64)])
PAIRS = FeatureView(name="pair", entities=[PAIR], source=SOURCE, schema=[Field("near", Bool)])
WORLD = FeatureView(name="world", source=SOURCE, schema=[Field("rate", Decimal(10, 2))])
OFFLINE = FeatureView(name="offline", entities=[USER], source=SOURCE, schema=[Field("x", Int64)], online=False)
TRIP = FeatureService(
    name="trip",
    features=[
        AIRPORTS.with_name("from").with_join_key_map({"faa": "origin"}),
        AIRPORTS.with_name("to").with_join_key_map({"faa": "dest"}),
        WORLD,
    ],
)
SNAPSHOT = Snapshot(project="p", version=1, catalog=Catalog.of([PROFILE, AIRPORTS, PAIRS, WORLD, OFFLINE, TRIP]))


def load(store, view, rows, now=0):
    """Put rows (key, event, known, values) into the store."""
    layout, table = layout_of(view), table_of("p", view)
    remember_layout(store, table, layout)
    dtypes = [one.dtype for one in view.entity_columns]
    entries = [(encode_key(key, dtypes), layout.pack(event, known, list(row))) for key, event, known, row in rows]
    store.write(table, entries, merging(layout, now))


@pytest.fixture(params=["memory", "lmdb"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else LmdbStore({"path": str(tmp_path / "store")})
    with closing(made) as store:
        load(store, PROFILE, [((7,), 1_000, 1_000, [41, None, -1]), ((8,), 900, 900, [12, "Ulm", 0])])
        load(store, AIRPORTS, [(("JFK",), 1, 1, [13.0]), (("LAX",), 1, 1, [math.nan])])
        load(store, PAIRS, [((1, 2), 1, 1, [True])])
        load(store, WORLD, [((), 1, 1, [decimal.Decimal("1.50")])])
        yield store


@pytest.fixture
def clock():
    return ManualClock(1_000)


@pytest.fixture
def ask(store, clock):
    reader = Reader(store, clock)
    return lambda *args, **kwargs: reader.read(SNAPSHOT, *args, **kwargs)


def test_columns_are_join_keys_then_features_in_the_order_asked(ask):
    found = ask(["world:rate", "profile:city", "pair:near", "profile:age"], [{"user_id": 7, "b": 2, "a": 1}]).to_dict()
    assert list(found) == ["user_id", "a", "b", "rate", "city", "near", "age"]
    assert found == {
        "user_id": [7], "a": [1], "b": [2],
        "rate": [decimal.Decimal("1.50")], "city": [None], "near": [True], "age": [41],
    }  # fmt: skip


def test_every_row_asked_is_answered_in_order(ask):
    found = ask(["profile:age"], [{"user_id": key} for key in (8, 7, 9, 8)])
    assert found.to_dict() == {"user_id": [8, 7, 9, 8], "age": [12, 41, None, 12]}
    assert len(found) == 4


def test_a_dict_of_lists_is_a_list_of_dicts(ask):
    for keys in ([7, 8], (7, 8), np.array([7, 8]), pa.array([7, 8]), pa.chunked_array([[7], [8]]), pd.Series([7, 8])):
        assert ask(["profile:age"], {"user_id": keys}).to_dict() == {"user_id": [7, 8], "age": [41, 12]}


def test_statuses_say_why_a_value_is_not_there(ask, clock):
    clock.set(1_001)
    found = ask(["profile:age", "profile:city"], [{"user_id": key} for key in (7, 8, 9, None)])
    assert found.to_dict(include_statuses=True) == {
        "user_id": [7, 8, 9, None],
        "age": [41, None, None, None],
        "city": [None, None, None, None],
        "age__status": ["PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND", "NOT_FOUND"],
        "city__status": ["NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND", "NOT_FOUND"],
    }
    assert found.statuses["age"][1] is Status.OUTSIDE_MAX_AGE


def test_ttl_ends_after_its_last_microsecond(ask, clock):
    for now, age in ((1_000, 12), (1_001, None)):
        clock.set(now)
        assert ask(["profile:age"], [{"user_id": 8}]).to_dict()["age"] == [age]
        assert ask(["profile:age"], [{"user_id": 8}] * 20).to_dict()["age"] == [age] * 20


def test_event_timestamps_are_the_rows(ask, clock):
    clock.set(1_001)
    found = ask(["profile:age", "profile:city"], [{"user_id": key} for key in (7, 8, 9)])
    instants = [EPOCH + timedelta(microseconds=1_000), EPOCH + timedelta(microseconds=900), None]
    assert found.event_timestamps == {"age": instants, "city": instants}
    assert list(found.to_dict(include_event_timestamps=True)) == ["user_id", "age", "city", "age__ts", "city__ts"]


def test_keys_with_a_null_part_find_nothing(ask):
    for null in (None, math.nan, pd.NA, pd.NaT):
        found = ask(["pair:near"], [{"a": 1, "b": 2}, {"a": null, "b": 2}])
        assert found.to_dict()["near"] == [True, None]
        assert found.statuses["near"] == ["PRESENT", "NOT_FOUND"]


def test_keys_are_cast_without_loss(ask):
    for key in ("7", 7.0, np.int32(7), decimal.Decimal(7)):
        found = ask(["profile:age"], [{"user_id": key}]).to_dict()
        assert found == {"user_id": [key], "age": [41]}
    for key in ("7.5", 7.5, True, 2**63):
        with pytest.raises(RequestError, match="join key 'user_id'"):
            ask(["profile:age"], [{"user_id": key}])


def test_a_view_may_stand_twice_under_other_names(ask):
    rows = [{"origin": "JFK", "dest": "LAX"}, {"origin": "XXX", "dest": "JFK"}]
    found = ask("trip", rows, full_feature_names=True).to_dict()
    assert list(found) == ["origin", "dest", "from__altitude", "to__altitude", "world__rate"]
    assert found["from__altitude"] == [13.0, None]
    assert math.isnan(found["to__altitude"][0])
    assert found["to__altitude"][1] == 13.0
    assert ask(TRIP, rows, full_feature_names=True).to_dict()["from__altitude"] == [13.0, None]
    with pytest.raises(RequestError, match="full_feature_names=True"):
        ask(TRIP, rows)


def test_a_view_of_the_whole_world_needs_no_keys(ask):
    assert ask(["world:rate"], [{}, {}]).to_dict() == {"rate": [decimal.Decimal("1.50")] * 2}
    assert ask(["world:rate"], {}).to_dict() == {"rate": []}
    assert len(ask(["world:rate"], [{}] * 3)) == 3


def test_no_rows_are_an_empty_answer(ask):
    for rows in ([], {"user_id": []}, ()):
        found = ask(["profile:age", "world:rate"], rows)
        assert found.to_dict(True, True) == {
            name: [] for name in ("user_id", "age", "rate", "age__ts", "rate__ts", "age__status", "rate__status")
        }
        assert found.to_arrow().schema.field("rate").type == pa.decimal128(10, 2)


def test_instants_are_aware_and_lists_are_lists(store, clock):
    view = FeatureView(
        name="v", entities=[USER], source=SOURCE,
        schema=[Field("t", UnixTimestamp), Field("l", Array(UnixTimestamp)), Field("e", Array(Float32))],
    )  # fmt: skip
    load(store, view, [((1,), 1, 1, [-1, [0, None], [0.5]])])
    reader, snapshot = Reader(store, clock), Snapshot(project="p", version=2, catalog=Catalog.of([view]))
    found = reader.read(snapshot, ["v:t", "v:l", "v:e"], [{"user_id": 1}])
    assert found.to_dict() == {
        "user_id": [1], "t": [EPOCH - timedelta(microseconds=1)], "l": [[EPOCH, None]], "e": [[0.5]],
    }  # fmt: skip
    arrow = found.to_arrow()
    assert arrow.schema.types == [
        pa.int64(),
        pa.timestamp("us", "UTC"),
        pa.list_(pa.timestamp("us", "UTC")),
        pa.list_(pa.float32()),
    ]
    assert arrow["t"].cast(pa.int64()).to_pylist() == [-1]


def test_an_instant_that_datetime_cannot_hold_is_an_error_of_to_dict_only(store, clock):
    load(store, PROFILE, [((1,), 1_000, 1_000, [1, "", 2**62])])
    found = Reader(store, clock).read(SNAPSHOT, ["profile:seen"], [{"user_id": 1}])
    with pytest.raises(RequestError, match="to_arrow"):
        found.to_dict()
    assert found.to_arrow()["seen"].cast(pa.int64()).to_pylist() == [2**62]


def test_no_integer_passes_through_a_float(store, clock):
    load(store, PROFILE, [((5,), 1_000, 1_000, [2**53 + 1, "", None])])
    found = Reader(store, clock).read(SNAPSHOT, ["profile:age", "airport:altitude"], [
        {"user_id": "5", "faa": "JFK"}, {"user_id": None, "faa": "x"},
    ])  # fmt: skip
    arrow = found.to_arrow()
    assert arrow.to_pydict() == {
        "user_id": [5, None],
        "faa": ["JFK", "x"],
        "age": [2**53 + 1, None],
        "altitude": [13.0, None],
    }
    frame = found.to_df()
    assert frame["age"].dtype == "Int64"
    assert frame["age"].tolist() == [2**53 + 1, pd.NA]
    assert len(frame) == 2


@pytest.mark.parametrize("count", [1, 30])
def test_what_waits_is_seen_when_its_time_comes(store, clock, count):
    load(store, AIRPORTS, [(("JFK",), 2_000, 1_500, [99.0]), (("JFK",), 1_000, 3_000, [0.0])], now=1_000)
    reader = Reader(store, clock)
    for now, altitude in ((1_000, 13.0), (1_999, 13.0), (2_000, 99.0), (3_000, 99.0)):
        clock.set(now)
        found = reader.read(SNAPSHOT, ["airport:altitude"], [{"faa": "JFK"}] * count)
        assert found.to_dict()["altitude"] == [altitude] * count
    load(store, AIRPORTS, [(("EWR",), 9_000, 1, [1.0])], now=1_000)
    assert (
        reader.read(SNAPSHOT, ["airport:altitude"], [{"faa": "EWR"}] * count).statuses["altitude"]
        == ["NOT_FOUND"] * count
    )


@pytest.mark.parametrize("count", [1, 30])
def test_rows_of_an_older_layout_are_read_by_name_and_type(store, clock, count):
    changed = replace(
        PROFILE,
        schema=(Field("city", String), Field("age", Float64), Field("new", Int64), Field("seen", UnixTimestamp)),
    )
    snapshot = Snapshot(project="p", version=2, catalog=Catalog.of([changed]))
    reader, asked = Reader(store, clock), ["profile:city", "profile:age", "profile:new"]
    found = reader.read(snapshot, asked, [{"user_id": 8}, {"user_id": 7}] * count)
    assert found.to_dict() == {
        "user_id": [8, 7] * count, "city": ["Ulm", None] * count,
        "age": [None, None] * count, "new": [None, None] * count,
    }  # fmt: skip
    assert {name: one[:2] for name, one in found.statuses.items()} == {
        "city": ["PRESENT", "NULL_VALUE"], "age": ["NOT_FOUND", "NOT_FOUND"], "new": ["NOT_FOUND", "NOT_FOUND"],
    }  # fmt: skip
    load(store, changed, [((8,), 950, 950, ["Köln", 1.5, None, 0])])
    found = reader.read(snapshot, asked, [{"user_id": 8}, {"user_id": 7}] * count)
    assert found.to_dict()["city"] == ["Köln", None] * count
    assert [one[0] for one in found.statuses.values()] == ["PRESENT", "PRESENT", "NULL_VALUE"]


def test_rows_of_a_layout_without_a_note_are_an_error(store, clock):
    layout = Layout([("other", Int64)])
    store.write(table_of("p", PROFILE), [(encode_key((1,), (Int64,)), layout.pack(1, 1, [1]))], merging(layout, 0))
    with pytest.raises(BackendError, match="--replace"):
        Reader(store, clock).read(SNAPSHOT, ["profile:age"], [{"user_id": 1}])


def test_the_plan_follows_the_snapshot(store, clock):
    reader = Reader(store, clock)
    assert reader.read(SNAPSHOT, ["profile:age"], [{"user_id": 8}]).to_dict()["age"] == [12]
    tighter = Catalog.of([replace(PROFILE, ttl=timedelta(microseconds=50))])
    snapshot = Snapshot(project="p", version=2, catalog=tighter)
    assert reader.read(snapshot, ["profile:age"], [{"user_id": 8}]).to_dict()["age"] == [None]
    assert reader.read(SNAPSHOT, ["profile:age"], [{"user_id": 8}]).to_dict()["age"] == [12]
    other = replace(SNAPSHOT, project="q")
    assert reader.read(other, ["profile:age"], [{"user_id": 8}]).statuses["age"] == ["NOT_FOUND"]
    assert get_online_features(SNAPSHOT, store, clock, ["profile:age"], [{"user_id": 8}]).to_dict()["age"] == [12]


def test_a_response_is_the_callers_to_change(ask):
    rows = {"user_id": [7]}
    found = ask(["profile:age"], rows)
    found.to_dict()["age"].append("mine")
    found.to_dict()["user_id"].append("mine")
    assert found.to_dict() == {"user_id": [7], "age": [41]}
    assert rows == {"user_id": [7]}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"user": 7}], "lacks the join key 'user_id', which view 'profile' needs"),
        ([{"user_id": 7}, {}], "lacks the join key 'user_id'"),
        ([{"user_id": 7}, {"user_id": 7, "userid": 1}], "did you mean 'user_id'"),
        ([{"user_id": 7, "x": 1}, {}], "'x', which no view asked for needs"),
        ({"user_id": [7], "x": [1]}, "'x', which no view asked for needs"),
        ({"x": [1]}, "lacks the join key 'user_id'"),
        ({"user_id": 7}, "no list"),
        ({"user_id": "7"}, "no list"),
        ([7], "cannot be read"),
        (["user_id"], "cannot be read"),
        ("user_id", "cannot be read"),
        (7, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_entity_rows_that_cannot_be_read(ask, rows, said):
    with pytest.raises(RequestError, match=said):
        ask(["profile:age"], rows)


def test_lists_of_different_lengths_are_an_error(ask):
    with pytest.raises(RequestError, match="differ in length") as caught:
        ask(["pair:near"], {"a": [1, 2], "b": [1]})
    assert "a: 2, b: 1" in str(caught.value)


def test_questions_that_cannot_be_answered(ask):
    with pytest.raises(RequestError, match="'offline' is not online"):
        ask(["offline:x"], [{"user_id": 7}])
    with pytest.raises(NotRegistered):
        ask(["profil:age"], [{"user_id": 7}])
    with pytest.raises(UnknownFeature):
        ask(["profile:agee"], [{"user_id": 7}])
    with pytest.raises(RequestError, match="names no feature"):
        ask([["profile:age"]], [{"user_id": 7}])


@st.composite
def histories(draw):
    """A view's types and ttl, rows of a few keys, and an instant."""
    dtypes = draw(st.lists(feature_types(), min_size=1, max_size=4))
    times = st.integers(0, 12)
    row = st.builds(
        Row, key=st.tuples(st.integers(0, 2)), event=times, known=times, values=st.tuples(*map(values, dtypes))
    )
    ttl = draw(st.one_of(st.none(), st.integers(1, 6)))
    return dtypes, ttl, draw(st.lists(row, max_size=8)), draw(st.integers(0, 12)), draw(st.integers(1, 12))


@settings(max_examples=150, deadline=None)
@given(histories(), st.integers(0, 12))
def test_an_online_read_is_the_references_answer_as_known_then(history, loaded):
    dtypes, ttl, rows, instant, count = history
    names = [f"f{place}" for place in range(len(dtypes))]
    limit = None if ttl is None else timedelta(microseconds=ttl)
    schema = [Field(name, dtype) for name, dtype in zip(names, dtypes, strict=True)]
    view = FeatureView(name="v", entities=[USER], source=SOURCE, schema=schema, ttl=limit)
    store, now = MemoryStore(), min(loaded, instant)
    load(store, view, [(row.key, row.event, row.known, row.values) for row in rows], now)
    snapshot = Snapshot(project="p", version=1, catalog=Catalog.of([view]))
    keys = [place % 4 for place in range(count)]
    found = Reader(store, ManualClock(instant)).read(snapshot, [f"v:{name}" for name in names], {"user_id": keys})
    arrow, statuses = found.to_arrow(), found.statuses
    columns = [
        arrow[name].cast(pa.int64()) if dtype == UnixTimestamp else arrow[name]
        for name, dtype in zip(names, dtypes, strict=True)
    ]
    for place, key in enumerate(keys):
        expected = as_of(rows, (key,), instant, dtypes=dtypes, as_known="then", ttl=limit)
        assert [str(statuses[name][place]) for name in names] == [str(one) for one in expected.statuses]
        if not any(isinstance(dtype, Array) and dtype.element == UnixTimestamp for dtype in dtypes):
            got = [column[place].as_py() for column in columns]
            assert row_key(got, dtypes) == row_key(expected.values, dtypes)
