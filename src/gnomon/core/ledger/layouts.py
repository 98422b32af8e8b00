"""What a summary keeps of each chunk, column by column: by the aggregations that a shape has.

Of each lane it is the number of events; of a lane of numbers the sum and the extremes, too; other aggregations keep
their states. Those that look at a few events at an end of the window need no more than the numbers of events.
"""

from __future__ import annotations

from gnomon.core.aggregations import Function
from gnomon.core.aggregations.counting import Count
from gnomon.core.aggregations.extremes import Max, Min
from gnomon.core.aggregations.ordered import First, FirstN, Last, LastN
from gnomon.core.aggregations.summing import Mean, Sum
from gnomon.core.ledger.shape import Job, Lane, Shape

__all__ = ["PARTS", "Layout", "is_numeric", "is_placed", "keeps_state", "layout_of"]

PARTS = 3
"""A sum of floats is kept as so many."""


class Layout:
    """Which columns a shape's summary has.

    Args:
        shape: the shape.

    Attributes:
        numeric: lanes of which sums and extremes are kept.
        stateful: jobs that keep a state.
        codes: the type of each column, "q" or "d".
    """

    FIRST, LAST, CHUNK = range(3)

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.numeric = tuple(dict.fromkeys(shape.lane(job) for job in shape.jobs if is_numeric(shape, job)))
        self.stateful = tuple(job for job in dict.fromkeys(shape.jobs) if keeps_state(shape, job))
        self.codes = ["q", "q", "q"]
        self._counts: dict[Lane, int] = {}
        self._numbers: dict[Lane, int] = {}
        for lane in shape.lanes:
            self._counts[lane] = len(self.codes)
            self.codes.append("q")
        for lane in self.numeric:
            self._numbers[lane] = len(self.codes)
            self.codes += ["q", *(["d"] * (PARTS + 2) if lane.real else ["q"] * 4)]
        self.lengths = len(self.codes)
        self.codes += ["q"] * len(self.stateful)

    def count(self, lane: Lane) -> int:
        """The column of how many events are in a lane."""
        return self._counts[lane]

    def wide(self, lane: Lane) -> int:
        """The column that says whether a chunk is too wide in a lane."""
        return self._numbers[lane]

    def sums(self, lane: Lane) -> range:
        """The columns whose sum is the sum of a lane: floats; or multiples of 2^32, and ones."""
        start = self._numbers[lane] + 1
        return range(start, start + (PARTS if lane.real else 2))

    def extremes(self, lane: Lane) -> tuple[int, int]:
        """The columns of the least and of the greatest number."""
        start = self.sums(lane).stop
        return start, start + 1

    def state(self, job: Job) -> int:
        """The place of a job's states."""
        return self.stateful.index(job)


def layout_of(shape: Shape) -> Layout:
    """The layout of a shape's summaries; made once."""
    found = shape.__dict__.get("summary_layout")
    if found is None:
        found = shape.__dict__["summary_layout"] = Layout(shape)
    return found


def is_numeric(shape: Shape, job: Job) -> bool:
    """Whether a job is answered from sums and extremes."""
    lane = shape.lane(job)
    return lane.place is not None and (lane.real or lane.whole) and isinstance(job.function, (Sum, Mean, Min, Max))


def is_placed(function: Function) -> bool:
    """Whether a function looks at the first or the last few events only."""
    return isinstance(function, (First, Last, FirstN, LastN))


def keeps_state(shape: Shape, job: Job) -> bool:
    """Whether a job needs a state per chunk."""
    return not (isinstance(job.function, Count) or is_numeric(shape, job) or is_placed(job.function))
