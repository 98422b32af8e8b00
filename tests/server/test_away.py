"""A store that goes away: 503 with a reason, and all is well as soon as it is back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from http_server import HttpServer, serving
from redis_server import Server
from served_shop import make_shop
from waiting import until

ASKED = {"features": ["v:i", "spend:count_1d"], "entities": {"user_id": [1, 2]}}


@pytest.fixture(scope="module")
def redis_shop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Server("redis") as redis:
        folder = tmp_path_factory.mktemp("redis-shop")
        yield redis, make_shop(folder, f'type: redis, connection_string: "{redis.address},socket_timeout=1"')


def values(server: HttpServer) -> list[Any]:
    got = server.ask(**ASKED)
    return [one["values"] for one in got.json()["results"]] if got.status_code == 200 else [got.status_code]


def test_redis_killed_and_started_again(redis_shop: tuple[Server, Path]) -> None:
    redis, folder = redis_shop
    with serving(folder) as server:
        right = [[1, 2], [1, 2**53 + 1], [2, 0]]
        assert values(server) == right
        redis.kill()
        got = server.ask(**ASKED)
        assert got.status_code == 503
        assert "cannot be reached" in json.loads(got.json())["message"]
        redis.start()  # empty, as it keeps nothing on disk
        until(lambda: values(server) == [[1, 2], [None, None], [None, None]])
        assert server.process.poll() is None


def test_a_redis_that_does_not_answer(redis_shop: tuple[Server, Path]) -> None:
    redis, folder = redis_shop
    with serving(folder) as server:
        assert server.ask(**ASKED).status_code == 200
        redis.freeze()
        try:
            assert server.ask(**ASKED).status_code == 503
        finally:
            redis.thaw()
        until(lambda: server.ask(**ASKED).status_code == 200)


def test_a_request_is_not_worked_on_for_ever(redis_shop: tuple[Server, Path], tmp_path: Path) -> None:
    redis, _ = redis_shop
    store = f'type: redis, connection_string: "{redis.address},socket_timeout=60"'
    with serving(make_shop(tmp_path, store, "feature_server: {timeout: 1s}")) as server:
        assert server.ask(**ASKED).status_code == 200
        redis.freeze()
        try:
            got = server.ask(**ASKED)
            assert got.status_code == 504
            assert "not answered in 1 seconds" in json.loads(got.json())["message"]
        finally:
            redis.thaw()
        until(lambda: server.ask(**ASKED).status_code == 200)


def test_many_clients_at_once_each_get_their_own(redis_shop: tuple[Server, Path], tmp_path: Path) -> None:
    redis, _ = redis_shop
    folder = make_shop(tmp_path, f'type: redis, connection_string: "{redis.address}"')
    features = ["v:i", "v:s", "spend:count_1d"]
    with serving(folder) as server:
        right = {user: server.ask(features=features, entities={"user_id": [user]}).json() for user in range(8)}

        async def ask(client: httpx.AsyncClient, user: int) -> None:
            asked = {"features": features, "entities": {"user_id": [user]}}
            assert (await client.post("/get-online-features", json=asked)).json() == right[user]

        async def run() -> None:
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
                for _ in range(5):
                    await asyncio.gather(*(ask(client, number % 8) for number in range(40)))

        asyncio.run(run())
        large = server.ask(features=features, entities={"user_id": list(range(3000))}).json()
        assert [one["values"][:3] for one in large["results"]] == [
            [0, 1, 2],
            [None, 1, 2**53 + 1],
            [None, "a", "é☃"],
            [0, 2, 0],
        ]
