"""On-demand features that were served, computed again of the inputs they were served with.

The inputs are held against history view by view, as all that is stored is; what is left to see is whether the function
that is registered gives the same of them again.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from gnomon.core.bits import Bools, differing
from gnomon.core.columns import as_numpy
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.on_demand import OnDemandFeatureView
from gnomon.flows.computing import Made, Ready, Rows
from gnomon.flows.responses import ComputedAnswer, OnlineResponse, Status, computed_of
from gnomon.flows.verdicts import Difference, ViewVerdict
from gnomon.types import to_arrow

__all__ = ["computed_again"]


def computed_again(
    catalog: Catalog, responses: Iterable[OnlineResponse], most: int
) -> tuple[list[ViewVerdict], list[Difference]]:
    """A verdict on each on-demand view that answered, and the first answers that are not given again.

    Args:
        catalog: the definitions that count.
        responses: the answers.
        most: so many differences of each answer are told.

    Raises:
        NotRegistered: a view is no longer registered.
        DefinitionError: a function is not there, or is no longer what was registered.
    """
    of_view: dict[str, list[_Again]] = {}
    for response in responses:
        for answer in computed_of(response):
            view = catalog.on_demand_view(answer.computation.view.id)
            of_view.setdefault(view.id, []).append(_Again(response, answer, view))
    differences = [told for some in of_view.values() for one in some for told in one.differences(most)]
    return [_verdict(view, some) for view, some in of_view.items()], differences


def _verdict(view: str, answers: list[_Again]) -> ViewVerdict:
    causes = sum((one.causes for one in answers), Counter[str]())
    compared = sum(one.compared for one in answers)
    return ViewVerdict(
        view=view,
        entities=sum(len(one.response) for one in answers),
        compared=compared,
        agreed=compared - sum(causes.values()),
        filled=sum(one.filled for one in answers),
        causes=dict(causes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """One feature: what was served, what is computed again, and where they differ."""

    feature: str
    served: pa.Array
    statuses: list[Status]
    again: pa.Array
    wrong: Bools


class _Again:
    """One answer, and what is computed again of its inputs.

    Args:
        response: the response it is in.
        answer: the answer.
        view: the view as it is registered.
    """

    def __init__(self, response: OnlineResponse, answer: ComputedAnswer, view: OnDemandFeatureView) -> None:
        self.response, self._answer, self._view = response, answer, view
        self._keys = response.given
        self._columns = list(self._held(self._made()))
        self.compared = len(response) * len(self._columns)
        self.filled = sum(len(one.served) - one.served.null_count for one in self._columns)
        differ = sum(int(one.wrong.sum()) for one in self._columns)
        self.causes = Counter({self._cause: differ} if differ else {})

    def differences(self, most: int) -> Iterator[Difference]:
        """The first of those that differ."""
        for one in self._columns:
            for row in np.flatnonzero(one.wrong)[:most].tolist():
                yield self._difference(one, row)

    def _made(self) -> Made | None:
        """What the registered view gives; None where it looks at others, or has not all of these features."""
        old, now = self._answer.computation, self._view
        if now.looked_at != old.view.looked_at or {name for name, _ in old.features} - set(now.feature_names):
            return None
        rows = Rows(len(self.response), lambda row: {name: column[row] for name, column in self._keys.items()})
        return Ready.of(replace(old, view=now)).run(self._answer.inputs, rows)

    def _held(self, made: Made | None) -> Iterator[_Column]:
        computation = self._answer.computation
        dtypes = {one.name: one.dtype for one in computation.view.schema}
        for place, (feature, _) in enumerate(computation.features):
            kind, statuses = to_arrow(dtypes[feature]), self._answer.statuses(place)
            served = pa.array(self._answer.stored(place), kind)
            if made is None or dtypes[feature] != {one.name: one.dtype for one in self._view.schema}[feature]:
                again, wrong = pa.nulls(len(served), kind), np.ones(len(served), np.bool_)
            else:
                again = pa.array(made.columns[place], kind)
                wrong = differing(served, again) | _misstated(statuses, again, made, place)
            yield _Column(feature=feature, served=served, statuses=statuses, again=again, wrong=wrong)

    @property
    def _cause(self) -> str:
        """Why answers may differ: for the definition did, or for no reason that may be."""
        old, now = self._answer.computation.view, self._view
        alike = (old.code and old.code.hash, old.expressions, old.mode, old.schema)
        return (
            "disagreement"
            if alike == (now.code and now.code.hash, now.expressions, now.mode, now.schema)
            else ("other version")
        )

    def _difference(self, one: _Column, row: int) -> Difference:
        feature, through = f"{self._view.id}:{one.feature}", self.response.known_through
        return Difference(
            feature=feature,
            entity={name: self._keys[name][row] for name in self._keys},
            at=self.response.at,
            known_through=str(through[row]),
            served=one.served[row].as_py(),
            status=str(one.statuses[row]),
            recomputed=one.again[row].as_py(),
            cause=self._cause,
            explain=shlex.join(["gnomon", "lineage", feature]),
        )


def _misstated(statuses: list[Status], again: pa.Array, made: Made, place: int) -> Bools:
    """Where a status is another than the one that goes with what is computed again."""
    invalid = [place in (made.invalid or {}).get(row, ()) for row in range(len(again))]
    expected = [
        Status.INVALID if wrong else Status.PRESENT if there else Status.NULL_VALUE
        for wrong, there in zip(invalid, as_numpy(again.is_valid()).tolist(), strict=True)
    ]
    return np.array([one is not other for one, other in zip(statuses, expected, strict=True)], np.bool_)
