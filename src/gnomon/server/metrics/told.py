"""What the sheets of all workers say together, as families of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from gnomon.flows.exposition import Family, Sample
from gnomon.server.metrics.sheet import Block, Numbers

__all__ = ["BOUNDS", "BUCKETS", "HITS", "MISSES", "NEWEST", "SUM", "VIEW_CELLS", "families"]

BOUNDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of times, seconds; one more bucket has what took longer."""
BUCKETS = len(BOUNDS) + 1
SUM = BUCKETS
"""After the buckets of a histogram comes the sum, ns."""
HITS, MISSES, NEWEST = SUM + 1, SUM + 2, SUM + 3
"""After the histogram of a view come entities found, entities without a row, and the latest event time (µs)."""
VIEW_CELLS = NEWEST + 1

Counts = Mapping[Block, Sequence[int]]


def families(sheets: Iterable[Numbers], now: int) -> Iterator[Family]:
    """All that was counted.

    Args:
        sheets: what the workers' sheets say.
        now: the instant, µs.
    """
    found = list(sheets)
    counts = _together(found)
    requests = [(route, status, cells[0]) for (route, status), cells in _of(counts, "requests")]
    views = [(view, cells) for (view,), cells in _of(counts, "view")]
    services = [(service, cells) for (service,), cells in _of(counts, "cache")]
    yield Family(
        "gnomon_requests_total",
        "counter",
        "Requests that have ended.",
        [Sample(count, {"route": route, "status": status}) for route, status, count in requests],
    )
    yield Family("gnomon_errors_total", "counter", "Requests that ended in an error.", list(_errors(requests)))
    times = [sample for (route,), cells in _of(counts, "route") for sample in _histogram({"route": route}, cells)]
    yield Family("gnomon_request_seconds", "histogram", "How long requests took.", times)
    flying = [Sample(sum(one.in_flight for one in found))]
    yield Family("gnomon_requests_in_flight", "gauge", "Requests that have not ended.", flying)
    yield Family("gnomon_workers", "gauge", "Processes that answer.", [Sample(sum(one.alive for one in found))])
    times = [sample for view, cells in views for sample in _histogram({"view": view}, cells)]
    yield Family("gnomon_view_seconds", "histogram", "How long requests took that asked for the view.", times)
    for name, cell, words in (
        ("hits", HITS, "Entities that were asked for and had a row."),
        ("misses", MISSES, "Entities that were asked for and had no row."),
    ):
        samples = [Sample(cells[cell], {"view": view}) for view, cells in views]
        yield Family(f"gnomon_view_{name}_total", "counter", words, samples)
    ages = [Sample((now - cells[NEWEST]) / 1e6, {"view": view}) for view, cells in views if cells[NEWEST]]
    yield Family("gnomon_view_staleness_seconds", "gauge", "Since the latest event time among rows served.", ages)
    for cell, name in enumerate(("hits", "misses")):
        samples = [Sample(cells[cell], {"service": service}) for service, cells in services]
        yield Family(f"gnomon_cache_{name}_total", "counter", f"Cache {name} of feature services.", samples)
    logged = [(service, cells) for (service,), cells in _of(counts, "logged")]
    for cell, name in enumerate(("written", "dropped", "failed")):
        samples = [Sample(cells[cell], {"service": service}) for service, cells in logged]
        yield Family(f"gnomon_served_rows_{name}_total", "counter", f"Rows of served-row logs: {name}.", samples)


def _together(sheets: Iterable[Numbers]) -> Counts:
    """The numbers of all sheets added up; of latest event times the latest."""
    found: dict[Block, list[int]] = {}
    for sheet in sheets:
        for block, cells in sheet.blocks.items():
            so_far = found.get(block)
            if so_far is None:
                found[block] = list(cells)
                continue
            newest = max(so_far[NEWEST], cells[NEWEST]) if block[0] == "view" else 0
            found[block] = [one + other for one, other in zip(so_far, cells, strict=True)]
            if newest:
                found[block][NEWEST] = newest
    return found


def _of(counts: Counts, kind: str) -> list[tuple[tuple[str, ...], Sequence[int]]]:
    return [(tuple(block[1:]), counts[block]) for block in sorted(counts) if block[0] == kind]


def _errors(requests: Iterable[tuple[str, str, int]]) -> Iterator[Sample]:
    """Requests with a status from 400 on, by whose fault it was."""
    found: dict[tuple[str, str], int] = {}
    for route, status, count in requests:
        if int(status) >= 400:
            key = route, "server" if int(status) >= 500 else "client"
            found[key] = found.get(key, 0) + count
    for (route, whose), count in found.items():
        yield Sample(count, {"route": route, "fault": whose})


def _histogram(labels: Mapping[str, str], cells: Sequence[int]) -> Iterator[Sample]:
    up_to = list(accumulate(cells[:BUCKETS]))
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), up_to, strict=True):
        yield Sample(count, {**labels, "le": bound}, "_bucket")
    yield Sample(cells[SUM] / 1e9, labels, "_sum")
    yield Sample(up_to[-1], labels, "_count")
