"""`gnomon serve`: what it refuses, what it says, how it stops."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from http_server import HttpServer, serving
from served_shop import make_shop

from gnomon.cli import app

ONE = {"features": ["v:i"], "entities": {"user_id": [1]}}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("serve"))


def refused(repo: Path, *words: str) -> str:
    """What is said where it does not begin."""
    found = CliRunner().invoke(app, ["-c", str(repo), "serve", *words])
    assert found.exit_code != 0
    return found.output


def test_everybody_is_let_in_only_where_that_is_said(repo: Path) -> None:
    assert "--insecure" in refused(repo, "--host", "0.0.0.0", "--port", "0")
    with serving(repo, "--host", "0.0.0.0", "--insecure") as server:
        assert server.ask(**ONE).status_code == 200


def test_a_port_that_is_taken(repo: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refused(repo, "--port", str(taken.getsockname()[1]))
    assert "cannot be listened on" in said


def test_a_certificate_needs_its_key(repo: Path) -> None:
    assert "--ssl-keyfile" in refused(repo, "--ssl-certfile", "cert.pem")


def test_settings_that_cannot_be_followed(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: x\nfeature_server: {timeuot: 5s}\n")
    assert "did you mean 'timeout'?" in refused(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told(repo: Path, number: signal.Signals) -> None:
    server = HttpServer(repo)
    server.ask(**ONE)
    assert server.stop(number) == (0 if number == signal.SIGTERM else 130)
    assert "Traceback" not in "".join(server.said)


def test_several_workers_each_with_a_store_of_its_own(repo: Path) -> None:
    with serving(repo, "--workers", "2") as server:
        for _ in range(20):
            with httpx.Client(base_url=server.url) as client:  # a connection of its own: either may take it
                assert client.post("/get-online-features", json=ONE).json()["results"][1]["values"] == [1]
        assert server.stop() == 0


def test_tls(repo: Path, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    try:
        subprocess.run([*words, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl is installed")
    with serving(repo, "--ssl-keyfile", str(key), "--ssl-certfile", str(cert)) as server:
        assert server.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=str(cert))
        trusted.check_hostname = False
        with httpx.Client(base_url=server.url, verify=trusted) as client:
            assert client.post("/get-online-features", json=ONE).status_code == 200
