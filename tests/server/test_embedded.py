"""The server inside an app of one's own: mounted, with or without a lifespan, its pieces handed in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from served_shop import make_shop

import gnomon.server
from gnomon import FeatureStore
from gnomon.clock import ManualClock, from_micros
from gnomon.definitions.base import FrozenMap
from gnomon.flows.recorder import Ids
from gnomon.flows.responses import OnlineResponse
from gnomon.server.access.contract import Caller, Scope
from gnomon.server.lifespan import Behind
from gnomon.server.problems import HttpError
from gnomon.server.settings import ServerSettings

ASKED = {"features": ["v:i"], "entities": {"user_id": [1]}}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("embedded"))


@pytest.fixture
def clock(store_now: int) -> ManualClock:
    return ManualClock(store_now)


@pytest.fixture
def store_now(repo: Path) -> int:
    with FeatureStore(repo) as store:
        return store.clock.now()


@pytest.fixture
def store(repo: Path, clock: ManualClock) -> Iterator[FeatureStore]:
    with FeatureStore(repo, clock=clock) as made:
        yield made


async def sent(app: Any, *requests: tuple[str, str, Any], **headers: str) -> list[httpx.Response]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here", headers=headers) as client:
        return [await client.request(method, path, json=body) for method, path, body in requests]


def asked_of(app: Any, *questions: dict[str, Any], **headers: str) -> list[httpx.Response]:
    return asyncio.run(sent(app, *(("POST", "/get-online-features", one) for one in questions), **headers))


def test_mounted_in_an_app_with_routes_of_its_own(store: FeatureStore) -> None:
    outer = FastAPI()
    outer.mount("/store", gnomon.server.app(store))

    @outer.get("/own")
    def own() -> str:
        return "mine"

    mine, post, get, nothing, unmounted = asyncio.run(
        sent(
            outer,
            ("GET", "/own", None),
            ("POST", "/store/get-online-features", ASKED),
            ("GET", "/store/features/online/user_id=2?features=v:s", None),
            ("GET", "/store/nothing", None),
            ("POST", "/get-online-features", ASKED),
        )
    )
    assert mine.json() == "mine"
    assert post.json()["results"][1]["values"] == [1]
    assert get.json()["results"][1]["values"] == ["é☃"]
    assert (nothing.status_code, unmounted.status_code) == (404, 404)


def test_alone_with_a_lifespan(store: FeatureStore) -> None:
    closed: list[bool] = []
    app = gnomon.server.app(store, closing=lambda: closed.append(True))

    async def run() -> None:
        life = Behind(app)
        assert await life.begin({"type": "lifespan", "asgi": {"version": "3.0"}}) is None
        (got,) = await sent(app, ("POST", "/get-online-features", ASKED))
        assert got.status_code == 200
        assert closed == []
        await life.end()

    asyncio.run(run())
    assert closed == [True]


def test_without_any_lifespan(store: FeatureStore) -> None:
    app = gnomon.server.app(store)
    assert [one.status_code for one in asked_of(app, ASKED, ASKED)] == [200, 200]
    assert [one.status_code for one in asked_of(app, ASKED)] == [200]  # another event loop


def test_who_may_ask_is_asked_first(store: FeatureStore) -> None:
    class Door:
        def check(self, headers: list[tuple[bytes, bytes]], scope: Scope) -> Caller:
            assert scope is Scope.READ
            if (b"authorization", b"Bearer right") in headers:
                return Caller(id="k")
            raise HttpError(401, "no key was sent.", headers=(("www-authenticate", "Bearer"),))

        def refresh(self) -> None: ...

    app = gnomon.server.app(store, access=Door())
    (refused,) = asked_of(app, ASKED)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert [one.status_code for one in asked_of(app, ASKED, authorization="Bearer right")] == [200]


class Counts:
    """Metrics that can be looked at."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.ended: list[tuple[str, int]] = []
        self.views: list[tuple[str, int, int, int | None]] = []
        self.hits: list[tuple[str, bool]] = []

    def begin(self) -> None:
        self.in_flight += 1

    def done(self, route: str, status: int, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.in_flight -= 1
        self.ended.append((route, status))

    def served(self, view: str, entities: int, absent: int, seconds: float, newest: int | None) -> None:
        self.views.append((view, entities, absent, newest))

    def cached(self, service: str, hit: bool) -> None:
        self.hits.append((service, hit))

    def text(self) -> str:
        return ""


def counted(store: FeatureStore, settings: ServerSettings | None = None) -> tuple[Any, Counts]:
    counts = Counts()
    return gnomon.server.app(store, settings, metrics=counts), counts


def test_what_is_counted(store: FeatureStore) -> None:
    app, counts = counted(store)
    several = {
        "features": ["v:i", "old:i", "spend:count_1d"],
        "entities": {"user_id": [1, 9]},
        "full_feature_names": True,
    }
    asked_of(app, ASKED, several, {"features": ["w:i"], "entities": {}})
    assert counts.in_flight == 0
    assert counts.ended == [("/get-online-features", status) for status in (200, 200, 404)]
    assert [one[:3] for one in counts.views] == [("v@1", 1, 0), ("v@1", 2, 1), ("old@1", 2, 1), ("spend@1", 2, 0)]
    assert counts.views[0][3] == 1_704_110_400_000_000


def test_a_client_that_hangs_up_is_counted(store: FeatureStore) -> None:
    app, counts = counted(store)

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            raise AssertionError("nobody is there")

        scope = {"type": "http", "method": "POST", "path": "/get-online-features", "headers": []}
        await app(scope, receive, send)

    asyncio.run(run())
    assert counts.ended == [("/get-online-features", 499)]


class Notes:
    """A recorder that can be looked at."""

    def __init__(self) -> None:
        self.kept: list[tuple[list[str], str, Ids]] = []

    def wants(self, service: str, request_id: str) -> bool:
        return service == "mixed" and request_id != "skip"

    def keep(self, response: OnlineResponse, service: str, ids: Ids) -> None:
        self.kept.append(([str(one) for one in response.known_through], service, ids))


def test_answers_are_handed_to_the_recorder_that_wants_them(store: FeatureStore) -> None:
    notes = Notes()
    app = gnomon.server.app(store, recorder=notes)
    mixed = {"feature_service": "mixed", "entities": {"user_id": [1]}}
    (got,) = asked_of(app, mixed, **{"x-request-id": "r1", "x-model-id": "m", "x-prediction-id": "p"})
    assert "known_through" not in got.json()["metadata"]
    ((tokens, service, ids),) = notes.kept
    assert (service, ids) == ("mixed", Ids(request="r1", model="m", prediction="p"))
    assert tokens[0].startswith("through:spend@1=")
    asked_of(app, mixed, **{"x-request-id": "skip"})
    asked_of(app, ASKED, {"feature_service": "svc", "entities": {"user_id": [1]}, "full_feature_names": True})
    assert len(notes.kept) == 1


def test_answers_are_kept_for_as_long_as_a_service_allows(store: FeatureStore, clock: ManualClock) -> None:
    settings = ServerSettings(max_staleness=FrozenMap({"mixed": timedelta(seconds=10)}))
    app, counts = counted(store, settings)
    mixed: dict[str, Any] = {"feature_service": "mixed", "entities": {"user_id": [1]}}

    def sum_now() -> float:
        (got,) = asked_of(app, mixed)
        return got.json()["results"][3]["values"][0]

    first = sum_now()
    store.push("payments", [{"user_id": 1, "amount": 100.0, "at": from_micros(clock.now() - 1_000_000)}])
    clock.set(clock.now() + 10_000_000)
    assert sum_now() == first
    (direct,) = asked_of(app, {"features": ["spend:amount_sum_1d"], "entities": {"user_id": [1]}})
    assert direct.json()["results"][1]["values"] == [first + 100]
    (knows,) = asked_of(app, {**mixed, "known_through": True})
    assert knows.json()["results"][3]["values"] == [first + 100]
    clock.set(clock.now() + 1)
    assert sum_now() == first + 100
    assert counts.hits == [("mixed", False), ("mixed", True), ("mixed", False)]
    asked_of(
        app, {**mixed, "lean": True}, {**mixed, "entities": {"user_id": [2]}}, {**mixed, "full_feature_names": True}
    )
    assert [hit for _, hit in counts.hits[3:]] == [False, False, False]
    (wrong,) = asked_of(app, {**mixed, "entities": {"user_id": [[1]]}})
    assert wrong.status_code == 400


def test_keys_that_are_alike_to_a_dict_are_not_to_the_cache(store: FeatureStore) -> None:
    app, counts = counted(store, ServerSettings(max_staleness=FrozenMap({"mixed": timedelta(seconds=10)})))
    mixed: dict[str, Any] = {"feature_service": "mixed", "entities": {"user_id": [1]}}
    one, again, whole, true = asked_of(
        app, mixed, mixed, *({**mixed, "entities": {"user_id": [key]}} for key in (1.0, True))
    )
    assert one.content == again.content
    assert (whole.status_code, true.status_code) == (200, 400)
    assert [hit for _, hit in counts.hits] == [False, True, False, False]
