"""What is wrong with a text before anybody parses it: no text, comments, statements, parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnomon.core.expressions.refusals import cannot
from gnomon.errors import DefinitionError

__all__ = ["check_text", "check_tokens"]


def check_text(text: str, owner: str) -> None:
    """Refuse what is no text, or none that SQL can hold."""
    if not isinstance(text, str):
        raise DefinitionError(f"{owner}: {text!r} is no text.", hint="write the condition as SQL: \"status = 'ok'\".")
    if not text.strip():
        raise DefinitionError(f"{owner}: the text is empty.", hint="write a condition, or leave `where` out.")
    if "\0" in text:
        raise DefinitionError(f"{owner}: the text holds a NUL character.", hint="SQL text cannot hold one; remove it.")


def check_tokens(tokens: Sequence[Any], text: str, owner: str) -> None:
    """Refuse what a parser may let pass without a trace, or would take for a statement.

    Args:
        tokens: sqlglot's tokens.
        text: what they were made from.
        owner: what the text was written on.

    Raises:
        DefinitionError: there is a comment, a second statement, a parameter, or a keyword that starts a statement.
    """
    if not tokens or any(token.comments for token in tokens):
        raise cannot(owner, "a comment", text, "remove it; say it in the view's description.")
    kinds = [token.token_type.name for token in tokens]
    if "SEMICOLON" in kinds:
        raise cannot(owner, "more than one statement, or a ';'", text, "write one expression, joined by and / or.")
    if kinds[0] in ("SELECT", "WITH", "FROM", "WHERE"):
        raise cannot(owner, f"the keyword {tokens[0].text!r}", text, "write only what would stand after WHERE.")
    if kinds[0] in ("COMMAND", "DROP", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "SET", "PRAGMA", "ATTACH"):
        raise cannot(owner, f"a statement ({tokens[0].text!r})", text, "write one condition on the event's columns.")
    if "PARAMETER" in kinds or "PLACEHOLDER" in kinds:
        raise cannot(owner, "a parameter", text, "write the value itself.")
