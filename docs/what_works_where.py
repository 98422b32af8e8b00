"""Writes docs/what-works-where.md from what the back-ends themselves declare: `make tables`.

Every back-end that gnomon registers under an entry point is made in an empty folder and asked for its capabilities;
what each of them means is taken from the contract's own docstring.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

from gnomon.clock import SystemClock
from gnomon.contracts.engine import EngineCapabilities
from gnomon.contracts.online import OnlineCapabilities
from gnomon.contracts.plugins import Context, make

PAGE = Path(__file__).with_name("what-works-where.md")

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "redis": {"redis": {}, "redis, cluster": {"redis_type": "redis_cluster"}},
}
"""Back-ends whose options decide what they can do → the options, by the name to show."""

TOP = """\
# What works where

`make tables` writes this page from what the back-ends declare, and a test holds it to that. What a flow may ask of a
back-end stands here; everything else in [its contract](writing-a-back-end.md) every back-end does, and the same suite
of tests runs on all of one kind.
"""

REGISTRIES = """\
## Registries

SQLite and PostgreSQL do the same: there is nothing to choose by but [where they are](registry.md).
"""


def page() -> str:
    """The page as it should be."""
    parts = [
        TOP,
        section("Online stores", "online_stores", "online_store", OnlineCapabilities),
        section("Engines", "engines", "offline_store", EngineCapabilities),
        REGISTRIES,
    ]
    return "\n".join(parts)


def section(title: str, group: str, key: str, kind: type) -> str:
    """One kind of back-end: a row per capability, a column per back-end."""
    declared = dict(capabilities(group))
    names, means = [one.name for one in fields(kind)], meanings(kind)
    head = [
        f"| `{key}: {{type: …}}` | {' | '.join(f'`{name}`' for name in declared)} |",
        "|---" * (len(declared) + 1) + "|",
    ]
    cells = {name: " | ".join("yes" if getattr(one, name) else "–" for one in declared.values()) for name in names}
    rows = [f"| **`{name}`**: {means[name]} | {cells[name]} |" for name in names]
    return "\n".join([f"## {title}\n", *head, *rows, ""])


def capabilities(group: str) -> Iterator[tuple[str, Any]]:
    """(name, capabilities) of gnomon's own back-ends; two names of one class are one."""
    own = [entry for entry in metadata.entry_points(group=f"gnomon.{group}") if entry.value.startswith("gnomon.")]
    names: dict[str, list[str]] = {}
    for entry in sorted(own, key=lambda one: one.name):
        names.setdefault(entry.value, []).append(entry.name)
    for first, *others in names.values():
        for name, options in VARIANTS.get(first, {"`, `".join([first, *others]): {}}).items():
            yield name, asked(group, first, options)


def asked(group: str, name: str, options: dict[str, Any]) -> Any:
    """What one back-end says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        context = Context(repo_path=Path(folder), project="page", clock=SystemClock())
        made = make(group, name, options, context)
        try:
            return made.capabilities
        finally:
            made.close()


def meanings(kind: type) -> dict[str, str]:
    """What the arguments of a class mean, from its docstring."""
    lines = re.findall(r"^ +(\w+): (.+)$", (kind.__doc__ or "").partition("Args:")[2], re.MULTILINE)
    return {name: told.rstrip(".") for name, told in lines}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
