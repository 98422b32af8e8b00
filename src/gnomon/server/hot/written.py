"""Answers written as JSON: Feast's document, column by column, from bytes as far as these are the same each time.

    {"metadata": {"feature_names": ["user_id", "age"]},
     "results": [{"values": [7], "statuses": ["PRESENT"], "event_timestamps": ["1970-01-01T00:00:00Z"]}, …]}

Nearly always all values of a column are there: then its statuses are so many times "PRESENT", and its instants are
those of its view, written once. Everything else is put together value by value.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
from orjson import dumps

from gnomon.flows.responses import Answer, Asked, OnlineResponse, Parts, made_of
from gnomon.server.hot.values import Writer, key_writer, writer
from gnomon.types import FeatureType

__all__ = ["Forms", "Names", "in_order", "instants"]

Names = tuple[str, ...]

MOST = 1_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NEVER = "1970-01-01T00:00:00Z"
ZULU = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


class Forms:
    """Writes answers; it remembers, question by question, what all answers to it have in common."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Names], tuple[dict[str, Asked], _Form]] = {}

    def write(self, response: OnlineResponse, given: Names, lean: bool, known: bool = False) -> bytes:
        """An answer as JSON.

        Args:
            response: the answer.
            given: the columns of entities in the request: join keys stand in this order.
            lean: whether to leave out statuses and instants.
            known: whether to say what each entity's answer knew.
        """
        parts = made_of(response)
        form = self._of(parts, given)
        said = _said(response) if known else b""
        columns = form.lean(parts) if lean else form.full(parts, len(response))
        return b"".join((form.head, said, b'},"results":[', b",".join(columns), b"]}"))

    def _of(self, parts: Parts, given: Names) -> _Form:
        # The order is kept beside its form, so that no other object can come to have its id.
        order = parts.order
        found = self._known.get((id(order), given))
        if found is not None and found[0] is order:
            return found[1]
        form = _Form.of(parts, given)
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[id(order), given] = order, form
        return form


@dataclass(frozen=True, slots=True)
class _Form:
    """What answers to one question have in common.

    Args:
        head: the document up to what else is said of the answer.
        keys: the join keys' columns, and what writes each.
        features: of each feature which part it is of, at which place, and what writes it.
    """

    head: bytes
    keys: tuple[tuple[str, Writer], ...]
    features: tuple[tuple[int, int, Writer], ...]

    @classmethod
    def of(cls, parts: Parts, given: Names) -> _Form:
        keys = in_order(parts, given)
        return cls(
            head=b'{"metadata":{"feature_names":' + dumps([*keys, *parts.order]),
            keys=tuple((name, key_writer(name, dtype)) for name, dtype in keys.items()),
            features=tuple((one.part, one.place, writer(one.dtype)) for one in parts.order.values()),
        )

    def lean(self, parts: Parts) -> list[bytes]:
        """Each column's values and nothing else."""
        keys, answers = parts.keys, parts.answers
        written = [b'{"values":' + write(keys[name]) + b"}" for name, write in self.keys]
        for part, place, write in self.features:
            written.append(b'{"values":' + write(answers[part].values(place)) + b"}")
        return written

    def full(self, parts: Parts, count: int) -> list[bytes]:
        """Each column's values, statuses and instants."""
        keys, whole = parts.keys, _present(count)
        always = b"".join((b',"statuses":', whole, b',"event_timestamps":', _never(count), b"}"))
        written = []
        for name, write in self.keys:
            after = always
            if None in keys[name]:
                statuses = ["NULL_VALUE" if one is None else "PRESENT" for one in keys[name]]
                after = b"".join((b',"statuses":', dumps(statuses), b',"event_timestamps":', _never(count), b"}"))
            written.append(b'{"values":' + write(keys[name]) + after)
        seen = []
        for answer in parts.answers:
            happened = b',"event_timestamps":' + instants(answer) + b"}"
            seen.append((answer, _is_whole(answer), b',"statuses":' + whole + happened, happened))
        for part, place, write in self.features:
            answer, is_whole, all_there, happened = seen[part]
            column = answer.columns[place]
            if is_whole and None not in column:
                written.append(b'{"values":' + write(column) + all_there)
                continue
            statuses = b',"statuses":' + dumps([str(one) for one in answer.statuses(place)])
            written.append(b'{"values":' + write(answer.values(place)) + statuses + happened)
        return written


def in_order(parts: Parts, given: Names) -> dict[str, FeatureType]:
    """The join keys' columns and their types: in the order in which the request has them."""
    types = parts.key_types
    return {name: types[name] for name in given if name in types} if len(types) > 1 else types


def instants(answer: Answer) -> bytes:
    """When each entity's row happened, as Feast writes it: 1970 where there is none.

    >>> instants(Answer([], [1_704_110_400_120_000, None], None, None))
    b'["2024-01-01T12:00:00.120Z","1970-01-01T00:00:00Z"]'
    """
    found = answer.events if answer.absent is None else answer.instants()
    try:
        if len(found) == 1:
            only = found[0]
            written = dumps([EPOCH if only is None else EPOCH + timedelta(microseconds=only)], option=ZULU)
        else:
            micros = np.array([one or 0 for one in found], np.int64)
            written = dumps(micros.view("M8[us]"), option=ZULU)
    except (OverflowError, orjson.JSONEncodeError):  # not of the years 0 to 9999
        return dumps([NEVER if one is None else f"{np.datetime64(one, 'us')}Z" for one in found])
    # Six digits after the point, or none; three are enough for whole milliseconds.
    return written.replace(b'000Z"', b'Z"')


def _is_whole(answer: Answer) -> bool:
    return answer.absent is None and answer.outside is None and answer.lacking is None and answer.invalid is None


def _said(response: OnlineResponse) -> bytes:
    return b',"known_through":' + dumps([str(one) for one in response.known_through])


@functools.lru_cache(maxsize=256)
def _present(count: int) -> bytes:
    return _many("PRESENT", count)


@functools.lru_cache(maxsize=256)
def _never(count: int) -> bytes:
    return _many(NEVER, count)


def _many(text: Any, count: int) -> bytes:
    return dumps([text] * count)
