"""Intervals of rows to rows: what the best of the intervals over each row is, by a tree of rows.

An interval is the union of at most two nodes of each level of a binary tree over the rows. Each node keeps the best it
was given; going down, each child takes what its parent has. (A segment tree, all levels at once.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gnomon.core.kernel.columns import Ints

__all__ = ["least_over_rows", "lists_over_rows", "nodes_of"]

NONE = np.int64(2**63 - 1)
"""What is worse than anything."""


def nodes_of(first: Ints, last: Ints, size: int) -> Iterator[tuple[Ints, Ints]]:
    """(node, interval) pairs, level by level: the nodes that together are each interval of rows.

    Args:
        first: first row of each interval.
        last: the row after its last one.
        size: leaves of the tree, a power of two; leaf of row r is node size + r, parent of node n is n // 2.
    """
    left, right, which = first + size, last + size, np.arange(len(first))
    while len(which):
        odd = np.flatnonzero(left & 1)
        yield left[odd], which[odd]
        end = np.flatnonzero(right & 1)
        yield right[end] - 1, which[end]
        left, right = (left + 1) >> 1, right >> 1
        on = left < right
        left, right, which = left[on], right[on], which[on]


def least_over_rows(first: Ints, last: Ints, value: Ints, rows: int) -> Ints:
    """Per row the least value of the intervals over it; `NONE` where there is none."""
    size = size_of(rows)
    best = np.full(2 * size, NONE)
    for node, which in nodes_of(first, last, size):
        np.minimum.at(best, node, value[which])
    level = 1
    while level < size:
        parents = best[level : 2 * level]
        children = best[2 * level : 4 * level]
        np.minimum(children, np.repeat(parents, 2), out=children)
        level *= 2
    return best[size : size + rows]


def lists_over_rows(
    first: Ints, last: Ints, value: Ints, same: Ints | None, rows: int, count: int
) -> tuple[Ints, Ints]:
    """Per row the least `count` values of the intervals over it, in order, `NONE` where there are fewer.

    Args:
        first: first row of each interval.
        last: the row after its last one.
        value: different numbers.
        same: of values for which this is equal only the least is taken; None where all differ.
        rows: how many rows there are.
        count: how many values are wanted.
    """
    size = size_of(rows)
    nodes, given = (np.concatenate(parts) for parts in zip(*nodes_of(first, last, size), strict=True))
    order = np.lexsort((value[given], nodes))
    nodes, values = nodes[order], value[given[order]]
    classes = values if same is None else same[given[order]]
    if same is not None:
        nodes, values, classes = _first_of_each(nodes, values, classes)
    place = np.arange(len(nodes)) - np.searchsorted(nodes, nodes)
    kept = place < count
    best = np.full((2 * size, count), NONE)
    best[nodes[kept], place[kept]] = values[kept]
    kinds = best if same is None else np.full((2 * size, count), NONE)
    if same is not None:
        kinds[nodes[kept], place[kept]] = classes[kept]
    level = 1
    while level < size:
        here, below = slice(level, 2 * level), slice(2 * level, 4 * level)
        both = np.concatenate([np.repeat(best[here], 2, axis=0), best[below]], axis=1)
        alike = None if same is None else np.concatenate([np.repeat(kinds[here], 2, axis=0), kinds[below]], axis=1)
        best[below], merged = least_of_each(both, alike, count)
        if same is not None:
            kinds[below] = merged
        level *= 2
    leaves = slice(size, size + rows)
    return best[leaves], kinds[leaves]


def least_of_each(values: Ints, alike: Ints | None, count: int) -> tuple[Ints, Ints]:
    """Of each row of values the least `count`, in order; of those that are alike only the least.

    Returns:
        The values, and what they are alike by.
    """
    if alike is None:
        found = np.sort(values, axis=1)[:, :count]
        return found, found
    order = np.argsort(values, axis=1)
    values, alike = np.take_along_axis(values, order, 1), np.take_along_axis(alike, order, 1)
    by_kind = np.argsort(alike, axis=1, kind="stable")  # equal kinds together, the least value first
    sorted_kinds = np.take_along_axis(alike, by_kind, 1)
    again = np.zeros(values.shape, np.bool_)
    again[:, 1:] = sorted_kinds[:, 1:] == sorted_kinds[:, :-1]
    twice = np.zeros(values.shape, np.bool_)
    np.put_along_axis(twice, by_kind, again, 1)
    values, alike = np.where(twice, NONE, values), np.where(twice, NONE, alike)
    order = np.argsort(values, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(values, order, 1), np.take_along_axis(alike, order, 1)


def size_of(rows: int) -> int:
    """The least power of two that is not less."""
    return 1 << max(rows - 1, 0).bit_length()


def _first_of_each(nodes: Ints, values: Ints, classes: Ints) -> tuple[Ints, Ints, Ints]:
    """Of (node, class) pairs only that with the least value, in the order they came."""
    by_class = np.lexsort((values, classes, nodes))
    first = np.ones(len(nodes), np.bool_)
    first[1:] = (nodes[by_class[1:]] != nodes[by_class[:-1]]) | (classes[by_class[1:]] != classes[by_class[:-1]])
    kept = np.sort(by_class[first])
    return nodes[kept], values[kept], classes[kept]
