"""What stands between an engine's answers and a training set: defaults put in, on-demand features computed.

Batch by batch, as they come: a training set of any size needs the memory of one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gnomon.core.columns import as_python
from gnomon.core.outputs import Misfit
from gnomon.core.requests import cast_requests
from gnomon.errors import RequestError
from gnomon.flows.computing import Ready, Rows
from gnomon.flows.spine import Spine
from gnomon.plan.questions import Meaning
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
        given: the request's values, cast, by name.
        rows: how many rows are asked.
        telling: the columns by which a message names a row.
        strict: whether a row that cannot be computed is an error.
    """

    meaning: Meaning
    ready: tuple[Ready, ...]
    given: Mapping[str, pa.Array]
    rows: int
    telling: Mapping[str, pa.ChunkedArray]
    strict: bool

    def over(self, answers: pa.RecordBatchReader | None) -> pa.RecordBatchReader:
        """The training set's features.

        Args:
            answers: what was fetched; None where nothing is.
        """
        types = dict(_types(self.meaning))
        schema = pa.schema([(name, to_arrow(types[name])) for name in self.meaning.order])
        return pa.RecordBatchReader.from_batches(schema, self._batches(answers, types, schema))

    def _batches(
        self, answers: pa.RecordBatchReader | None, types: Mapping[str, FeatureType], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        defaults = dict(_defaults(self.meaning))
        at = 0
        for count, columns in self._pieces(answers):
            for name, default in defaults.items():
                if name in columns:
                    columns[name] = _filled(columns[name], default)
            self._compute(columns, types, defaults, at, count)
            at += count
            yield pa.RecordBatch.from_arrays([columns[name] for name in self.meaning.order], schema=schema)

    def _pieces(self, answers: pa.RecordBatchReader | None) -> Iterator[tuple[int, dict[str, pa.Array]]]:
        """What was fetched, a few rows at a time."""
        if answers is None:
            yield from ((min(PIECE, self.rows - start), {}) for start in range(0, self.rows, PIECE))
            return
        for batch in answers:
            step = PIECE if self.ready else max(len(batch), 1)
            for start in range(0, len(batch), step):
                piece = batch.slice(start, step)
                yield len(piece), dict(zip(piece.schema.names, piece.columns, strict=True))

    def _compute(
        self,
        columns: dict[str, pa.Array],
        types: Mapping[str, FeatureType],
        defaults: Mapping[str, Any],
        at: int,
        count: int,
    ) -> None:
        """Put the computed columns beside the others."""
        lists: dict[str, list[Any]] = {}
        given = {name: column.slice(at, count) for name, column in self.given.items()}
        rows = Rows(count, lambda row: {name: one[at + row].as_py() for name, one in self.telling.items()}, self.strict)
        for ready, computation in zip(self.ready, self.meaning.computed, strict=True):
            for _, column, _ in computation.inputs:
                if column not in lists:
                    lists[column] = as_python(columns[column] if column in columns else given[column])
            made = ready.run([lists[column] for _, column, _ in computation.inputs], rows)
            for (_, name), values in zip(computation.features, made.columns, strict=True):
                if name in defaults:
                    values = [defaults[name] if one is None else one for one in values]
                lists[name] = values
                columns[name] = pa.array(values, to_arrow(types[name]))


def finishing_of(meaning: Meaning, spine: Spine, telling: Iterable[str], strict: bool) -> Finishing | None:
    """What is to be done to a question's answers; None where nothing is.

    Args:
        meaning: what the question means.
        spine: the rows asked.
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
    places = [len(column) if gone else place for place, gone in enumerate(column.is_null().to_pylist())]
    return both.take(pa.array(places, pa.int64()))
