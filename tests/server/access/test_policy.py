"""Where keys are asked for, and where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gnomon import FeatureStore
from gnomon.config import Backend, RepoConfig
from gnomon.contracts.keys import Scope
from gnomon.errors import BackendError, ConfigError
from gnomon.server.access import of
from gnomon.server.access.contract import ANYBODY, Access, Open
from gnomon.server.access.gate import Gate

HERE = ("127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]")
ELSEWHERE = ("0.0.0.0", "::", "", "192.168.0.7", "example.org")


def store(folder: Path, **auth: Any) -> FeatureStore:
    return FeatureStore(folder, config=RepoConfig(project="shop", online_store=None, auth=auth))


def access(store: FeatureStore, host: str, insecure: bool = False) -> Access:
    return of(store.config, store, host, insecure)


@pytest.mark.parametrize("host", HERE)
def test_on_loopback_everybody_may_do_everything(tmp_path: Path, host: str) -> None:
    for auth in ({}, {"type": "no_auth"}):
        open_one = access(store(tmp_path, **auth), host)
        assert isinstance(open_one, Open)
        open_one.refresh()
        assert open_one.check([(b"authorization", b"Bearer nonsense")], Scope.MANAGE) is ANYBODY
    assert list(tmp_path.iterdir()) == [], "the registry was not looked at"


@pytest.mark.parametrize("host", ELSEWHERE)
def test_elsewhere_a_server_without_keys_does_not_start(tmp_path: Path, host: str) -> None:
    mine = store(tmp_path)
    with pytest.raises(ConfigError, match="is not loopback, and there is no key") as caught:
        access(mine, host)
    assert "gnomon keys create" in str(caught.value.hint)
    assert isinstance(access(mine, host, insecure=True), Open)
    mine.create_key("elsewhere", projects=["other"])
    gone = mine.create_key("gone")
    mine.revoke_key(gone.key.id)
    with pytest.raises(ConfigError, match="there is no key for project 'shop'"):
        access(mine, host)
    mine.create_key("model")
    assert isinstance(access(mine, host), Gate)


@pytest.mark.parametrize("host", HERE)
def test_keys_are_asked_for_on_loopback_where_that_is_said(tmp_path: Path, host: str) -> None:
    mine = store(tmp_path, type="api_key")
    with pytest.raises(ConfigError, match="auth: type is api_key, and there is no key"):
        access(mine, host)
    mine.create_key("model")
    assert isinstance(access(mine, host), Gate)
    with pytest.raises(ConfigError, match="--insecure says that nobody is asked"):
        access(mine, host, insecure=True)


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ({"type": "api_keys"}, "did you mean 'api_key'"),
        ({"type": "kubernetes"}, "There are: no_auth, api_key, oidc."),
        ({"type": ["oidc"]}, "there is no type"),
        ({"type": "api_key", "client_id": "x"}, "unknown option 'client_id'"),
        ({"type": "oidc"}, "which identity provider"),
        ({"type": "oidc", "issuer": 5}, "issuer is 5"),
        ({"type": "oidc", "issuer": "ftp://x", "client_id": "y"}, "is no URL"),
        ({"type": "oidc", "issuer": "http://x"}, "whom tokens must be made for"),
        ({"type": "oidc", "isuer": "http://x"}, "did you mean 'issuer'"),
        ({"type": "oidc", "issuer": "http://x", "audience": "a", "algorithms": ["HS256"]}, "'HS256' are not accepted"),
        ({"type": "oidc", "issuer": "http://x", "audience": "a", "algorithms": "none"}, "'none' are not accepted"),
        ({"type": "oidc", "issuer": "http://x", "audience": "a", "roles": {"x": ["raed"]}}, "did you mean 'read'"),
        ({"type": "oidc", "issuer": "http://x", "audience": "a", "roles": ["read"]}, "roles is"),
        ({"type": "oidc", "issuer": "http://x", "audience": [5]}, "audience is 5"),
        ({"type": "oidc", "issuer": "http://x", "audience": {}}, "audience is {}"),
        ({"type": "oidc", "issuer": "http://x", "audience": "a", "leeway": "much"}, "leeway"),
        ({"type": "oidc", "issuer": "http://x", "audience": "a", "verify_ssl": "no"}, "verify_ssl"),
    ],
)
def test_what_auth_cannot_say(tmp_path: Path, auth: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match="auth: ") as caught:
        access(store(tmp_path, **auth), "127.0.0.1")
    assert said in str(caught.value)


def test_a_registry_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "registry.db").mkdir()
    config = RepoConfig(project="shop", registry=Backend("sql", {"path": "registry.db"}))
    with pytest.raises(BackendError, match="cannot be used"):
        access(FeatureStore(tmp_path, config=config), "0.0.0.0")
