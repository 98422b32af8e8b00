"""Questions as values: what an engine is asked, with every name resolved and every instant in µs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gnomon.clock import MAX_MICROS
from gnomon.definitions.on_demand import OnDemandFeatureView, RequestSource
from gnomon.definitions.views import FeatureView
from gnomon.types import FeatureType

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "NO_ROWS",
    "AsKnown",
    "Computation",
    "EventsQuestion",
    "GivenValue",
    "LoadQuestion",
    "LogPrefix",
    "Meaning",
    "Through",
    "TrainingQuestion",
    "ViewQuestion",
]

AsKnown = Literal["now", "then"] | int
"""How much hindsight is allowed: all of it, none row by row, or what was known by an instant (µs)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogPrefix:
    """The events of a log up to a position, taken at one moment: what comes later is not in it.

    Args:
        files: Parquet files (absolute paths), which are never changed; the last one may hold events beyond `position`.
        tail: the events after those in files; None where there are none.
        position: the last event's position; 0 where there is none.
    """

    files: tuple[str, ...] = ()
    tail: pa.Table | None = None
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """What an online answer had of a view's rows; the others do not count when it is held against history.

    Args:
        position: the last position of the log that was applied; None where no event of a log was.
        end: rows of files count that happened at or before this instant (µs); None for no bound.
        known: rows of files count that were known at or before this instant (µs); None for no bound.
    """

    position: int | None = None
    end: int | None = None
    known: int | None = None


NO_ROWS = Through(position=0, end=-MAX_MICROS, known=-MAX_MICROS)
"""What an answer has of a view that was never loaded: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewQuestion:
    """One view's part in a question.

    Args:
        view: the view, with schema and key types resolved.
        columns: the spine's columns that hold its join keys, in the view's order.
        features: (feature, name in the answer) for each feature asked.
    """

    view: FeatureView
    columns: tuple[str, ...]
    features: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenValue:
    """A value that comes with the question: a column of the spine, or of an online request.

    Args:
        name: the column.
        dtype: its type.
        view: the on-demand view that looks at it, for errors.
    """

    name: str
    dtype: FeatureType
    view: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Computation:
    """An on-demand view's part in a question.

    Args:
        view: the view.
        inputs: (what the view calls it, the column that has it, its type) for each input, in the view's order.
        features: (feature, name of its column) for each feature wanted.
    """

    view: OnDemandFeatureView
    inputs: tuple[tuple[str, str, FeatureType], ...]
    features: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a question means: what is fetched, what comes with it, what is computed of both, and what is answered.

    Args:
        views: what is fetched, view by view; columns that begin with two underscores are for computations only.
        computed: what is computed, each after what it is computed of.
        given: what comes with the question.
        order: names of the answer's columns, in order.
    """

    views: tuple[ViewQuestion, ...]
    computed: tuple[Computation, ...] = ()
    given: tuple[GivenValue, ...] = ()
    order: tuple[str, ...] = ()

    @property
    def unused(self) -> tuple[str, ...]:
        """What request sources of the views computed have, and nobody looks at: it may come with a request."""
        sources = (source for one in self.computed for source in one.view.sources if isinstance(source, RequestSource))
        names = dict.fromkeys(field.name for source in sources for field in source.schema)
        return tuple(name for name in names if name not in {one.name for one in self.given})

    @property
    def parts(self) -> tuple[ViewQuestion | Computation, ...]:
        """What is fetched and what is computed."""
        return (*self.views, *self.computed)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingQuestion:
    """The features of every row of a spine, each at its own instant.

    Args:
        views: the parts, one per view or projection.
        order: names of the answer's columns, in order.
        instant: the spine's column of instants, int64 µs.
        as_known: how much hindsight is allowed.
        files: of a source, by name, the only files (absolute paths) that count; sources left out count whole.
        strict: whether a value that its type cannot hold is an error, not a null.
        logs: of a push source, by name, the events that count; all of a question see the same.
        through: of a view, by its id, the only rows that count, whatever else `as_known` says; of the other views all.
    """

    views: tuple[ViewQuestion, ...]
    order: tuple[str, ...]
    instant: str
    as_known: AsKnown
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strict: bool = False
    logs: Mapping[str, LogPrefix] = field(default_factory=dict)
    through: Mapping[str, Through] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadQuestion:
    """The rows of one view that the online store should have.

    Args:
        view: the view, with schema and key types resolved.
        start: only rows that happened or became known after this instant (µs); None for all.
        end: only rows that happened at or before this instant (µs).
        known: only rows known at or before this instant (µs).
        now: of a key's rows usable by this instant (µs), only the latest is wanted; of the others, all.
        files: only these files of the source (absolute paths), rows of any age; None for all files.
        logs: of a push source, by name, the events that count.
    """

    view: FeatureView
    start: int | None
    end: int
    known: int
    now: int
    files: tuple[str, ...] | None = None
    logs: Mapping[str, LogPrefix] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventsQuestion:
    """The events of one view as they are: all versions, deletes included, nothing left out and nothing aggregated.

    Args:
        view: the view, with schema and key types resolved.
        logs: of a push source, by name, the events that count.
        end: only rows of files that happened at or before this instant (µs); a log is bounded by its prefix.
        known: only rows of files known at or before this instant (µs).
        keys: only events of these: a table of the join keys, in their types; None for all.
        files: of a source, by name, the only files (absolute paths) that count; sources left out count whole.
        places: whether each event says where it is: file and row, or position in the log.
    """

    view: FeatureView
    logs: Mapping[str, LogPrefix] = field(default_factory=dict)
    end: int | None = None
    known: int | None = None
    keys: pa.Table | None = None
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    places: bool = False
