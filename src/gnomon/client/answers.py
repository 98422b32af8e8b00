"""What comes back: features as columns, and what became of a push."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gnomon.errors import MissingExtra, RequestError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["HistoricalFeatures", "OnlineFeatures", "Pushed", "arrow_table", "needs_pyarrow"]

STATUS, INSTANT, KNOWN = "__status", "__ts", "known_through"
"""How columns of an Arrow answer are called that are no features."""
NEVER = "1970-01-01T00:00:00Z"
"""What stands, as Feast has it, for the instant of what never happened."""
_FLOATS = ("NaN", "Infinity", "-Infinity")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineFeatures:
    """Features of some entities, column by column: join keys first, then features in the order asked.

    Values are as JSON has them (instants are seconds since 1970, bytes base64, NaN is "NaN"); in an answer that was
    asked for as Arrow they are as Arrow has them.

    Args:
        columns: a list of values per column.
        statuses: a list of statuses per feature: `PRESENT`, `NULL_VALUE`, `NOT_FOUND`, `OUTSIDE_MAX_AGE` or `INVALID`;
            empty if `lean` was asked for.
        event_timestamps: for each feature, when the row it comes from happened; empty if `lean` was asked for.
        request_id: what the server's log calls the question.
        through: for each entity what its answer knew.
        table: the answer as it came, if it came as Arrow.
    """

    columns: Mapping[str, list[Any]]
    statuses: Mapping[str, list[str]] = field(default_factory=dict)
    event_timestamps: Mapping[str, list[datetime | str | None]] = field(default_factory=dict)
    request_id: str | None = None
    through: Sequence[str] | None = None
    table: pa.Table | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __repr__(self) -> str:
        return f"OnlineFeatures({len(self)} entities: {', '.join(self.columns)})"

    @property
    def known_through(self) -> Sequence[str]:
        """For each entity what its answer knew, as `as_known` of a training question takes it.

        Raises:
            RequestError: it was not asked for.
        """
        if self.through is None:
            raise RequestError(
                "what this answer knew was not asked for.", hint="get_online_features(…, known_through=True)."
            )
        return self.through

    def to_dict(self, include_event_timestamps: bool = False, include_statuses: bool = False) -> dict[str, list[Any]]:
        """A list per column.

        Args:
            include_event_timestamps: for each feature `f` also `f__ts`, when its row happened.
            include_statuses: for each feature `f` also `f__status`.
        """
        made = {name: list(column) for name, column in self.columns.items()}
        if include_event_timestamps:
            made |= {f"{name}{INSTANT}": list(column) for name, column in self.event_timestamps.items()}
        if include_statuses:
            made |= {f"{name}{STATUS}": list(column) for name, column in self.statuses.items()}
        return made

    def rows(self) -> list[dict[str, Any]]:
        """A dict per entity."""
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]

    def to_arrow(self) -> pa.Table:
        """The same columns as an Arrow table; types are the features' own if it was asked for with `arrow=True`.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        needs_pyarrow()
        import pyarrow as pa

        if self.table is not None:
            return self.table.select(list(self.columns))
        return pa.table({name: _with_floats(column) for name, column in self.columns.items()})

    def to_df(self) -> pd.DataFrame:
        """The same columns as a pandas frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        if self.table is not None:
            frame: pd.DataFrame = self.to_arrow().to_pandas()
            return frame
        return _frame({name: _with_floats(column) for name, column in self.columns.items()})

    @classmethod
    def of_document(cls, document: Mapping[str, Any], keys: Iterable[str], request_id: str | None) -> OnlineFeatures:
        """An answer from its JSON document.

        Args:
            document: as Feast has it.
            keys: the columns that were asked about, which are no features.
            request_id: what the question is called.
        """
        metadata, mine = document["metadata"], set(keys)
        parts = dict(zip(metadata["feature_names"], document["results"], strict=True))
        features = {name: one for name, one in parts.items() if name not in mine and "statuses" in one}
        return cls(
            columns={name: one["values"] for name, one in parts.items()},
            statuses={name: one["statuses"] for name, one in features.items()},
            event_timestamps={name: _instants(one) for name, one in features.items()},
            request_id=request_id,
            through=metadata.get(KNOWN),
        )

    @classmethod
    def of_arrow(cls, body: bytes, request_id: str | None) -> OnlineFeatures:
        """An answer from its Arrow stream."""
        table = arrow_table(body)
        names = table.column_names
        beside = {KNOWN} | {f"{name}{end}" for name in names for end in (STATUS, INSTANT)}
        shown = [name for name in names if name not in beside]

        def ending(end: str) -> dict[str, list[Any]]:
            return {one: table[f"{one}{end}"].to_pylist() for one in shown if f"{one}{end}" in names}

        return cls(
            columns={name: table[name].to_pylist() for name in shown},
            statuses=ending(STATUS),
            event_timestamps=ending(INSTANT),
            request_id=request_id,
            through=table[KNOWN].to_pylist() if KNOWN in names else None,
            table=table,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricalFeatures:
    """A training set.

    Args:
        columns: a list per column, if it came as JSON.
        table: the same, if it came as Arrow.
        metadata: what is needed to ask again.
    """

    columns: Mapping[str, list[Any]] | None = None
    table: pa.Table | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        if self.table is not None:
            return int(self.table.num_rows)
        return len(next(iter((self.columns or {}).values()), ()))

    def to_dict(self) -> dict[str, list[Any]]:
        """A list per column."""
        if self.table is not None:
            return dict(self.table.to_pydict())
        return {name: list(column) for name, column in (self.columns or {}).items()}

    def to_arrow(self) -> pa.Table:
        """The same as an Arrow table.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        needs_pyarrow()
        import pyarrow as pa

        if self.table is not None:
            return self.table
        return pa.table({name: _with_floats(column) for name, column in (self.columns or {}).items()})

    def to_df(self) -> pd.DataFrame:
        """The same as a pandas frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        if self.table is not None:
            frame: pd.DataFrame = self.table.to_pandas()
            return frame
        return _frame({name: _with_floats(column) for name, column in (self.columns or {}).items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What became of a push.

    Args:
        source: the push source.
        appended: how many events entered the log.
        rejected: how many did not.
        duplicate: whether all of it was there before.
        rejections: the first rows rejected, each `{"row": …, "reason": …}`.
        first: the position of the first event appended.
        last: the position of the last one.
        known: from which instant (µs) the first event counts as known.
        online: how far each view of the source is online.
    """

    source: str
    appended: int
    rejected: int
    duplicate: bool = False
    rejections: Sequence[Mapping[str, Any]] = ()
    first: int = 0
    last: int = 0
    known: int = 0
    online: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Pushed:
        """A report from its JSON document."""
        return cls(**{one.name: document[one.name] for one in fields(cls) if one.name in document})


def arrow_table(body: bytes) -> pa.Table:
    """The table in an Arrow stream."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.BufferReader(body)) as reader:
        return reader.read_all()


def needs_pyarrow() -> None:
    """See that pyarrow is there.

    Raises:
        MissingExtra: it is not.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingExtra(package="pyarrow", extra="client", purpose="an answer as an Arrow table") from error


def _frame(columns: Mapping[str, list[Any]]) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra(package="pandas", extra="pandas", purpose="an answer as a frame") from error
    return pd.DataFrame(dict(columns))


def _with_floats(column: list[Any]) -> list[Any]:
    """A column of numbers with those that JSON has no word for; one of texts as it is.

    >>> _with_floats([0.5, "Infinity", None]), _with_floats(["NaN", "Tilda"])
    ([0.5, inf, None], ['NaN', 'Tilda'])
    """
    numbers = any(isinstance(one, float) for one in column)
    if not numbers or not all(one is None or isinstance(one, (int, float)) or one in _FLOATS for one in column):
        return column
    return [float(one) if isinstance(one, str) else one for one in column]


def _instants(part: Mapping[str, Any]) -> list[datetime | str | None]:
    return [None if said == NEVER else _instant(said) for said in part["event_timestamps"]]


def _instant(said: str) -> datetime | str:
    try:
        return datetime.fromisoformat(said)
    except ValueError:  # of a year that datetime has not
        return said
