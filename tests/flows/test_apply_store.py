"""Applying through the store, on real files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from shop import profile

from gnomon import FeatureService, FeatureStore
from gnomon.errors import DefinitionError


def test_a_service_must_not_lose_the_features_it_picks(store: FeatureStore) -> None:
    narrower = replace(profile, schema=profile.schema[1:])
    with pytest.raises(DefinitionError, match=r"feature service 'model' picks a feature that is not there: .*'age'"):
        store.apply([narrower])
    assert store.snapshot().version == 1
    store.apply([narrower, FeatureService(name="model", features=[narrower])])
    assert store.get_feature_service("model").features[0].feature_names == ("city",)
