"""A repo made by `gnomon init`, and the command line run on it inside this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gnomon.cli import app, templates
from gnomon.clock import SystemClock


@dataclass
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)


Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line where `repo` is the folder one stands in."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str, stdin: str | None = None) -> Said:
        result = CliRunner().invoke(app, words, input=stdin, prog_name="gnomon")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return command


@pytest.fixture
def repo(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh repo of the minimal template."""
    made = templates.write("minimal", tmp_path / "shop", now=SystemClock().now())
    monkeypatch.chdir(made.folder)
    return made.folder


@pytest.fixture
def applied(repo: Path, run: Run) -> Path:
    """The same, its definitions registered."""
    assert run("apply").code == 0
    return repo


@pytest.fixture
def loaded(applied: Path, run: Run) -> Path:
    """The same, its features online."""
    assert run("materialize-incremental").code == 0
    return applied
