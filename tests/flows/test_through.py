"""Asked with the token of an online answer, history gives what was there to answer from, and nothing else."""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pushed_worlds import DTYPES, WINDOWS, World, batch, pushed, source_of, views_of, worlds

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, agg
from gnomon.clock import ManualClock, from_micros
from gnomon.errors import RequestError
from gnomon.flows.training import METADATA_KEY
from gnomon.plan.known_through import KnownThrough
from gnomon.plan.questions import Through
from gnomon.testing.reference import Row, as_of
from gnomon.testing.reference_windows import WindowEvent, united, windowed
from gnomon.types import Int64

bounds = st.none() | st.integers(0, 60)


@settings(max_examples=60)
@given(worlds(), st.data())
def test_a_token_bounds_log_and_files_as_the_oracle_does(world: World, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock(0)
        with closing(FeatureStore(folder, clock=clock)) as store:
            store.apply(views_of(source_of(world, Path(folder))))
            log = pushed(store, clock, world)
            through = st.builds(Through, position=st.none() | st.integers(0, len(log)), end=bounds, known=bounds)
            token = KnownThrough({"latest@1": data.draw(through), "spent@1": data.draw(through)})
            made = store.get_historical_features(spine(world), REFERENCES, as_known=token).to_arrow()
            store.push("s", log_table_of_more(world))  # what comes later is not in it
            again = store.get_historical_features(spine(world), REFERENCES, as_known=str(token)).to_arrow()
            assert rows(store.reproduce(made).to_arrow()) == rows(made)
    assert rows(made) == rows(again) == expected(world, log, token)
    assert json.loads(made.schema.metadata[METADATA_KEY])["as_known"] == str(token)


REFERENCES = ["latest:n", "spent:near", "spent:ever"]


def spine(world: World) -> dict[str, list[Any]]:
    return {"k": [key for key, _ in world.asked], "event_timestamp": [from_micros(at) for _, at in world.asked]}


def log_table_of_more(world: World) -> pa.Table:
    from pushed_worlds import table_of

    more = WindowEvent(key=(1,), event=1, known=0, values={"n": 32}, id="a")
    return table_of([more, more], "op" if world.by_id else "")


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in ("n", "near", "ever")), strict=True))


def had(world: World, log: list[WindowEvent], through: Through) -> list[WindowEvent]:
    """The rows that an answer had, by the contract."""
    logged = log[: through.position or 0]
    end, known = through.end, through.known
    filed = [
        one
        for one in batch(world)
        if one.event is not None
        and one.known is not None
        and (end is None or one.event <= end)
        and (known is None or one.known <= known)
    ]
    if world.files is None:
        return logged
    return united(logged, filed, by_id=world.by_id, cutover=world.cutover)


def expected(world: World, log: list[WindowEvent], token: KnownThrough) -> list[tuple[Any, ...]]:
    of_rows, of_windows = had(world, log, token.views["latest@1"]), had(world, log, token.views["spent@1"])
    history = [Row(one.key, one.event, one.known, (one.values["n"],)) for one in of_rows]
    found = []
    for key, at in world.asked:
        latest = as_of(history, (key,), at, dtypes=[Int64]).values
        asked: dict[str, Any] = {"function": "sum", "column": "n", "dtypes": DTYPES}
        sums = [windowed(of_windows, (key,), at, window=one, **asked).value for one in WINDOWS.values()]
        found.append((*latest, *sums))
    return found


@pytest.fixture
def files(tmp_path: Path) -> FeatureStore:
    at = pa.array([1, 2, 3], pa.int64()).cast(pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"k": [1, 1, 1], "n": [1, 2, 4], "at": at}), tmp_path / "old.parquet")
    source = FileSource(path="old.parquet", timestamp_field="at", delay="1us")
    entity = Entity(name="k")
    store = FeatureStore(tmp_path, clock=ManualClock(100))
    store.apply(
        [
            FeatureView(name="latest", entities=[entity], source=source, schema=[Field("n", Int64)]),
            FeatureView(name="spent", entities=[entity], source=source, aggregations=[agg.sum("n", over="1s")]),
        ]
    )
    return store


ASKED = {"k": [1], "event_timestamp": [from_micros(50)]}


@pytest.mark.parametrize(
    ("token", "values"),
    [
        ("through:latest@1=,spent@1=", (4, 7)),
        ("through:latest@1=e2,spent@1=e1", (2, 1)),
        ("through:latest@1=k2,spent@1=k3", (1, 3)),
        ("through:latest@1=e0,spent@1=e3.k2", (None, 1)),
    ],
)
def test_views_of_files_are_bounded_by_both_times(files: FeatureStore, token: str, values: tuple[int, ...]) -> None:
    with files:
        made = files.get_historical_features(ASKED, ["latest:n", "spent:n_sum_1s"], as_known=token).to_arrow()
    assert (made["n"].to_pylist(), made["n_sum_1s"].to_pylist()) == ([values[0]], [values[1]])


def test_over_time_the_token_bounds_what_changes(files: FeatureStore) -> None:
    with files:
        span: dict[str, Any] = {"start_date": from_micros(0), "end_date": from_micros(9)}
        made = files.get_historical_features(
            entities={"k": [1]}, features=["latest:n"], as_known="through:latest@1=e2", **span
        ).to_arrow()
    assert made["n"].to_pylist() == [None, 1, 2]


def test_a_view_the_token_does_not_name_is_an_error(files: FeatureStore) -> None:
    with files, pytest.raises(RequestError, match="says nothing of view 'spent@1'") as caught:
        files.get_historical_features(ASKED, ["latest:n", "spent:n_sum_1s"], as_known="through:latest@1=,other@2=")
    assert caught.value.instead == "It names: latest@1, other@2."


def test_a_token_beyond_the_end_of_the_log_is_an_error(files: FeatureStore) -> None:
    with files, pytest.raises(RequestError, match=r"at position 5 of the log of .* which ends at 0"):
        files.get_historical_features(ASKED, ["latest:n"], as_known="through:latest@1=p5")


def test_a_broken_token_is_named(files: FeatureStore) -> None:
    with files, pytest.raises(RequestError, match="'through:latest=p5' is no token"):
        files.get_historical_features(ASKED, ["latest:n"], as_known="through:latest=p5")
