"""API keys at the gate: who gets in, who does not, and what they are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer

from gnomon import FeatureStore
from gnomon.clock import ManualClock
from gnomon.config import Backend, RepoConfig
from gnomon.contracts.keys import Scope
from gnomon.errors import BackendError
from gnomon.server.access.contract import Access, Caller
from gnomon.server.access.policy import of
from gnomon.server.problems import HttpError

Headers = list[tuple[bytes, bytes]]
START = 1_700_000_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> FeatureStore:
    path = ".gnomon/registry.db"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        path = server.url()
    return opened(tmp_path, clock, path)


@pytest.fixture
def file_store(tmp_path: Path, clock: ManualClock) -> FeatureStore:
    return opened(tmp_path, clock)


def opened(folder: Path, clock: ManualClock, path: str = ".gnomon/registry.db", **options: Any) -> FeatureStore:
    config = RepoConfig(project="shop", registry=Backend("sql", {"path": path}), online_store=None, **options)
    return FeatureStore(folder, config=config, clock=clock)


def gate(store: FeatureStore) -> Access:
    return of(store.config, store, "0.0.0.0")


def bearer(token: str) -> Headers:
    return [(b"host", b"example.org"), (b"authorization", b"Bearer " + token.encode())]


def refusal(access: Access, headers: Headers, scope: Scope = Scope.READ) -> HttpError:
    with pytest.raises(HttpError) as caught:
        access.check(headers, scope)
    return caught.value


def test_a_key_lets_in_whoever_sends_it(store: FeatureStore) -> None:
    made = store.create_key("model", ["read", "metrics"])
    access = gate(store)
    caller = Caller(id=made.key.id, name="model")
    for headers in (
        bearer(made.token),
        [(b"x-api-key", made.token.encode())],
        [(b"authorization", b"bearer   " + made.token.encode() + b" ")],
        [(b"authorization", b"Basic proxy"), (b"x-api-key", made.token.encode())],
        [*bearer(made.token), (b"x-api-key", made.token.encode())],
    ):
        assert access.check(headers, Scope.READ) == caller
    assert access.check(bearer(made.token), Scope.METRICS) == caller


def test_scopes_are_kept_apart(file_store: FeatureStore) -> None:
    made = {scope: file_store.create_key(scope, [scope]).token for scope in Scope}
    access = gate(file_store)
    for has, token in made.items():
        for wants in Scope:
            if has is wants:
                access.check(bearer(token), wants)
                continue
            error = refusal(access, bearer(token), wants)
            assert error.status == 403
            assert f"lacks the scope '{wants}'" in str(error)
            assert f"It has: {has}." in str(error)
            assert dict(error.headers)["www-authenticate"].endswith(f'error="insufficient_scope", scope="{wants}"')


def test_without_a_key_or_with_none_that_is_known(file_store: FeatureStore) -> None:
    made = file_store.create_key("model")
    access = gate(file_store)
    other = made.token[:-1] + ("A" if made.token[-1] != "A" else "B")
    unknown = "gn_" + "0" * 12 + made.token[15:]
    said = {
        "carries no API key": [[], [(b"authorization", b"Basic x")], [(b"x-api-key", b"  ")]],
        "is not known": [bearer(other), bearer(unknown)],
        "is not whole": [bearer("gn_"), bearer(made.token[:-1]), bearer(made.token + "x")],
        "is no API key": [bearer("eyJhbGciOiJub25lIn0.e30."), bearer("GN" + made.token[2:])],
        "two different": [[*bearer(made.token), (b"x-api-key", other.encode())], bearer(made.token) + bearer(other)],
        "more than 8192 bytes": [bearer("gn_" + "a" * 10_000)],
    }
    for words, requests in said.items():
        for headers in requests:
            error = refusal(access, headers)
            assert (error.status, words in error.what) == (401, True), (words, str(error))
            assert dict(error.headers)["www-authenticate"].startswith('Bearer realm="gnomon"')
            assert made.token[16:] not in str(error)


def test_a_key_of_another_project(file_store: FeatureStore) -> None:
    elsewhere = file_store.create_key("model", projects=["other"]).token
    both = file_store.create_key("model", projects=["other", "shop"]).token
    everywhere = file_store.create_key("model", projects=["*"]).token
    access = gate(file_store)
    error = refusal(access, bearer(elsewhere))
    assert (error.status, error.what) == (403, "'model' has no rights in project 'shop'.")
    for token in (both, everywhere):
        access.check(bearer(token), Scope.READ)


def test_a_key_expires_by_the_clock(file_store: FeatureStore, clock: ManualClock) -> None:
    token = file_store.create_key("model", expires="90d").token
    access = gate(file_store)
    clock.advance("89d")
    access.check(bearer(token), Scope.READ)
    clock.advance("1d")
    error = refusal(access, bearer(token))
    assert (error.status, error.what) == (401, "the API key expired at 2024-02-12T22:13:20Z.")


def test_keys_made_and_revoked_elsewhere_are_seen_at_the_next_refresh(store: FeatureStore, clock: ManualClock) -> None:
    first = store.create_key("first")
    access = gate(store)
    other = FeatureStore(store.repo_path, config=store.config, clock=clock)
    second = other.create_key("second")
    assert refusal(access, bearer(second.token)).status == 401
    access.refresh()
    access.check(bearer(second.token), Scope.READ)
    other.revoke_key(first.key.id)
    access.check(bearer(first.token), Scope.READ)
    access.refresh()
    error = refusal(access, bearer(first.token))
    assert (error.status, "revoked at 2023-11-14T22:13:20Z" in error.what) == (401, True)


def test_what_was_known_stays_while_the_registry_is_away(file_store: FeatureStore) -> None:
    token = file_store.create_key("model").token
    access = gate(file_store)
    file = file_store.repo_path / ".gnomon" / "registry.db"
    file.rename(file.with_suffix(".away"))
    file.mkdir()
    with pytest.raises(BackendError, match="cannot be used"):
        access.refresh()
    access.check(bearer(token), Scope.READ)


def test_above_its_rate_a_key_is_told_when_to_come_again(file_store: FeatureStore, clock: ManualClock) -> None:
    slow, free = (file_store.create_key("x", rate_limit=one).token for one in (3, 0))
    usual = file_store.create_key("x").token
    access = gate(file_store)
    for _ in range(3):
        access.check(bearer(slow), Scope.READ)
    error = refusal(access, bearer(slow))
    assert error.status == 429
    told = {"retry-after": "1", "ratelimit-policy": '"key";q=3;w=1', "ratelimit": '"key";r=0;t=1'}
    assert dict(error.headers) == told
    access.refresh()
    assert refusal(access, bearer(slow)).status == 429, "a refresh forgives nothing"
    clock.advance("334ms")
    access.check(bearer(slow), Scope.READ)
    assert refusal(access, bearer(slow)).status == 429
    clock.set(START - 86_400_000_000)
    access.check(bearer(slow), Scope.READ)  # a clock set back locks nobody out
    for _ in range(10_000):
        access.check(bearer(free), Scope.READ)
        access.check(bearer(usual), Scope.READ)
    access.check(bearer(free), Scope.READ)
    assert refusal(access, bearer(usual)).status == 429


def test_workers_share_a_rate(tmp_path: Path, clock: ManualClock) -> None:
    store = opened(tmp_path, clock, feature_server={"workers": 4, "rate_limit": 10})
    token = store.create_key("x").token
    access = gate(store)
    for _ in range(3):
        access.check(bearer(token), Scope.READ)
    assert refusal(access, bearer(token)).status == 429


header = st.tuples(
    st.sampled_from([b"authorization", b"x-api-key", b"host", b""]) | st.binary(max_size=30),
    st.binary(max_size=200)
    | st.binary(max_size=80).map(lambda one: b"Bearer " + one)
    | st.binary(max_size=80).map(lambda one: b"Bearer gn_" + one)
    | st.text("0123456789abcdef_", max_size=60).map(lambda one: b"gn_" + one.encode()),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(headers=st.lists(header, max_size=6))
@example(headers=[(b"authorization", b"Bearer \xff\xfe\x00")])
@example(headers=[(b"authorization", b"Bearer " + b"\xf0" * 100_000)])
@example(headers=[(b"x-api-key", b"gn_")] * 1000)
def test_no_header_is_more_than_refused(file_store: FeatureStore, headers: Headers) -> None:
    file_store.create_key("model")
    access = gate(file_store)
    assert refusal(access, headers).status == 401


def test_unknown_keys_grow_nothing(file_store: FeatureStore, count_of: Callable[[object], int]) -> None:
    file_store.create_key("model")
    access = gate(file_store)
    before = count_of(access)
    for number in range(2_000):
        refusal(access, bearer(f"gn_{number:012x}_" + "A" * 43))
    assert count_of(access) == before


@pytest.fixture
def count_of() -> Callable[[object], int]:
    """Counts the objects that are reached from one through attributes and containers."""

    def count(root: object) -> int:
        seen: set[int] = set()
        waiting: list[object] = [root]
        while waiting:
            one = waiting.pop()
            if id(one) in seen or isinstance(one, (type, FeatureStore)):
                continue
            seen.add(id(one))
            if isinstance(one, dict):
                waiting += [*one.keys(), *one.values()]
            elif isinstance(one, (list, tuple, set, frozenset)):
                waiting += one
            elif type(one).__module__.startswith("gnomon.server"):
                slots = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
                waiting += [getattr(one, name) for name in slots]
                waiting += vars(one).values() if hasattr(one, "__dict__") else ()
        return len(seen)

    return count
