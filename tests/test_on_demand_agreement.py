"""On-demand features are the same in training sets and online, to the bit, whatever their inputs are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import on_demand_functions as functions
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, OnDemandFeatureView, RequestSource
from gnomon.clock import ManualClock
from gnomon.config import Backend, RepoConfig
from gnomon.core.bits import differing
from gnomon.core.expressions import parse
from gnomon.core.expressions.writing import write
from gnomon.errors import DefinitionError
from gnomon.flows.responses import Status
from gnomon.testing.strategies import event_columns, expressions, values
from gnomon.types import Bool, Bytes, FeatureType, Float32, Float64, Int32, Int64, String, UnixTimestamp, to_arrow

AT = 1_000_000
KEYS = [1, 2, 3]
ASKED = [*KEYS, 4, None, 1]
NUMBERS = [Field("half", Int32), Field("whole", Int64), Field("ratio", Float64), Field("single", Float32)]
LATER, TEXT = Field("later", UnixTimestamp), Field("text", String)
ECHO = [Field("words", String), *(Field(f"o_{name}", dtype) for name, dtype in functions.COLUMNS.items())]
FUNCTIONS: dict[str, tuple[str, Any, list[Field]]] = {
    "told": ("python", functions.told, ECHO),
    "summed": ("python", functions.summed, [*NUMBERS, Field("exact", functions.COLUMNS["m"]), LATER]),
    "joined": ("python", functions.joined, [TEXT]),
    "vectors": ("numpy", functions.vectors, [*NUMBERS, LATER, TEXT]),
    "frame": ("pandas", functions.frame, [*NUMBERS[1:], LATER, TEXT]),
}


class World:
    """A view of some columns, values that come with the request, and on-demand views of both.

    Args:
        folder: an empty folder.
        columns: the view's columns; the request's are called `r_…`.
        rows: a row for each of `KEYS`.
        given: the request's values for each of `ASKED`.
        defaults: what stands for null in the view.
    """

    def __init__(
        self,
        folder: Path,
        columns: dict[str, FeatureType],
        rows: Sequence[dict[str, Any]],
        given: Sequence[dict[str, Any]],
    ) -> None:
        self.columns, self.given, self.clock = columns, given, ManualClock(AT + 10)
        made = {name: pa.array([row[name] for row in rows], to_arrow(dtype)) for name, dtype in columns.items()}
        at = pa.array([AT] * len(KEYS), pa.int64()).cast(pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({"key": pa.array(KEYS, pa.int64()), "at": at, **made}), folder / "rows.parquet")
        config = RepoConfig(project="p", repo_path=folder, online_store=Backend("memory"))
        self.store = FeatureStore(folder, config=config, clock=self.clock)
        self.view = FeatureView(
            name="v",
            entities=[Entity(name="key", value_type=Int64)],
            source=FileSource(path="rows.parquet", timestamp_field="at", delay="0s"),
            schema=[Field(name, dtype) for name, dtype in columns.items()],
        )
        self.request = RequestSource(name="r", schema=[Field(f"r_{name}", one) for name, one in columns.items()])

    def agree(self, views: Sequence[OnDemandFeatureView]) -> tuple[pa.Table, dict[str, list[Status]]]:
        """Both answers, held against each other; the one, and the statuses of the other."""
        self.store.apply(list(views))
        asked = [f"{one.name}:{name}" for one in views for name in one.feature_names]
        self.store.materialize(None, AT + 5)
        spine: dict[str, Any] = {
            "key": pa.array(ASKED, pa.int64()),
            "event_timestamp": pa.array([AT + 10] * len(ASKED), pa.timestamp("us", "UTC")),
        }
        entities: dict[str, list[Any]] = {"key": ASKED}
        for name, dtype in self.columns.items():
            column = [one[name] for one in self.given]
            spine[f"r_{name}"], entities[f"r_{name}"] = pa.array(column, to_arrow(dtype)), column
        needed = {one.feature for view in views for one in view.wanted if isinstance(one.source, RequestSource)}
        entities = {name: column for name, column in entities.items() if name == "key" or name in needed}
        if all(isinstance(one.source, RequestSource) for view in views for one in view.wanted):
            del entities["key"]
        trained = self.store.get_historical_features(
            pa.table(spine), asked, as_known="then", full_feature_names=True
        ).to_arrow()
        response = self.store.get_online_features(asked, entities, full_feature_names=True, known_through=True)
        served, statuses = response.to_arrow(), response.statuses
        for name in response.statuses:
            assert trained[name].type == served[name].type
            wrong = differing(trained[name], served[name])
            assert not wrong.any(), (name, trained[name].to_pylist(), served[name].to_pylist())
            for value, status in zip(served[name].to_pylist(), statuses[name], strict=True):
                assert (value is not None) == (status is Status.PRESENT)
        one_by_one = (
            [
                self.store.get_online_features(
                    asked, {name: [column[row]] for name, column in entities.items()}
                ).to_arrow()
                for row in range(len(ASKED))
            ]
            if len({name.rpartition("__")[2] for name in statuses}) == len(statuses)
            else []
        )
        for name in statuses if one_by_one else ():
            alone = pa.concat_tables(one_by_one)[name.partition("__")[2]]
            assert not differing(alone, served[name]).any(), name
        return trained, statuses


def rows(columns: dict[str, FeatureType], count: int, prefix: str = "") -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.fixed_dictionaries({prefix + name: values(dtype) for name, dtype in columns.items()})
    return st.lists(one, min_size=count, max_size=count)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=max(15, settings.default.max_examples // 5))
@given(data=st.data())
def test_functions_give_the_same_in_training_and_online(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    columns = functions.COLUMNS
    world = World(
        tmp_path_factory.mktemp("repo"),
        columns,
        data.draw(rows(columns, len(KEYS))),
        data.draw(rows(columns, len(ASKED))),
    )
    mode, function, schema = FUNCTIONS[name]
    sources = [world.view, world.request]
    view = OnDemandFeatureView(
        name=name, sources=sources, schema=schema, mode=mode, function=function, singleton=mode == "python"
    )
    with world.store:
        world.agree([view])


@settings(max_examples=max(30, settings.default.max_examples // 2))
@given(data=st.data())
def test_expressions_give_the_same_in_training_and_online(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The engine's SQL over the training set, the compiled function online."""
    columns = {f"c{place}": dtype for place, dtype in enumerate(data.draw(event_columns()).values())}
    both = {**columns, **{f"r_{name}": dtype for name, dtype in columns.items()}}
    found = {}
    for place in range(3):
        text = write(data.draw(expressions(both)))
        if not parse(text, value=True).columns:
            continue
        if dtype := data.draw(st.sampled_from(fitting(text, both) or [None])):
            found[f"x{place}"] = (text, dtype)
    assume(found)
    world = World(
        tmp_path_factory.mktemp("repo"),
        columns,
        data.draw(rows(columns, len(KEYS))),
        data.draw(rows(columns, len(ASKED))),
    )
    with world.store:
        world.agree(
            [
                OnDemandFeatureView(
                    name="sql",
                    sources=[world.view, world.request],
                    schema=[Field(name, dtype) for name, (_, dtype) in found.items()],
                    mode="sql",
                    expressions={name: text for name, (text, _) in found.items()},
                )
            ]
        )


def fitting(text: str, columns: dict[str, FeatureType]) -> list[FeatureType]:
    """The types that an expression may be declared as."""
    found = []
    for dtype in (Bool, Int32, Int64, Float32, Float64, String, Bytes, UnixTimestamp, functions.COLUMNS["w"]):
        try:
            parse(text, value=True).giving(dtype, columns)
        except DefinitionError:
            continue
        found.append(dtype)
    return found
