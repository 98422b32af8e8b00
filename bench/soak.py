"""The server under half of what it can take, for minutes, while it is pushed to and loaded: errors, memory, delays.

    python -m bench.soak --minutes 10 --store lmdb

One worker. First `wrk` asks as fast as it can, for a few seconds; then at half that rate, about entities of a row view
and of a windowed view in turn, while events are pushed over HTTP and the row view is loaded again and again.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import CACHE
from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, agg
from gnomon.types import Float64, Int64, UnixTimestamp

ENTITIES = 200_000
FEATURES = 10
CONNECTIONS = 32
PUSHED, EVERY = 100, 0.5
"""So many events at once, and so often (seconds)."""
LOADED = 20.0
PORT = 7941

ROWS = FeatureView(
    name="profile",
    entities=[Entity(name="user_id", value_type=Int64)],
    source=FileSource(path="profiles/*.parquet", timestamp_field="at", created_timestamp_column="known"),
)
PAYMENTS = PushSource(
    name="payments", schema=[Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)]
)
SPEND = FeatureView(
    name="spend",
    entities=[Entity(name="user_id", value_type=Int64)],
    source=PAYMENTS,
    aggregations=[
        agg.count(over=["1d", "1h"]),
        *(make("amount", over=["1d", "1h"]) for make in (agg.sum, agg.mean, agg.min, agg.max)),
    ],
)

SCRIPT = """
local views = {{'{rows}'}, {'{windows}'}}
local turn = 0
function delay() return %d end
function request()
  turn = turn + 1
  local user = math.random(0, %d)
  return wrk.format("POST", "/get-online-features", {["Content-Type"] = "application/json"},
    '{"features":[' .. views[turn %% 2 + 1][1] .. '],"entities":{"user_id":[' .. user .. ']}}')
end
"""


@dataclass(slots=True)
class Soaked:
    """What happened.

    Args:
        memory: the server's resident memory, MiB, second by second.
        pushed: events that entered the log.
        loads: loads that were done.
        failures: what went wrong beside the reads.
    """

    memory: list[float] = field(default_factory=list)
    pushed: int = 0
    loads: int = 0
    failures: list[str] = field(default_factory=list)


def main() -> None:
    """Soak a server, and print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--store", default="lmdb", choices=("lmdb", "sqlite"))
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("there is no wrk: install Debian's package of that name.")
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=CACHE))
    try:
        soak(folder, asked.store, asked.minutes * 60)
    finally:
        shutil.rmtree(folder)


def soak(folder: Path, store: str, seconds: float) -> None:
    (folder / "feature_store.yaml").write_text(
        f"project: soak\nonline_store: {{type: {store}, path: online}}\nfeature_server: {{port: {PORT}}}\n"
    )
    write_profiles(folder, 0, ENTITIES)
    with FeatureStore(folder) as features:
        features.apply([ROWS, SPEND])
        features.push("payments", events(ENTITIES))
        features.materialize_incremental()
    with serving(folder) as process:
        fastest = wrk(folder, 5, delay=0)
        pause = round(CONNECTIONS / (fastest["rate"] / 2) * 1e3 - fastest["p50"])
        seen, over = Soaked(), threading.Event()
        beside = [
            threading.Thread(target=repeat, args=(over, every, act, seen))
            for every, act in (
                (1.0, lambda: seen.memory.append(resident(process.pid))),
                (EVERY, lambda: push(seen)),
                (LOADED, lambda: load(folder, seen)),
            )
        ]
        for thread in beside:
            thread.start()
        cpu = cpu_seconds(process.pid)
        found = wrk(folder, seconds, delay=max(pause, 1))
        cpu = cpu_seconds(process.pid) - cpu
        over.set()
        for thread in beside:
            thread.join()
        report(seconds, fastest, found, cpu, seen)


def report(seconds: float, fastest: dict[str, float], found: dict[str, float], cpu: float, seen: Soaked) -> None:
    tenth = max(len(seen.memory) // 10, 1)
    early, late = (float(np.median(part)) for part in (seen.memory[tenth : 2 * tenth], seen.memory[-tenth:]))
    print(f"as fast as it goes: {fastest['rate']:,.0f} requests/s, p99 {fastest['p99']:.2f} ms")
    print(f"{seconds:,.0f} s at {found['rate']:,.0f} requests/s: {found['requests']:,.0f} requests")
    print(f"errors: {found['errors']:.0f} of reads, {len(seen.failures)} of pushes and loads {seen.failures[:3]}")
    print(f"p50 {found['p50']:.2f} ms, p99 {found['p99']:.2f} ms; CPU {cpu / seconds:.0%} of a core")
    print(f"beside: {seen.pushed:,} events pushed, {seen.loads} loads")
    print(f"memory: {early:,.0f} MiB early, {late:,.0f} MiB late, at most {max(seen.memory):,.0f}")


@contextmanager
def serving(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`gnomon serve`, once it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from gnomon.cli import main; main()", "-c", str(folder), "serve"]
    )
    try:
        for _ in range(300):
            time.sleep(0.1)
            try:
                ask("GET", "/health")
                break
            except urllib.error.URLError:
                assert process.poll() is None, "the server ended"
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wrk(folder: Path, seconds: float, delay: int) -> dict[str, float]:
    """What wrk says: requests, rate, errors, delays in ms."""
    rows = ",".join(f'"profile:f{number}"' for number in range(FEATURES))
    windows = ",".join(f'"spend:{name}"' for name in SPEND.feature_names)
    script = folder / "ask.lua"
    script.write_text((SCRIPT % (delay, ENTITIES - 1)).replace("{rows}", rows).replace("{windows}", windows))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", "--latency", "-s", str(script)]
    told = subprocess.run([*command, f"http://127.0.0.1:{PORT}"], capture_output=True, text=True, check=True).stdout
    errors = sum(int(one) for one in re.findall(r"(?:connect|read|write|timeout) (\d+)", told))
    errors += sum(int(one) for one in re.findall(r"Non-2xx or 3xx responses: (\d+)", told))
    return {
        "requests": float(_in(r"(\d+) requests in", told)),
        "rate": float(_in(r"Requests/sec:\s+([\d.]+)", told)),
        "errors": float(errors),
        "p50": milliseconds(_in(r"50%\s+(\S+)", told)),
        "p99": milliseconds(_in(r"99%\s+(\S+)", told)),
    }


def _in(pattern: str, told: str) -> str:
    found = re.search(pattern, told)
    assert found is not None, told
    return found[1]


def milliseconds(text: str) -> float:
    """`1.25ms`, `830.00us`, `2.00s` in ms."""
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    unit = next(one for one in units if text.endswith(one))
    return float(text.removesuffix(unit)) * units[unit]


def repeat(over: threading.Event, every: float, act: Callable[[], object], seen: Soaked) -> None:
    """Do something again and again until it is over."""
    while not over.wait(every):
        try:
            act()
        except (OSError, ValueError) as wrong:
            body = wrong.read().decode() if isinstance(wrong, urllib.error.HTTPError) else ""
            seen.failures.append(f"{wrong} {body[:200]}")


def push(seen: Soaked) -> None:
    table = events(PUSHED)
    columns = {name: table[name].to_pylist() for name in ("user_id", "amount")}
    columns["at"] = [one.isoformat() for one in table["at"].to_pylist()]
    done = ask("POST", "/push", {"push_source_name": "payments", "df": columns})
    seen.pushed += done["appended"]


def load(folder: Path, seen: Soaked) -> None:
    """A file more, and a load of it, waited for."""
    write_profiles(folder, seen.loads + 1, 5_000)
    job = ask("POST", "/materialize-incremental", {"end_ts": now().isoformat(), "feature_views": ["profile"]})
    while job["status"] in ("queued", "running"):
        time.sleep(0.2)
        job = ask("GET", f"/jobs/{job['id']}")
    if job["status"] != "done":
        raise ValueError(json.dumps(job))
    seen.loads += 1


def ask(method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def write_profiles(folder: Path, number: int, rows: int) -> None:
    rng = np.random.default_rng(number)
    at = pa.array(np.full(rows, int(time.time() * 1e6) - 1_000_000)).cast(pa.timestamp("us", "UTC"))
    table = {
        "user_id": pa.array(rng.permutation(ENTITIES)[:rows]),
        "at": at,
        "known": at,
        **{f"f{number}": pa.array(rng.normal(size=rows)) for number in range(FEATURES)},
    }
    (folder / "profiles").mkdir(exist_ok=True)
    scratch = folder / "profiles" / f"{number}.tmp"
    pq.write_table(pa.table(table), scratch)
    scratch.rename(scratch.with_suffix(".parquet"))


def events(count: int) -> pa.Table:
    """Payments of the last minutes."""
    rng = np.random.default_rng()
    at = int(time.time() * 1e6) - rng.integers(0, 600_000_000, count)
    return pa.table(
        {
            "user_id": pa.array(rng.integers(0, ENTITIES, count)),
            "amount": pa.array(np.round(rng.gamma(2, 30, count), 2)),
            "at": pa.array(at).cast(pa.timestamp("us", "UTC")),
        }
    )


def now() -> Any:
    from datetime import datetime, timezone

    return datetime.now(timezone.utc)


def resident(pid: int) -> float:
    """Resident memory without mapped files, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (one for one in status.splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
