"""What gnomon and Feast are asked beside each other, in the same words: the library's name is an argument.

It runs in the environment of the one asked. A repo is a folder with a `feature_store.yaml`, which the caller wrote.
What is no part of a figure, such as importing the library and reading the spine, comes before the clock starts.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import Any

from bench.measure import Figure, measuring
from bench.requests import features_asked

FEATURES = tuple(f"f{place}" for place in range(6))
REFERENCES = [f"v:{name}" for name in FEATURES]
BEGIN = datetime.fromtimestamp(1_700_000_000, timezone.utc)


def apply(library: str, folder: str, source: str) -> Figure:
    """Register the repo's one view, of the rows in this file."""
    store, definitions = _store(library, folder), _definitions(library, source)
    with measuring() as figure:
        store.apply(definitions)
    return figure


def training(library: str, folder: str, spine: str, answer: str) -> Figure:
    """A training set, from a pandas frame to an Arrow table, which is written to a file afterwards."""
    import pandas as pd
    import pyarrow.parquet as pq

    store, asked = _store(library, folder), pd.read_parquet(spine, columns=["user_id", "event_timestamp"])
    with measuring() as figure:
        made = store.get_historical_features(entity_df=asked, features=REFERENCES).to_arrow()
    pq.write_table(made, answer)
    return figure


def materialize(library: str, folder: str) -> Figure:
    """Load everything there is."""
    store = _store(library, folder)
    with measuring() as figure:
        store.materialize(BEGIN - timedelta(days=1), BEGIN + timedelta(days=60))
    return figure


def reads(library: str, folder: str, people: str, *sizes: str) -> Figure:
    """Online reads; a first one, for which the registry is fetched, comes before."""
    store = _store(library, folder)
    found = store.get_online_features(REFERENCES, [{"user_id": 1}]).to_dict()
    assert found["f0"][0] is not None, found
    with measuring() as figure:
        figure.more = features_asked(store, REFERENCES, int(people), [int(size) for size in sizes])
    return figure


def _store(library: str, folder: str) -> Any:
    return import_module(library).FeatureStore(repo_path=folder)


def _definitions(library: str, source: str) -> list[Any]:
    words, types = import_module(library), import_module(f"{library}.types")
    user = words.Entity(name="user", join_keys=["user_id"], value_type=words.ValueType.INT64)
    view = words.FeatureView(
        name="v",
        entities=[user],
        ttl=timedelta(0),
        schema=[
            words.Field(name=name, dtype=types.Int64 if place % 2 else types.Float64)
            for place, name in enumerate(FEATURES)
        ],
        source=words.FileSource(name="source", path=source, timestamp_field="event_timestamp"),
    )
    return [user, view]
