"""An explanation as a value: of what one number is made, what was left out and why; as data, as text, as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from gnomon.clock import instant_text
from gnomon.core.columns import as_python
from gnomon.flows.wording import place_text
from gnomon.plan.events import EVENT, GONE, ID, KNOWN, PLACES
from gnomon.plan.reasons import Reason
from gnomon.types import Array, FeatureType, UnixTimestamp

__all__ = ["BECAUSE", "MOST_SHOWN", "REASON", "Explanation", "Meaning", "Online", "Part"]

MOST_SHOWN = 50
"""So many events are shown of those inside, and of those left out: the newest."""
REASON, BECAUSE = "__reason", "__because"
"""The columns that say why an event counts, or does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a feature is defined as, worked out for one instant.

    Args:
        view: the view, `name@version`.
        fingerprint: of the view: it changes when the view may answer differently.
        words: what is made of the events, in words.
        where: the condition on events; empty for none.
        window: the window in words; empty for a row view.
        begins: the window's old end (µs); None where there is none.
        ends: the window's new end, or the instant itself (µs).
        closed: which of the ends belongs to it: "left" or "right", "both" in a row view.
        entities: names of the view's entities.
        source: the view's source, by name.
    """

    view: str
    fingerprint: str
    words: str
    where: str = ""
    window: str = ""
    begins: int | None = None
    ends: int
    closed: str
    entities: tuple[str, ...]
    source: str

    @property
    def span(self) -> str:
        """The event times that count, as an inequality."""
        early, late = "<" if self.closed == "right" else "≤", "<" if self.closed == "left" else "≤"
        begins = "" if self.begins is None else f"{instant_text(self.begins)} {early} "
        return f"{begins}event time {late} {instant_text(self.ends)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """What the online store answers to the same question, or why it is not asked.

    Args:
        value: the value.
        status: its status; empty where the store was not asked.
        known_through: what the answer had, as a token; None where it says nothing of that.
        reason: why the store was not asked; empty where it was.
    """

    value: Any = None
    status: str = ""
    known_through: str | None = None
    reason: str = ""


class Part(NamedTuple):
    """A table of events, for display.

    Args:
        title: what these are.
        columns: the heads of the columns.
        rows: their cells.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Explanation:
    """Why a feature of an entity has the value it has, at one instant.

    Args:
        feature: the feature, `view@version:feature`.
        entity: the join keys, as asked.
        at: the instant asked about, µs.
        as_known: how much hindsight was allowed.
        value: the value, as a training set has it; instants as µs.
        status: why it is there, or is not: PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE, INVALID.
        recomputed: the value made again of the events found here, one by one, in plain Python.
        agrees: whether that is the same value, to the bit. It is a check, made each time.
        dtype: the feature's type.
        meaning: what the feature is defined as.
        events: all events inside the window, by event time; of a row view, the row that wins. A table of the columns
            that the feature looks at, of times, ids and places, and of why each counts.
        left_out: those near it that do not count, and why: within one length of the window of its ends; of a row view,
            those around the row that wins.
        further: how many events of the entity lie further off.
        online: what the online store says.
    """

    feature: str
    entity: Mapping[str, Any]
    at: int
    as_known: str
    value: Any
    status: str
    recomputed: Any
    agrees: bool
    dtype: FeatureType
    meaning: Meaning
    events: pa.Table
    left_out: pa.Table
    further: int = 0
    online: Online = field(default_factory=Online)

    def __repr__(self) -> str:
        return f"Explanation({self.head}: {text_of(self.value, self.dtype)} {self.status})"

    @property
    def head(self) -> str:
        """What was asked."""
        keys = ", ".join(f"{name}={value}" for name, value in self.entity.items())
        of = f" of {keys}" if keys else ""
        return f"{self.feature}{of} at {instant_text(self.at)}, as known {self.as_known}"

    @property
    def lines(self) -> list[str]:
        """What there is to say besides events."""
        meaning = self.meaning
        where = f" where {meaning.where}" if meaning.where else ""
        over = f" over {meaning.window}" if meaning.window else ""
        made = "the same" if self.agrees else f"ANOTHER: {text_of(self.recomputed, self.dtype)}"
        lines = [
            f"value    {text_of(self.value, self.dtype)}  ({self.status})",
            f"check    made again of the events below, it is {made}",
            f"meaning  {meaning.words}{where}{over}",
            f"window   {meaning.span}",
            f"view     {meaning.view}, fingerprint {meaning.fingerprint}",
            f"stands   on {', '.join(meaning.entities) or 'no entity'}, from source {meaning.source}",
        ]
        online = self.online
        if online.status:
            through = f", known {online.known_through}" if online.known_through else ""
            lines.append(f"online   {text_of(online.value, self.dtype)}  ({online.status}){through}")
        elif online.reason:
            lines.append(f"online   not asked: {online.reason}")
        return lines

    def parts(self) -> list[Part]:
        """The events inside and those left out, as tables to show: the newest of each."""
        found = [_part(self.events, "inside", why=False), _part(self.left_out, "left out", why=True)]
        return [part for part in found if part.rows]

    def notes(self) -> list[str]:
        """What tables leave out."""
        tables = {"inside": self.events, "left out": self.left_out}
        notes = [
            f"{len(table) - MOST_SHOWN} more events {what}, older than those shown."
            for what, table in tables.items()
            if len(table) > MOST_SHOWN
        ]
        return notes + ([f"{self.further} events of this entity lie further off."] if self.further else [])

    def __str__(self) -> str:
        lines = [self.head, *(f"  {line}" for line in self.lines)]
        for part in self.parts():
            lines += ["", f"{part.title}:", *(f"  {line}" for line in _aligned(part))]
        notes = self.notes()
        return "\n".join(lines + [""] * bool(notes) + notes)

    def _repr_html_(self) -> str:
        told = [f"<p><b>{html.escape(self.head)}</b></p>", f"<pre>{html.escape(chr(10).join(self.lines))}</pre>"]
        for part in self.parts():
            heads = "".join(f"<th>{html.escape(name)}</th>" for name in part.columns)
            rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in map(_cell, row)) for row in part.rows)
            body = "".join(f"<tr>{row}</tr>" for row in rows)
            told.append(f"<p>{html.escape(part.title)}</p><table><tr>{heads}</tr>{body}</table>")
        return "".join([*told, *(f"<p>{html.escape(note)}</p>" for note in self.notes())])

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, with the newest events; instants as ISO-8601 texts."""
        meaning, online = self.meaning, self.online
        return {
            "feature": self.feature,
            "entity": dict(self.entity),
            "at": instant_text(self.at),
            "as_known": self.as_known,
            "value": shown(self.value, self.dtype),
            "status": self.status,
            "check": {"recomputed": shown(self.recomputed, self.dtype), "agrees": self.agrees},
            "definition": {
                "view": meaning.view,
                "fingerprint": meaning.fingerprint,
                "words": meaning.words,
                "where": meaning.where or None,
                "window": meaning.window or None,
                "begins": None if meaning.begins is None else instant_text(meaning.begins),
                "ends": instant_text(meaning.ends),
                "closed": meaning.closed,
                "entities": list(meaning.entities),
                "source": meaning.source,
            },
            "events": list(records(self.events.slice(max(len(self.events) - MOST_SHOWN, 0)))),
            "events_inside": len(self.events),
            "left_out": list(records(self.left_out.slice(max(len(self.left_out) - MOST_SHOWN, 0)))),
            "events_left_out": len(self.left_out),
            "events_further": self.further,
            "online": {
                "value": shown(online.value, self.dtype),
                "status": online.status or None,
                "known_through": online.known_through,
                "reason": online.reason or None,
            },
        }


def records(events: pa.Table) -> Iterator[dict[str, Any]]:
    """Events as plain data: times, id, values, place, and why."""
    names = events.column_names
    columns = {name: _shown_column(events[name]) for name in names}
    told = [name for name in names if name.startswith("__") and name not in (EVENT, KNOWN, ID, *PLACES)]
    log_columns = [name for name in told if name not in (REASON, BECAUSE, GONE)]
    for row in range(len(events)):
        cells = {name: columns[name][row] for name in names}
        place = {name.removeprefix("__"): cells[name] for name in (*PLACES, *log_columns) if cells[name] is not None}
        yield {
            "event_time": cells[EVENT],
            "known_time": cells[KNOWN],
            **({"id": cells[ID]} if ID in cells else {}),
            "values": {name: value for name, value in cells.items() if not name.startswith("__")},
            "place": place,
            "reason": cells[REASON],
            "because": cells[BECAUSE] or None,
        }


def shown(value: Any, dtype: FeatureType) -> Any:
    """A value for people: instants, which are int µs here, as ISO-8601 texts."""
    if dtype == UnixTimestamp and value is not None:
        return instant_text(value)
    if isinstance(dtype, Array) and value is not None:
        return [shown(one, dtype.element) for one in value]
    return value


def text_of(value: Any, dtype: FeatureType) -> str:
    """A value as a text."""
    return _cell(shown(value, dtype)) or "null"


def _shown_column(column: pa.ChunkedArray) -> list[Any]:
    values = as_python(column)
    if pa.types.is_timestamp(column.type) and column.type.unit == "us":
        return [None if one is None else instant_text(one) for one in values]
    if pa.types.is_list(column.type) and pa.types.is_timestamp(column.type.value_type):
        return [shown(one, Array(UnixTimestamp)) for one in values]
    return values


def _part(events: pa.Table, what: str, *, why: bool) -> Part:
    """The newest of some events as a table."""
    count = f"{len(events)} event{'' if len(events) == 1 else 's'} {what}"
    found = list(records(events.slice(max(len(events) - MOST_SHOWN, 0))))
    values = list(found[0]["values"]) if found else []
    has_id = bool(found) and "id" in found[0]
    columns = ("event time", "known time", *(["id"] if has_id else []), *values, "from", "why")
    rows = [
        (
            one["event_time"],
            one["known_time"],
            *([one["id"]] if has_id else []),
            *(one["values"][name] for name in values),
            place_text(one["place"]),
            one["because"] if why else "" if one["reason"] == Reason.COUNTS else one["because"],
        )
        for one in found
    ]
    return Part(count, columns, rows)


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _aligned(part: Part) -> Iterator[str]:
    table: list[Sequence[str]] = [part.columns, *(tuple(map(_cell, row)) for row in part.rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
