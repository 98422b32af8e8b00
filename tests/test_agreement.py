"""The promise: training "as known then", the online answer at that instant, and the oracle are the same, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_server import redis_server  # noqa: F401  (a fixture)

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource
from gnomon.clock import ManualClock, to_micros
from gnomon.config import Backend, RepoConfig
from gnomon.testing.reference import Answer, as_of, same_value
from gnomon.testing.strategies import histories, questions, row_views, rows_of, to_spine, to_table
from gnomon.types import Array, FeatureType, Int64, String, UnixTimestamp


def store_in(folder: Path, online: Backend, clock: ManualClock) -> FeatureStore:
    return FeatureStore(folder, config=RepoConfig(project="p", repo_path=folder, online_store=online), clock=clock)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[Callable[[], Backend]]:
    """Gives an online store of a type, empty each time."""
    if request.param != "redis":
        yield lambda: Backend(request.param)
        return
    driver = pytest.importorskip("redis")
    server = request.getfixturevalue("redis_server")

    with driver.Redis(port=server.port) as client:

        def emptied() -> Backend:
            client.flushall()
            return Backend("redis", {"connection_string": server.address})

        yield emptied


def plain(value: object, dtype: FeatureType) -> object:
    """A value as the oracle has it: instants as int µs."""
    if value is None:
        return None
    if dtype == UnixTimestamp:
        return to_micros(value)
    if isinstance(dtype, Array):
        return [plain(one, dtype.element) for one in value]
    return value


@pytest.mark.parametrize("backend", ["memory", "lmdb", "sqlite", "redis"], indirect=True)
@pytest.mark.filterwarnings("ignore::gnomon.flows.training.HindsightWarning")
@settings(
    max_examples=max(20, settings.default.max_examples // 5),
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it gives an empty store each time
)
@given(data=st.data())
def test_training_serving_and_the_oracle_agree(
    tmp_path_factory: pytest.TempPathFactory, backend: Callable[[], Backend], data: st.DataObject
) -> None:
    """A feed is loaded again and again as time goes by; at every stop each key's answer is what the oracle says."""
    view = data.draw(row_views())
    history = data.draw(histories(view))
    asked = data.draw(questions(view, history, nulls=False))
    stops = sorted({at for _, at in asked})
    keys = [key for key, _ in asked]
    folder = tmp_path_factory.mktemp("repo")
    pq.write_table(to_table(history, view), folder / view.source.path)
    clock = ManualClock()
    with store_in(folder, backend(), clock) as store:
        store.apply([view])
        references = [f"{view.name}:{name}" for name in view.feature_names]
        for stop in stops:
            clock.set(stop)
            store.materialize_incremental(stop)
            entities = {name: [key[place] for key in keys] for place, name in enumerate(view.join_keys)}
            if not view.join_keys:
                entities = [{}] * len(keys)
            served = store.get_online_features(references, entities)
            trained = training(store, view, references, [(key, stop) for key in keys])
            for row, key in enumerate(keys):
                expected = as_of(
                    rows_of(view, history),
                    key,
                    stop,
                    dtypes=[field.dtype for field in view.schema],
                    as_known="then",
                    ttl=view.ttl,
                )
                check(view, served.to_dict(), row, expected)
                check(view, trained, row, expected)
                assert tuple(str(served.statuses[name][row]) for name in view.feature_names) == expected.statuses


START, HOUR = to_micros("2024-01-01"), 3_600_000_000
EDGES = [
    # key, event, known, value, word
    (1, 0, 0, 10, "plain"),
    (2, 0, 0, 20, "the greater known time counts"),
    (2, 0, 5, 19, "so this one"),
    (3, 0, 0, 30, "all tied: the greater column counts"),
    (3, 0, 0, None, "zero is more than null, whatever follows"),
    (3, 0, 0, 30, "all tied: a lesser one"),
    (4, 0, 0, 40, "before a null"),
    (4, 7, 7, None, None),  # wins whole, its nulls with it
    (5, 0, 2 * HOUR, 50, "known when it is too old"),
    (None, 0, 0, 60, "of nobody"),
]
ASKED = {
    # µs after the start: (value, word, status of the value) by key
    -1: [(None, None, "NOT_FOUND")] * 6,
    0: [
        (10, "plain", "PRESENT"),
        (20, "the greater known time counts", "PRESENT"),
        (30, "all tied: the greater column counts", "PRESENT"),
        (40, "before a null", "PRESENT"),
        (None, None, "NOT_FOUND"),
        (None, None, "NOT_FOUND"),
    ],
    7: [
        (10, "plain", "PRESENT"),
        (19, "so this one", "PRESENT"),
        (30, "all tied: the greater column counts", "PRESENT"),
        (None, None, "NULL_VALUE"),
        (None, None, "NOT_FOUND"),
        (None, None, "NOT_FOUND"),
    ],
    HOUR: [  # exactly as old as the ttl is still good
        (10, "plain", "PRESENT"),
        (19, "so this one", "PRESENT"),
        (30, "all tied: the greater column counts", "PRESENT"),
        (None, None, "NULL_VALUE"),
        (None, None, "NOT_FOUND"),
        (None, None, "NOT_FOUND"),
    ],
    HOUR + 1: [
        *[(None, None, "OUTSIDE_MAX_AGE")] * 3,
        (None, None, "NULL_VALUE"),
        (None, None, "NOT_FOUND"),
        (None, None, "NOT_FOUND"),
    ],
    HOUR + 8: [*[(None, None, "OUTSIDE_MAX_AGE")] * 4, (None, None, "NOT_FOUND"), (None, None, "NOT_FOUND")],
    2 * HOUR: [*[(None, None, "OUTSIDE_MAX_AGE")] * 5, (None, None, "NOT_FOUND")],
}


@pytest.mark.parametrize("backend", ["memory", "lmdb", "sqlite", "redis"], indirect=True)
def test_edges_of_the_ttl_ties_and_nulls_are_where_the_page_says(
    tmp_path: Path, backend: Callable[[], Backend]
) -> None:
    """Both sides of each edge, in training and online, by answers written down by hand."""
    view, clock = edges_in(tmp_path), ManualClock()
    keys = [1, 2, 3, 4, 5, None]
    with store_in(tmp_path, backend(), clock) as store:
        store.apply([view])
        for after, expected in ASKED.items():
            at = START + after
            clock.set(at)
            store.materialize_incremental(at)
            served = store.get_online_features(["v:value", "v:word"], {"key": keys})
            found = served.to_dict()
            statuses = [str(one) for one in served.statuses["value"]]
            assert list(zip(found["value"], found["word"], statuses, strict=True)) == expected
            trained = training(store, view, ["v:value", "v:word"], [((key,), at) for key in keys])
            assert list(zip(trained["value"], trained["word"], strict=True)) == [one[:2] for one in expected]


def edges_in(folder: Path) -> FeatureView:
    keys, events, known, values, words = zip(*EDGES, strict=True)
    stamp = pa.timestamp("us", "UTC")
    table = {
        "key": pa.array(keys, pa.int64()),
        "event": pa.array([START + one for one in events], pa.int64()).cast(stamp),
        "known": pa.array([START + one for one in known], pa.int64()).cast(stamp),
        "value": pa.array(values, pa.int64()),
        "word": pa.array(words),
    }
    pq.write_table(pa.table(table), folder / "v.parquet")
    source = FileSource(path="v.parquet", timestamp_field="event", created_timestamp_column="known")
    schema = [Field("value", Int64), Field("word", String)]
    return FeatureView(
        name="v", entities=[Entity(name="key", value_type=Int64)], ttl="1h", source=source, schema=schema
    )


def training(store: FeatureStore, view: FeatureView, references: list[str], asked: list) -> dict[str, list]:
    columns = {field.name: field.dtype for field in view.entity_columns}
    answer = store.get_historical_features(to_spine(asked, columns), references, as_known="then").to_arrow()
    return {field.name: answer[field.name].to_pylist() for field in view.schema}


def check(view: FeatureView, values: dict, row: int, expected: Answer) -> None:
    for place, field in enumerate(view.schema):
        got = plain(values[field.name][row], field.dtype)
        assert same_value(got, expected.values[place], field.dtype), (field, got, expected)
