"""`gnomon init`: what it makes works, is the same each time, and never takes anything's place."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gnomon.cli import templates
from gnomon.config import load
from gnomon.errors import RequestError

from .conftest import Run

NOW = 1_700_000_000_000_000


def test_it_makes_a_repo_and_says_what_comes_next(run: Run, tmp_path: Path) -> None:
    said = run("init", "shop")
    assert (said.code, said.err) == (0, "")
    assert "Next: cd shop && gnomon apply" in said.out
    assert load(tmp_path / "shop").project == "shop"
    files = {
        path.relative_to(tmp_path / "shop").as_posix() for path in (tmp_path / "shop").rglob("*") if path.is_file()
    }
    assert files == {"feature_store.yaml", "features.py", "README.md", "trips.csv", "data/stations.parquet"}


def test_json_and_a_folder_to_make_it_in(run: Run, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    said = run("-c", "work", "init", "my shop", "--json")
    assert said.json["project"] == "my_shop"
    assert (tmp_path / "work" / "my shop" / "data" / "stations.parquet").exists()
    assert load(tmp_path / "work" / "my shop").project == "my_shop"


def test_without_a_name(run: Run) -> None:
    assert run("init", "--json").json["project"] == "my_features"


def test_the_folder_one_stands_in(run: Run, tmp_path: Path) -> None:
    assert run("init", ".").code == 0
    assert (tmp_path / "features.py").exists()


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "features.py").write_text("mine = 1")
    said = run("init", "shop")
    assert said.code == 1
    assert "already has features.py" in said.err
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["features.py"]
    assert (tmp_path / "shop" / "features.py").read_text() == "mine = 1"


def test_a_file_where_the_folder_should_be(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("")
    said = run("init", "shop")
    assert said.code == 1
    assert "cannot be written" in said.err


def test_an_unknown_template(run: Run) -> None:
    said = run("init", "-t", "minimale")
    assert said.code == 1
    assert "There are: minimal." in said.err
    assert "did you mean 'minimal'?" in said.err


def test_the_same_hour_gives_the_same_bytes(tmp_path: Path) -> None:
    made = [
        templates.write("minimal", tmp_path / name / "shop", now=NOW + late) for name, late in (("a", 0), ("b", 99))
    ]
    for name in made[0].files:
        assert (made[0].folder / name).read_bytes() == (made[1].folder / name).read_bytes()


def test_the_data_is_a_plausible_week(tmp_path: Path) -> None:
    templates.write("minimal", tmp_path / "shop", now=NOW)
    rows = pq.read_table(tmp_path / "shop" / "data" / "stations.parquet").to_pylist()
    assert len(rows) == templates.STATIONS * templates.HOURS
    last = (NOW // templates.HOUR - 1) * templates.HOUR
    assert max(row["event_timestamp"].timestamp() for row in rows) == last / 1e6
    assert max(row["created"].timestamp() for row in rows) <= NOW / 1e6
    assert all(0 <= row["full_share"] <= 1 and row["bikes"] >= 0 for row in rows)
    assert all(row["created"] >= row["event_timestamp"] for row in rows)
    assert any(row["created"] > row["event_timestamp"] for row in rows)
    assert len({row["bikes"] for row in rows}) > 10


def test_the_readme_names_four_commands_and_each_exists(run: Run, tmp_path: Path) -> None:
    templates.write("minimal", tmp_path / "shop", now=NOW)
    readme = (tmp_path / "shop" / "README.md").read_text()
    block = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    commands = [line.split() for line in block[1].splitlines() if line.startswith("gnomon ")]
    assert [words[1] for words in commands] == [
        "apply",
        "get-historical-features",
        "materialize-incremental",
        "get-online-features",
    ]
    assert all(run(words[1], "--help").code == 0 for words in commands)
    assert readme.startswith("# shop\n")


def test_every_template_is_itself_a_project(tmp_path: Path) -> None:
    for name in templates.names():
        assert load(templates.TEMPLATES / name).project == templates.PLACEHOLDER
    with pytest.raises(RequestError):
        templates.write("__pycache__", tmp_path / "x", now=NOW)
