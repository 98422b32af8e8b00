"""Metrics that are counted: a few cells of a sheet for each request.

    metrics = Counted(folder, clock)
    metrics.begin()
    metrics.done("/get-online-features", 200, 0.0004)

In figures: about half a microsecond for a request, and as much for each view in its answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

from gnomon.clock import Clock, SystemClock
from gnomon.flows.exposition import exposition
from gnomon.server.metrics.sheet import IN_FLIGHT, Sheet, numbers
from gnomon.server.metrics.told import BOUNDS, BUCKETS, HITS, MISSES, NEWEST, SUM, VIEW_CELLS, families

__all__ = ["Counted"]


class Counted:
    """Metrics of one worker, beside those of the others.

    Args:
        folder: where the sheets of all workers of this server are.
        clock: says what time it is.
        closing: what is called when it is closed.

    Raises:
        BackendError: it cannot be written.
    """

    def __init__(self, folder: Path, clock: Clock | None = None, closing: Callable[[], object] | None = None) -> None:
        self._folder, self._clock, self._closing = folder, clock or SystemClock(), closing
        self._sheet = Sheet(folder)
        self._cells = self._sheet.cells
        self._requests: dict[tuple[str, int], tuple[int, int]] = {}
        self._views: dict[str, int] = {}
        self._services: dict[str, int] = {}
        self._logged: dict[str, tuple[int, int, int]] = {}

    def begin(self) -> None:
        """As the contract says."""
        self._cells[IN_FLIGHT] += 1

    def done(self, route: str, status: int, seconds: float) -> None:
        """As the contract says."""
        cells = self._cells
        found = self._requests.get((route, status))
        count, times = found if found is not None else self._new_request(route, status)
        cells[IN_FLIGHT] -= 1
        cells[count] += 1
        cells[times + bisect_left(BOUNDS, seconds)] += 1
        cells[times + SUM] += int(seconds * 1e9)

    def served(self, view: str, entities: int, absent: int, seconds: float, newest: int | None) -> None:
        """As the contract says."""
        cells = self._cells
        at = self._views.get(view)
        if at is None:
            at = self._views[view] = self._sheet.block(("view", view), VIEW_CELLS)
        cells[at + HITS] += entities - absent
        cells[at + MISSES] += absent
        cells[at + bisect_left(BOUNDS, seconds)] += 1
        cells[at + SUM] += int(seconds * 1e9)
        if newest is not None and newest > cells[at + NEWEST]:
            cells[at + NEWEST] = newest

    def cached(self, service: str, hit: bool) -> None:
        """As the contract says."""
        at = self._services.get(service)
        if at is None:
            at = self._services[service] = self._sheet.block(("cache", service), 2)
        self._cells[at + (not hit)] += 1

    def logged(self, service: str, written: int, dropped: int, failed: int) -> None:
        """As the contract says; what this sheet said before, of a worker that is gone, stays."""
        at, now = self._sheet.block(("logged", service), 3), (written, dropped, failed)
        for place, (new, old) in enumerate(zip(now, self._logged.get(service, (0, 0, 0)), strict=True)):
            self._cells[at + place] += new - old
        self._logged[service] = now

    def text(self) -> str:
        """As the contract says."""
        return exposition(families(numbers(self._folder), self._clock.now()))

    def close(self) -> None:
        """Count no more; what was counted stays, for the other workers to tell."""
        self._sheet.close()
        if self._closing is not None:
            self._closing()

    def _new_request(self, route: str, status: int) -> tuple[int, int]:
        count = self._sheet.block(("requests", route, str(status)), 1)
        found = self._requests[route, status] = count, self._sheet.block(("route", route), BUCKETS + 1)
        return found
