"""The events behind one answer: those that may have to do with it, one by one, and where each of them is.

They come from the very files and logs that the answer came from. What lies far from the window is only counted; but of
an event that is near, all versions are looked at, wherever they lie.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.contracts.engine import Engine
from gnomon.core.aggregations.states import identity
from gnomon.core.columns import as_numpy, as_python
from gnomon.core.windows import FOREVER, Window
from gnomon.definitions.views import FeatureView
from gnomon.flows.wording import place_text
from gnomon.plan.events import EVENT, GONE, ID, KNOWN, PLACES, input_columns
from gnomon.plan.questions import AsKnown, EventsQuestion, Through, TrainingQuestion
from gnomon.plan.reasons import Occurrence
from gnomon.types import from_arrow

__all__ = ["Evidence", "gathered", "near_bounds"]

MOST_ROWS = 1_000
"""Of a row view, so many rows before the one that wins are looked at, and so many after the instant asked."""

Yes = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """The events of one entity that may have to do with an answer.

    Args:
        events: as the engine gives them, with places; by event time.
        occurrences: the same, one by one.
        further: how many others there are.
    """

    events: pa.Table
    occurrences: list[Occurrence]
    further: int

    @property
    def places(self) -> list[str]:
        """Where each event is, in few words."""
        names = [name.removeprefix("__") for name in PLACES]
        rows = (dict(zip(names, row, strict=True)) for row in _places(self.events))
        return [place_text({name: value for name, value in row.items() if value is not None}) for row in rows]


def gathered(engine: Engine, asked: TrainingQuestion, keys: pa.Table, at: int, window: Window | None) -> Evidence:
    """The evidence for the answer to a question about one view, one entity, one instant.

    Args:
        engine: reads events.
        asked: the question.
        keys: the entity: one row of the view's join keys.
        at: the instant, µs.
        window: the feature's window; None of a row view.
    """
    view = asked.views[0].view
    every, hidden = _events(engine, asked, keys)
    near = _near_rows(every, at, asked.as_known) if window is None else _near(every, at, window)
    events = every.filter(pa.array(near))
    return Evidence(
        events=events,
        occurrences=_occurrences(view, events, hidden[near]),
        further=len(every) - len(events),
    )


def near_bounds(window: Window, at: int) -> tuple[int, int]:
    """From which event time on, and before which, events are near: one length of the window beyond its ends."""
    if window.width is None:
        return -FOREVER, FOREVER
    old, new = window.ends(at)
    return max(old - (new - old), -FOREVER), min(new + (new - old), FOREVER)


def _events(engine: Engine, asked: TrainingQuestion, keys: pa.Table) -> tuple[pa.Table, Yes]:
    """The events of an entity, by event time, and which of them the answer did not have."""
    view = asked.views[0].view
    question = EventsQuestion(view=view, logs=asked.logs, keys=keys, files=asked.files, places=True)
    every = engine.events(question).read_all()
    if view.id not in asked.through:
        return every, np.zeros(len(every), np.bool_)
    had = engine.events(_bounded(question, asked.through[view.id])).read_all()
    among = set(_places(had))
    more = every.filter(pa.array([place not in among for place in _places(every)], pa.bool_()))
    hidden = pa.array([False] * len(had) + [True] * len(more), pa.bool_())
    both = pa.concat_tables([had, more]).append_column("hidden", hidden)
    both = both.sort_by([(EVENT, "ascending"), (KNOWN, "ascending")])
    return both.drop_columns(["hidden"]), as_numpy(both["hidden"].combine_chunks())


def _bounded(question: EventsQuestion, through: Through) -> EventsQuestion:
    """The question of what an answer had."""
    logs = {
        name: replace(prefix, position=min(prefix.position, through.position or 0))
        for name, prefix in question.logs.items()
    }
    return replace(question, logs=logs, end=through.end, known=through.known)


def _near(events: pa.Table, at: int, window: Window) -> Yes:
    """Which events are near the window, and which are versions of such."""
    event = as_numpy(events[EVENT].combine_chunks())
    low, high = near_bounds(window, at)
    near: Yes = (event >= low) & (event < high)
    if ID not in events.column_names:
        return near
    ids = events[ID].combine_chunks()
    among = pc.and_(pc.is_valid(ids), pc.is_in(ids, ids.filter(pa.array(near))))
    near |= as_numpy(pc.fill_null(among, False))
    return near


def _near_rows(events: pa.Table, at: int, as_known: AsKnown) -> Yes:
    """Of a row view: which rows may win, and some before and after."""
    event, known = (as_numpy(events[name].combine_chunks()) for name in (EVENT, KNOWN))
    usable = event <= at
    if as_known != "now":
        usable = usable & (known <= (at if as_known == "then" else as_known))
    latest = event[np.flatnonzero(usable)[-1]] if usable.any() else at
    near = np.zeros(len(event), np.bool_)
    first, last = np.searchsorted(event, latest), np.searchsorted(event, at, side="right")
    near[max(int(first) - MOST_ROWS, 0) : int(last) + MOST_ROWS] = True
    return near


def _occurrences(view: FeatureView, events: pa.Table, hidden: Yes) -> list[Occurrence]:
    """Events one by one; row views look at neither ids nor deletes."""
    columns = {one.name: as_python(events[name]) for name, one in input_columns(view).items()}
    versioned = events.column_names if view.aggregations else []
    ids = _ids(events[ID]) if ID in versioned else [None] * len(events)
    gone = events[GONE].to_pylist() if GONE in versioned else [False] * len(events)
    return [
        Occurrence(
            event=event,
            known=known,
            values={name: column[place] for name, column in columns.items()},
            id=ids[place],
            gone=gone[place],
            hidden=bool(hidden[place]),
        )
        for place, (event, known) in enumerate(zip(events[EVENT].to_pylist(), events[KNOWN].to_pylist(), strict=True))
    ]


def _ids(column: pa.ChunkedArray) -> list[Any]:
    dtype = from_arrow(column.type)
    assert dtype is not None, "apply refuses ids of other types"
    return [None if one is None else identity(one, dtype) for one in as_python(column)]


def _places(events: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(events[name].to_pylist() for name in PLACES), strict=True))
