"""A PostgreSQL server of one's own: a new cluster in a temporary folder, on a free port of this machine only.

    with PostgresServer() as server:
        server.url()        # postgresql://gnomon:…@127.0.0.1:41235/features, emptied each time

Passwords are checked (SCRAM), so wrong ones are wrong. Where no server is installed tests are skipped; on CI they fail.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

NAME, PASSWORD = "features", "open-sesame"
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
_EMPTY = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
END $$"""


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, of the newest server installed."""
    if found := shutil.which("pg_ctl"):
        return Path(found).resolve().parent
    folders = [one for place in _PLACES for one in Path("/").glob(place[1:]) if (one / "pg_ctl").exists()]
    return max(folders, key=lambda one: (len(str(one)), str(one)), default=None)


def required() -> Path:
    """The programs' folder; without one the test is skipped, or on CI fails."""
    found = programs()
    if found is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("no PostgreSQL server is installed (on Debian: apt-get install postgresql)")
    return found


class PostgresServer:
    """A running server; leaving the block stops it and removes its folder."""

    def __init__(self) -> None:
        self._programs = required()
        self._folder = Path(tempfile.mkdtemp(prefix="gnomon-postgres-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> PostgresServer:
        secret = self._folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
            shutil.chown(secret, "postgres")
        options = ["--username=gnomon", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", f"--pgdata={self.data}", "--no-sync", *options)
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def data(self) -> Path:
        """Where the cluster lies."""
        return self._folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers. Nothing is flushed: these tests kill processes, not machines."""
        settings = f"-h 127.0.0.1 -p {self.port} -k {self._folder} -c fsync=off -c max_connections=60"
        log = self._folder / "log"
        self._run("pg_ctl", f"--pgdata={self.data}", "--wait", "--silent", f"--log={log}", "-o", settings, "start")

    def stop(self) -> None:
        """Stop it as a crash would, connections and all; nothing if it does not run."""
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", f"--pgdata={self.data}", "--wait", "--silent", "--mode=immediate", "stop")

    def url(self) -> str:
        """The address of a database with nothing in it; making one takes long, so the same is emptied."""
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{NAME}'", database="postgres"):
            self.execute(f"CREATE DATABASE {NAME}", database="postgres")
        self.execute(_EMPTY, "CREATE SCHEMA public", "GRANT USAGE ON SCHEMA public TO PUBLIC", database=NAME)
        return self.address(NAME)

    def address(self, database: str, user: str = "gnomon", password: str = PASSWORD, port: int | None = None) -> str:
        """The address of a database, there or not."""
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def execute(self, *statements: str, database: str) -> list[Any]:
        """Run statements as the administrator, each by itself, and give the last one's rows."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            for statement in statements:
                found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def kill(self, pid: int) -> None:
        """Kill a backend outright: the server then throws everybody out and recovers."""
        os.kill(pid, signal.SIGKILL)

    def _run(self, program: str, *arguments: str) -> None:
        # The server refuses to run as root.
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*as_user, str(self._programs / program), *arguments]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd="/", timeout=120
        )
        assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole run; import this fixture where it is wanted."""
    with PostgresServer() as server:
        yield server
