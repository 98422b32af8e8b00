"""Tokens of identity providers: of a real one on loopback, and all that somebody could forge."""

from __future__ import annotations

import base64
import hmac
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from identity_provider import IdentityProvider
from joserfc import jwk, jws, jwt

from gnomon import FeatureStore
from gnomon.clock import ManualClock, SystemClock
from gnomon.config import RepoConfig
from gnomon.contracts.keys import Scope
from gnomon.errors import BackendError
from gnomon.server.access import of
from gnomon.server.access.contract import Access, Caller
from gnomon.server.access.gate import Gate
from gnomon.server.access.keys import Keys
from gnomon.server.access.provider import LARGEST
from gnomon.server.access.settings import OidcSettings
from gnomon.server.access.tokens import MOST, Tokens
from gnomon.server.problems import HttpError

ISSUER, START = "https://id.example.org", 1_700_000_000
RSA, EC, OTHER = (
    jwk.RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
    jwk.ECKey.generate_key("P-256", {"kid": "ec"}),
    jwk.RSAKey.generate_key(2048, {"kid": "rsa"}),
)


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as provider:
        yield provider


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(SystemClock().now())


def bearer(token: str | bytes) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + (token.encode() if isinstance(token, str) else token))]


def refusal(access: Access, token: str | bytes, scope: Scope = Scope.READ) -> HttpError:
    with pytest.raises(HttpError) as caught:
        access.check(bearer(token), scope)
    return caught.value


def gate(folder: Path, clock: ManualClock, host: str = "127.0.0.1", **auth: Any) -> Access:
    config = RepoConfig(project="shop", online_store=None, auth={"type": "oidc", "client_id": "gnomon", **auth})
    return of(config, FeatureStore(folder, config=config, clock=clock), host)


class TestARealProvider:
    @pytest.mark.parametrize("named", ["issuer", "auth_discovery_url"])
    def test_a_token_lets_in_and_its_groups_say_what_for(
        self, tmp_path: Path, clock: ManualClock, provider: IdentityProvider, named: str
    ) -> None:
        said = {
            "issuer": {"issuer": provider.issuer},
            "auth_discovery_url": {"auth_discovery_url": f"{provider.issuer}/.well-known/openid-configuration"},
        }
        access = gate(tmp_path, clock, **said[named])
        token = provider.token("ann", groups=["gnomon:read", "staff"], preferred_username="Ann")
        assert access.check(bearer(token), Scope.READ) == Caller(id="ann", name="Ann")
        assert access.check(bearer(token), Scope.READ) == Caller(id="ann", name="Ann")
        assert refusal(access, token, Scope.WRITE).status == 403

    def test_roles_are_mapped_as_configured(
        self, tmp_path: Path, clock: ManualClock, provider: IdentityProvider
    ) -> None:
        roles = {"admins": ["read", "write", "manage"], "apps": "read"}
        access = gate(tmp_path, clock, issuer=provider.issuer, roles=roles, claims="realm.roles")
        ann = provider.token("ann", realm={"roles": ["admins", 5]}, groups=["apps"])
        access.check(bearer(ann), Scope.MANAGE)
        assert refusal(access, ann, Scope.BATCH).status == 403
        bob = provider.token("bob", groups=["admins", "gnomon:read"])
        assert refusal(access, bob, Scope.READ).status == 403

    def test_it_expires_by_the_clock(self, tmp_path: Path, clock: ManualClock, provider: IdentityProvider) -> None:
        access = gate(tmp_path, clock, issuer=provider.issuer, leeway="0s")
        token = provider.token("ann", groups="gnomon:read")
        access.check(bearer(token), Scope.READ)
        clock.advance("58m")
        access.check(bearer(token), Scope.READ)
        clock.advance("3m")  # the token was made a little later than the clock says
        assert "has expired" in refusal(access, token).what
        fresh = gate(tmp_path, clock, issuer=provider.issuer, leeway="0s")
        assert "has expired" in refusal(fresh, token).what, "known or not"

    def test_made_for_another_or_tampered_with(
        self, tmp_path: Path, clock: ManualClock, provider: IdentityProvider
    ) -> None:
        access = gate(tmp_path, clock, issuer=provider.issuer)
        assert "somebody else" in refusal(access, provider.token("ann", "another", groups=["gnomon:read"])).what
        head, body, signature = provider.token("ann", groups=["nothing"]).split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        better = base64.urlsafe_b64encode(json.dumps({**claims, "groups": ["gnomon:read"]}).encode()).decode()
        token = f"{head}.{better.rstrip('=')}.{signature}"
        assert "none of the identity provider's" in refusal(access, token).what

    def test_new_keys_are_looked_up_beside_requests(self, tmp_path: Path, clock: ManualClock) -> None:
        with IdentityProvider() as provider:
            access = gate(tmp_path, clock, issuer=provider.issuer)
            before = provider.token("ann", groups=["gnomon:read"])
            access.check(bearer(before), Scope.READ)
            provider.stop()
            clock.advance("6m")
            with pytest.raises(BackendError, match="does not tell its keys"):
                access.refresh()
            access.check(bearer(before), Scope.READ)
            provider.start()
            clock.advance("10s")
            access.refresh()
            assert refusal(access, before).status == 401, "the key that signed it is gone"
            access.check(bearer(provider.token("ann", groups=["gnomon:read"])), Scope.READ)

    def test_one_that_is_away_or_says_something_else(
        self, tmp_path: Path, clock: ManualClock, provider: IdentityProvider
    ) -> None:
        with pytest.raises(BackendError, match="does not tell its keys"):
            gate(tmp_path, clock, issuer="http://127.0.0.1:9")
        with pytest.raises(BackendError, match="it says that it is 'http"):
            gate(
                tmp_path,
                clock,
                issuer="https://other",
                auth_discovery_url=f"{provider.issuer}/.well-known/openid-configuration",
            )

    def test_api_keys_are_good_beside_it(self, tmp_path: Path, clock: ManualClock, provider: IdentityProvider) -> None:
        made = FeatureStore(tmp_path, config=RepoConfig(project="shop", online_store=None), clock=clock).create_key(
            "app"
        )
        access = gate(tmp_path, clock, "0.0.0.0", issuer=provider.issuer)
        assert access.check(bearer(made.token), Scope.READ).name == "app"


class Signer:
    """A provider whose keys are at hand, so that anything can be signed."""

    def __init__(self, **auth: Any) -> None:
        self.clock = ManualClock(START * 1_000_000)
        self.keys: list[Any] = [RSA, EC]
        self.fetched = 0
        self.tokens = Tokens(OidcSettings.of({"issuer": ISSUER, "audience": "gnomon", **auth}), 10_000, self._fetch)
        self.gate = Gate("shop", self.clock, _NoKeys(), self.tokens)
        self.gate.refresh()

    def _fetch(self, url: str) -> Any:
        if url.endswith("openid-configuration"):
            return {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}
        self.fetched += 1
        return {"keys": [one if isinstance(one, dict) else one.as_dict(private=False) for one in self.keys]}

    def claims(self, **other: Any) -> dict[str, Any]:
        usual = {"iss": ISSUER, "aud": "gnomon", "sub": "ann", "exp": START + 600, "scope": "openid gnomon:read"}
        return {name: one for name, one in {**usual, **other}.items() if one is not None}

    def signed(self, key: Any = RSA, alg: str = "RS256", **other: Any) -> str:
        return jwt.encode({"alg": alg, "kid": key.kid}, self.claims(**other), key, algorithms=[alg])

    def check(self, token: str) -> Caller:
        return self.gate.check(bearer(token), Scope.READ)


class _NoKeys(Keys):
    def __init__(self) -> None:
        self._known = {}

    def refresh(self, now: int) -> None:
        pass


def _part(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


class TestForged:
    def test_signed_as_it_should_be(self) -> None:
        mine = Signer()
        assert mine.check(mine.signed()) == Caller(id="ann", name="ann")
        assert mine.check(mine.signed(EC, "ES256", aud=["other", "gnomon"], sub="bob")).id == "bob"

    def test_algorithms_that_anybody_can_sign_with(self) -> None:
        mine = Signer()
        for alg in ("none", "None", "NONE", ""):
            for signature in ("", "AAAA"):
                token = f"{_part({'alg': alg, 'kid': 'rsa'})}.{_part(mine.claims())}.{signature}"
                assert "none of the identity provider's" in refusal(mine.gate, token).what
        for public in (
            RSA.as_pem(private=False),
            json.dumps(RSA.as_dict(private=False)).encode(),
            RSA.as_der(private=False),
        ):
            signing = f"{_part({'alg': 'HS256', 'kid': 'rsa'})}.{_part(mine.claims())}"
            seal = hmac.digest(public, signing.encode(), "sha256")
            token = f"{signing}.{base64.urlsafe_b64encode(seal).decode().rstrip('=')}"
            assert "none of the identity provider's" in refusal(mine.gate, token).what

    def test_a_secret_among_the_providers_keys_verifies_nothing(self) -> None:
        mine = Signer()
        secret = jwk.OctKey.generate_key(256, {"kid": "oct"})
        mine.keys = [RSA, secret.as_dict(private=True), {"kty": "RSA", "kid": "broken"}, {"kty": "dream"}, {}]
        mine.clock.advance("6m")
        mine.gate.refresh()
        token = jws.serialize_compact(
            {"alg": "HS256", "kid": "oct"}, json.dumps(mine.claims()), secret, algorithms=["HS256"]
        )
        assert refusal(mine.gate, token).status == 401
        mine.check(mine.signed())

    def test_another_algorithm_than_those_accepted(self) -> None:
        assert refusal(Signer().gate, Signer().signed(alg="RS512")).status == 401
        assert Signer(algorithms=["RS512"]).check(Signer().signed(alg="RS512")).id == "ann"

    def test_signed_by_somebody_elses_key(self) -> None:
        mine = Signer()
        assert "none of the identity" in refusal(mine.gate, mine.signed(OTHER)).what
        own = jwt.encode({"alg": "RS256", "jwk": OTHER.as_dict(private=False)}, mine.claims(), OTHER)
        assert refusal(mine.gate, own).status == 401, "a key that comes with the token is nobody's"

    def test_an_unknown_key_is_looked_for_but_not_too_often(self) -> None:
        mine = Signer()
        new = jwk.RSAKey.generate_key(2048, {"kid": "new"})
        for _ in range(3):
            assert "not known" in refusal(mine.gate, mine.signed(new)).what
        mine.gate.refresh()
        assert mine.fetched == 1, "ten seconds have not passed"
        mine.keys.append(new)
        mine.clock.advance("10s")
        mine.gate.refresh()
        mine.check(mine.signed(new))
        mine.clock.advance("10s")
        mine.gate.refresh()
        assert mine.fetched == 2, "nothing is missing"

    def test_a_token_that_names_no_key_is_of_the_only_one(self) -> None:
        mine = Signer()
        token = jwt.encode({"alg": "RS256"}, mine.claims(), RSA)
        assert refusal(mine.gate, token).status == 401
        mine.keys = [RSA]
        mine.clock.advance("6m")
        mine.gate.refresh()
        mine.check(token)

    @pytest.mark.parametrize(
        ("claims", "said"),
        [
            ({"iss": "https://evil.example.org"}, "another issuer"),
            ({"iss": None}, "another issuer"),
            ({"iss": [ISSUER]}, "another issuer"),
            ({"aud": "gnomo"}, "somebody else"),
            ({"aud": None}, "somebody else"),
            ({"aud": []}, "somebody else"),
            ({"aud": [5, "x"]}, "somebody else"),
            ({"aud": {"gnomon": 1}}, "somebody else"),
            ({"aud": [["gnomon"], {}]}, "somebody else"),
            ({"exp": None}, "does not say when"),
            ({"exp": "soon"}, "no instant"),
            ({"exp": True}, "no instant"),
            ({"exp": START - 30}, "has expired"),
            ({"exp": -(10**400)}, "has expired"),
            ({"nbf": START + 31}, "not valid yet"),
            ({"nbf": "x"}, "no instant"),
            ({"sub": None}, "whose it is"),
            ({"sub": 5}, "whose it is"),
            ({"sub": ""}, "whose it is"),
        ],
    )
    def test_claims_that_are_no_good(self, claims: dict[str, Any], said: str) -> None:
        mine = Signer()
        error = refusal(mine.gate, mine.signed(**claims))
        assert (error.status, said in error.what) == (401, True), error.what

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": START - 29},
            {"exp": START + 0.5},
            {"exp": 10**400},
            {"nbf": START + 29},
            {"sub": None, "client_id": "app"},
            {"scope": None, "scp": ["gnomon:read"]},
            {"scope": 5, "realm_access": {"roles": ["gnomon:read", None]}},
        ],
    )
    def test_claims_that_will_do(self, claims: dict[str, Any]) -> None:
        mine = Signer()
        mine.check(mine.signed(**claims))

    def test_feasts_place_for_roles(self) -> None:
        mine = Signer(client_id="my.app", audience="gnomon")
        roles = {"my.app": {"roles": ["gnomon:read"]}, "other": {"roles": ["gnomon:write"]}}
        token = mine.signed(scope=None, resource_access=roles)
        mine.check(token)
        assert refusal(mine.gate, token, Scope.WRITE).status == 403

    def test_payloads_that_are_no_claims(self) -> None:
        mine = Signer()
        for payload in ("[]", "5", "nul", '{"a":' * 1_000, "\\ud800", ""):
            token = jws.serialize_compact({"alg": "RS256", "kid": "rsa"}, payload, RSA)
            assert refusal(mine.gate, token).status == 401

    def test_verified_tokens_are_remembered_and_not_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gnomon.server.access.tokens.MOST", 3)
        mine = Signer()
        for number in range(8):
            mine.check(mine.signed(EC, "ES256", sub=f"s{number}"))
            assert len(mine.tokens._verified) == len(mine.tokens._rates) == min(number + 1, 3)
        assert refusal(mine.gate, mine.signed(OTHER)).status == 401
        assert len(mine.tokens._verified) == 3
        assert MOST == 10_000


garbage = st.one_of(
    st.binary(max_size=100),
    st.text("AZaz09-_=.", max_size=200).map(str.encode),
    st.builds(
        lambda head, body: f"{_part(head)}.{_part(body)}.AAAA".encode(),
        st.dictionaries(
            st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "zip", "enc"]),
            st.sampled_from(["RS256", "none", "rsa", "ec", "HS256", True, None, 5, ["b64"], {}, "http://x", "dir"]),
        ),
        st.none()
        | st.integers()
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.text(), st.none(), max_size=2),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(token=garbage)
@example(token=("." * 4).encode())
@example(token=_part({"alg": "RS256", "kid": "rsa"}).encode() + b"..")
@example(token=base64.urlsafe_b64encode(b'{"a":' * 1_000) + b".e30.AAAA")
@example(token=b"\xff.\xfe.\xfd")
def test_no_token_is_more_than_refused(token: bytes) -> None:
    assert refusal(SIGNER.gate, token).status == 401


SIGNER = Signer()


@pytest.fixture
def site() -> Iterator[Callable[[bytes], str]]:
    """Serves one body, whatever is asked for."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bodies[-1])

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def serve(body: bytes) -> str:
            bodies.append(body)
            return f"http://127.0.0.1:{server.server_port}/x"

        yield serve
        server.shutdown()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"nonsense", "Expecting value"),
        (b"[]", "no jwks_uri"),
        (b'{"issuer": "x"}', "no jwks_uri"),
        (b'{"issuer": 5, "jwks_uri": "x"}', "it says that it is 5"),
        (b'{"issuer": "x", "jwks_uri": "file:///etc/passwd"}', "no URL of HTTP"),
        (b" " * (LARGEST + 1), "more than"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_provider_that_talks_nonsense(
    tmp_path: Path, clock: ManualClock, site: Callable[[bytes], str], body: bytes, said: str
) -> None:
    with pytest.raises(BackendError, match=said):
        gate(tmp_path, clock, auth_discovery_url=site(body))


def test_a_document_without_keys(tmp_path: Path, clock: ManualClock, site: Callable[[bytes], str]) -> None:
    url = site(b"")
    site(json.dumps({"issuer": "x", "jwks_uri": url}).encode())
    with pytest.raises(BackendError, match="has no keys"):
        gate(tmp_path, clock, auth_discovery_url=url)
