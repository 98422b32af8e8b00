"""Verify a served-row log: every row is made again from history, of what it knew and by the definitions of then."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.contracts.registry import Snapshot
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.codec import fingerprint
from gnomon.definitions.logging import AT, KNEW, VERSION, VIEWS, columns_of
from gnomon.errors import RequestError
from gnomon.flows.responses import Status
from gnomon.flows.served import Served
from gnomon.flows.served_log import ServedLog
from gnomon.flows.served_rows import ViewPart, parts_said, tokens_read
from gnomon.flows.verdicts import VerifyReport, ViewVerdict, merged
from gnomon.flows.verify import MOST_KEPT, Verifier
from gnomon.flows.verify_log_computed import computed_from_log, stored_values
from gnomon.types import to_arrow

__all__ = ["LogVerifier"]

AT_ONCE = 100_000
"""So many rows are held against history at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogVerifier:
    """The parts that verifying a served-row log works with.

    Args:
        served: the log.
        verifier: holds answers against history.
    """

    served: ServedLog
    verifier: Verifier

    def verify(
        self, service: str, start: int | None = None, end: int | None = None, sample: int | None = None, seed: int = 0
    ) -> VerifyReport:
        """Hold what a service answered against history.

        Args:
            service: the service's name.
            start: answers of this instant (µs) or later.
            end: answers of before this instant (µs).
            sample: so many rows, drawn at random; all by default.
            seed: another one draws others.

        Raises:
            NotRegistered: there is no such service, nor a log of one of that name.
            RequestError: rows are of a view that no version of the registry has any more.
            SourceError: a source cannot be read.
            BackendError: a log cannot be read.
        """
        names = self.served.names(service)
        drawn = {} if sample is None else self._drawn(names, start, end, sample, random.Random(seed))
        pieces = (piece for name in names for piece in _pieces(self.served.rows(name, start, end), drawn.get(name)))
        return _added([self._report(rows) for rows in pieces])

    def _drawn(
        self, names: Sequence[str], start: int | None, end: int | None, sample: int, chance: random.Random
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Which rows of each log, by their number."""
        counts = {name: sum(len(batch) for batch in self.served.rows(name, start, end)) for name in names}
        total = sum(counts.values())
        numbers = np.array(sorted(chance.sample(range(total), min(sample, total))), np.int64)
        found, begins = {}, 0
        for name, count in counts.items():
            found[name] = numbers[(numbers >= begins) & (numbers < begins + count)] - begins
            begins += count
        return found

    def _report(self, rows: pa.Table) -> VerifyReport:
        parts = parts_said(rows[VIEWS][0].as_py())
        snapshot = self._snapshot(parts, pc.max(rows[VERSION]).as_py())
        verifier = replace(self.verifier, snapshot=snapshot, past=True)
        stored, computed = [one for one in parts if not one.computed], [one for one in parts if one.computed]
        answered = list(_answers(snapshot.catalog, stored, rows))
        found = verifier.verify_served(one for one in answered if one.features)
        return _added([found, computed_from_log(verifier, answered, computed, rows)]) if computed else found

    def _snapshot(self, parts: Sequence[ViewPart], version: int) -> Snapshot:
        """The definitions of then: as a rule those of now, or those of the version that a row was read in."""
        registry, newest = self.verifier.registry, self.verifier.snapshot
        if _has(newest.catalog, parts):
            return newest
        for one in (version, *range(newest.version, 0, -1)):
            if 0 < one <= newest.version and _has((found := registry.read(newest.project, one)).catalog, parts):
                return found
        views = ", ".join(f"{one.view} ({one.fingerprint})" for one in parts)
        raise RequestError(
            f"rows were served of {views}, and no version of the registry has all of these.",
            hint="was the project torn down since? Leave those rows out: --since, or start=.",
        )


def _has(catalog: Catalog, parts: Iterable[ViewPart]) -> bool:
    views = catalog.all_views
    return all(one.view in views and fingerprint(views[one.view]) == one.fingerprint for one in parts)


def _pieces(reader: pa.RecordBatchReader, numbers: np.ndarray[Any, Any] | None) -> Iterator[pa.Table]:
    """A log's rows, or those of some numbers, not too many at once."""
    held: list[pa.Table] = []
    begins = 0
    for batch in reader:
        some = pa.Table.from_batches([batch])
        if numbers is not None:
            mine = numbers[(numbers >= begins) & (numbers < begins + len(some))] - begins
            begins += len(some)
            some = some.take(pa.array(mine))
        if len(some):
            held.append(some)
        if sum(map(len, held)) >= AT_ONCE:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _answers(catalog: Catalog, parts: Sequence[ViewPart], rows: pa.Table) -> Iterator[Served]:
    """Rows of one log, view by view."""
    views = [one.view for one in parts]
    read = {text: tokens_read(views, text) for text in pc.unique(rows[KNEW]).to_pylist()}
    knew = [read[text] for text in rows[KNEW].to_pylist()]
    at = rows[AT].cast(pa.int64()).to_numpy()
    for number, one in enumerate(parts):
        view = catalog.views[one.view]
        types = {field.name: field.dtype for field in view.schema}
        keys = {key.name: rows[one.keys[key.name]].cast(to_arrow(key.dtype)) for key in view.entity_columns}
        yield Served(
            view=view,
            keys=pa.table(keys) if keys else pa.table({}),
            at=at,
            through=[throughs[number] for throughs in knew],
            values=pa.table(
                {name: stored_values(rows, column, to_arrow(types[name])) for name, column in one.features.items()}
            ),
            statuses={
                name: [Status(text) for text in rows[columns_of(column)[1]].to_pylist()]
                for name, column in one.features.items()
            },
        )


def _added(reports: Sequence[VerifyReport]) -> VerifyReport:
    """Reports about pieces, as one."""
    verdicts: dict[str, ViewVerdict] = {}
    for one in (one for report in reports for one in report.views):
        verdicts[one.view] = _both(verdicts[one.view], one) if one.view in verdicts else one
    differences = sorted(
        (one for report in reports for one in report.differences), key=lambda one: one.cause != "disagreement"
    )
    return VerifyReport(
        views=tuple(verdicts[view] for view in sorted(verdicts)),
        differences=tuple(differences[:MOST_KEPT]),
        questions=sum(report.questions for report in reports),
    )


def _both(one: ViewVerdict, other: ViewVerdict) -> ViewVerdict:
    sums: Mapping[str, int] = {
        name: getattr(one, name) + getattr(other, name)
        for name in ("entities", "compared", "agreed", "filled", "lagging")
    }
    return ViewVerdict(
        view=one.view,
        behind=max(one.behind, other.behind),
        behind_micros=max(one.behind_micros, other.behind_micros),
        causes=merged((Counter(one.causes) + Counter(other.causes)).elements()),
        **sums,
    )
