"""A small shop: one view over real files, and its rows."""

from __future__ import annotations

from datetime import datetime, timezone

import pyarrow as pa

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource
from gnomon.types import Int64, String


def day(number: int, hour: int = 0) -> datetime:
    """A day of January 2024."""
    return datetime(2024, 1, number, hour, tzinfo=timezone.utc)


def profiles(*rows: tuple) -> pa.Table:
    """(user, event day, known day or None, age, city) as a source's table."""
    users, events, known, ages, cities = zip(*rows, strict=True) if rows else ((),) * 5
    stamp = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "user_id": pa.array(users, pa.int64()),
            "ts": pa.array([day(one) for one in events], stamp),
            "created": pa.array([None if one is None else day(one) for one in known], stamp),
            "age": pa.array(ages, pa.int64()),
            "city": pa.array(cities, pa.string()),
        }
    )


ROWS = [
    (1, 1, 2, 30, "Aachen"),
    (1, 10, 15, 31, "Bonn"),
    (2, 5, 5, None, "Celle"),
    (3, 6, None, 50, None),
]

user = Entity(name="user_id", value_type=Int64)
profile = FeatureView(
    name="profile",
    entities=[user],
    ttl="30d",
    schema=[Field("age", Int64), Field("city", String)],
    source=FileSource(name="profiles", path="profiles", timestamp_field="ts", created_timestamp_column="created"),
)
model = FeatureService(name="model", features=[profile[["age"]]])
