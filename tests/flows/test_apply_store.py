"""Applying through the store, on real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from shop import profile

from gnomon import Entity, FeatureService, FeatureStore, FeatureView, Field
from gnomon.errors import DefinitionError, RequestError
from gnomon.types import Int64, String


def test_a_service_must_not_lose_the_features_it_picks(store: FeatureStore) -> None:
    narrower = replace(profile, schema=profile.schema[1:])
    with pytest.raises(DefinitionError, match=r"feature service 'model' picks a feature that is not there: .*'age'"):
        store.apply([narrower])
    assert store.snapshot().version == 1
    store.apply([narrower, FeatureService(name="model", features=[narrower])])
    assert store.get_feature_service("model").features[0].feature_names == ("city",)


def test_an_entity_keeps_its_join_keys_under_views_that_stand_on_it(store: FeatureStore) -> None:
    other = FeatureView(
        name="other",
        entities=[Entity(name="user_id", join_keys=["age"], value_type=Int64)],
        schema=[Field("city", String)],
        source=profile.source,
    )
    with pytest.raises(
        DefinitionError, match=r"entity 'user_id' changes its join keys from user_id to age, and .*'profile@1'"
    ):
        store.apply([other])


def test_a_folder_that_defines_nothing_says_so(tmp_path: Path) -> None:
    child = tmp_path / "child"
    child.mkdir()
    (child / "feature_store.yaml").write_text("project: child\n")
    (child / "features.py").write_text("from gnomon import Entity\nuser = Entity(name='user')\n")
    for act in (FeatureStore(tmp_path).plan, FeatureStore(tmp_path).apply):
        with pytest.raises(DefinitionError, match=f"no Python file in {tmp_path} defines anything"):
            act()
    assert len(FeatureStore(child).plan().changes) == 1


def test_stores_and_sets_print_short(store: FeatureStore) -> None:
    assert repr(store) == f"FeatureStore('shop' at {str(store.repo_path)!r})"
    asked = store.get_historical_features({"user_id": [1], "event_timestamp": ["2024-01-12"]}, ["profile:age"])
    assert repr(asked) == "TrainingSet(1 rows: user_id, event_timestamp → age)"


def test_a_view_in_place_of_its_features_is_told_apart(store: FeatureStore) -> None:
    with pytest.raises(RequestError, match="features names the view 'profile'") as caught:
        store.get_online_features([profile], [{"user_id": 1}])
    assert "['profile:age', …]" in str(caught.value)
    with pytest.raises(RequestError, match="features names the view 'profile'"):
        store.get_online_features(profile, [{"user_id": 1}])
