"""Served answers as tables, view by view, and what of history each has to be held against.

Answers of one view that were made of the same rows are one question. They seldom know exactly the same: each entity has
the position its own ledger got to. But a position between which and another an entity has no events of its own says
the same as that other; so the positions of many are raised to a few.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnomon.clock import MAX_MICROS
from gnomon.contracts.engine import Engine
from gnomon.contracts.log import Logs
from gnomon.core.casting import cast_key
from gnomon.core.keys import encode_keys
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.sources import PushSource
from gnomon.definitions.views import FeatureView
from gnomon.flows.responses import OnlineResponse, Status, parts_of
from gnomon.plan.events import KNOWN, POSITION
from gnomon.plan.questions import EventsQuestion, Through
from gnomon.types import to_arrow

__all__ = ["Served", "bounds_of", "encoded_keys", "raised", "served"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """Answers about one view.

    Args:
        view: the view, resolved.
        keys: the join keys of each entity.
        at: as of which instant each is, µs.
        through: which rows each was made of.
        values: a column per feature.
        statuses: of each feature, why its values are there or not.
    """

    view: FeatureView
    keys: pa.Table
    at: Ints
    through: Sequence[Through]
    values: pa.Table
    statuses: Mapping[str, Sequence[Status]]

    def __len__(self) -> int:
        return len(self.at)

    @property
    def features(self) -> list[str]:
        """The features' names."""
        return list(self.values.column_names)

    @property
    def positions(self) -> Ints:
        """How far each knew the log."""
        return np.array([one.position or 0 for one in self.through], np.int64)

    def different_keys(self) -> pa.Table | None:
        """Each key once; None for a view without entities."""
        return self.keys.group_by(self.keys.column_names).aggregate([]) if self.view.entity_columns else None

    def encoded(self) -> list[bytes | None]:
        """The key of each entity as bytes; None where a part is null."""
        return encoded_keys(self.view, self.keys, len(self))


def served(catalog: Catalog, responses: Iterable[OnlineResponse]) -> Iterator[Served]:
    """Responses view by view.

    Raises:
        RequestError: a response was read without `known_through=True`.
        NotRegistered: a view is no longer registered.
    """
    parts: dict[tuple[str, tuple[str, ...]], list[Served]] = {}
    for response in responses:
        _ = response.known_through  # or it was not asked for
        for of, given, answer in parts_of(response):
            view = catalog.view(of.view)
            types = {one.name: one.dtype for one in view.schema}
            keys = {
                one.name: pa.array([cast_key(key, one.dtype, column) for key in given[column]], to_arrow(one.dtype))
                for column, one in zip(of.columns, view.entity_columns, strict=True)
            }
            values = [pa.array(answer.stored(place), to_arrow(types[name])) for place, name in enumerate(of.features)]
            one = Served(
                view=view,
                keys=pa.table(keys) if keys else pa.table({}),
                at=np.full(len(response), response.at, np.int64),
                through=answer.through or [],
                values=pa.table(values, names=list(of.features)),
                statuses={name: answer.statuses(place) for place, name in enumerate(of.features)},
            )
            parts.setdefault((of.view, of.features), []).append(one)
    yield from map(_joined, parts.values())


def _joined(parts: Sequence[Served]) -> Served:
    if len(parts) == 1:
        return parts[0]
    return Served(
        view=parts[0].view,
        keys=pa.concat_tables([one.keys for one in parts]),
        at=np.concatenate([one.at for one in parts]),
        through=[one for some in parts for one in some.through],
        values=pa.concat_tables([one.values for one in parts]),
        statuses={name: [one for some in parts for one in some.statuses[name]] for name in parts[0].statuses},
    )


def raised(answers: Served, engine: Engine, logs: Logs) -> Ints:
    """Of each answer a position of the log that says the same about its entity as its own: few different ones.

    What is stamped after an answer's instant does not count whatever the position: history is asked as known then.
    """
    source, positions = answers.view.source, answers.positions
    if not isinstance(source, PushSource) or len(np.unique(positions)) < 2:
        return positions
    last = int(positions.max())
    own = _own_events(answers, engine, logs, source.name, int(positions.min()), last)
    ends = np.full(len(answers), last, np.int64)
    told = zip(answers.encoded(), positions.tolist(), answers.at.tolist(), strict=True)
    for place, (key, position, instant) in enumerate(told):
        some = own.get(key, ()) if key is not None else ()
        at = bisect_right(some, (position, MAX_MICROS))
        if at < len(some) and some[at][1] <= instant:
            ends[place] = some[at][0] - 1
    made, reached = positions.copy(), -1
    for place in np.argsort(ends, kind="stable").tolist():  # as few as can be, so that each stretch has one
        if positions[place] > reached:
            reached = int(ends[place])
        made[place] = reached
    return made


def _own_events(
    answers: Served, engine: Engine, logs: Logs, source: str, since: int, until: int
) -> dict[bytes | None, list[tuple[int, int]]]:
    """(position, known time) of each entity's own events in a stretch of the log, in order."""
    view, prefix = answers.view, logs.log(source).prefix(until)
    keys = answers.different_keys()
    found: dict[bytes | None, list[tuple[int, int]]] = {}
    for batch in engine.events(EventsQuestion(view=view, logs={source: prefix}, keys=keys, places=True)):
        columns = pa.Table.from_batches([batch])
        encoded = encoded_keys(view, columns, len(batch))
        for key, position, known in zip(encoded, batch[POSITION].to_pylist(), batch[KNOWN].to_pylist(), strict=True):
            if position is not None and position > since:
                found.setdefault(key, []).append((position, known))
    return {key: sorted(some) for key, some in found.items()}


def encoded_keys(view: FeatureView, table: pa.Table, count: int) -> list[bytes | None]:
    """The keys of a table's rows as bytes; None where a part is null."""
    if not view.entity_columns:
        return [b""] * count
    columns = [table[one.name].combine_chunks() for one in view.entity_columns]
    whole = [all(column[place].is_valid for column in columns) for place in range(count)]
    kept = [column.filter(pa.array(whole, pa.bool_())) for column in columns]
    keys = iter(encode_keys(kept, [one.dtype for one in view.entity_columns]))
    return [next(keys) if there else None for there in whole]


def bounds_of(answers: Served, positions: Ints) -> dict[Through, list[int]]:
    """The answers, by which rows they have to be held against.

    What is known later than an answer's instant never counts, so that an instant of a row view's token says nothing.
    """
    found: dict[Through, list[int]] = {}
    for place, (one, position) in enumerate(zip(answers.through, positions.tolist(), strict=True)):
        known = None if one.known is not None and one.known >= answers.at[place] else one.known
        found.setdefault(Through(position=position, end=one.end, known=known), []).append(place)
    return found
