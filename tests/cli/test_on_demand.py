"""On-demand views on the command line: listed, described, asked, traced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FEATURES = '''
from gnomon import Entity, FeatureView, Field, FileSource, RequestSource, on_demand_feature_view
from gnomon.types import Array, Float64, Int64, String

profile = FeatureView(
    name="profile",
    entities=[Entity(name="user_id")],
    source=FileSource(path="profiles.parquet", timestamp_field="at", delay="0s"),
    schema=[Field("age", Int64)],
)
payment = RequestSource(
    name="payment", schema=[Field("paid", Float64), Field("shop", String), Field("items", Array(Int64))]
)


@on_demand_feature_view(sources=[profile, payment], schema=[Field("words", String)])
def told(paid, age, shop, items):
    """All of it."""
    return f"{paid / age} {shop} {items}"
'''


@pytest.fixture
def repo(tmp_path: Path, run: Callable[..., Any]) -> Path:
    rows = {"user_id": [1], "age": [30], "at": [datetime(2024, 1, 1, tzinfo=timezone.utc)]}
    pq.write_table(pa.table(rows), tmp_path / "profiles.parquet")
    (tmp_path / "features.py").write_text(FEATURES)
    assert run("apply").code == 0
    assert run("materialize-incremental").code == 0
    return tmp_path


def test_they_are_listed_and_described(repo: Path, run: Callable[..., Any]) -> None:
    said = run("on-demand-feature-views", "list").out
    assert "told@1" in said
    assert "profile, payment" in said
    assert run("on-demand-feature-views", "list", "--json").json[0]["name"] == "told"
    described = run("on-demand-feature-views", "describe", "told").out
    assert "def told(paid, age, shop, items)" in described
    assert "place: features:told" in described


def test_values_of_the_request_are_read_by_their_types(repo: Path, run: Callable[..., Any]) -> None:
    words = ["get-online-features", "-f", "told:words", "-e", "user_id=1", "-e", "paid=60", "-e", "shop=7"]
    assert run(*words, "-e", "items=[1, 2]", "--json").json["words"] == ["2.0 7 [1, 2]"]
    assert run(*words, "-e", "items=", "--json").json["words"] == ["2.0 7 None"]
    wrong = run(
        "get-online-features", "-f", "told:words", "-e", "user_id=1", "-e", "paid=much", "-e", "shop=", "-e", "items="
    )
    assert wrong.code != 0
    assert "'paid' is 'much' in row 0, and on-demand view 'told' takes Float64" in wrong.err


def test_a_change_of_the_function_is_shown(repo: Path, run: Callable[..., Any]) -> None:
    (repo / "features.py").write_text(FEATURES.replace("paid / age", "paid * age"))
    said = run("plan").out
    assert "~ on-demand feature view told@1 (changes values)" in said
    assert "paid * age" in said
    assert "Answers of told@1 will differ" in said
    assert "Reload" not in said


def test_lineage(repo: Path, run: Callable[..., Any]) -> None:
    said = run("lineage", "told:words").out
    assert "request value paid → function features:told" in said
    assert "feature profile@1:age → function features:told" in said
    assert "ask for 'profile@1:age'" in run("explain", "told:words", "user_id=1").err
