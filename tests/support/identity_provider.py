"""An OpenID Connect provider of one's own, in a process of its own, on a free port of this machine only.

with IdentityProvider() as provider:
    provider.issuer                                          # http://127.0.0.1:41235
    provider.token("ann", groups=["gnomon:read"])            # a signed token
    provider.stop(); provider.start()                        # the same address, other keys
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import httpx
from waiting import until

BACK = "http://127.0.0.1/back"


class IdentityProvider:
    """A running provider; leaving the block stops it."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self.issuer = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> IdentityProvider:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, with new keys, and wait until it answers."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        words = [sys.executable, "-m", "oidc_provider_mock", "--port", str(self._port)]
        self._process = subprocess.Popen(words, env={**os.environ, "PYTHONWARNINGS": "ignore"}, **quiet)  # type: ignore[call-overload]
        until(self._answers, seconds=60)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def token(self, subject: str, client: str = "gnomon", **claims: object) -> str:
        """A token of a person for a client, as a browser would get it."""
        asked = {"client_id": client, "redirect_uri": BACK, "response_type": "code", "scope": "openid profile"}
        with httpx.Client(base_url=self.issuer, timeout=30, trust_env=False) as http:
            http.put(f"/users/{subject}", json=claims).raise_for_status()
            sent = http.post("/oauth2/authorize", params=asked, data={"sub": subject})
            code = parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]
            wanted = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
            answer = http.post("/oauth2/token", data=wanted, auth=(client, secrets.token_hex(8)))
            answer.raise_for_status()
            return str(answer.json()["id_token"])

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.issuer}/jwks", trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False
