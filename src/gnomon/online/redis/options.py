"""What `online_store: {type: redis, …}` says, checked; written as Feast writes it, or as a URL.

    connection_string: "r1:6379,password=…,ssl=true,db=1"     several hosts for a cluster or for sentinels
    connection_string: rediss://user:…@r1:6379/1

No message and no printed form holds a password.

>>> parse({"connection_string": "r1:6380,r2,password=open sesame", "redis_type": "redis_cluster"})
Settings(kind='redis_cluster', hosts=(('r1', 6380), ('r2', 6379)), …)
>>> parse({"connection_string": "rediss://:p%2Cw@r1/3"}).driver["password"]
'p,w'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from gnomon.contracts.plugins import check_options
from gnomon.errors import ConfigError, listing, nearest_hint

__all__ = ["CLUSTER", "KINDS", "SENTINEL", "SINGLE", "Settings", "parse"]

SINGLE, CLUSTER, SENTINEL = KINDS = ("redis", "redis_cluster", "sentinel")
OPTIONS = (
    "connection_string",
    "redis_type",
    "sentinel_master",
    "key_ttl_seconds",
    "socket_timeout",
    "full_scan_for_deletion",
)
"""Feast's, and `socket_timeout`; `full_scan_for_deletion` changes nothing: gnomon always removes what it must."""

DEFAULT_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """How to reach the server.

    Args:
        kind: `redis`, `redis_cluster` or `sentinel`.
        hosts: (host, port) of the server, of some nodes of the cluster, or of the sentinels.
        driver: what else the driver is told: password, db, ssl, …
        sentinel: what the driver is told for talking to the sentinels themselves.
        master: the name by which the sentinels know the server.
        ttl: seconds after its last change that a row expires; 0 for never.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    driver: Mapping[str, Any]
    sentinel: Mapping[str, Any]
    master: str
    ttl: int

    def __repr__(self) -> str:
        return f"Settings(kind={self.kind!r}, hosts={self.hosts!r}, …)"

    @property
    def where(self) -> str:
        """The hosts as one reads them, for messages."""
        return "Redis at " + ", ".join(f"{host}:{port}" for host, port in self.hosts)


def parse(options: Mapping[str, Any]) -> Settings:
    """Check the store's options.

    Raises:
        ConfigError: one is unknown or cannot be followed; the nearest known one is named.
    """
    check_options("online_store of type redis", options, OPTIONS)
    kind = options.get("redis_type", SINGLE)
    if kind not in KINDS:
        hint = nearest_hint(str(kind), KINDS, otherwise=f"write one of {listing(KINDS)}.")
        raise ConfigError(f"online_store: redis_type is {kind!r}.", instead=f"Known: {listing(KINDS)}.", hint=hint)
    text = options.get("connection_string", "localhost:6379")
    if not isinstance(text, str) or not text.strip():
        raise _wrong("is empty or not a text", "write host:port, such as localhost:6379.")
    hosts, given = _of_url(text.strip()) if "://" in text else _of_feast(text.strip(), kind)
    driver = {name: _value(name, value) for name, value in given}
    driver.setdefault("socket_timeout", _seconds("socket_timeout", options.get("socket_timeout", DEFAULT_TIMEOUT)))
    driver.setdefault("socket_connect_timeout", driver["socket_timeout"])
    _check_together(kind, hosts, driver)
    sentinel = {
        name.removeprefix("sentinel_"): driver.pop(name) for name in list(driver) if name.startswith("sentinel_")
    }
    return Settings(
        kind=kind,
        hosts=hosts,
        driver=driver,
        sentinel=sentinel,
        master=_master(options.get("sentinel_master", "mymaster")),
        ttl=_ttl(options.get("key_ttl_seconds")),
    )


def _of_feast(text: str, kind: str) -> tuple[tuple[tuple[str, int], ...], list[tuple[str, str]]]:
    hosts, given = [], []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, found, value = part.partition("=")
        if found:
            given.append((name.strip(), value))
        else:
            hosts.append(_host(part, 26379 if kind == SENTINEL else 6379))
    if not hosts:
        raise _wrong("names no host", "begin it with host:port, such as localhost:6379.")
    return tuple(hosts), given


def _of_url(text: str) -> tuple[tuple[tuple[str, int], ...], list[tuple[str, str]]]:
    try:
        url = urlsplit(text)
        host, port = url.hostname or "localhost", url.port or 6379
    except ValueError:
        raise _wrong("is not a URL that can be read", "write redis://user:password@host:port/db.") from None
    if url.scheme not in ("redis", "rediss"):
        raise _wrong(
            f"has the scheme {url.scheme!r}",
            nearest_hint(url.scheme, ("redis", "rediss"), otherwise="write redis://…, or rediss://… for TLS."),
        )
    given = parse_qsl(url.query, keep_blank_values=True)
    given += [
        (name, unquote(value)) for name, value in (("username", url.username), ("password", url.password)) if value
    ]
    if db := url.path.strip("/"):
        given.append(("db", db))
    if url.scheme == "rediss":
        given.append(("ssl", "true"))
    return ((host, port),), given


def _host(part: str, default: int) -> tuple[str, int]:
    host, colon, port = part.rpartition(":") if not part.endswith("]") else (part, "", "")
    if not colon:
        host, port = part, str(default)
    if "@" in part or not host or not port.isdigit() or not 0 < int(port) < 65536:
        shown = "" if "@" in part else f" {part!r}"
        raise _wrong(f"has a part{shown} that is no host:port", "write host:port, then name=value, parted by commas.")
    return host.strip("[]"), int(port)


def _text(value: str) -> str:
    return value


def _truth(value: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return words[value.strip().lower()]


def _count(value: str) -> int:
    number = int(value)
    if number < 0:
        raise ValueError
    return number


def _time(value: str) -> float:
    seconds = float(value)
    if not 0 < seconds < 1e6:
        raise ValueError
    return seconds


KNOWN: Mapping[str, Callable[[str], Any]] = {
    "username": _text,
    "password": _text,
    "db": _count,
    "ssl": _truth,
    "ssl_ca_certs": _text,
    "ssl_ca_path": _text,
    "ssl_certfile": _text,
    "ssl_keyfile": _text,
    "ssl_password": _text,
    "ssl_cert_reqs": _text,
    "ssl_check_hostname": _truth,
    "socket_timeout": _time,
    "socket_connect_timeout": _time,
    "socket_keepalive": _truth,
    "max_connections": _count,
    "health_check_interval": _count,
    "client_name": _text,
    "protocol": _count,
    "sentinel_username": _text,
    "sentinel_password": _text,
}
"""What a connection string may set, and how each is read."""


def _value(name: str, value: str) -> Any:
    if name not in KNOWN:
        raise ConfigError(
            f"online_store: connection_string has an unknown option {name!r}.",
            instead=f"Known: {listing(KNOWN, limit=len(KNOWN))}.",
            hint=nearest_hint(name, KNOWN, otherwise="remove it; a password with a comma can stand in a URL, as %2C."),
        )
    try:
        return KNOWN[name](value)
    except (KeyError, ValueError):
        shown = "" if "password" in name else f": {value!r}"
        raise _wrong(
            f"has a value for {name} that is none{shown}", f"see what {name} takes in Redis clients."
        ) from None


def _check_together(kind: str, hosts: Sequence[Any], driver: Mapping[str, Any]) -> None:
    if kind == SINGLE and len(hosts) > 1:
        raise _wrong(f"names {len(hosts)} hosts", "for several, set redis_type: redis_cluster, or sentinel.")
    if kind == CLUSTER and driver.get("db"):
        raise _wrong(f"has db={driver['db']}, and a cluster has only database 0", "remove db.")
    if kind != SENTINEL and (told := [name for name in driver if name.startswith("sentinel_")]):
        raise _wrong(f"has {told[0]}, but redis_type is {kind}", "set redis_type: sentinel.")
    if not driver.get("ssl") and (told := [name for name in driver if name.startswith("ssl_")]):
        raise _wrong(f"has {told[0]}, but ssl is not on", "add ssl=true.")
    if driver.get("ssl_cert_reqs", "none") not in ("none", "optional", "required"):
        raise _wrong(f"has ssl_cert_reqs={driver['ssl_cert_reqs']!r}", "write none, optional or required.")


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise ConfigError(f"online_store: {name} is {value!r}.", hint=f"{name} is a number of seconds above 0.")
    return float(value)


def _ttl(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(
            f"online_store: key_ttl_seconds is {value!r}.", hint="write a whole number of seconds from 1."
        )
    return value


def _master(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"online_store: sentinel_master is {value!r}.", hint="write the name the sentinels watch.")
    return value


def _wrong(what: str, hint: str) -> ConfigError:
    return ConfigError(f"online_store: connection_string {what}.", hint=hint)
