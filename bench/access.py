"""Asking who may ask, as each request of a server does: API keys, and tokens of an identity provider."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from joserfc import jwk, jwt

from bench.table import Row
from gnomon import FeatureStore
from gnomon.clock import SystemClock
from gnomon.config import RepoConfig
from gnomon.contracts.keys import Scope
from gnomon.server.access import of
from gnomon.server.access.contract import Access
from gnomon.server.access.gate import Gate
from gnomon.server.access.keys import Keys
from gnomon.server.access.rates import Rate
from gnomon.server.access.settings import OidcSettings
from gnomon.server.access.tokens import Tokens
from gnomon.server.problems import HttpError

ISSUER = "https://id.example.org"
TURNS, BEST_OF = 20_000, 5
BUDGET = "5 µs"
OTHERS = [
    (b"host", b"127.0.0.1:6566"),
    (b"user-agent", b"python-httpx/0.28"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"content-type", b"application/json"),
    (b"content-length", b"120"),
]


def rows() -> Iterator[Row]:
    """A row for each kind of caller."""
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), config=RepoConfig(project="bench", online_store=None))
        token = store.create_key("model", rate_limit=10**9).token
        gate = of(store.config, store, "0.0.0.0")
        yield row("an API key", gate, token, budget=BUDGET)
        yield row("an unknown API key, refused", gate, f"gn_{'0' * 12}_{'A' * 43}")
        rate = Rate(10**9)
        yield Row(figure="of which its rate", gnomon=f"{best(lambda: rate.wait(1_700_000_000_000_000), TURNS):.2f} µs")
        yield from tokens(store)


def tokens(store: FeatureStore) -> Iterator[Row]:
    """A row for each kind of token, known and not."""
    for key, alg in (
        (jwk.RSAKey.generate_key(2048, {"kid": "1"}), "RS256"),
        (jwk.ECKey.generate_key("P-256", {"kid": "1"}), "ES256"),
    ):
        known = Tokens(OidcSettings.of({"issuer": ISSUER, "audience": "bench"}), 0, fetch=provider(key))
        gate = Gate("bench", SystemClock(), Keys(store.key_store, "bench", 0), known)
        gate.refresh()
        claims = {"iss": ISSUER, "aud": "bench", "sub": "ann", "exp": int(time.time()) + 3600, "scope": "gnomon:read"}
        token = jwt.encode({"alg": alg, "kid": "1"}, {**claims, "padding": "x" * 700}, key)
        yield row(f"a token by {alg}, known", gate, token, budget=BUDGET)
        yield row(f"a token by {alg}, for the first time", gate, token, before=known._verified.clear, turns=500)


def provider(key: Any) -> Callable[[str], Any]:
    """Gives the documents of an identity provider with one key."""
    about = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}
    return lambda url: {"keys": [key.as_dict(private=False)]} if url.endswith("jwks") else about


def row(
    figure: str,
    access: Access,
    token: str,
    *,
    before: Callable[[], object] | None = None,
    turns: int = TURNS,
    budget: str = "",
) -> Row:
    """What a check takes, at best."""
    headers = [*OTHERS, (b"authorization", b"Bearer " + token.encode())]

    def ask() -> None:
        if before is not None:
            before()
        with suppress(HttpError):
            access.check(headers, Scope.READ)

    return Row(figure=figure, gnomon=f"{best(ask, turns):.1f} µs", budget=budget)


def best(act: Callable[[], object], turns: int) -> float:
    """The best mean of a few, µs; the machine may be busy."""
    found = []
    for _ in range(BEST_OF):
        began = time.perf_counter()
        for _ in range(turns):
            act()
        found.append((time.perf_counter() - began) / turns * 1e6)
    return min(found)
