"""How the demo speaks: a line when something is done, and on a terminal a bar while it is being done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Teller"]


class Teller:
    """Prints lines, and times steps, one at a time: a terminal has room for one bar.

    Args:
        quiet: print and show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self.seconds: dict[str, float] = {}

    def say(self, text: str = "") -> None:
        """Print a line, at once even through a pipe."""
        if not self._quiet:
            print(text, flush=True)

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Callable[[], object]]:
        """Time a step; gives a function to call after each of its `total` parts, if it has parts."""
        began = time.perf_counter()
        with self._bar(name, total) as advance:
            yield advance
        self.seconds[name] = round(time.perf_counter() - began, 3)

    @contextmanager
    def _bar(self, name: str, total: int | None) -> Iterator[Callable[[], object]]:
        if self._quiet or not sys.stderr.isatty():
            yield lambda: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(name, total=total)
            yield lambda: bars.advance(task)
