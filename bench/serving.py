"""Servers asked by wrk over loopback: gnomon's on each store, a bare ASGI echo as the limit, and Feast 0.67's.

One worker each; 1, 8 and 64 connections; 1 and 100 random entities of a million × 10 features, of row views and of
windows; with a feature computed on demand, in Python, in place of one. Beside what a client sees stands what the
server's processes used, CPU µs a request: noise changes that least. Feast's server runs with its restarts off, on the
same rows. All servers run at once and are asked in turns. wrk is needed (on Debian: apt-get install wrk).

    python -m bench.serving --rows 100000 --seconds 2 --without feast      # prints its table alone
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench import startup
from bench.data import PEOPLE, seen, served
from bench.feast import FEAST
from bench.measure import CACHE, ROOT, UnfinishedError, in_its_own_process
from bench.online_stores import program, server
from bench.served_views import FEATURES, windowed
from bench.table import Row, table

SIZES, CONNECTIONS = (1, 100), (1, 8, 64)
SECONDS = 5
BUDGET = {1: "≥ 15k req/s, p99 < 1 ms in a quiet run", 100: "≥ 2.5k req/s"}
STORES = {"lmdb": "path: online.lmdb", "sqlite": "path: online.db"}
FEAST_SECONDS = 1_800
TICK = os.sysconf("SC_CLK_TCK")
LUA = Path(__file__).with_name("serving.lua")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that runs.

    Args:
        name: for the table.
        pid: its process; its children's time counts, too.
        port: where it listens.
        features: what it is asked for.
    """

    name: str
    pid: int
    port: int
    features: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking a server for a while.

    Args:
        rate: requests a second.
        p50, p95, p99: latencies, ms.
        cpu: what the server used, CPU µs a request.
        wrong: how many answers were none.
    """

    rate: float
    p50: float
    p95: float
    p99: float
    cpu: float
    wrong: int

    def __str__(self) -> str:
        wrong = f", {self.wrong:,} failed" if self.wrong else ""
        spent = "p50 / p95 / p99 " + " / ".join(_ms(one) for one in (self.p50, self.p95, self.p99)) + " ms"
        return f"{self.rate:,.0f} req/s, {spent}, CPU {self.cpu:,.0f} µs{wrong}"


def _ms(found: float) -> str:
    return f"{found:,.0f}" if found >= 10 else f"{found:.2g}"


def rows(people: int = PEOPLE, seconds: int = SECONDS, feast: bool = True) -> Iterator[Row]:
    """For each number of entities and connections each server, beside the echo and Feast's."""
    if shutil.which("wrk") is None:
        raise UnfinishedError("wrk is not installed (on Debian: apt-get install wrk)")
    CACHE.mkdir(parents=True, exist_ok=True)
    with ExitStack() as used:
        limit, ours, theirs = all_of_them(used, people, feast)
        for size in SIZES:
            for connections in CONNECTIONS:
                taken = {one.name: asked(one, size, connections, seconds, people) for one in (limit, *ours, *theirs)}
                yield from told(taken, limit, ours, size, connections)


def told(taken: dict[str, Asked], limit: Target, ours: list[Target], size: int, connections: int) -> Iterator[Row]:
    """A row for each of our servers: beside it Feast's on the same kind of store, or the echo."""
    what, least = f"{size} × 10, {connections} connections", taken[limit.name]
    yield Row(figure=f"{what}: echo", gnomon="", other=str(least))
    for one in ours:
        mine, kind = taken[one.name], one.name.split()[0]
        same = {"lmdb": "sqlite"}.get(kind, kind)
        name = next((name for name in taken if name == f"Feast on {same}" and "rows" in one.name), limit.name)
        other = taken[name]
        yield Row(
            figure=f"{what}: {one.name}",
            gnomon=str(mine),
            other=f"{name}: {other}" if other is not least else "",
            ratio=f"{mine.rate / other.rate:.3g}",
            cpu_ratio=f"{mine.cpu / other.cpu:.3g}",
            budget=BUDGET[size] if one.name == "lmdb rows" and connections == max(CONNECTIONS) else "",
        )


def all_of_them(used: ExitStack, people: int, feast: bool) -> tuple[Target, list[Target], list[Target]]:
    """The echo, gnomon's servers and Feast's, all running."""
    rows_of, events_of = served(people), seen(people)
    limit = used.enter_context(echoing())
    ours, theirs = [], []
    kinds = dict(STORES)
    if program():
        kinds["redis"] = ""
    for kind, option in kinds.items():
        for library in ("gnomon", "feast") if feast else ("gnomon",):
            if library == "feast" and kind == "lmdb":
                continue
            place = option or f'connection_string: "{used.enter_context(server())}"'
            folder = used.enter_context(repo(library, kind, place))
            try:
                given = (str(rows_of), str(events_of)) if library == "gnomon" else (str(rows_of),)
                loaded(library, folder, *given)
            except UnfinishedError as why:
                if library == "gnomon":
                    raise
                print(f"{library} on {kind}: {why}", file=sys.stderr)
                continue
            if library == "gnomon":
                running = used.enter_context(serving(folder))
                ours.append(Target(name=f"{kind} rows", features=[f"v:{name}" for name in FEATURES], **running))
                ours.append(Target(name=f"{kind} ledgers", features=[f"w:{name}" for name in windowed()], **running))
                if kind == "lmdb":
                    on_demand = [*(f"v:{name}" for name in FEATURES[:-1]), "d:ratio"]
                    ours.append(Target(name="lmdb rows, one on demand", features=on_demand, **running))
            else:
                running = used.enter_context(serving_feast(folder))
                theirs.append(Target(name=f"Feast on {kind}", features=[f"v:{name}" for name in FEATURES], **running))
    return limit, ours, theirs


def loaded(library: str, folder: Path, *sources: str) -> None:
    """A repo with everything in its online store."""
    python = sys.executable if library == "gnomon" else startup.environment(CACHE / "feast", FEAST)
    in_its_own_process("bench.served_views:load", library, str(folder), *sources, python=python, seconds=FEAST_SECONDS)


@contextmanager
def repo(library: str, kind: str, place: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"serving-{library}-{kind}-", dir=CACHE))
    (folder / "feature_store.yaml").write_text(
        "project: bench\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
        f"offline_store: {{type: file}}\nonline_store: {{type: {kind}, {place}}}\n"
    )
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, int]]:
    """gnomon's server."""
    words = [sys.executable, "-c", "from gnomon.cli import main; main()", "-c", str(folder), "serve"]
    with started(words, folder) as running:
        yield running


@contextmanager
def serving_feast(folder: Path) -> Iterator[dict[str, int]]:
    """Feast's, with its restarts off."""
    feast = startup.command(startup.environment(CACHE / "feast", FEAST), "feast")
    limits = ["--max-requests", "0", "--max-requests-jitter", "0", "--workers", "1", "--no-access-log"]
    with started([feast, "serve", *limits], folder) as running:
        yield running


@contextmanager
def echoing() -> Iterator[Target]:
    """An app that sends back what came, run as gnomon's is."""
    words = [sys.executable, "-m", "uvicorn", "bench.served_views:echo", "--loop", "uvloop", "--http", "httptools"]
    more = [
        "--no-access-log",
        "--no-server-header",
        "--no-proxy-headers",
        "--log-level",
        "warning",
        "--lifespan",
        "off",
    ]
    with started([*words, *more], ROOT) as running:
        yield Target(name="echo", features=[f"v:{name}" for name in FEATURES], **running)


@contextmanager
def started(words: list[str], folder: Path) -> Iterator[dict[str, int]]:
    """A server on a free port, once it answers."""
    listening = free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*words, "--port", str(listening)], cwd=folder, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while not answers(listening):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise UnfinishedError(f"{words[0]} did not begin: {log.read().decode()[-2000:]}")
                time.sleep(0.1)
            yield {"pid": process.pid, "port": listening}
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answers(listening: int) -> bool:
    """Whether anything is said there."""
    try:
        urlopen(Request(f"http://127.0.0.1:{listening}/get-online-features", data=b"{}"), timeout=10).close()
    except URLError as wrong:
        return hasattr(wrong, "code")
    except OSError:
        return False
    return True


def asked(target: Target, size: int, connections: int, seconds: int, people: int) -> Asked:
    """A server asked for so long; a second before is not counted."""
    wrk(target, size, connections, 1, people)
    before = cpu_of(target.pid)
    said = wrk(target, size, connections, seconds, people)
    spent = cpu_of(target.pid) - before
    return Asked(
        rate=said["requests"] / said["seconds"],
        p50=said["p50"],
        p95=said["p95"],
        p99=said["p99"],
        cpu=spent * 1e6 / max(1, said["requests"]),
        wrong=int(said["failed"]),
    )


def wrk(target: Target, size: int, connections: int, seconds: int, people: int) -> dict[str, float]:
    """What wrk says, by way of `serving.lua`."""
    told_to = {"FEATURES": json.dumps(list(target.features)), "SIZE": str(size), "PEOPLE": str(people)}
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(LUA)]
    done = subprocess.run(
        [*words, f"http://127.0.0.1:{target.port}/"],
        env={**os.environ, **told_to},
        capture_output=True,
        text=True,
        check=True,
    )
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / TICK + sum(cpu_of(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=__doc__)
    parser.add_argument("--rows", type=int, default=PEOPLE, help="how many entities there are")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long each server is asked")
    parser.add_argument("--without", choices=["feast"], help="leave it out")
    given = parser.parse_args()
    made = []
    for row in rows(given.rows, given.seconds, given.without != "feast"):
        print(row, flush=True)
        made.append(row)
    print(table(made))


if __name__ == "__main__":
    main()
