"""`gnomon serve` as a process of its own, on a free port of this machine only.

with serving(repo) as server:
    server.ask(features=["profile:age"], entities={"user_id": [1]})     # httpx.Response
    server.talk(b"POST /get-online-features HTTP/1.1\\r\\n…")             # bytes in, bytes out
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from waiting import until

WAIT = 60.0


class HttpServer:
    """A running server.

    Args:
        repo: what it serves.
        words: more of its command line.
    """

    def __init__(self, repo: Path, *words: str) -> None:
        main = [sys.executable, "-c", "from gnomon.cli import main; main()"]
        command = [*main, "-c", str(repo), "serve", "--port", "0", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)
        self.said: list[str] = []
        line = self.process.stdout.readline()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not line:
            self.process.wait()
            self._reader.join()
            self.process.stdout.close()
            self.process.stderr.close()
            raise AssertionError("".join(self.said))
        self.url = line.split()[-1]
        self.port = int(self.url.rpartition(":")[2])
        self.client = httpx.Client(base_url=self.url, timeout=WAIT, verify=False)
        until(self._answers, WAIT)

    def ask(self, headers: dict[str, str] | None = None, **question: Any) -> httpx.Response:
        """An online read."""
        return self.client.post("/get-online-features", json=question, headers=headers)

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        """An online read of any bytes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post("/get-online-features", content=body, headers=named)

    def talk(self, sent: bytes, seconds: float = WAIT, shut: bool = False) -> bytes:
        """What comes back for some bytes until the connection is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as made, suppress(OSError):
            made.sendall(sent)
            if shut:
                made.shutdown(socket.SHUT_WR)
            return read_all(made)
        return b""

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        self.client.close()
        self.process.send_signal(number)
        code = self.process.wait(WAIT)
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def _answers(self) -> bool:
        assert self.process.poll() is None, "".join(self.said)
        with suppress(httpx.TransportError):
            return self.client.post("/get-online-features", content=b"").status_code in (401, 422)
        return False

    def _read(self) -> None:
        self.said.extend(self.process.stderr)


def read_all(made: socket.socket) -> bytes:
    """Everything that still comes."""
    found = b""
    with suppress(OSError):
        while part := made.recv(65536):
            found += part
    return found


def posted(question: dict[str, Any], *headers: str) -> bytes:
    """A request as it goes over the wire."""
    body = json.dumps(question).encode()
    fields = ["host: x", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join(["POST /get-online-features HTTP/1.1", *fields, "", ""]).encode() + body


@contextmanager
def serving(repo: Path, *words: str) -> Iterator[HttpServer]:
    """A server for as long as the block lasts."""
    server = HttpServer(repo, *words)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)  # its workers, too
        server.stop()
