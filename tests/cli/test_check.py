"""gnomon verify: a table or JSON, and the exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gnomon import FeatureService, FeatureStore, LoggingConfig
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


@pytest.fixture
def served(loaded: Path) -> Path:
    """A service that is logged, asked for all there is, twice."""
    with FeatureStore(loaded) as store:
        view = store.list_feature_views()[0]
        store.apply(FeatureService(name="model", features=[view], logging_config=LoggingConfig(retain="1d")))
        keys = store.engine.keys(EventsQuestion(view=view), 5, 0)
        for _ in range(2):
            store.get_online_features("model", keys.to_pydict())
    return loaded


def test_what_was_served_is_verified_from_its_log(served: Path, run: Run) -> None:
    told = run("verify", "--log", "model", "--json").json
    assert told["compared"] == told["agreed"] > 0
    assert run("verify", "--log", "model", "--sample", "3", "--json").json["views"][0]["entities"] == 3
    assert run("verify", "--log", "model", "--since", "2100-01-01", "--json").json["compared"] == 0
    assert run("verify", "--log", "model", "--until", "2100-01-01").code == 0
    assert run("verify", "--log", "modle").code == 1
    assert run("verify", "--log", "model", "--service", "model").code == 2
    assert run("verify", "--since", "2100-01-01").code == 2


def test_a_log_that_history_does_not_give_is_exit_code_1(served: Path, run: Run) -> None:
    (log,) = (served / ".gnomon" / "served").iterdir()
    with FeatureStore(served) as store:
        store._served_logs().log(log.name).seal()
    (path,) = log.glob("*.parquet")
    table = pq.read_table(path)
    place = next(place for place, one in enumerate(table.schema) if pa.types.is_floating(one.type))
    other = pc.add(table.column(place), 1.0)
    pq.write_table(table.set_column(place, table.schema.field(place), other), path)
    said = run("verify", "--log", "model", "--json")
    assert said.json["causes"] == {"disagreement": len(table) - other.null_count}
    assert said.code == 1


def test_logs_of_served_rows_are_kept_as_others_are(served: Path, run: Run) -> None:
    (name,) = (one.name for one in (served / ".gnomon" / "served").iterdir())
    assert name in run("log", "status", "--served").out
    assert run("log", "status", "model", "--served", "--json").json[name]["events"] > 0
    assert run("log", "merge", "--served", "--json").json == {name: {"files": 0, "into": 0, "removed": 0}}
    assert run("log", "trim", "--served", "--json").json[0]["events"] == 0
    assert run("log", "trim", "model", "--served", "--before", "2000-01-01", "--yes").code == 0


def test_no_log_of_served_rows(applied: Path, run: Run) -> None:
    assert "There is no log of served rows." in run("log", "status", "--served").out
    assert "No service that is logged says how long its rows are kept." in run("log", "trim", "--served").out
