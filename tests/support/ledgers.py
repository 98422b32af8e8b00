"""A project whose every state is known beforehand: rounds of files and definitions, and the rows each leaves online.

Round n brings a file with one row of every key, and a definition that differs from the last one; `rows_of(n)` are the
rows that count after it. Some rows come late and must not count; some values are null.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource
from gnomon.clock import ManualClock
from gnomon.config import Backend, RepoConfig
from gnomon.types import Float64, Int64, String

ROUNDS = 4
WIDENED = 3
"""From this round on the view has a feature more: its load replaces what is there."""
KEYS = 2_500

Row = tuple[datetime | None, int | None, str | None]
"""Event time, balance and word; all None where there is no row."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a project is kept; plain data, so that other processes can be told."""

    folder: str
    online: str
    online_options: dict[str, Any]
    registry_options: dict[str, Any]

    def opened(self, number: int) -> FeatureStore:
        """The project's store, at the end of a round."""
        folder = Path(self.folder)
        config = RepoConfig(
            project="p",
            repo_path=folder,
            registry=Backend("sql", self.registry_options),
            online_store=Backend(self.online, self.online_options),
            offline_store=Backend("duckdb", {"temp_directory": str(folder / "spill")}),
        )
        return FeatureStore(folder, config=config, clock=ManualClock(end_of(number)))

    def told(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        return asdict(self)


def end_of(number: int) -> datetime:
    """The instant at which a round is applied and loaded."""
    return datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(days=number)


@cache
def rows_of(number: int) -> list[Row]:
    """Of each key the row that counts after a round."""
    if number == 0:
        return [(None, None, None)] * KEYS
    before = rows_of(number - 1)
    return [before[key] if _is_late(number, key) else _row(number, key) for key in range(KEYS)]


@cache
def extras_of(number: int) -> list[float | None]:
    """Of each key the value of the feature that came later."""
    if number == 0:
        return [None] * KEYS
    before = extras_of(number - 1)
    return [before[key] if _is_late(number, key) else number + key / 8 for key in range(KEYS)]


def view_of(number: int) -> FeatureView:
    """The definition that a round applies."""
    more = [Field("extra", Float64)] if number >= WIDENED else []
    return FeatureView(
        name="account",
        entities=[Entity(name="user_id", value_type=Int64)],
        schema=[Field("balance", Int64), Field("word", String), *more],
        description=f"as of round {number}",
        source=FileSource(
            name="accounts", path="accounts", timestamp_field="happened", created_timestamp_column="arrived"
        ),
    )


def land(place: Place, number: int) -> None:
    """Put a round's file where the source looks for it."""
    folder = Path(place.folder) / "accounts"
    folder.mkdir(exist_ok=True)
    rows = [_row(number, key) for key in range(KEYS)]
    stamp = pa.timestamp("us", "UTC")
    table = pa.table(
        {
            "user_id": pa.array(range(KEYS), pa.int64()),
            "happened": pa.array([row[0] for row in rows], stamp),
            "arrived": pa.array([end_of(number) - timedelta(hours=1)] * KEYS, stamp),
            "balance": pa.array([row[1] for row in rows], pa.int64()),
            "word": pa.array([row[2] for row in rows]),
            "extra": pa.array([number + key / 8 for key in range(KEYS)]),
        }
    )
    pq.write_table(table, folder / f"{number}.parquet")


def _is_late(number: int, key: int) -> bool:
    return key % 5 == 0 and number % 2 == 0


def _row(number: int, key: int) -> Row:
    """A row as the round's file has it; a late one happened before that of the last round."""
    happened = end_of(number) - timedelta(hours=26 if _is_late(number, key) else 1)
    balance = None if (number + key) % 7 == 0 else number * 1_000_000 + key
    return happened, balance, f"{number}:{key} " * (1 + key % 4)
