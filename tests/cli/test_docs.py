"""What can be typed or configured stands on a page."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from gnomon.cli import app
from gnomon.cli.root import _CODES
from gnomon.config import IGNORED, INSTEAD, KEYS, NOT_YET

DOCS = Path(__file__).parents[2] / "docs"


def commands(group: click.Group, path: str = "") -> list[tuple[str, click.Command]]:
    found = []
    for name, command in group.commands.items():
        full = f"{path} {name}".strip()
        found += commands(command, full) if isinstance(command, click.Group) else [(full, command)]
    return found


@pytest.mark.parametrize(("name", "command"), [("", app), *commands(app)])
def test_every_command_and_option_is_on_the_page(name: str, command: click.Command) -> None:
    page = (DOCS / "cli.md").read_text()
    assert f"`{name}" in page
    options = [text for one in command.params for text in (*one.opts, *one.secondary_opts) if text.startswith("-")]
    assert [option for option in options if option not in page] == []


@pytest.mark.parametrize("code", sorted({0, 2, 130, *(code for _, code in _CODES)}))
def test_every_exit_code_is_on_the_page(code: int) -> None:
    assert f"\n| {code} | " in (DOCS / "cli.md").read_text()


@pytest.mark.parametrize("key", [*KEYS, *IGNORED, *NOT_YET, "registry_type", "cache_ttl_seconds", "retain"])
def test_every_key_is_on_the_page(key: str) -> None:
    assert f"`{key}`" in (DOCS / "configuration.md").read_text()


def test_the_types_named_on_the_page_as_missing_are() -> None:
    assert {"dask", "milvus"} <= {name for group in INSTEAD.values() for name in group}
