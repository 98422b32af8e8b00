"""A repo's own aggregations: registered as data, found again when they run, noticed when their code changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop import day

from gnomon import FeatureStore, FeatureView, FileSource, agg
from gnomon.clock import ManualClock
from gnomon.errors import DefinitionError, RequestError

SPREADS = """
from gnomon import agg
from gnomon.types import Float64


class Spread(agg.Custom):
    takes_types = (Float64,)
    gives = Float64

    def empty(self):
        return ()

    def add(self, state, value):
        return self.merge(state, (value, value))

    def merge(self, left, right):
        both = (*left, *right)
        return (min(both), max(both)) if both else ()

    def result(self, state):
        return state[1] - state[0]
"""

DEFINITIONS = """
from gnomon import Entity, FeatureView, FileSource, agg
from spreads import Spread

spend = FeatureView(
    name="spend",
    entities=[Entity(name="user_id")],
    source=FileSource(path="orders.parquet", timestamp_field="at", delay="0s"),
    aggregations=[agg.custom(Spread, "amount", over="7d")],
)
"""

ASKED = {"user_id": [1, 2], "event_timestamp": [day(9), day(9)]}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    orders = {"user_id": [1, 1, 2], "amount": [2.0, 8.5, 4.0], "at": [day(5), day(6), day(7)]}
    pq.write_table(pa.table(orders), tmp_path / "orders.parquet")
    (tmp_path / "spreads.py").write_text(SPREADS)
    (tmp_path / "features.py").write_text(DEFINITIONS)
    return tmp_path


def opened(repo: Path) -> FeatureStore:
    return FeatureStore(repo, clock=ManualClock(day(10)))


def asked(store: FeatureStore) -> list[float]:
    found: list[float] = store.get_historical_features(ASKED, ["spend:amount_spread_7d"]).to_arrow()[2].to_pylist()
    return found


def elsewhere(repo: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, started in the repo."""
    words = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(words, cwd=repo, env=environment, capture_output=True, text=True, check=False)


ASKING = f"""
import datetime, sys
from datetime import timezone
from gnomon import FeatureStore, GnomonError
try:
    print(FeatureStore(".").get_historical_features({ASKED!r}, ["spend:amount_spread_7d"]).to_arrow()[2].to_pylist())
except GnomonError as error:
    print(error)
"""


def test_a_class_in_the_repo_is_applied_from_its_files_and_asked(repo: Path) -> None:
    with opened(repo) as store:
        store.apply()
        assert asked(store) == [6.5, 0.0]
    said = elsewhere(repo, ASKING)
    assert (said.stdout, said.stderr) == ("[6.5, 0.0]\n", "")


def test_the_command_line_finds_it_in_the_repo(repo: Path) -> None:
    line = "from gnomon.cli import app; app()"

    def gnomon(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", line, "-c", str(repo), *words]
        return subprocess.run(command, cwd=repo.parent, capture_output=True, text=True, check=False)

    assert gnomon("apply").returncode == 0
    spine = "select 1 as user_id, timestamp '2024-01-09' as event_timestamp"
    said = gnomon("get-historical-features", "-s", spine, "-f", "spend:amount_spread_7d", "--json")
    assert "6.5" in said.stdout, said.stderr


def test_changed_code_is_a_change_of_the_view(repo: Path) -> None:
    with opened(repo) as store:
        store.apply()
        assert store.plan().changes == ()
        (repo / "spreads.py").write_text(SPREADS.replace("state[1] - state[0]", "state[1] / state[0]"))
        planned = store.plan()
        assert [(one.id, one.changes_values) for one in planned.changes] == [("spend@1", True)]
        store.apply()
        assert asked(store) == [4.25, 1.0]


def test_code_that_changed_and_was_not_applied_is_not_run(repo: Path) -> None:
    with opened(repo) as store:
        store.apply()
    (repo / "spreads.py").write_text(SPREADS.replace("state[1] - state[0]", "state[1] / state[0]"))
    said = elsewhere(repo, ASKING).stdout
    assert "feature view 'spend': aggregation custom('amount'): the code of 'spreads:Spread' is not what it was" in said
    assert "Hint: apply the view again" in said


def test_a_registry_is_read_where_the_class_is_not_there(repo: Path) -> None:
    with opened(repo) as store:
        store.apply()
    (repo / "spreads.py").rename(repo / "spreads.txt")
    script = 'from gnomon import FeatureStore; print(FeatureStore(".").get_feature_view("spend").schema[0].dtype)'
    assert elsewhere(repo, script).stdout == "Float64\n"
    said = elsewhere(repo, ASKING).stdout
    assert "feature view 'spend': aggregation custom('amount'): there is no aggregation at 'spreads:Spread'" in said
    assert "PYTHONPATH" in said


def test_two_repos_have_classes_of_one_name(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for file in repo.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "spreads.py").write_text(SPREADS.replace("state[1] - state[0]", "state[1] / state[0]"))
    with opened(repo) as one, opened(other) as two:
        one.apply()
        two.apply()
        assert (asked(one), asked(two)) == ([6.5, 0.0], [4.25, 1.0])


def test_a_class_that_cannot_be_found_again_is_refused() -> None:
    class Local(agg.Custom):
        pass

    with pytest.raises(DefinitionError, match="Local is defined where it cannot be found again"):
        agg.custom(Local, "amount", over="7d")


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("(value, value)", "(value, value / (value - 4.0))", "ZeroDivisionError: float division by zero"),
        ("state[1] - state[0]", "state[9]", "IndexError: tuple index out of range"),
        ("state[1] - state[0]", "'much'", "TypeError: result gave 'much', which is no Float64"),
    ],
)
def test_a_class_that_fails_is_named_with_its_view(repo: Path, written: str, instead: str, said: str) -> None:
    (repo / "spreads.py").write_text(SPREADS.replace(written, instead))
    with opened(repo) as store:
        store.apply()
        with pytest.raises(DefinitionError, match=rf"view 'spend': the aggregation 'spreads:Spread' failed: {said}"):
            asked(store)


def test_a_vector_of_another_length_is_told_with_its_view(tmp_path: Path) -> None:
    orders = {"user_id": [1, 1], "v": [[1.0, 2.0], [1.0]], "at": [day(5), day(6)]}
    pq.write_table(pa.table(orders), tmp_path / "orders.parquet")
    source = FileSource(path="orders.parquet", delay="0s")
    view = FeatureView(
        name="mood", entities=["user_id"], source=source, aggregations=[agg.mean("v", over="7d", length=2)]
    )
    with opened(tmp_path) as store:
        store.apply(view)
        answer = store.get_historical_features(ASKED, ["mood:v_mean_7d"])
        with pytest.raises(RequestError, match="view 'mood': column 'v' holds a vector of 1 elements"):
            answer.to_arrow()
