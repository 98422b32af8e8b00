"""What `bench.serving` has served, in the same words for gnomon and Feast; it runs in the environment of either."""

from __future__ import annotations

import sys
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.either import BEGIN
from bench.measure import Figure, measuring

FEATURES = tuple(f"f{place}" for place in range(10))
WINDOWS = ["3650d", "1825d"]
"""As long as the data is old, so that there is something in them."""


def load(library: str, folder: str, source: str, events: str = "") -> Figure:
    """Register the view of ten numbers, and gnomon's of ten windows, and load everything there is."""
    words = import_module(library)
    store = words.FeatureStore(repo_path=folder)
    definitions = _rows(words, library, source)
    if events:
        definitions += [_windows(definitions[0], events), _ratio(definitions[1], Path(folder))]
    store.apply(definitions)
    with measuring() as figure:
        store.materialize(BEGIN - timedelta(days=1), BEGIN + timedelta(days=60))
    return figure


def _rows(words: Any, library: str, source: str) -> list[Any]:
    types = import_module(f"{library}.types")
    user = words.Entity(name="user", join_keys=["user_id"], value_type=words.ValueType.INT64)
    schema = [
        words.Field(name=name, dtype=types.Int64 if place % 2 else types.Float64) for place, name in enumerate(FEATURES)
    ]
    files = words.FileSource(name="source", path=source, timestamp_field="event_timestamp")
    return [user, words.FeatureView(name="v", entities=[user], ttl=timedelta(0), schema=schema, source=files)]


def _windows(user: Any, events: str) -> Any:
    from gnomon import FeatureView, FileSource, agg

    return FeatureView(
        name="w",
        entities=[user],
        source=FileSource(name="events", path=events, timestamp_field="ts"),
        aggregations=[
            agg.count(over=WINDOWS),
            *(make("amount", over=WINDOWS) for make in (agg.sum, agg.mean, agg.min, agg.max)),
        ],
    )


def _ratio(view: Any, folder: Path) -> Any:
    """A feature on demand, of a function in the repo, where the server finds it again."""
    from gnomon import Field, OnDemandFeatureView
    from gnomon.types import Float64

    (folder / "requested.py").write_text("def ratio(f0, f1):\n    return f0 / f1 if f0 is not None and f1 else None\n")
    sys.path.insert(0, str(folder))
    function = import_module("requested").ratio
    return OnDemandFeatureView(name="d", sources=[view], schema=[Field("ratio", Float64)], function=function)


def windowed() -> list[str]:
    """The names of the ten windows' features."""
    return [
        f"{what}_{window}"
        for what in ("count", *(f"amount_{one}" for one in ("sum", "mean", "min", "max")))
        for window in WINDOWS
    ]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The least an app can do: send back what came."""
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
