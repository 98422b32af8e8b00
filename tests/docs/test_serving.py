"""What docs/serving.md shows of a session with curl is what happens, and its tables leave nothing out."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from http_server import serving

from gnomon.cli import app
from gnomon.server.hot.asked import Question
from gnomon.server.problems import STATUSES
from gnomon.server.settings import ServerSettings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "serving.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PORT = "localhost:6566"


def session() -> Iterator[tuple[str, str]]:
    """(command, what it answers)."""
    for block in BLOCK.findall(PAGE):
        for part in block.split("$ ")[1:]:
            command, _, answer = part.partition("\n")
            yield command, answer


def test_the_session_is_what_happens(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl is installed")
    for words in (
        ["init", str(tmp_path / "shop")],
        *(["-c", str(tmp_path / "shop"), one] for one in ("apply", "materialize-incremental")),
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    shown = list(session())
    assert len(shown) >= 3
    with serving(tmp_path / "shop") as server:
        for command, answer in shown:
            words = command.replace(PORT, server.url.removeprefix("http://"))
            got = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=True).stdout
            assert json.loads(got) == json.loads(answer)


@pytest.mark.parametrize("field", Question.__struct_fields__)
def test_every_field_of_a_question_is_on_the_page(field: str) -> None:
    assert f"`{field}`" in PAGE


@pytest.mark.parametrize(
    "status", sorted({status for kind, status in STATUSES if status in (400, 404, 503)} | {408, 413, 422})
)
def test_every_status_is_on_the_page(status: int) -> None:
    assert re.search(rf"^\| [^|]*{status}", PAGE, re.MULTILINE)


@pytest.mark.parametrize("option", [one.name for one in dataclasses.fields(ServerSettings)])
def test_every_setting_is_on_its_page(option: str) -> None:
    assert f"`{option}`" in (DOCS / "configuration.md").read_text(encoding="utf-8")
