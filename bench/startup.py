"""What one waits for and installs: `import gnomon`, `gnomon --help`, and the wheel with all it needs.

The wheel is built from this folder and installed into a fresh environment, without extras, as a user would.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from bench.measure import CACHE, ROOT, Figure, Median
from bench.table import Row

RUNS = 11
HERE = CACHE / "fresh-venv"
INSTALLERS = ("pip", "setuptools", "_distutils_hack", "pkg_resources")


def rows() -> Iterator[Row]:
    """Start-up medians beside Python's own, and the size by package."""
    python = installed()
    commands = {
        "python -c pass": [python, "-c", "pass"],
        "import gnomon": [python, "-c", "import gnomon"],
        "gnomon --help": [command(python, "gnomon"), "--help"],
    }
    taken: dict[str, list[Figure]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, words in commands.items():
            taken[name].append(run(words))
    nothing, *others = ((name, Median(figures)) for name, figures in taken.items())
    for name, median in others:
        yield Row(
            figure=f"`{name}`",
            gnomon=f"{median.wall * 1e3:.0f} ms",
            other=f"`{nothing[0]}` {nothing[1].wall * 1e3:.0f} ms",
            cpu=f"{median.cpu:.2f} / {nothing[1].cpu:.2f}",
            budget="< 300 ms",
        )
    sizes = sorted(by_package(python).items(), key=lambda one: -one[1])
    largest = ", ".join(f"{name} {size:.0f}" for name, size in sizes[:8])
    yield Row(
        figure="installed, MiB", gnomon=f"{sum(dict(sizes).values()):,.0f} MiB", other=largest, budget="< 300 MiB"
    )


def run(words: list[str]) -> Figure:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=CACHE)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Figure(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def installed() -> str:
    """The Python of an environment with gnomon as it is now, and nothing but what it needs."""
    shutil.rmtree(HERE, ignore_errors=True)
    return environment(HERE, str(ROOT))


def environment(folder: Path, requirement: str) -> str:
    """The Python of an environment with this installed; made if it is not there, whole or not at all."""
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        venv.EnvBuilder(with_pip=True, clear=True).create(folder)
        subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True, stdout=sys.stderr)
        done.touch()
    return str(python)


def command(python: str, name: str) -> str:
    """A command of an environment."""
    return str(Path(python).with_name(name))


def by_package(python: str) -> dict[str, float]:
    """MiB that each top-level package takes, bytecode included; what only installs is left out."""
    found: dict[str, float] = {}
    packages = _packages(python)
    for file in packages.rglob("*"):
        name = file.relative_to(packages).parts[0]
        if file.is_file() and not name.startswith(INSTALLERS):
            found[_of(name)] = found.get(_of(name), 0.0) + file.stat().st_size / (1 << 20)
    return found


def distributions(python: str) -> int:
    """How many packages are installed, what only installs left out."""
    found = (file.name for file in _packages(python).glob("*.dist-info"))
    return sum(not name.startswith(INSTALLERS) for name in found)


def _packages(python: str) -> Path:
    (packages,) = Path(python).parent.parent.glob("lib/python*/site-packages")
    return packages


def _of(name: str) -> str:
    """The package that a folder of shared libraries or of metadata goes with."""
    return name.partition(".libs")[0].partition("-")[0].strip("_")
