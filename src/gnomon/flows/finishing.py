"""What stands between an engine's answers and a training set: defaults put in, on-demand features computed.

Batch by batch, as they come: a training set of any size needs the memory of one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.contracts.engine import Engine
from gnomon.core.columns import as_numpy, as_python, of_integers
from gnomon.core.outputs import Misfit
from gnomon.core.requests import cast_requests
from gnomon.errors import RequestError
from gnomon.flows.computing import Ready, Rows
from gnomon.flows.expressing import Expressing
from gnomon.flows.responses import Status
from gnomon.flows.spine import Spine
from gnomon.plan.questions import Computation, Meaning
from gnomon.types import FeatureType, to_arrow

__all__ = ["Finishing", "finishing_of"]

PIECE = 16_384
"""So many rows are computed at once: their values are Python objects for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finishing:
    """What is done to the answers of a question.

    Args:
        meaning: what the question means.
        ready: its computations.
        engine: computes expressions.
        given: the request's values, cast, by name.
        rows: how many rows are asked.
        telling: the columns by which a message names a row.
        strict: whether a row that cannot be computed is an error.
        statuses: whether statuses of the computed features follow, feature by feature, as an online answer has them.
    """

    meaning: Meaning
    ready: tuple[Ready, ...]
    engine: Engine
    given: Mapping[str, pa.Array]
    rows: int
    telling: Mapping[str, pa.ChunkedArray]
    strict: bool
    statuses: bool = False

    def over(self, answers: pa.RecordBatchReader | None) -> pa.RecordBatchReader:
        """The training set's features.

        Args:
            answers: what was fetched; None where nothing is.
        """
        run = _Run(self)
        return pa.RecordBatchReader.from_batches(run.schema, run.batches(answers))


class _Run:
    """One stream of a training set's features, on its way.

    Args:
        finishing: what is done to them.
    """

    def __init__(self, finishing: Finishing) -> None:
        self._of, meaning = finishing, finishing.meaning
        self._types, self._defaults = dict(_types(meaning)), dict(_defaults(meaning))
        self._expressing = [Expressing.of(one, finishing.engine) for one in meaning.computed]
        self._said = [name for one in meaning.computed for _, name in one.features] if finishing.statuses else []
        self._said = [name for name in meaning.order if name in self._said]
        fields = [(name, to_arrow(self._types[name])) for name in meaning.order]
        self.schema = pa.schema([*fields, *((f"{name}__status", pa.string()) for name in self._said)])

    def batches(self, answers: pa.RecordBatchReader | None) -> Iterator[pa.RecordBatch]:
        """The features, batch by batch."""
        at = 0
        for count, fetched in self._pieces(answers):
            given = {name: column.slice(at, count) for name, column in self._of.given.items()}
            piece = _Piece({**given, **{name: self._filled(name, column) for name, column in fetched.items()}})
            rows = Rows(count, partial(self._told, at), self._of.strict)
            for ready, expressing, computation in zip(
                self._of.ready, self._expressing, self._of.meaning.computed, strict=True
            ):
                self._compute(piece, rows, computation, ready, expressing)
            at += count
            columns = [piece.columns[name] for name in self._of.meaning.order]
            columns += [piece.statuses[name] for name in self._said]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _pieces(self, answers: pa.RecordBatchReader | None) -> Iterator[tuple[int, dict[str, pa.Array]]]:
        """What was fetched, a few rows at a time."""
        if answers is None:
            yield from ((min(PIECE, self._of.rows - at), {}) for at in range(0, self._of.rows, PIECE))
            return
        for batch in answers:
            step = PIECE if self._of.ready else max(len(batch), 1)
            for start in range(0, len(batch), step):
                piece = batch.slice(start, step)
                yield len(piece), dict(zip(piece.schema.names, piece.columns, strict=True))

    def _compute(
        self, piece: _Piece, rows: Rows, computation: Computation, ready: Ready, expressing: Expressing | None
    ) -> None:
        """Put the columns of one computation beside the others."""
        inputs, names = [column for _, column, _ in computation.inputs], [name for _, name in computation.features]
        if expressing is not None:
            expressed = expressing.columns([piece.columns[column] for column in inputs])
            if expressed is not None:
                for name, one in zip(names, expressed, strict=True):
                    self._say(piece, name, one)
                piece.columns |= {name: self._filled(name, one) for name, one in zip(names, expressed, strict=True)}
                return
        made = ready.run([piece.values(column) for column in inputs], rows)
        for place, (name, values) in enumerate(zip(names, made.columns, strict=True)):
            column = pa.array(values, to_arrow(self._types[name]))
            self._say(piece, name, column, [row for row, wrong in (made.invalid or {}).items() if place in wrong])
            piece.columns[name] = self._filled(name, column)

    def _say(self, piece: _Piece, name: str, column: pa.Array, invalid: Iterable[int] = ()) -> None:
        """Keep a computed column's statuses, where they are wanted."""
        if name in self._said:
            found = np.where(as_numpy(column.is_valid()), Status.PRESENT.value, Status.NULL_VALUE.value).astype(object)
            found[list(invalid)] = Status.INVALID.value
            piece.statuses[name] = pa.array(found, pa.string())

    def _filled(self, name: str, column: pa.Array) -> pa.Array:
        """A column with its default where it is null."""
        return _filled(column, self._defaults[name]) if name in self._defaults else column

    def _told(self, at: int, row: int) -> dict[str, Any]:
        """What a row is called in a message."""
        return {name: column[at + row].as_py() for name, column in self._of.telling.items()}


class _Piece:
    """Some rows' columns; as Python values, too, once these are asked for."""

    def __init__(self, columns: dict[str, pa.Array]) -> None:
        self.columns = columns
        self.statuses: dict[str, pa.Array] = {}
        self._lists: dict[str, list[Any]] = {}

    def values(self, name: str) -> list[Any]:
        """A column's values in Python, instants as µs."""
        if name not in self._lists:
            self._lists[name] = as_python(self.columns[name])
        return self._lists[name]


def finishing_of(
    meaning: Meaning, spine: Spine, engine: Engine, telling: Iterable[str], strict: bool
) -> Finishing | None:
    """What is to be done to a question's answers; None where nothing is.

    Args:
        meaning: what the question means.
        spine: the rows asked.
        engine: computes expressions.
        telling: the spine's columns by which a message names a row.
        strict: whether a row that cannot be computed is an error.

    Raises:
        RequestError: a value that comes with the question is not there, or is none of its type.
        DefinitionError: a function is not there, or is no longer what was registered.
    """
    if not meaning.computed and not any(True for _ in _defaults(meaning)):
        return None
    return Finishing(
        meaning=meaning,
        ready=tuple(map(Ready.of, meaning.computed)),
        engine=engine,
        given={one.name: _given(spine, one.name, one.dtype, one.view) for one in meaning.given},
        rows=spine.rows,
        telling={name: column for name in telling if (column := spine.columns.get(name)) is not None},
        strict=strict,
    )


def _given(spine: Spine, name: str, dtype: FeatureType, view: str) -> pa.Array:
    column = spine.column(name, f"which on-demand view {view!r} takes from the request")
    try:
        return cast_requests(column, dtype)
    except Misfit as wrong:
        said, row = wrong.args
        raise RequestError(
            f"the spine's column {name!r}, which on-demand view {view!r} takes from the request, row {row}: {said}.",
            hint=f"it holds values of type {dtype}: cast the column.",
            column=name,
            view=view,
            row=row,
        ) from None


def _types(meaning: Meaning) -> Iterator[tuple[str, FeatureType]]:
    """The types of all columns that are fetched or computed."""
    for part in meaning.parts:
        dtypes = {one.name: one.dtype for one in part.view.schema}
        yield from ((name, dtypes[feature]) for feature, name in part.features)


def _defaults(meaning: Meaning) -> Iterator[tuple[str, Any]]:
    """The defaults of those that have one, as columns hold them."""
    for part in meaning.parts:
        found = {one.name: one.standing_in for one in part.view.schema if one.default is not None}
        yield from ((name, found[feature]) for feature, name in part.features if feature in found)


def _filled(column: pa.Array, default: Any) -> pa.Array:
    """A column with its default where it is null; by taking, as Arrow fills no lists."""
    if not column.null_count:
        return column
    both = pa.concat_arrays([column, pa.array([default], column.type)])
    places = np.where(as_numpy(column.is_null()), len(column), np.arange(len(column)))
    return both.take(of_integers(places))
