"""The example of a back-end in its own package: built, installed, found by its entry point, and held to its suite."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gnomon

PACKAGE = Path(gnomon.__file__).parent / "examples" / "backend_package"

REPO = """
project: shop
online_store: {type: journal, path: online}
"""

USE = """
import pyarrow as pa
import pyarrow.parquet as pq
from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource
from gnomon.types import Int64

times = pa.array([0, 0], pa.timestamp("us", "UTC"))
pq.write_table(pa.table({"user": [7, 8], "age": [41, 12], "ts": times}), "u.parquet")
source = FileSource(path="u.parquet", timestamp_field="ts", delay="0s")
user = Entity(name="user")
view = FeatureView(name="profile", entities=[user], source=source, schema=[Field("age", Int64)])
with FeatureStore(".") as store:
    store.apply([view, user])
    store.materialize_incremental(end_date="2024-01-01")
with FeatureStore(".") as store:
    print(store.get_online_features(["profile:age"], [{"user": 8}, {"user": 9}]).to_dict())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the package; nothing is fetched for it."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    options = ["--no-deps", "--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    if importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *options]
    else:
        command = ["uv", "pip", "install", "--offline", "--python", sys.executable, *options]
    run(command, os.environ)
    path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PACKAGE": str(folder / "source")}


def run(command: list[str], env: object, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, env=dict(env), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_repo_names_it_and_feature_store_uses_it(tmp_path: Path, installed: dict[str, str]) -> None:
    (tmp_path / "feature_store.yaml").write_text(REPO, encoding="utf-8")
    told = run([sys.executable, "-W", "error", "-c", USE], installed, tmp_path)
    assert told.strip() == "{'user': [8, 9], 'age': [12, None]}"
    assert len(list((tmp_path / "online").glob("*.jsonl"))) == 1


def test_its_own_suite_passes_with_its_gaps(installed: dict[str, str]) -> None:
    told = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], installed, Path(installed["PACKAGE"]))
    assert re.search(r"\d\d passed, 3 xfailed", told), told


def test_without_it_the_error_names_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text(REPO, encoding="utf-8")
    use = "import gnomon; gnomon.FeatureStore('.').get_online_features(['profile:age'], [])"
    done = subprocess.run([sys.executable, "-c", use], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "there is no online store of type 'journal'" in done.stderr
