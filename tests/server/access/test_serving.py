"""`gnomon serve` and keys: where it starts, where it does not, and what every route says to whom."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from http_server import HttpServer, serving
from waiting import until

from gnomon import FeatureStore
from gnomon.contracts.keys import Scope

ROUTES = {
    Scope.READ: [("POST", "/get-online-features"), ("GET", "/features/online/user_id=1"), ("GET", "/features")],
    Scope.BATCH: [("POST", "/features/batch"), ("GET", "/explain")],
    Scope.WRITE: [("POST", "/push"), ("POST", "/write-to-online-store")],
    Scope.MANAGE: [("POST", "/materialize"), ("POST", "/materialize-incremental"), ("POST", "/features")],
    Scope.METRICS: [("GET", "/metrics")],
}


def write_repo(folder: Path, more: str = "") -> None:
    (folder / "feature_store.yaml").write_text(f"project: shop\n{more}")


def test_off_loopback_it_does_not_start_without_a_key(tmp_path: Path) -> None:
    write_repo(tmp_path)
    with pytest.raises(AssertionError, match=r"0\.0\.0\.0 is not loopback, and there is no key for project 'shop'"):
        HttpServer(tmp_path, "--host", "0.0.0.0")
    with serving(tmp_path, "--host", "0.0.0.0", "--insecure") as server:
        assert httpx.get(f"http://127.0.0.1:{server.port}/features").status_code == 200


def test_each_route_asks_for_its_scope(tmp_path: Path) -> None:
    """With one worker and with two: all others are refused, before anything of the request is looked at."""
    write_repo(tmp_path, "feature_server: {registry_refresh: 50ms}\n")
    with FeatureStore(tmp_path) as store:
        keys = {scope: store.create_key(scope, [scope]) for scope in Scope}
        elsewhere = store.create_key("elsewhere", list(Scope), ["other"])
        for workers in ("1", "2"):
            with serving(tmp_path, "--host", "0.0.0.0", "--workers", workers) as server:
                client = httpx.Client(base_url=f"http://127.0.0.1:{server.port}")

                def status(method: str, path: str, token: str, client: httpx.Client = client) -> int:
                    answer = client.request(method, path, headers={"authorization": f"Bearer {token}"})
                    assert (answer.status_code == 401) == ("www-authenticate" in answer.headers and token == "gn_")
                    return answer.status_code

                for scope, routes in ROUTES.items():
                    for method, path in routes:
                        assert status(method, path, "gn_") == 401
                        assert status(method, path, elsewhere.token) == 403
                        for other, made in keys.items():
                            found = status(method, path, made.token)
                            assert (found not in (401, 403)) == (other is scope), (path, other, found)
                assert client.get("/health").status_code in (200, 503), "health is open to all"
                client.close()


def test_a_revoked_key_stops_in_all_workers(tmp_path: Path) -> None:
    write_repo(tmp_path, "feature_server: {registry_refresh: 50ms}\n")
    with FeatureStore(tmp_path) as store:
        made = store.create_key("model")
        headers = {"x-api-key": made.token}
        with serving(tmp_path, "--host", "0.0.0.0", "--workers", "2") as server:

            def statuses() -> set[int]:
                url = f"http://127.0.0.1:{server.port}/features"
                return {httpx.get(url, headers=headers).status_code for _ in range(10)}

            assert statuses() == {200}
            store.revoke_key(made.key.id)
            until(lambda: statuses() == {401}, seconds=60)
