"""Rows of figures as Markdown, and their place in the README."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.measure import Median

__all__ = ["Row", "beside", "machine", "table", "written"]

README = Path(__file__).with_name("README.md")
HEAD = ("figure", "gnomon", "beside it", "ratio", "CPU s", "ratio of CPU", "peak MiB", "budget")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table; what a figure has nothing to say of is left empty."""

    figure: str
    gnomon: str
    other: str = ""
    ratio: str = ""
    cpu: str = ""
    cpu_ratio: str = ""
    peak: str = ""
    budget: str = ""

    def __str__(self) -> str:
        cells = (self.figure, self.gnomon, self.other, self.ratio, self.cpu, self.cpu_ratio, self.peak, self.budget)
        return f"| {' | '.join(cells)} |"


def beside(figure: str, taken: Mapping[str, Median], *, budget: str = "") -> Row:
    """Two medians beside each other, the first one gnomon's."""
    (_, ours), (name, other) = taken.items()
    return Row(
        figure=figure,
        gnomon=f"{ours.wall:.2f} s",
        other=f"{name} {other.wall:.2f} s",
        ratio=f"{ours.wall / other.wall:.2f}",
        cpu=f"{ours.cpu:.2f} / {other.cpu:.2f}",
        cpu_ratio=f"{ours.cpu / other.cpu:.2f}",
        peak=f"{ours.peak:,.0f} / {other.peak:,.0f}",
        budget=budget,
    )


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    return "\n".join([f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", *map(str, rows)])


def machine() -> str:
    """What it runs on, and how busy that is, in a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    parts = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "lmdb", "numpy"))
    load = f"load average {os.getloadavg()[0]:.1f} as it began"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {load}; Python {platform.python_version()}, {parts}"


def written(name: str, made: str) -> None:
    """Put a table into the README, between its marks."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = README.read_text()
    before, rest = text.split(begin)
    README.write_text(f"{before}{begin}\n{made}\n{end}{rest.split(end)[1]}")
