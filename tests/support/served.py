"""A project to serve: profiles in files, payments that are pushed, and the app asked without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
from shop import ROWS, day, model, profile, profiles

from gnomon import Entity, FeatureStore, FeatureView, Field, PushSource, agg
from gnomon.clock import ManualClock
from gnomon.server import routes
from gnomon.server.access.contract import Caller, Scope
from gnomon.server.context import Context, Definitions
from gnomon.server.problems import HttpError
from gnomon.server.settings import ServerSettings
from gnomon.types import Float64, Int64, UnixTimestamp

NOW = day(20)
PAYMENTS = PushSource(
    name="payments",
    schema=[Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)],
    timestamp_field="at",
)
SPEND = FeatureView(
    name="spend",
    entities=[Entity(name="user_id", value_type=Int64)],
    source=PAYMENTS,
    aggregations=[agg.count(over="30d"), agg.sum("amount", over="30d")],
    description="What users spend",
    owner="risk",
    tags={"team": "risk"},
)


@contextmanager
def project(folder: Path, clock: Any = None) -> Iterator[FeatureStore]:
    """A store with both, nothing online yet."""
    (folder / "profiles").mkdir()
    pq.write_table(profiles(*ROWS), folder / "profiles" / "a.parquet")
    with FeatureStore(folder, clock=clock or ManualClock(NOW)) as store:
        store.apply([profile, model, SPEND])
        yield store


def context_of(store: FeatureStore, **more: Any) -> Context:
    settings = more.pop("settings", None) or ServerSettings()
    definitions = Definitions(store.snapshot)
    return Context(store=store, settings=settings, definitions=definitions, recorder=store.recorder, **more)


class Client:
    """Asks an app, each request in a loop of its own, as a thread would."""

    def __init__(self, context: Context) -> None:
        self.context, self.app = context, routes.app(context)

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://gnomon") as client:
                return await client.request(method, path, **given)

        return asyncio.run(asked())

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.ask("GET", path, params=params)

    def post(self, path: str, document: Any = None, **given: Any) -> httpx.Response:
        headers = {"content-type": "application/json", **given.pop("headers", {})}
        return self.ask("POST", path, content=json.dumps(document), headers=headers, **given)

    def close(self) -> None:
        parts = self.app.state.parts
        parts.jobs.close(30)
        parts.hands.close()
        parts.readiness.close()


class Keyed:
    """Callers have a key that names their scope."""

    def check(self, headers: list[tuple[bytes, bytes]], scope: Scope) -> Caller:
        key = dict(headers).get(b"authorization", b"").decode()
        if not key:
            raise HttpError(401, "no key.", headers=(("www-authenticate", "Bearer"),))
        if key == "Bearer often":
            raise HttpError(429, "too often.", headers=(("retry-after", "3"),))
        if key != f"Bearer {scope.value}":
            raise HttpError(403, f"the key lacks {scope.value}.")
        return Caller(id="k1", name="ada")

    def refresh(self) -> None:
        """Nothing changes."""


def event(user: int, amount: float, at: Any = NOW) -> Mapping[str, Any]:
    return {"user_id": user, "amount": amount, "at": at if isinstance(at, str) else at.isoformat()}
