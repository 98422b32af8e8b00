"""Views over pushed events, and files beside them, answer as the oracle does, whatever was pushed when."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from pushed_worlds import DTYPES, WINDOWS, World, pushed, rows_of, source_of, views_of, worlds

from gnomon import FeatureStore
from gnomon.clock import ManualClock, from_micros
from gnomon.testing.reference import Row, as_of
from gnomon.testing.reference_windows import WindowEvent, windowed
from gnomon.types import Int64


@settings(max_examples=40)
@given(worlds())
def test_pushed_and_filed_rows_answer_as_the_oracle_does(world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock(0)
        with closing(FeatureStore(folder, clock=clock)) as store:
            store.apply(views_of(source_of(world, Path(folder))))
            log = pushed(store, clock, world)
            found = answers(store, world)
    assert found == expected(rows_of(world, log), world)


def answers(store: FeatureStore, world: World) -> list[tuple[Any, ...]]:
    keys, instants = [key for key, _ in world.asked], [from_micros(at) for _, at in world.asked]
    table = store.get_historical_features(
        {"k": keys, "event_timestamp": instants}, ["latest:n", "spent:near", "spent:ever"], as_known=world.as_known
    ).to_arrow()
    return list(zip(*(table[name].to_pylist() for name in ("n", "near", "ever")), strict=True))


def expected(rows: list[WindowEvent], world: World) -> list[tuple[Any, ...]]:
    history = [Row(one.key, one.event, one.known, (one.values["n"],)) for one in rows]
    found = []
    for key, at in world.asked:
        latest = as_of(history, (key,), at, dtypes=[Int64], as_known=world.as_known).values
        asked: dict[str, Any] = {"function": "sum", "column": "n", "dtypes": DTYPES, "as_known": world.as_known}
        sums = [windowed(rows, (key,), at, window=one, **asked).value for one in WINDOWS.values()]
        found.append((*latest, *sums))
    return found
