"""A large random world: what is read online is held against training with each answer's own token, bit by bit.

    python -m bench.agreement --store lmdb --events 200000 --entities 300 --stops 85

Users come by Zipf's law; events come late, are corrected, deleted, dated ahead, pushed with and without the views being
fed, beside files with the same ids; loads and reloads come in between. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import CACHE
from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, Window, agg
from gnomon.clock import ManualClock, to_micros
from gnomon.config import Backend, RepoConfig
from gnomon.core.bits import differing
from gnomon.types import Float64, Int64, String, UnixTimestamp

START, DAY, HOUR = to_micros("2024-01-01"), 86_400_000_000, 3_600_000_000
INSTANT = pa.timestamp("us", "UTC")
FIELDS = [
    Field("user", Int64),
    Field("amount", Float64),
    Field("cents", Int64),
    Field("shop", String),
    Field("at", UnixTimestamp),
    Field("id", Int64),
    Field("op", String),
]
DAYS = 60
FILED = 0.25
"""This share of the events lies in files from the beginning."""

WINDOWS = [Window("1h"), Window("24h"), Window("7d")]
LONG = [Window("30d", hop="1h"), Window("1d", kind="tumbling"), Window(None)]


def views(source: PushSource) -> list[FeatureView]:
    """A windowed view of many functions and kinds of windows, and a row view."""
    user = Entity(name="user")
    made = [
        agg.count(over=[*WINDOWS, *LONG]),
        agg.sum("amount", over=[*WINDOWS, *LONG]),
        agg.sum("amount", over=["24h", "7d"], where="shop = 'shop-1' or cents > 50", name="amount_there"),
        agg.sum("cents", over=[*WINDOWS, Window("24h", offset="7d")]),
        agg.mean("amount", over=["24h", Window("30d", hop="1h")]),
        agg.min("amount", over=["24h", "7d"]),
        agg.max("cents", over=["24h", "7d", Window(None)]),
        agg.stddev("amount", over=["24h", "7d"]),
        agg.count_distinct("shop", over=["1h", "7d"]),
        agg.count("cents", over="7d"),
        agg.last_n("shop", n=5, over="7d"),
        agg.first("amount", over="24h"),
        agg.last("amount", over=Window("7d", closed="right")),
        agg.top_k("shop", k=3, over="7d"),
        agg.approx_count_distinct("shop", over="7d"),
        agg.approx_percentile("amount", q=0.9, over="7d"),
    ]
    schema = [Field("amount", Float64), Field("cents", Int64), Field("shop", String)]
    return [
        FeatureView(name="spend", entities=[user], source=source, aggregations=made),
        FeatureView(name="latest", entities=[user], source=source, schema=schema, ttl="2d"),
    ]


@dataclass
class World:
    """The events in the order in which they become known.

    Args:
        table: the events.
        known: when each becomes known, µs.
        filed: how many of the first lie in files.
    """

    table: pa.Table
    known: Any
    filed: int


def world(events: int, entities: int, seed: int) -> World:
    """Events, of which a tenth are late by days, a few are dated ahead, some correct or delete others."""
    chance = np.random.default_rng(seed)
    user = (chance.zipf(1.2, events) - 1) % entities
    known = np.sort(chance.integers(0, DAYS * DAY, events)) + START
    late = np.where(chance.random(events) < 0.1, chance.exponential(2 * DAY, events), chance.exponential(60e6, events))
    ahead = np.where(chance.random(events) < 0.01, chance.exponential(DAY, events), 0)
    at = known - late.astype(np.int64) + ahead.astype(np.int64)
    ids = np.arange(events)
    again = chance.random(events) < 0.08
    before = np.maximum(ids - chance.geometric(0.0005, events), 0)
    ids = np.where(again, before, ids)
    user = np.where(again, user[before], user)
    gone = again & (chance.random(events) < 0.2)
    amount = np.round(chance.lognormal(3, 2, events), 2) * np.where(chance.random(events) < 0.1, -1, 1)
    amount = np.where(chance.random(events) < 0.001, np.nan, amount)
    nothing = chance.random(events) < 0.05
    columns = [
        pa.array(user),
        pa.array(amount, mask=nothing),
        pa.array(chance.integers(-100, 1_000_000, events), mask=chance.random(events) < 0.05),
        pa.array([f"shop-{one}" for one in chance.zipf(1.5, events) % 97]),
        pa.array(at).cast(INSTANT),
        pa.array(ids, mask=chance.random(events) < 0.02),
        pa.array(["delete" if one else None for one in gone], pa.string()),
    ]
    table = pa.table(columns, names=[one.name for one in FIELDS])
    nameless = table["id"].is_null()
    operation = pa.compute.if_else(nameless, None, table["op"])
    table = table.set_column(table.column_names.index("op"), "op", operation)
    return World(table, known, int(events * FILED))


def played(store: FeatureStore, clock: ManualClock, made: World, stops: int, seed: int) -> Iterator[str]:
    """The world, pushed bit by bit; what was done, whenever answers are to be compared."""
    chance = np.random.default_rng(seed + 1)
    ends = np.linspace(made.filed, len(made.table), stops + 1).astype(int).tolist()
    clock.set(int(made.known[made.filed]))
    store.materialize_incremental()
    yield "loaded"
    for number, (start, end) in enumerate(pairwise(ends)):
        cuts = sorted({start, end, *chance.integers(start, end, 3).tolist()})
        for place, (low, high) in enumerate(pairwise(cuts)):
            clock.set(int(made.known[high - 1]))
            lags = place == len(cuts) - 2 and chance.random() < 0.3
            store.push("s", made.table.slice(low, high - low), to="offline" if lags else "online_and_offline")
        if number % 20 == 19:
            store.materialize(None, clock.now(), replace=True)
        elif number % 7 == 6:
            store.materialize_incremental()
        clock.set(clock.now() + int(chance.choice([0, 1, 60_000_000, HOUR])))
        yield f"stop {number + 1}"


def compared(store: FeatureStore, entities: int) -> tuple[int, int, int, str]:
    """Every feature of every user, online and from history: (answers, not empty, differences, one of them)."""
    answers = filled = wrong = 0
    told = ""
    users = list(range(entities))
    for view in ("spend", "latest"):
        features = store.get_feature_view(view).feature_names
        asked = [f"{view}:{one}" for one in features]
        response = store.get_online_features(asked, {"user": users}, known_through=True)
        served, groups = response.to_arrow(), defaultdict(list)
        for place, token in enumerate(response.known_through):
            groups[str(token)].append(place)
        for token, places in groups.items():
            at = pa.array([response.at] * len(places), pa.int64()).cast(INSTANT)
            spine = pa.table({"user": [users[place] for place in places], "event_timestamp": at})
            again = store.get_historical_features(spine, asked, as_known=token).to_arrow()
            for name in features:
                column = served[name].take(pa.array(places))
                differ = differing(column, again[name])
                answers += len(places)
                filled += len(places) - column.null_count
                wrong += int(differ.sum())
                if differ.any():
                    place = int(differ.argmax())
                    told = f"{name} of user {spine['user'][place]}: {column[place]} and {again[name][place]}, {token}"
    return answers, filled, wrong, told


def main() -> int:
    """Play it, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.agreement", description=__doc__)
    parser.add_argument("--store", default="lmdb", choices=("memory", "lmdb", "sqlite"))
    for name, default in {"events": 200_000, "entities": 300, "stops": 85, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    CACHE.mkdir(exist_ok=True)
    began, clock = time.perf_counter(), ManualClock(START)
    total = filled = wrong = 0
    made = world(asked.events, asked.entities, asked.seed)
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        folder = Path(place)
        created = pa.array(made.known[: made.filed]).cast(INSTANT)
        pq.write_table(made.table.slice(0, made.filed).append_column("created", created), folder / "old.parquet")
        files = FileSource(path="old.parquet", timestamp_field="at", created_timestamp_column="created")
        source = PushSource(
            name="s", schema=FIELDS, timestamp_field="at", event_id="id", operation="op", batch_source=files
        )
        config = RepoConfig(project="p", repo_path=folder, online_store=Backend(asked.store))
        with FeatureStore(folder, config=config, clock=clock) as store:
            store.apply(views(source))
            for what in played(store, clock, made, asked.stops, asked.seed):
                more, there, differ, told = compared(store, asked.entities)
                total, filled, wrong = total + more, filled + there, wrong + differ
                took = time.perf_counter() - began
                print(f"{what}: {total:,} compared, {wrong} differ, {took:.0f} s {told}", flush=True)
            report = store.verify(sample=asked.entities)
            print(report)
    print(f"{asked.store}: {total:,} answers compared, {filled / total:.0%} not empty, {wrong} differ")
    return 1 if wrong or report.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
