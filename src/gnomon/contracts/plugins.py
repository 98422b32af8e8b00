"""Back-ends are found by name through entry points; gnomon's own are found the same way.

A package that brings a back-end declares, say,

    [project.entry-points."gnomon.online_stores"]
    mine = "my_package.store:MyStore"

and `online_store: {type: mine, …}` then calls `MyStore(options, context)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from gnomon.clock import Clock
from gnomon.errors import ConfigError, listing, nearest_hint

__all__ = ["Context", "check_options", "find", "make"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every back-end is handed when it is made.

    Args:
        repo_path: the repo's folder; relative paths in options start there.
        project: the project's name.
        clock: says what time it is.
    """

    repo_path: Path
    project: str
    clock: Clock


def make(group: str, type_name: str, options: Mapping[str, Any], context: Context) -> Any:
    """Make the back-end that a package registered under a name.

    Args:
        group: `online_stores`, `engines` or `registries`.
        type_name: the name the configuration gives.
        options: what else the configuration says of it.
        context: the repo it is made for.

    Raises:
        ConfigError: no installed package has a back-end of that name.
    """
    return find(group, type_name)(options, context)


def find(group: str, type_name: str) -> Any:
    """What a package registered under a name.

    Args:
        group: `online_stores`, `engines`, `registries`, `streams` or `formats`.
        type_name: the name.

    Raises:
        ConfigError: no installed package has one of that name.
    """
    found = {entry.name: entry for entry in metadata.entry_points(group=f"gnomon.{group}")}
    if type_name not in found:
        what = group.replace("_", " ").removesuffix("s").replace("registrie", "registry")
        raise ConfigError(
            f"there is no {what} of type {type_name!r}.",
            instead=f"Installed: {listing(sorted(found))}.",
            hint=nearest_hint(type_name, found, otherwise=f"set {what.replace(' ', '_')}: type in feature_store.yaml."),
        )
    return found[type_name].load()


def check_options(where: str, options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse options a back-end does not know.

    Raises:
        ConfigError: one is unknown; the nearest known one is named.
    """
    for name in options:
        if name not in known:
            raise ConfigError(
                f"{where}: unknown option {name!r}.",
                instead=f"Known: {listing(known)}." if known else "It takes no options.",
                hint=nearest_hint(name, known, otherwise="remove it."),
            )
