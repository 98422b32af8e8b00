"""Answers written as JSON: Feast's document, column by column, from bytes as far as these are the same each time.

    {"metadata": {"feature_names": ["user_id", "age"]},
     "results": [{"values": [7], "statuses": ["PRESENT"], "event_timestamps": ["1970-01-01T00:00:00Z"]}, …]}

Nearly always all values of a view are there. Then what comes behind each of its columns is the same: so many times
"PRESENT", and the view's instants. Columns of numbers are written all at once and cut apart, as no number has brackets.
Everything else is put together value by value.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any

import numpy as np
import orjson
from orjson import dumps

from gnomon.flows.responses import Answer, Asked, OnlineResponse, Parts, made_of
from gnomon.server.hot.values import Writer, key_writer, writer
from gnomon.types import Bool, FeatureType, Float32, Float64, Int32, Int64

__all__ = ["Forms", "Names", "in_order", "instants"]

Names = tuple[str, ...]

MOST = 1_000
LONG = 1_000
"""Longer columns are written one by one: while one is, nothing else is done in this process."""
NUMBERS = (Bool, Int32, Int64, Float32, Float64)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NEVER = "1970-01-01T00:00:00Z"
ZULU = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
BEGIN = b',{"values":['


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
        columns = form.columns(parts, len(response), lean)
        return b"".join((form.head, said, b'},"results":[', columns[1:], b"]}"))

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
class _Run:
    """Features of one part that stand beside each other in an answer and are written alike.

    Args:
        part: which part.
        places: their places in it; None for all, in order.
        writers: what writes each, and where it is.
        numbers: whether all are numbers.
    """

    part: int
    places: tuple[int, ...] | None
    writers: tuple[tuple[int, Writer], ...]
    numbers: bool

    def texts(self, answer: Answer) -> list[bytes] | None:
        """The columns' values, without brackets; None unless all are there."""
        columns = answer.columns
        if self.places is not None:
            columns = [columns[place] for place in self.places]
        if self.numbers and len(answer.events) <= LONG:
            text = dumps(columns)
            return None if b"null" in text else text[2:-2].split(b"],[")  # orjson makes null of NaN, too
        if any(None in column for column in columns):
            return None
        return [write(column)[1:-1] for (_, write), column in zip(self.writers, columns, strict=True)]


@dataclass(frozen=True, slots=True)
class _Form:
    """What answers to one question have in common.

    Args:
        head: the document up to what else is said of the answer.
        keys: the join keys' columns, and what writes each.
        runs: the features.
    """

    head: bytes
    keys: tuple[tuple[str, Writer], ...]
    runs: tuple[_Run, ...]

    @classmethod
    def of(cls, parts: Parts, given: Names) -> _Form:
        keys = in_order(parts, given)
        runs = []
        for (part, numbers), some in groupby(parts.order.values(), lambda one: (one.part, one.dtype in NUMBERS)):
            writers = tuple((one.place, writer(one.dtype)) for one in some)
            places = tuple(place for place, _ in writers)
            is_all = places == tuple(range(len(parts.answers[part].columns)))
            runs.append(_Run(part, None if is_all else places, writers, numbers))
        return cls(
            head=b'{"metadata":{"feature_names":' + dumps([*keys, *parts.order]),
            keys=tuple((name, key_writer(name, dtype)) for name, dtype in keys.items()),
            runs=tuple(runs),
        )

    def columns(self, parts: Parts, count: int, lean: bool) -> bytes:
        """All columns, each with a comma before it."""
        written: list[bytes] = []
        latest, happened, whole = None, b"]}", b"]}"
        for name, write in self.keys:
            values = parts.keys[name]
            written += BEGIN, write(values)[1:-1], happened if lean else _of_keys(values, count)
        for run in self.runs:
            answer = parts.answers[run.part]
            if answer is not latest and not lean:
                happened = b',"event_timestamps":' + instants(answer) + b"}"
                whole = _whole(count) + happened
            latest = answer
            texts = run.texts(answer) if _is_whole(answer) else None
            if texts is not None:
                written += BEGIN, (whole + BEGIN).join(texts), whole
                continue
            for place, write in run.writers:
                written += BEGIN, write(answer.values(place))[1:-1]
                if not lean:
                    written += b'],"statuses":', dumps([str(one) for one in answer.statuses(place)])
                written.append(happened)
        return b"".join(written)


def in_order(parts: Parts, given: Names) -> dict[str, FeatureType]:
    """The join keys' columns and their types: in the order in which the request has them."""
    types = parts.key_types
    return {name: types[name] for name in given if name in types} if len(types) > 1 else types


def instants(answer: Answer) -> bytes:
    """When each entity's row happened, as Feast writes it: 1970 where there is none.

    >>> instants(Answer([], [1_704_110_400_120_000, None], None, None))
    b'["2024-01-01T12:00:00.120Z","1970-01-01T00:00:00Z"]'
    """
    found = answer.events if answer.absent is None and type(answer) is Answer else answer.instants()
    try:
        if len(found) == 1:
            only = found[0]
            written = dumps([EPOCH if only is None else EPOCH + timedelta(microseconds=only)], option=ZULU)
        else:
            micros = np.array([one or 0 for one in found] if None in found else found, np.int64)
            written = dumps(micros.view("M8[us]"), option=ZULU)
    except (OverflowError, orjson.JSONEncodeError):  # not of the years 0 to 9999
        return dumps([NEVER if one is None else f"{np.datetime64(one, 'us')}Z" for one in found])
    # Six digits after the point, or none; three are enough for whole milliseconds.
    return written.replace(b'000Z"', b'Z"')


def _is_whole(answer: Answer) -> bool:
    return answer.absent is None and answer.outside is None and answer.lacking is None and answer.invalid is None


def _said(response: OnlineResponse) -> bytes:
    return b',"known_through":' + dumps([str(one) for one in response.known_through])


def _of_keys(values: list[Any], count: int) -> bytes:
    """What comes behind the values of join keys."""
    if None not in values:
        return _behind_keys(count)
    statuses = dumps(["NULL_VALUE" if one is None else "PRESENT" for one in values])
    return b"".join((b'],"statuses":', statuses, b',"event_timestamps":', dumps([NEVER] * count), b"}"))


@functools.lru_cache(maxsize=256)
def _behind_keys(count: int) -> bytes:
    return b"".join((_whole(count), b',"event_timestamps":', dumps([NEVER] * count), b"}"))


@functools.lru_cache(maxsize=256)
def _whole(count: int) -> bytes:
    """What comes behind the values of a column that are all there."""
    return b'],"statuses":' + dumps(["PRESENT"] * count)
