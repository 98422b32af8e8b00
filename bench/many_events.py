"""100M events of 100k keys, zipf, 6M of them of one: windows of 1h, 24h, 7d and 30d for 1M rows, in bounded memory.

It takes some minutes and 6 GB of disk, so it runs only when it is named; its data is deleted afterwards.

    python -m bench many_events
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.data import events, spine
from bench.measure import Figure, in_its_own_process
from bench.table import Row
from bench.windows_asked import asked

COUNT = 100_000_000
LIMIT = "500MB"


def rows() -> Iterator[Row]:
    """With all hindsight, and with none where a fifth of the events is late."""
    made = events(COUNT)
    assert spine("zipf").exists()
    try:
        for as_known, share in (("now", "0"), ("then", "20")):
            taken = in_its_own_process("bench.many_events:ours", as_known, share)
            yield Row(
                figure=f'100M events, the six over four windows, "{as_known}", {share} % late',
                gnomon=f"{taken.wall:.0f} s",
                cpu=f"{taken.cpu:.0f}",
                peak=f"{taken.peak:,.0f}",
                budget="< 2,048 MiB",
            )
    finally:
        made.unlink()


def ours(as_known: str, share: str) -> Figure:
    return asked("plain", share, COUNT, as_known, limit=LIMIT, keep=False)
