"""Ctrl-C, and worse, in the middle of large work that spills: what is left, and that it can simply be run again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from waiting import until

from gnomon import FeatureStore

ROWS, KEYS, ASKED = 2_500_000, 500_000, 600_000
GNOMON = [sys.executable, "-c", "from gnomon.cli import main; main()"]
TRAIN = ("get-historical-features", "-s", "asked.parquet", "-f", "v:x", "-f", "v:text", "-o", "train.parquet")
WINDOWS = ("get-historical-features", "-s", "asked.parquet", "-f", "w:most", "-f", "w:texts", "-o", "train.parquet")
LOAD = ("materialize", "--json")
CONFIG = """
project: big
offline_store: {type: duckdb, memory_limit: 130MB, threads: 2, temp_directory: spill}
"""
DEFINITIONS = """
from gnomon import Entity, FeatureView, FileSource, agg
rows = FileSource(path="rows.parquet", delay="0s")
v = FeatureView(name="v", entities=[Entity(name="k")], source=rows)
w = FeatureView(name="w", entities=[Entity(name="k")], source=rows, aggregations=[
    agg.max("x", over="10000d", name="most"), agg.last_n("text", 3, over="10000d", name="texts")])
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo whose questions need more memory than they get."""
    folder, drawn = tmp_path_factory.mktemp("big"), np.random.default_rng(1)

    def instants(rows: int) -> pa.Array:
        return pa.array(drawn.integers(0, 10**15, rows), pa.timestamp("us", "UTC"))

    keys = pa.array(drawn.integers(0, KEYS, ROWS))
    rows = {"k": keys, "ts": instants(ROWS), "x": drawn.random(ROWS), "text": text_of(keys)}
    pq.write_table(pa.table(rows), folder / "rows.parquet")
    asked = {"k": drawn.integers(0, KEYS, ASKED), "event_timestamp": instants(ASKED)}
    pq.write_table(pa.table(asked), folder / "asked.parquet")
    (folder / "feature_store.yaml").write_text(CONFIG)
    (folder / "features.py").write_text(DEFINITIONS)
    return folder


@pytest.fixture
def repo(sources: Path) -> Path:
    """The same, applied, with nothing online."""
    with FeatureStore(sources) as store:
        store.teardown()
        store.apply()
    return sources


def started(repo: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def spilled(repo: Path) -> list[Path]:
    """Files of what did not fit into memory."""
    return list((repo / "spill").glob("*/*"))


def loading(repo: Path, pid: int) -> bool:
    """Whether a process has begun to write into the online store."""
    return any((repo / ".gnomon" / "online.lmdb").glob(f"writer-{pid}-*"))


def stopped(repo: Path, running: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str, str]:
    """Signal a process once it spills, or loads: its exit code and what it said."""
    until(lambda: running.poll() is not None or bool(spilled(repo)) or loading(repo, running.pid))
    assert running.poll() is None, running.communicate()
    running.send_signal(how)
    out, err = running.communicate(timeout=120)
    return running.returncode, out, err


def left(repo: Path) -> list[str]:
    """What lies about that should not."""
    beside = [one.name for one in repo.iterdir() if one.name.startswith(".") and one.name != ".gnomon"]
    return [*beside, *(one.name for one in (repo / "spill").iterdir())]


@pytest.mark.slow
@pytest.mark.parametrize("words", [TRAIN, WINDOWS, LOAD], ids=["training", "windows", "load"])
def test_ctrl_c_in_the_middle_is_one_line_and_leaves_nothing(repo: Path, words: tuple[str, ...]) -> None:
    code, out, err = stopped(repo, started(repo, *GNOMON, *words), signal.SIGINT)
    assert (code, out) == (130, "")
    assert err.strip() == (
        '{"error": "Interrupted", "message": "interrupted.", "hint": null}' if words == LOAD else "Interrupted."
    )
    assert left(repo) == []
    with FeatureStore(repo) as store:
        assert store.materializations() == []
    assert not (repo / "train.parquet").exists()


@pytest.mark.slow
def test_ctrl_c_in_a_program_is_a_keyboard_interrupt(repo: Path) -> None:
    code = """
from gnomon import FeatureStore
FeatureStore(".").get_historical_features("asked.parquet", ["v:x", "v:text"]).to_arrow()
"""
    status, _, err = stopped(repo, started(repo, sys.executable, "-c", code), signal.SIGINT)
    assert status == -signal.SIGINT
    assert err.rstrip().splitlines()[-1] == "KeyboardInterrupt"
    assert left(repo) == []


@pytest.mark.slow
@pytest.mark.parametrize("killed", [TRAIN, WINDOWS], ids=["training", "windows"])
def test_what_a_killed_training_set_left_goes_with_the_next_which_is_whole(repo: Path, killed: tuple[str, ...]) -> None:
    stopped(repo, started(repo, *GNOMON, *killed), signal.SIGKILL)
    assert spilled(repo)
    again = started(repo, *GNOMON, *TRAIN)
    assert again.communicate(timeout=120) == (f"Wrote {ASKED} rows to train.parquet.\n", "")
    assert left(repo) == []
    found = pq.read_table(repo / "train.parquet", columns=["k", "text"])
    (repo / "train.parquet").unlink()
    same = pc.equal(found["text"], text_of(found["k"]))
    assert pc.all(same).as_py()
    assert ASKED / 4 < len(found) - same.null_count < ASKED


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_load_that_was_stopped_is_run_again_whole(repo: Path, how: signal.Signals) -> None:
    stopped(repo, started(repo, *GNOMON, *LOAD), how)
    again = started(repo, *GNOMON, *LOAD)
    out, err = again.communicate(timeout=120)
    assert (again.returncode, err) == (0, "")
    keys = pc.unique(pq.read_table(repo / "rows.parquet", columns=["k"])["k"])
    assert json.loads(out)["views"][0]["rows"] == len(keys)
    assert left(repo) == []
    with FeatureStore(repo) as store:
        some = keys.slice(0, 1_000)
        found = store.get_online_features(["v:text"], {"k": some.to_pylist()}).to_dict()["text"]
    assert found == text_of(some).to_pylist()


def text_of(keys: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(keys.cast(pa.string()), "-of-somebody", "")
