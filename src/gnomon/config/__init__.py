"""The configuration: what `feature_store.yaml` says, checked, with every gap filled by an embedded default.

    load("repo")       # RepoConfig(project='repo', …, online_store=Backend('lmdb', {'path': '.gnomon/online.lmdb'}), …)

Feast's keys mean what they mean there. Which options a back-end takes is the back-end's own business: they are
handed on as they stand, and the back-end refuses what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

from gnomon.clock import duration
from gnomon.config.secrets import masked
from gnomon.config.yaml_file import read
from gnomon.definitions.base import FrozenMap, check_name, put
from gnomon.errors import ConfigError, DefinitionError, listing, nearest_hint

__all__ = ["FILE_NAME", "Backend", "RepoConfig", "load", "project_name"]

FILE_NAME = "feature_store.yaml"
HOME = ".gnomon"
"""Where everything lives that the configuration gives no place to, inside the repo."""
REJECTED = f"{HOME}/rejected"
"""Where rows are kept that were pushed and not right."""
SERVED = f"{HOME}/served"
"""Where rows are kept that were served: a log for each shape of a service's answers."""
ERASURES = f"{HOME}/erasures"
"""Where it is written down that entities were erased: files that begin so."""

KEYS = (
    "project",
    "registry",
    "provider",
    "online_store",
    "offline_store",
    "log",
    "streams",
    "auth",
    "feature_server",
    "entity_key_serialization_version",
)

IGNORED = ("coerce_tz_aware", "description", "flags", "materialization", "project_description", "tags")
"""Feast's keys that change nothing here: naive times are always UTC, materializing always streams."""

NOT_YET = {
    "batch_engine": ("local",),
    "batch_engine_config": ("local",),
    "mlflow": (),
    "openlineage": (),
}
"""Feast's keys that gnomon does not follow yet → the types that ask for nothing, and so are let pass."""

INSTEAD = {
    "engines": {"dask": "duckdb", "spark": "duckdb", "ray": "duckdb"},
    "online_stores": {"milvus": "lmdb", "faiss": "lmdb"},
    "registries": {"remote": "sql", "snowflake.registry": "sql"},
}
"""Back-ends of Feast that people bring along → what serves that purpose until one is installed."""

_BUCKETS = ("s3://", "gs://", "gcs://", "az://", "abfs://", "abfss://", "hdfs://")
_NONE = (None, "none", "None", "null")


@dataclass(frozen=True, slots=True, repr=False)
class Backend:
    """One back-end as the configuration names it; printing it shows no secret.

    Args:
        type: the name it is registered under: `lmdb`.
        options: what else was said of it, variables expanded.

    >>> Backend("redis", {"host": "r1", "password": "open sesame"})
    Backend('redis', {'host': 'r1', 'password': '***'})
    """

    type: str
    options: Mapping[str, Any] = field(default_factory=FrozenMap)

    def __post_init__(self) -> None:
        put(self, options=FrozenMap(self.options))

    def __repr__(self) -> str:
        return f"Backend({self.type!r}, {masked(self.options)!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoConfig:
    """A repo's configuration.

    Args:
        project: the project's name; the registry and the online store keep projects apart by it.
        repo_path: the repo's folder; relative paths start there.
        registry: where definitions are kept.
        online_store: where features are read from at request time; None for nowhere.
        offline_store: the engine that reads sources.
        log: where pushed events are kept.
        log_retain: how long at least; older ones may be trimmed. None for all of them, for ever.
        streams: kind of stream, such as `kafka` → what its driver is told, passwords among it.
        auth: who may ask the server; none where it is empty.
        feature_server: how the server behaves; what that may be is the server's own business.
        provider: `local`.
        cache_ttl_seconds: how long a reader may go on with the definitions it has; 0 for ever.
        entity_key_serialization_version: accepted as Feast's, and without effect: keys have gnomon's own encoding.
        ignored: keys of the file that have no effect.

    Raises:
        ConfigError: something in it cannot be followed.

    >>> RepoConfig(project="shop", online_store=Backend("memory")).offline_store
    Backend('duckdb', {})
    """

    project: str
    repo_path: Path = Path()
    registry: Backend = field(default_factory=lambda: _registry({}))
    online_store: Backend | None = field(default_factory=lambda: _online_store({}))
    offline_store: Backend = field(default_factory=lambda: _offline_store({}))
    log: Backend = field(default_factory=lambda: _log({}))
    log_retain: timedelta | None = None
    streams: Mapping[str, Backend] = field(default_factory=FrozenMap)
    auth: Mapping[str, Any] = field(default_factory=FrozenMap)
    feature_server: Mapping[str, Any] = field(default_factory=FrozenMap)
    provider: str = "local"
    cache_ttl_seconds: int = 600
    entity_key_serialization_version: int | None = None
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            check_name("project", self.project)
        except DefinitionError as wrong:
            raise ConfigError(wrong.what, hint=f"project: {wrong.hint}") from None
        if self.provider != "local":
            raise ConfigError(
                f"provider is {self.provider!r}.",
                instead="gnomon has one provider, local: it runs where you run it.",
                hint="write `provider: local`, and name each back-end under online_store, offline_store and registry.",
            )
        _check_whole("registry: cache_ttl_seconds", self.cache_ttl_seconds)
        if self.entity_key_serialization_version is not None:
            _check_whole("entity_key_serialization_version", self.entity_key_serialization_version)
        put(self, repo_path=Path(self.repo_path), ignored=tuple(self.ignored))


def load(repo_path: str | PathLike[str] = ".") -> RepoConfig:
    """The configuration of a repo: its `feature_store.yaml`, or embedded defaults under `.gnomon/` without one.

    Args:
        repo_path: the repo's folder.

    Raises:
        ConfigError: the folder is not there, the file cannot be read, or something in it cannot be followed.
    """
    repo = Path(repo_path)
    if not repo.is_dir():
        found = "a file" if repo.exists() else "not there"
        raise ConfigError(f"the repo {str(repo)!r} is {found}.", hint=f"name the folder that holds {FILE_NAME}.")
    path = repo / FILE_NAME
    if path.exists() or path.is_symlink():
        return _from_values(path, read(path), repo)
    if (repo / "feature_store.yml").exists():
        raise ConfigError(f"{repo / 'feature_store.yml'} would not be read.", hint=f"rename it to {FILE_NAME}.")
    return RepoConfig(project=project_name(repo), repo_path=repo)


def project_name(folder: Path) -> str:
    """The name a folder gives its project: its own, with what a name cannot hold made `_`.

    >>> project_name(Path("/data/churn model 2")), project_name(Path("/"))
    ('churn_model_2', 'default')
    """
    name = re.sub(r"[^A-Za-z0-9_.\-]", "_", folder.resolve().name)
    if not re.search(r"[A-Za-z0-9]", name):
        return "default"
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def _from_values(path: Path, values: dict[str, Any], repo: Path) -> RepoConfig:
    for key, value in values.items():
        _check_key(path, key, value)
    if values.get("project") is None:
        raise ConfigError(f"{path} names no project.", hint=f"add a line such as `project: {project_name(repo)}`.")
    given: dict[str, Any] = {key: value for key, value in values.items() if key in KEYS and value is not None}
    try:
        given["registry"] = _registry(registry := _mapping("registry", "path", given.get("registry", {})))
        if "cache_ttl_seconds" in registry:
            given["cache_ttl_seconds"] = registry["cache_ttl_seconds"]
        online = values.get("online_store", {})
        given["online_store"] = None if online in _NONE else _online_store(_mapping("online_store", "type", online))
        given["offline_store"] = _offline_store(_mapping("offline_store", "type", given.get("offline_store", {})))
        given["log"] = _log(log := _mapping("log", "path", given.get("log", {})))
        given["log_retain"] = _retain(log.get("retain"))
        given["streams"] = _streams(given.get("streams", {}))
        given["auth"] = FrozenMap(_mapping("auth", "type", given.get("auth", {})))
        given["feature_server"] = FrozenMap(_mapping("feature_server", "type", given.get("feature_server", {})))
        return RepoConfig(repo_path=repo, ignored=tuple(key for key in values if key not in KEYS), **given)
    except ConfigError as wrong:
        raise ConfigError(f"{path}: {wrong.what}", instead=wrong.instead, hint=wrong.hint, **wrong.facts) from None


def _check_key(path: Path, key: str, value: Any) -> None:
    if key in KEYS or key in IGNORED:
        return
    if key not in NOT_YET:
        hint = nearest_hint(
            key, (*KEYS, *IGNORED, *NOT_YET), otherwise="options of a back-end stand under its own key."
        )
        raise ConfigError(f"{path}: unknown key {key!r}.", instead=f"Known: {listing(KEYS)}.", hint=hint, key=key)
    kind = value.get("type") if isinstance(value, dict) else value
    if value is None or kind in NOT_YET[key] or (isinstance(value, dict) and value.get("enabled") is False):
        return
    raise ConfigError(f"{path}: {key} is not supported yet.", hint=f"remove {key}: nothing would follow it.", key=key)


def _mapping(key: str, word: str, given: Any) -> Mapping[str, Any]:
    """A back-end's settings; a lone text is the one that matters most: its type, or the registry's path."""
    if isinstance(given, str):
        return {word: given}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{key} is {masked(given)!r}.", hint=f"write `{key}: {{{word}: …}}`.")
    return given


def _registry(given: Mapping[str, Any]) -> Backend:
    options = {"path": f"{HOME}/registry.db", **given}
    options.pop("cache_ttl_seconds", None)
    kind = options.pop("registry_type", "sql")
    path = options["path"]
    if not isinstance(path, str) or not path:
        raise ConfigError(f"registry: path is {masked(path)!r}.", hint="path is a file or a database URL.")
    if path.startswith(_BUCKETS):
        hint = "use a file, or a database: postgresql+psycopg://user@host/name."
        raise ConfigError(f"registry: {path.partition(':')[0]}:// paths are not supported yet.", hint=hint)
    return _known("registry", "registries", "sql" if kind == "file" else kind, options)


def _online_store(given: Mapping[str, Any]) -> Backend:
    options = dict(given)
    kind = options.pop("type", "lmdb")
    if kind == "lmdb":
        options.setdefault("path", f"{HOME}/online.lmdb")
    return _known("online_store", "online_stores", kind, options)


def _offline_store(given: Mapping[str, Any]) -> Backend:
    options = dict(given)
    return _known("offline_store", "engines", options.pop("type", "duckdb"), options)


def _log(given: Mapping[str, Any]) -> Backend:
    options = dict(given)
    options.pop("retain", None)
    kind = options.pop("type", "embedded")
    if kind == "embedded":
        options.setdefault("path", f"{HOME}/log")
    return _known("log", "logs", kind, options)


def _retain(given: Any) -> timedelta | None:
    try:
        found = None if given is None else duration(given)
    except ValueError as wrong:
        raise ConfigError(f"log: retain: {wrong}.", hint="write a duration such as '400d'.") from None
    if found is not None and found <= timedelta(0):
        raise ConfigError(f"log: retain is {given!r}.", hint="leave it out to keep all events for ever.")
    return found


def _streams(given: Any) -> Mapping[str, Backend]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"streams is {masked(given)!r}.", hint="write `streams: {kafka: {…}}`.")
    for kind, options in given.items():
        if not isinstance(options, Mapping):
            raise ConfigError(f"streams: {kind} is {masked(options)!r}.", hint=f"write `streams: {{{kind}: {{…}}}}`.")
    return FrozenMap({kind: Backend(kind, options) for kind, options in given.items()})


def _known(key: str, group: str, kind: Any, options: Mapping[str, Any]) -> Backend:
    """A back-end whose type is a name, and not one of those that nothing here answers to."""
    what = "registry_type" if key == "registry" else "type"
    if not isinstance(kind, str) or not kind:
        raise ConfigError(f"{key}: {what} is {kind!r}.", hint=f"{what} is the name of a back-end.")
    instead = INSTEAD.get(group, {}).get(kind)
    if instead is not None and kind not in {entry.name for entry in metadata.entry_points(group=f"gnomon.{group}")}:
        raise ConfigError(
            f"{key}: {what} {kind!r} is not supported yet.",
            hint=f"use `{what}: {instead}`, which does that work inside this process.",
            type=kind,
        )
    return Backend(kind, options)


def _check_whole(what: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{what} is {value!r}.", hint="write a whole number from 0.")
