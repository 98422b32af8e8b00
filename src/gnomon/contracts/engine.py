"""The engine: reads sources and answers point-in-time questions over tables. Arrow in, Arrow out.

An engine runs the plan it is given (`gnomon.plan.as_of`); it has no as-of rule, tie rule or ttl rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gnomon.definitions.sources import FileSource, Source

if TYPE_CHECKING:
    import pyarrow as pa

    from gnomon.core.expressions import TypedExpression
    from gnomon.plan.questions import EventsQuestion, LoadQuestion, LogPrefix, TrainingQuestion

__all__ = ["Engine", "EngineCapabilities", "Lags", "SourceFile"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source, as it was when it was looked at.

    Args:
        path: the absolute path.
        size: in bytes.
        modified: modification time, ns since the epoch.
    """

    path: str
    size: int
    modified: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lags:
    """How long after they happened rows were known: known time − event time, in µs.

    Args:
        rows: how many rows have both times.
        timeless: how many have no known time of their own.
        quantiles: one per share asked for, each a lag that a row has; empty where no row has both times.
        longest: the greatest lag; None where no row has both times.
        negative: how many rows are dated after they were known.
    """

    rows: int
    timeless: int = 0
    quantiles: tuple[int, ...] = ()
    longest: int | None = None
    negative: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCapabilities:
    """What an engine can do, asked by flows and shown in the docs.

    Args:
        sql: it understands SQL text as a spine.
        spills: it goes on on disk where memory ends.
    """

    sql: bool
    spills: bool


class Engine(Protocol):
    """Reads sources and answers point-in-time questions.

    Every method that reads a source raises `SourceError` when files are missing, broken or lack a column, naming the
    source, the file and what it has.
    """

    capabilities: EngineCapabilities

    def schema(self, source: FileSource) -> pa.Schema:
        """The columns of a source, after its field mapping, with their Arrow types."""
        ...

    def files(self, source: FileSource) -> tuple[SourceFile, ...]:
        """The files a source consists of right now, ordered by path."""
        ...

    def table(self, query: str) -> pa.Table:
        """The result of a SQL query, or the rows of a Parquet or CSV path: a spine as the caller wrote it.

        Raises:
            RequestError: it is no SQL, or reads what is not there.
        """
        ...

    def training_set(self, spine: pa.Table, question: TrainingQuestion) -> pa.RecordBatchReader:
        """The features asked, one row per row of the spine, in its order; the spine's own columns are not in it."""
        ...

    def instants(self, keys: pa.Table, question: TrainingQuestion, start: int, end: int) -> pa.Table:
        """The keys' rows repeated for `start` and for every instant in (start, end] at which an answer may change.

        The instants stand in the question's instant column, as int64 µs; rows are ordered by key row, then instant.
        """
        ...

    def load(self, question: LoadQuestion) -> pa.RecordBatchReader:
        """The rows to materialize: join keys, `__event`, `__known` (int64 µs), then the view's columns."""
        ...

    def events(self, question: EventsQuestion) -> pa.RecordBatchReader:
        """A view's events by join keys, then event time, then known time; those without a key or a time left out.

        Columns, as `gnomon.plan.events` names them: the join keys; `__event`, `__known` (int64 µs); `__id` and
        `__gone` (a delete) where the source has ids and operations; what the view looks at; `where:…`, whether that
        condition of an aggregation is true; and, where places are asked for, `__file` and `__row` (from 0), or
        `__position`, and whatever else a log says of an event in columns that begin with two underscores.
        """
        ...

    def lags(self, source: Source, shares: Sequence[float], events: LogPrefix | None = None) -> Lags:
        """How late a source's rows were known: of files with a column of known times, or of a log's events.

        A quantile is the smallest lag that at least such a share of rows does not exceed.
        """
        ...

    def keys(self, question: EventsQuestion, count: int, seed: int) -> pa.Table:
        """So many different keys of a view's rows, or all if they are fewer, drawn at random: the same for a seed.

        Columns: the join keys, in their types; no part of a key is null. Of the question, `keys` and `places` do not
        matter.
        """
        ...

    def evaluator(self, expressions: Mapping[str, TypedExpression]) -> Callable[[pa.Table], pa.Table]:
        """What computes expressions over tables of their columns: a column for each, in their own types, row by row.

        It may be called from one thread at a time, any number of times; what it holds goes with it.
        """
        ...

    def together(self) -> AbstractContextManager[None]:
        """Within it, small questions of this thread may share what is costly to set up; none of it stays."""
        ...

    def relation(self, table: pa.Table, connection: Any = None) -> Any:
        """The table as the engine's own kind of relation, of the caller's connection or of a new one."""
        ...

    def close(self) -> None:
        """Release memory, temporary files and connections; closing twice is fine."""
        ...
