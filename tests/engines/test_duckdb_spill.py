"""What does not fit into memory goes to a folder that is gone afterwards, also after those who had no time for it."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.engines.duckdb.engine import DuckDBEngine
from gnomon.engines.duckdb.spill import Spill
from gnomon.errors import BackendError

MANY = "create temp table t as select i, hash(i) as h from range(6000000) r(i)"


def engine_in(folder: Path, parent: str = "spill") -> DuckDBEngine:
    options = {"memory_limit": "40MB", "threads": 1, "temp_directory": parent}
    return DuckDBEngine(options, Context(repo_path=folder, project="p", clock=ManualClock()))


def kinds(parent: Path) -> list[str]:
    """What is under a parent: locks and folders, each by its beginning and its ending."""
    return sorted(one.name[:7] + one.suffix for one in parent.iterdir())


def child(work: object) -> None:
    """Run something in a forked process, which then ends as if killed."""
    pid = os.fork()
    if not pid:
        try:
            work()  # type: ignore[operator]
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_what_does_not_fit_goes_to_a_folder_that_is_gone_afterwards(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    con = engine._connect()
    con.execute(MANY)
    assert kinds(tmp_path / "spill") == ["gnomon-", "gnomon-.lock"]
    con.close()
    assert kinds(tmp_path / "spill") == ["gnomon-.lock"]
    engine.close()
    assert kinds(tmp_path / "spill") == []


def test_an_engine_that_nobody_closed_goes_too(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    assert kinds(tmp_path / "spill") == ["gnomon-.lock"]
    del engine
    gc.collect()
    assert kinds(tmp_path / "spill") == []


def test_a_database_that_is_still_used_outlives_its_engine(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    con = engine._connect()
    con.execute(MANY)
    engine.close()
    assert con.execute("select count(*), max(i) from t").fetchone() == (6_000_000, 5_999_999)
    con.close()


def test_folders_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    ours = Spill(tmp_path).made()
    living = Spill(tmp_path)
    kept = living.made()
    child(lambda: (Spill(tmp_path).made() / "rows").write_text("many"))
    assert kinds(tmp_path) == ["gnomon-", "gnomon-", "gnomon-", "gnomon-.lock", "gnomon-.lock", "gnomon-.lock"]
    third = Spill(tmp_path).made()
    assert {one for one in tmp_path.iterdir() if one.is_dir()} == {ours, kept, third}


def test_a_forked_child_has_folders_of_its_own_and_leaves_its_parents(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    mine = spill.made()

    def work() -> None:
        (spill.made() / "of-the-child").touch()
        spill.close()

    child(work)
    assert mine.is_dir()
    assert [one.name for one in tmp_path.glob("*/*")] == ["of-the-child"]  # which was in use
    Spill(tmp_path).new()
    assert [one for one in tmp_path.iterdir() if one.is_dir()] == [mine]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "gnomon-redis-abc"
    theirs.mkdir()
    (tmp_path / "gnomon-notes.txt").touch()
    Spill(tmp_path).new()
    assert theirs.is_dir()
    assert (tmp_path / "gnomon-notes.txt").exists()


def test_a_place_that_cannot_be_written_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match=r"temp_directory .*file/spill cannot be written[\s\S]*Hint: set temp_dir"):
        engine_in(tmp_path, "file/spill")
