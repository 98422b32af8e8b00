"""On-demand features of a served-row log: asked of history with what each row knew, and what came with its request."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.core.bits import Bools, differing
from gnomon.definitions.logging import AT, DATA, KNEW, columns_of
from gnomon.flows.request_data import read
from gnomon.flows.responses import Status
from gnomon.flows.served import Served
from gnomon.flows.served_rows import ViewPart
from gnomon.flows.training import get_historical_features
from gnomon.flows.verdicts import Difference, VerifyReport, ViewVerdict
from gnomon.flows.verify import MOST_KEPT, Verifier, bounds_in_history
from gnomon.plan.questions import Through
from gnomon.plan.references import resolve
from gnomon.types import to_arrow

__all__ = ["computed_from_log", "stored_values"]

Bounds = Mapping[str, Through]
"""Of each view, by its id, which rows count."""


def computed_from_log(
    verifier: Verifier, stored: Sequence[Served], parts: Sequence[ViewPart], rows: pa.Table
) -> VerifyReport:
    """Hold the on-demand features of some rows of a log against history.

    A row that used one view in two ways, which knew different rows of it, cannot be asked for, and is left out.

    Args:
        verifier: the parts to work with.
        stored: what the rows answer of views that are stored.
        parts: what the rows say of on-demand views.
        rows: the rows.
    """
    features = [(part, feature) for part in parts for feature in part.features]
    references = [f"{part.view}:{feature}" for part, feature in features]
    groups = _groups(verifier, stored, len(rows))
    compared = rows.take(pa.array([place for _, places in groups for place in places], pa.int64()))
    found = [_asked(verifier, references, rows.take(pa.array(places)), bounds) for bounds, places in groups]
    nothing = [pa.chunked_array([pa.nulls(0, kind)]) for kind in (pa.null(), pa.string()) for _ in references]
    made = pa.concat_tables(found).columns if found else nothing
    held = [
        _Held.of(part, feature, compared, again, statuses)
        for (part, feature), again, statuses in zip(features, made, made[len(features) :], strict=False)
    ]
    return VerifyReport(
        views=tuple(_verdict(part, len(compared), [one for one in held if one.part is part]) for part in parts),
        differences=tuple(told for one in held for told in one.differences())[:MOST_KEPT],
        questions=len(groups),
    )


def stored_values(rows: pa.Table, column: str, kind: pa.DataType) -> pa.ChunkedArray:
    """A feature's values without defaults, which stand wherever its status is not PRESENT.

    Args:
        rows: rows of a log.
        column: the feature's column.
        kind: its type.
    """
    value, status, _ = columns_of(column)
    there = pc.equal(rows[status], Status.PRESENT.value)
    return pc.if_else(there, rows[value].cast(kind), pa.scalar(None, kind))


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """One feature, held against what history gives.

    Args:
        part: what the rows say of its view.
        feature: its name there.
        rows: the rows.
        again: what history gives.
        wrong: where that, or its status, is something else.
    """

    part: ViewPart
    feature: str
    rows: pa.Table
    again: pa.ChunkedArray
    wrong: Bools

    @classmethod
    def of(
        cls, part: ViewPart, feature: str, rows: pa.Table, again: pa.ChunkedArray, statuses: pa.ChunkedArray
    ) -> _Held:
        """Defaults stand in both: the definitions are those of then."""
        value, status, _ = columns_of(part.features[feature])
        served = rows[value]
        wrong = differing(served, again.cast(served.type)) | differing(rows[status], statuses)
        return cls(part, feature, rows, again, wrong)

    @property
    def filled(self) -> int:
        """How many rows have a value."""
        column = self.rows[self.part.features[self.feature]]
        return int(len(column) - column.null_count)

    def differences(self) -> Iterator[Difference]:
        """The first of those that differ."""
        reference = f"{self.part.view}:{self.feature}"
        value, status, _ = columns_of(self.part.features[self.feature])
        for place in np.flatnonzero(self.wrong)[:MOST_KEPT].tolist():
            (row,) = self.rows.slice(place, 1).to_pylist()
            yield Difference(
                feature=reference,
                entity={name: row[name] for name in _keys(self.rows)},
                at=int(self.rows[AT][place].value),
                known_through=row[KNEW],
                served=row[value],
                status=row[status],
                recomputed=self.again[place].as_py(),
                cause="disagreement",
                explain=shlex.join(["gnomon", "lineage", reference]),
            )


def _verdict(part: ViewPart, rows: int, held: Sequence[_Held]) -> ViewVerdict:
    wrong = sum(int(one.wrong.sum()) for one in held)
    return ViewVerdict(
        view=part.view,
        entities=rows,
        compared=rows * len(held),
        agreed=rows * len(held) - wrong,
        filled=sum(one.filled for one in held),
        causes={"disagreement": wrong} if wrong else {},
    )


def _groups(verifier: Verifier, stored: Sequence[Served], count: int) -> list[tuple[Bounds, list[int]]]:
    """The rows, by which rows of all views they were made of."""
    of_row: list[dict[str, Through] | None] = [{} for _ in range(count)]
    for answers in stored:
        for through, places in bounds_in_history(verifier, answers).items():
            for place in places:
                mine = of_row[place]
                if mine is not None and mine.setdefault(answers.view.id, through) != through:
                    of_row[place] = None
    found: dict[tuple[tuple[str, Through], ...], list[int]] = {}
    for place, bounds in enumerate(of_row):
        if bounds is not None:
            found.setdefault(tuple(bounds.items()), []).append(place)
    return [(dict(bounds), places) for bounds, places in found.items()]


def _asked(verifier: Verifier, references: Sequence[str], rows: pa.Table, bounds: Bounds) -> pa.Table:
    """The features that history gives for some rows, of what they were made of, and then their statuses."""
    spine = rows.select([*_keys(rows), AT])
    meaning = resolve(verifier.snapshot.catalog, references, True)
    dtypes = {one.name: one.dtype for one in meaning.given if one.name not in spine.column_names}
    for name, values in read(dtypes, rows[DATA].to_pylist()).items():
        spine = spine.append_column(name, pa.array(values, to_arrow(dtypes[name])))
    asked = get_historical_features(
        verifier.snapshot,
        verifier.engine,
        verifier.clock,
        spine,
        references,
        as_known="then",
        full_feature_names=True,
        logs=verifier.logs,
    )
    views = {one.view.id for one in asked.question.views}
    through = {view: one for view, one in bounds.items() if view in views}
    assert asked.finishing is not None
    told = replace(asked.finishing, statuses=True)
    found = replace(asked, question=replace(asked.question, through=through), finishing=told).to_arrow()
    return found.select(range(found.num_columns - 2 * len(references), found.num_columns))


def _keys(rows: pa.Table) -> list[str]:
    """The join-key columns of a log's rows: they stand between the instant and what came with the request."""
    names = rows.column_names
    return list(names[names.index(AT) + 1 : names.index(DATA)])
