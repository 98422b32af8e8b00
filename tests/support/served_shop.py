"""A shop with values of all types: views of rows and of events, services, a view of two keys."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal as Amount
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, agg
from gnomon.types import Array, Bool, Bytes, Decimal, Float32, Float64, Int32, Int64, String, UnixTimestamp

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
STAMP = pa.timestamp("us", "UTC")


def write_files(folder: Path) -> None:
    """The rows that Feast was asked about, too (`feast_answers.json`)."""
    instants = [
        NOON,
        NOON + timedelta(milliseconds=120),
        NOON + timedelta(microseconds=123_456),
        NOON - timedelta(hours=12),
    ]
    year = datetime(2020, 1, 1, tzinfo=timezone.utc)
    parted = year + timedelta(milliseconds=250)
    columns = {
        "user_id": pa.array([1, 2, 3, 4], pa.int64()),
        "event_timestamp": pa.array(instants, STAMP),
        "i": pa.array([1, 2**53 + 1, -5, None], pa.int64()),
        "i32": pa.array([1, 2, 3, None], pa.int32()),
        "f": pa.array([0.1, float("nan"), float("inf"), None]),
        "f32": pa.array([0.1, float("-inf"), 1e30, None], pa.float32()),
        "s": pa.array(["a", "é☃", "", None]),
        "b": pa.array([True, False, True, None]),
        "by": pa.array([b"\x00\xff", b"", b"abc", None], pa.binary()),
        "t": pa.array([year, parted, datetime(1960, 1, 1, tzinfo=timezone.utc), None], STAMP),
        "fl": pa.array([[0.5, float("nan")], [], [1.0], None], pa.list_(pa.float64())),
        "il": pa.array([[1, 2], [], [3], None], pa.list_(pa.int64())),
        "sl": pa.array([["a"], [], ["b"], None], pa.list_(pa.string())),
        "tl": pa.array([[year], [], [parted], None], pa.list_(STAMP)),
        "d": pa.array([Amount(1), Amount(25), Amount(-3), None], pa.decimal128(18, 2)),
    }
    pq.write_table(pa.table(columns), folder / "d.parquet")
    two = {"a": ["x", "y"], "n": [1, 2], "event_timestamp": pa.array(instants[:2], STAMP), "z": [1.5, 2.5]}
    pq.write_table(pa.table(two), folder / "e.parquet")


TYPES = {
    "i": Int64, "i32": Int32, "f": Float64, "f32": Float32, "s": String, "b": Bool, "by": Bytes, "t": UnixTimestamp,
    "fl": Array(Float64), "il": Array(Int64), "sl": Array(String), "tl": Array(UnixTimestamp),
}  # fmt: skip
user = Entity(name="user", join_keys=["user_id"], value_type=Int64)
pair = [Entity(name="a", join_keys=["a"], value_type=String), Entity(name="n", join_keys=["n"], value_type=Int64)]


def source(name: str, path: str) -> FileSource:
    return FileSource(name=name, path=path, timestamp_field="event_timestamp")


v = FeatureView(
    name="v",
    entities=[user],
    schema=[*(Field(name, dtype) for name, dtype in TYPES.items()), Field("d", Decimal(18, 2))],
    source=source("v_src", "d.parquet"),
)
old = FeatureView(
    name="old", entities=[user], ttl=timedelta(days=1), schema=[Field("i", Int64)], source=source("o_src", "d.parquet")
)
two = FeatureView(name="two", entities=pair, schema=[Field("z", Float64)], source=source("t_src", "e.parquet"))
off = FeatureView(
    name="off", entities=[user], online=False, schema=[Field("i", Int64)], source=source("f_src", "d.parquet")
)
payments = PushSource(
    name="payments", schema=[Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)]
)
spend = FeatureView(
    name="spend", entities=[user], source=payments, aggregations=[agg.count(over="1d"), agg.sum("amount", over="1d")]
)
svc = FeatureService(name="svc", features=[v[["i", "s"]], old])
mixed = FeatureService(name="mixed", features=[v[["i"]], spend])


def make_shop(folder: Path, online: str = "type: lmdb", more: str = "") -> Path:
    """A repo with everything applied and loaded."""
    write_files(folder)
    (folder / "feature_store.yaml").write_text(f"project: shop\nonline_store: {{{online}}}\n{more}\n")
    with FeatureStore(folder) as store:
        store.apply([v, old, two, off, spend, svc, mixed])
        store.materialize_incremental()
        now = datetime.now(timezone.utc)
        events = [{"user_id": 1, "amount": amount, "at": now - timedelta(hours=1)} for amount in (2.5, 4.0)]
        store.push("payments", events)
    return folder
