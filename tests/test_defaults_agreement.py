"""Where a value would be null its default stands, in training and online as the oracle has it; statuses stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from windowed_views import values_of

from gnomon import FeatureStore, FeatureView, Field, OnDemandFeatureView
from gnomon.clock import ManualClock, from_micros
from gnomon.config import Backend, RepoConfig
from gnomon.testing.reference import as_of, same_value
from gnomon.testing.strategies import histories, questions, row_views, rows_of, to_spine, to_table, values
from gnomon.types import Array, FeatureType, String, UnixTimestamp

EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999


@st.composite
def with_defaults(draw: st.DrawFn, view: FeatureView) -> FeatureView:
    """The view with defaults on some of its features."""
    fields = [Field(one.name, one.dtype, default=draw(st.none() | defaults(one.dtype))) for one in view.schema]
    return dataclasses.replace(view, schema=fields)


def defaults(dtype: FeatureType) -> st.SearchStrategy[Any]:
    """Values as users write them: instants as datetimes."""
    if dtype == UnixTimestamp:
        return st.integers(EARLIEST, LATEST).map(from_micros)
    if isinstance(dtype, Array):
        return st.lists(st.none() | defaults(dtype.element), max_size=3)
    return values(dtype, nulls=False)


def seen(inputs: dict[str, Any]) -> str:
    """What a function is given, in words."""
    return repr(sorted(inputs.items()))


@pytest.mark.filterwarnings("ignore::gnomon.flows.training.HindsightWarning")
@settings(max_examples=max(20, settings.default.max_examples // 5))
@given(data=st.data())
def test_defaults_stand_alike_in_training_online_and_by_the_oracle(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    plain = data.draw(row_views())
    view = data.draw(with_defaults(plain))
    history = data.draw(histories(plain))
    asked = data.draw(questions(plain, history, nulls=False))
    at = max(instant for _, instant in asked)
    keys = [key for key, _ in asked]
    folder, clock = tmp_path_factory.mktemp("repo"), ManualClock(at)
    pq.write_table(to_table(history, plain), folder / view.source.path)
    told = OnDemandFeatureView(
        name="told", sources=[view], schema=[Field("words of it", String)], function=seen, singleton=True
    )
    config = RepoConfig(project="p", repo_path=folder, online_store=Backend("memory"))
    with FeatureStore(folder, config=config, clock=clock) as store:
        store.apply([view, told])
        store.materialize_incremental(at)
        references = [f"{view.name}:{name}" for name in view.feature_names]
        entities: Any = {name: [key[place] for key in keys] for place, name in enumerate(view.join_keys)}
        served = store.get_online_features([*references, "told:words of it"], entities or [{}] * len(keys))
        spine = to_spine([(key, at) for key in keys], {one.name: one.dtype for one in view.entity_columns})
        made = store.get_historical_features(spine, [*references, "told:words of it"], as_known="then").to_arrow()
        online = served.to_arrow()
        for row, key in enumerate(keys):
            expected = as_of(rows_of(plain, history), key, at, dtypes=dtypes(plain), as_known="then", ttl=plain.ttl)
            filled = expected.filled([one.standing_in for one in view.schema])
            for place, one in enumerate(view.schema):
                assert str(served.statuses[one.name][row]) == expected.statuses[place]
                for table in (made, online):
                    got = values_of(table[one.name], one.dtype)[row]
                    assert same_value(got, filled[place], one.dtype), (one, got, filled[place])
        assert made["words of it"].to_pylist() == online["words of it"].to_pylist()


def dtypes(view: FeatureView) -> Sequence[FeatureType]:
    return [one.dtype for one in view.schema]
