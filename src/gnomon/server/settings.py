"""How the server behaves: what `feature_server:` in feature_store.yaml says, checked, every gap filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from gnomon.clock import duration
from gnomon.definitions.base import FrozenMap
from gnomon.errors import ConfigError, listing, nearest_hint

__all__ = ["ServerSettings"]

IGNORED = ("enabled", "feature_logging", "type", "transformation_service_endpoint")
"""Options that have no meaning here: Feast's own, and what bounds the served-row log, with a server or without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server behaves.

    Args:
        host: the address it listens on.
        port: the port.
        workers: processes that answer.
        max_body_bytes: the largest request body.
        max_entities: the most entities of one request.
        timeout: how long a request may take on the way in, and be worked on.
        registry_refresh: how often the registry is looked at for changes, outside of requests.
        drain: how long a server that is told to stop waits for requests that were begun.
        batch_rows: the most rows of a training set over HTTP.
        max_staleness: feature service → how old an answer from this process's cache may be; none by default.
        rate_limit: requests a second of one API key; 0 for any number.

    Raises:
        ConfigError: one is not usable.

    >>> ServerSettings.of({"port": 8080, "timeout": "2s"}).port
    8080
    """

    host: str = "127.0.0.1"
    port: int = 6566
    workers: int = 1
    max_body_bytes: int = 8 * 1024 * 1024
    max_entities: int = 100_000
    timeout: timedelta = timedelta(seconds=30)
    registry_refresh: timedelta = timedelta(seconds=5)
    drain: timedelta = timedelta(seconds=10)
    batch_rows: int = 1_000_000
    max_staleness: Mapping[str, timedelta] = field(default_factory=FrozenMap)
    rate_limit: int = 10_000

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ServerSettings:
        """Settings from what a configuration says.

        Raises:
            ConfigError: an option is unknown, or its value is not usable.
        """
        kinds = {one.name: str(one.type) for one in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name in IGNORED:
                continue
            if name not in kinds:
                raise ConfigError(
                    f"feature_server: unknown option {name!r}.",
                    instead=f"Known: {listing(kinds, 20)}.",
                    hint=nearest_hint(name, kinds, otherwise="leave it out."),
                )
            values[name] = _read(f"feature_server: {name}", kinds[name], value)
        return cls(**values)


def _read(what: str, kind: str, value: Any) -> Any:
    if kind == "int":
        return _whole(what, value)
    if kind == "timedelta":
        return _duration(what, value)
    if kind == "str":
        if isinstance(value, str) and value:
            return value
        raise ConfigError(f"{what} is {value!r}.", hint="write a text.")
    if not isinstance(value, Mapping):
        raise ConfigError(f"{what} is {value!r}.", hint="write {feature service: duration}.")
    return FrozenMap({str(name): _duration(f"{what}: {name}", one) for name, one in value.items()})


def _whole(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{what} is {value!r}.", hint="write a whole number from 0.")
    return value


def _duration(what: str, value: Any) -> timedelta:
    try:
        found = duration(value)
    except ValueError as wrong:
        raise ConfigError(f"{what}: {wrong}.", hint="write a duration such as '5s'.") from None
    if found <= timedelta(0):
        raise ConfigError(f"{what} is {value!r}.", hint="write a duration such as '5s'.")
    return found
