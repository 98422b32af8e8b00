"""The statuses that history gives, which training sets do not have: why a value is not there.

Of a row view the events say it: whether there is one, and whether the newest is too old. Of a windowed view a sum that
is null although there are values to add is one that its type cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gnomon.clock import micros_of
from gnomon.core.columns import as_numpy
from gnomon.definitions.views import FeatureView
from gnomon.flows.responses import Status
from gnomon.plan.events import EVENT, KNOWN

__all__ = ["counting_inputs", "of_rows", "of_windows"]

Ints = npt.NDArray[np.int64]
SUM = "sum"


def of_rows(
    view: FeatureView,
    keys: Sequence[bytes | None],
    at: Sequence[int],
    events: Iterable[tuple[Sequence[bytes | None], pa.RecordBatch]],
) -> list[Status]:
    """Of each entity's row whether it is there (PRESENT), is not, or is too old.

    Args:
        view: a row view.
        keys: the entities' keys.
        at: as of which instants.
        events: the view's events, and their keys: all that the answers knew.
    """
    of_key: dict[bytes | None, list[tuple[int, int]]] = {}
    for encoded, batch in events:
        for key, event, known in zip(encoded, batch[EVENT].to_pylist(), batch[KNOWN].to_pylist(), strict=True):
            of_key.setdefault(key, []).append((event, known))
    arrays = {key: np.array(some, np.int64) for key, some in of_key.items()}
    ttl = micros_of(view.ttl) if view.ttl else None
    return [_of_row(arrays.get(key) if key is not None else None, at, ttl) for key, at in zip(keys, at, strict=True)]


def _of_row(events: Ints | None, at: int, ttl: int | None) -> Status:
    if events is None:
        return Status.NOT_FOUND
    seen = events[(events <= at).all(axis=1), 0]
    if not len(seen):
        return Status.NOT_FOUND
    return Status.OUTSIDE_MAX_AGE if ttl is not None and int(seen.max()) < at - ttl else Status.PRESENT


def counting_inputs(view: FeatureView, features: Iterable[str]) -> tuple[FeatureView | None, dict[str, str]]:
    """A view that counts what some sums of a view add up, and the names of these counts by those of the sums.

    Args:
        view: a windowed view.
        features: the features asked.
    """
    asked, made, names = set(features), [], dict[str, str]()
    for place, one in enumerate(view.aggregations):
        if one.function == SUM and not one.arguments and asked.intersection(one.feature_names):
            made.append(replace(one, function="count", name=f"n{place}", default=None))
            names |= dict(zip(one.feature_names, made[-1].feature_names, strict=True))
    if not made:
        return None, {}
    looked_at = {column for one in made for column in one.columns}
    inputs = tuple(one for one in view.inputs if one.name in looked_at)
    counting = replace(view, aggregations=tuple(made), inputs=inputs, schema=())
    return counting, {name: count for name, count in names.items() if name in asked}


def of_windows(
    keys: Sequence[bytes | None], values: pa.Table, counts: pa.Table | None, names: Mapping[str, str]
) -> dict[str, list[Status]]:
    """Of each feature of a windowed view the status of each of its values.

    Args:
        keys: the entities' keys.
        values: the values.
        counts: how many values some sums add up.
        names: the columns of these, by the sums' names.
    """
    found = {}
    for name in values.column_names:
        there = as_numpy(values[name].combine_chunks().is_valid())
        some = np.zeros(len(there), np.int64)
        if counts is not None and name in names:
            some = as_numpy(counts[names[name]].combine_chunks().fill_null(0))
        found[name] = [_of_value(*one) for one in zip(keys, there.tolist(), some.tolist(), strict=True)]
    return found


def _of_value(key: bytes | None, there: bool, added: int) -> Status:
    if key is None:
        return Status.NOT_FOUND
    if there:
        return Status.PRESENT
    return Status.INVALID if added else Status.NULL_VALUE
