"""Commands shown on pages are commands there are, with options they have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gnomon.cli import app
from gnomon.cli.root import hoisted

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "src").rglob("README.md"))]
BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^\$ +")


def found_on_pages() -> Iterator[tuple[str, str]]:
    """(page, command) for every `gnomon …` in a block of commands."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                for command in re.split(r"\s&&\s", PROMPT.sub("", line)):
                    if command.startswith("gnomon"):
                        yield page.relative_to(ROOT).as_posix(), command


SHOWN = list(found_on_pages())


def check(words: list[str]) -> None:
    """Parse a command line down to its last command, and run nothing of it.

    Raises:
        click.UsageError: there is no such command or option, or an argument does not fit.
    """
    group: click.Command = app
    parent: click.Context | None = None
    rest = hoisted(words)
    while True:
        context = group.make_context(group.name or "gnomon", rest, parent=parent)
        if not isinstance(group, click.Group) or (group.invoke_without_command and not context.args):
            return
        name, found, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None, name
        group, parent = found, context


@pytest.mark.parametrize(("page", "command"), SHOWN)
def test_every_command_shown_can_be_typed(page: str, command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    try:
        check(words)
    except click.UsageError as wrong:
        pytest.fail(f"{page}: {command}: {wrong.format_message()}")


@pytest.mark.parametrize("command", ["aply", "apply --prun", "history --limit many", "entities lst"])
def test_a_command_that_cannot_be_typed_is_noticed(command: str) -> None:
    with pytest.raises(click.UsageError):
        check(shlex.split(command))


def test_commands_are_found() -> None:
    assert len({command.split()[1] for _, command in SHOWN}) >= 6
