"""gnomon verify: a table or JSON, and the exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gnomon import FeatureStore
from gnomon.core.keys import encode_keys
from gnomon.flows.tables import layout_of, table_of
from gnomon.plan.questions import EventsQuestion

Run = Callable[..., Any]


def test_what_is_served_agrees(loaded: Path, run: Run) -> None:
    said = run("verify", "--sample", "50")
    assert said.code == 0
    assert "AGREE" in said.out
    assert "answers are what history gives again, bit by bit" in said.out
    told = run("verify", "--json", "--seed", "1").json
    assert told["compared"] == told["agreed"] > 0
    assert told["disagreements"] == 0


def test_a_disagreement_is_exit_code_1(loaded: Path, run: Run) -> None:
    with FeatureStore(loaded) as store:
        view = store.list_feature_views()[0]
        table = table_of(store.project, view)
        other = layout_of(view).pack(0, 0, [None] * len(view.schema))
        keys = keys_of(store)
        store.online.write(table, [(key, other) for key in keys], lambda old, new: new)
    said = run("verify", "--json")
    assert said.code == 1
    assert said.json["disagreements"] > 0
    assert said.json["differences"][0]["explain"].startswith("gnomon explain ")


def keys_of(store: FeatureStore) -> list[bytes]:
    view = store.list_feature_views()[0]
    keys = store.engine.keys(EventsQuestion(view=view), 100, 0)
    return encode_keys([keys[name] for name in keys.column_names], [one.dtype for one in view.entity_columns])


def test_features_are_said_once(loaded: Path, run: Run) -> None:
    said = run("verify", "-f", "a:b", "--service", "c")
    assert said.code == 2
