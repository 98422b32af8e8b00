"""Looking at a log with 8 MiB of events that are not sealed, as one does who follows it; beside it, a first look.

Events came one at a time, or a hundred: a first look checks each batch.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.measure import CACHE
from bench.pushes import events
from bench.table import Row
from gnomon.clock import SystemClock
from gnomon.contracts.plugins import Context
from gnomon.log import embedded

SIZES = (1, 100)
OPEN = 8 << 20
TURNS, FIRST_TURNS = 50, 5


def rows() -> Iterator[Row]:
    """A row for each size of batch and each kind of look."""
    CACHE.mkdir(exist_ok=True)
    flush, embedded._sync = embedded._sync, lambda _: None  # so many flushes would take minutes
    try:
        for size in SIZES:
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                yield from looks(Path(folder), size)
    finally:
        embedded._sync = flush


def looks(folder: Path, size: int) -> Iterator[Row]:
    """The kinds of look at a log filled by batches of a size."""
    context = Context(repo_path=folder, project="bench", clock=SystemClock())

    def opened() -> Any:
        return embedded.EmbeddedLogs({"seal_bytes": 2 * OPEN}, context).log("spend")

    log = opened()
    log.append(events(size))
    (segment,) = folder.rglob("*.segment")
    while segment.stat().st_size < OPEN:
        log.append(events(size))

    def read(one: Any) -> object:
        return one.read(since=one.position() - 1).read_all()

    for name, look in (("position()", lambda one: one.position()), ("prefix()", lambda one: one.prefix())):
        yield row(f"{name}, {size} a batch", lambda look=look: look(log), lambda look=look: look(opened()))
    yield row(
        f"read(since=…) after a push, {size} a batch",
        lambda: read(log),
        lambda: read(opened()),
        before=lambda: log.append(events(1)),
    )
    log.close()


def row(
    figure: str, again: Callable[[], object], first: Callable[[], object], before: Callable[[], object] = lambda: None
) -> Row:
    """The medians of both, in µs."""
    again()
    mine, other = taken(again, before, TURNS), taken(first, before, FIRST_TURNS)
    return Row(
        figure=figure, gnomon=f"{mine:,.0f} µs", other=f"first look {other:,.0f} µs", ratio=f"{mine / other:.5f}"
    )


def taken(look: Callable[[], object], before: Callable[[], object], turns: int) -> float:
    """The median of some looks, µs."""
    found = []
    for _ in range(turns):
        before()
        began = time.perf_counter()
        look()
        found.append((time.perf_counter() - began) * 1e6)
    return statistics.median(found)
