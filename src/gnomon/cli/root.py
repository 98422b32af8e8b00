"""The root of the command line: the options every command has, and the one place where errors become words and codes.

| code | meaning |
|---|---|
| 0 | done |
| 1 | a definition, the configuration or the question is wrong: change it |
| 2 | the command line itself is wrong |
| 3 | somebody else was faster: look, and try again |
| 4 | a store, a file or a server failed |
| 130 | interrupted |
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import click

from gnomon.errors import BackendError, ConflictError, GnomonError, nearest

__all__ = ["GLOBAL_OPTIONS", "Group", "Root", "examples", "exit_code"]

GLOBAL_OPTIONS = "Every command also takes --repo/-c PATH, --json and --debug, in any place."

_CODES = ((ConflictError, 3), (BackendError, 4), (GnomonError, 1))
_FLAGS, _VALUED = ("--json", "--debug"), ("--repo", "--chdir", "-c")


class Group(click.Group):
    """Commands under one name, in the order they were added; a mistyped one is told the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names."""
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command that the first argument names."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            near = nearest(args[0], self.list_commands(ctx))
            hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(self.list_commands(ctx))}."
            raise click.UsageError(f"No such command {args[0]!r}. {hint}", ctx) from None


class Root(Group):
    """The group all commands belong to; it says every error in words, or in JSON where JSON is asked for."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run a command line and leave with its exit code."""
        given = hoisted(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        leave = Leave(as_json="--json" in given)
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = leave.note  # type: ignore[assignment]
            try:
                code = super().main(given, *rest, **extra)
            except click.ClickException as wrong:
                leave(wrong.exit_code, "UsageError", wrong.format_message(), wrong.show)
            except GnomonError as wrong:
                if "--debug" in given:
                    traceback.print_exc()
                leave(exit_code(wrong), type(wrong).__name__, _what(wrong), partial(_say, wrong), wrong.hint)
            except OSError as wrong:  # what stdout leads to is full or gone: nobody below could have said so
                if "--debug" in given:
                    traceback.print_exc()
                leave(4, "OSError", str(wrong), partial(_red, f"OSError: {wrong}"))
            except (KeyboardInterrupt, click.Abort):
                leave(130, "Interrupted", "interrupted.", partial(_red, "Interrupted."))
        sys.exit(code if isinstance(code, int) else 0)


def examples(*lines: str) -> str:
    """Examples as help shows them, each on its own line."""
    # \b is how click is told to keep lines as they are.
    return "\b\n" + "\n".join(["Examples:" if len(lines) > 1 else "Example:", *(f"  {one}" for one in lines)])


def hoisted(args: Sequence[str]) -> list[str]:
    """The same command line with the options every command has at its front.

    >>> hoisted(["plan", "--prune", "--json", "-c", "repo"])
    ['--json', '-c', 'repo', 'plan', '--prune']
    """
    front: list[str] = []
    back: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            back += [word, *words]
        elif word in _FLAGS or word.startswith(("--repo=", "--chdir=")):
            front.append(word)
        elif word in _VALUED:
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            back.append(word)
    return front + back


def exit_code(error: GnomonError) -> int:
    """The code a process leaves with after an error.

    >>> exit_code(ConflictError("the registry has moved on."))
    3
    """
    return next(code for family, code in _CODES if isinstance(error, family))


class Leave:
    """Says on stderr why a process leaves, in words or in JSON, and leaves.

    Args:
        as_json: whether a program reads it.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def __call__(
        self, code: int, error: str, message: str, say: Callable[[], object], hint: str | None = None
    ) -> NoReturn:
        if self._as_json:
            self._print({"error": error, "message": message, "hint": hint})
        else:
            say()
        sys.exit(code)

    def note(self, message: Warning | str, *where: object) -> None:
        """Pass a warning on, without the place in the code where it was raised."""
        if self._as_json:
            self._print({"warning": str(message)})
        else:
            click.echo(f"Note: {message}", err=True)

    def _print(self, document: dict[str, str | None]) -> None:
        click.echo(json.dumps(document, ensure_ascii=False), err=True)


def _what(error: GnomonError) -> str:
    return "\n".join(part for part in (error.what, error.instead) if part)


def _say(error: GnomonError) -> None:
    _red(f"{type(error).__name__}: {_what(error)}")
    if error.hint:
        click.echo(f"Hint: {error.hint}", err=True)


def _red(text: str) -> None:
    click.secho(text, fg="red", err=True, color=False if "NO_COLOR" in os.environ else None)
