"""Reading YAML as a configuration wants it: variables expanded, no key twice, every mistake with its line.

A value may hold `$VAR`, `${VAR}` or `${VAR:-default}`, the default standing in where VAR is unset or empty; `$$` is a
dollar sign. A value is expanded after YAML is parsed, so nothing a variable holds can change the file's structure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gnomon.config.secrets import Expanded, ExpandedInt
from gnomon.errors import ConfigError, nearest_hint

__all__ = ["expand", "read"]

_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\{))"
)
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def read(path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The mapping a YAML file holds; an empty file holds an empty one.

    Args:
        path: the file.
        environ: where variables are looked up.

    Raises:
        ConfigError: the file cannot be read, is no UTF-8, no YAML or no mapping, has a key twice, or names a variable
            that is not set.
    """
    text = _text(path)
    try:
        values = _Loader(text, path, environ).get_single_data()
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: broken YAML: {broken.problem or broken.context}.", hint=_YAML_HINT) from None
    except (yaml.YAMLError, RecursionError) as broken:
        reason = str(broken).splitlines()[0] if str(broken) else type(broken).__name__
        raise ConfigError(f"{path}: broken YAML: {reason}.", hint=_YAML_HINT) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}.", hint="write `key: value` lines: `project: shop`.")
    return values


_YAML_HINT = "check the indentation and the quotes around that line."


def expand(text: str, where: str, environ: Mapping[str, str] = os.environ) -> str:
    """A text with its variables replaced.

    Args:
        text: what was written.
        where: the place, for errors.
        environ: where variables are looked up.

    Raises:
        ConfigError: a variable is not set and has no default, or `${` begins nothing that is understood.

    >>> expand("postgresql://${USER}@$HOST/${DB:-features}$$", "registry", {"USER": "me", "HOST": "db"})
    'postgresql://me@db/features$'
    """

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["broken"]:
            raise ConfigError(f"{where}: a ${{ begins no variable.", hint=_VARIABLE_HINT)
        name, default = match["bare"] or match["braced"], match["default"]
        found = environ.get(name)
        if found is None and default is None:
            hint = nearest_hint(name, environ, otherwise=f"export {name}=…, or give a default: ${{{name}:-…}}.")
            raise ConfigError(f"{where}: the environment variable {name} is not set.", hint=hint, variable=name)
        return found or default or ""

    return _VARIABLE.sub(value, text)


_VARIABLE_HINT = "write ${NAME} or ${NAME:-default}; write $$ for a dollar sign."


class _Loader(yaml.SafeLoader):
    """A safe loader that expands variables and refuses what YAML itself lets pass."""

    def __init__(self, text: str, path: Path, environ: Mapping[str, str]) -> None:
        self._path, self._environ = path, environ
        self._keys: dict[int, str] = {}
        self._plain: set[int] = set()
        super().__init__(text)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Checked as the node is composed: merging `<<` later puts inherited keys among its own.
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, value in node.value:
            if key.tag == _MERGE:
                continue
            if key.tag != _TEXT:
                raise ConfigError(f"{self._line(key)}: the key {key.value!r} is no text.", hint="put it in quotes.")
            if key.value in seen:
                raise ConfigError(f"{self._line(key)}: the key {key.value!r} stands twice.", hint="remove one of them.")
            seen.add(key.value)
            self._keys[id(value)] = key.value
            self._plain.add(id(key))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge `<<` in, own keys last; of equal keys only the last stays, for PyYAML 6.0.4 merges on the first."""
        super().flatten_mapping(node)
        last = {key.value: place for place, (key, _) in enumerate(node.value)}
        node.value = [pair for place, pair in enumerate(node.value) if last[pair[0].value] == place]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        made = super().construct_object(node, deep=deep)
        if not isinstance(made, str) or "$" not in made or id(node) in self._plain:
            return made
        key = self._keys.get(id(node))
        text = expand(made, self._line(node) + (f", {key}" if key else ""), self._environ)
        if getattr(node, "style", None) is None and _INTEGER.fullmatch(text):
            return ExpandedInt(int(text), made)
        return Expanded(text, made)

    def _line(self, node: yaml.Node) -> str:
        return f"{self._path}, line {node.start_mark.line + 1}"


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as failed:
        reason = (failed.strerror or str(failed)).lower()
        raise ConfigError(f"{path} cannot be read: {reason}.", hint="it must be a file you may read.") from failed
    except UnicodeDecodeError as wrong:
        line = wrong.object[: wrong.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8.", hint="save the file as UTF-8.") from wrong
