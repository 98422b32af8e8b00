"""One figure, one process: a function runs in a fresh interpreter and says what it took.

compare({"gnomon": "bench.training:ours", "bare": "bench.training:bare"}, ["wide"], runs=3)
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.data import CACHE

__all__ = ["Figure", "Median", "compare", "in_its_own_process", "measuring"]


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


def in_its_own_process(target: str, *args: str) -> Figure:
    """What `module:function`, called with the arguments, returns, from a process of its own."""
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "bench.measure", target, *args]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, text=True)
    return Figure(**json.loads(done.stdout.splitlines()[-1]))


def compare(targets: Mapping[str, str], args: Sequence[str] = (), *, runs: int = 3) -> dict[str, Median]:
    """Several functions with the same arguments, in turns: A B A B …"""
    taken: dict[str, list[Figure]] = {name: [] for name in targets}
    for _ in range(runs):
        for name, target in targets.items():
            taken[name].append(in_its_own_process(target, *args))
    return {name: Median(figures) for name, figures in taken.items()}


def main() -> None:
    module, function = sys.argv[1].split(":")
    print(json.dumps(asdict(getattr(importlib.import_module(module), function)(*sys.argv[2:]))))


if __name__ == "__main__":
    main()
