"""One figure, one process: a function runs in a fresh interpreter and says what it took.

compare({"gnomon": "bench.training:ours", "bare": "bench.training:bare"}, ["wide"], runs=3)

It needs nothing but Python, so that an interpreter of another environment can run a function of it too.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any

__all__ = ["CACHE", "Figure", "Median", "UnfinishedError", "compare", "in_its_own_process", "measuring"]

CACHE = Path(gettempdir()) / "gnomon-bench-1"
"""Where data, environments and bytecode are kept between runs."""
ROOT = Path(__file__).parent.parent


class UnfinishedError(Exception):
    """A run took longer than it was given, or ended without a figure; the text says which."""


@dataclass(slots=True)
class Figure:
    """What one run took.

    Args:
        wall: seconds by the clock.
        cpu: seconds of all threads.
        peak: most memory the process had at once, MiB; pages of a mapped file that it touched are in it.
        more: what else the run has to say.
    """

    wall: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Median:
    """The medians of several runs.

    Args:
        runs: the runs.
    """

    runs: Sequence[Figure]

    @property
    def wall(self) -> float:
        """Seconds by the clock."""
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        """Seconds of all threads."""
        return statistics.median(run.cpu for run in self.runs)

    @property
    def peak(self) -> float:
        """The most memory of any run, MiB."""
        return max(run.peak for run in self.runs)


@contextmanager
def measuring() -> Iterator[Figure]:
    """Time what happens within; what came before, such as imports, counts for the peak alone."""
    figure = Figure()
    cpu, wall = time.process_time(), time.perf_counter()
    yield figure
    figure.wall, figure.cpu = time.perf_counter() - wall, time.process_time() - cpu
    figure.peak = peak()


def peak() -> float:
    """The most memory this program has had at once, MiB.

    On Linux not by `getrusage`, whose maximum outlives `exec`: there a program starts with the peak of what started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


def nothing() -> Figure:
    """What a run takes that does nothing: Python, and this module."""
    with measuring() as figure:
        pass
    return figure


def in_its_own_process(
    target: str,
    *args: str,
    python: str = sys.executable,
    seconds: float | None = None,
    memory: int | None = None,
) -> Figure:
    """What `module:function`, called with the arguments, returns, from a process of its own.

    Args:
        target: the function; its module is looked for from this folder's parent on.
        args: what it is called with.
        python: whose interpreter runs it.
        seconds: how long it may take.
        memory: how many bytes of its own it may ask for.

    Raises:
        UnfinishedError: it took longer, or failed.
    """
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [python, "-m", "bench.measure", target, str(memory or 0), *args]
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, timeout=seconds, text=True, check=True)
    except subprocess.TimeoutExpired:
        raise UnfinishedError(f"not finished in {seconds:.0f} s") from None
    except subprocess.CalledProcessError as failed:
        print(failed.stderr, file=sys.stderr)
        raise UnfinishedError(_ending(failed, memory)) from failed
    return Figure(**json.loads(done.stdout.splitlines()[-1]))


def _ending(failed: subprocess.CalledProcessError, memory: int | None) -> str:
    """How a process ended: out of the memory it was given, by a signal, or with what it said last."""
    if memory and any(word in failed.stderr for word in ("MemoryError", "bad_alloc", "Out of Memory")):
        return f"ran out of its {memory >> 30} GiB"
    if failed.returncode < 0:
        return f"ended by {signal.Signals(-failed.returncode).name}"
    return next(reversed(failed.stderr.strip().splitlines()), f"exit status {failed.returncode}")


def compare(targets: Mapping[str, str], args: Sequence[str] = (), *, runs: int = 3) -> dict[str, Median]:
    """Several functions with the same arguments, in turns: A B A B …"""
    taken: dict[str, list[Figure]] = {name: [] for name in targets}
    for _ in range(runs):
        for name, target in targets.items():
            taken[name].append(in_its_own_process(target, *args))
    return {name: Median(figures) for name, figures in taken.items()}


def main() -> None:
    """Run `module:function` within so many bytes (0: as many as there are), and print what it took."""
    target, memory, *args = sys.argv[1:]
    if int(memory):
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    module, function = target.split(":")
    print(json.dumps(asdict(getattr(importlib.import_module(module), function)(*args))))


if __name__ == "__main__":
    main()
