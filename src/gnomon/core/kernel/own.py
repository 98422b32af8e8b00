"""The sweep of a user's own aggregation: states at the nodes of a tree over rows, merged on the way down.

Each event is added at the few nodes that make up the rows at which it counts, and each row's state is that of the nodes
above it put together. So an own aggregation needs nothing but adding and merging, whatever the window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.core.aggregations.base import INVALID
from gnomon.core.aggregations.custom import UserFunction
from gnomon.core.aggregations.states import canonical
from gnomon.core.kernel.columns import Values
from gnomon.core.kernel.entries import Span
from gnomon.core.kernel.lanes import Lane
from gnomon.core.kernel.pushdown import nodes_of, size_of
from gnomon.errors import DefinitionError
from gnomon.types import UnixTimestamp, to_arrow

__all__ = ["own"]

State = tuple[int, Any]


def own(function: UserFunction, lane: Lane) -> list[Values]:
    """The user's results.

    Raises:
        DefinitionError: the user's code raises something, or gives what is not of the type it says.
    """
    try:
        return _results(function, lane)
    except Exception as wrong:  # whatever a user's method raises
        raise DefinitionError(
            f"the aggregation {function.place!r} failed: {type(wrong).__name__}: {wrong}.",
            hint="gnomon.testing.check_aggregation finds values that it does not take; where= can leave them out.",
        ) from wrong


def _results(function: UserFunction, lane: Lane) -> list[Values]:
    array = lane.values.array
    values = array.cast(pa.int64()) if lane.values.dtype == UnixTimestamp else array
    given = [canonical(one) for one in values.to_pylist()]
    return [_over(function, lane, span, given) for span in lane.spans]


def _over(function: UserFunction, lane: Lane, span: Span, given: list[Any]) -> Values:
    size = size_of(len(lane.rows))
    states = _at_nodes(function, lane, span, given, size)
    for node in range(2, 2 * size):
        above = states.get(node // 2)
        if above is not None:
            states[node] = function.merge(above, states[node]) if node in states else above
    found: list[Any] = [None] * len(lane.rows)
    for row in range(len(lane.rows)):
        if (state := states.get(size + row)) is not None:
            found[row] = function.result(state, lane.values.dtype)
    kind = to_arrow(function.output(lane.values.dtype))
    return Values(pa.array([None if one is INVALID else one for one in found], kind))


def _at_nodes(function: UserFunction, lane: Lane, span: Span, given: list[Any], size: int) -> dict[int, State]:
    """The state of the events at each node that has any."""
    place, first, last = lane.row_spans(span)
    pairs = [(node, place[which]) for node, which in nodes_of(first, last, size)]
    nothing = np.empty(0, np.int64)
    nodes = np.concatenate([nothing, *(node for node, _ in pairs)])
    events = np.concatenate([nothing, *(event for _, event in pairs)])
    order = np.lexsort((events, nodes))
    nodes, events = nodes[order], events[order]
    node, begin = np.unique(nodes, return_index=True)
    ends = np.append(begin, len(nodes))[1:]
    empty, states = function.own.empty, {}
    for one, at, end in zip(node.tolist(), begin.tolist(), ends.tolist(), strict=True):
        values = [given[event] for event in events[at:end].tolist()]
        state = function.own.add_many(empty(), values)
        if state is None and empty() is not None:
            raise TypeError("add gave None, no state: is there a return missing?")
        states[one] = (len(values), state)
    return states
