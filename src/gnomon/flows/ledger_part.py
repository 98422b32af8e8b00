"""A windowed view's part in an online request: ledgers looked at, perhaps twice, and values made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gnomon.clock import MIN_MICROS
from gnomon.contracts.online import OnlineStore, Table
from gnomon.core.aggregations import INVALID
from gnomon.core.keys import ColumnEncoder
from gnomon.core.ledger.heads import NEVER, Head
from gnomon.core.ledger.parts import chunk_key, head_key, summary_key
from gnomon.core.ledger.reading import Look, Reading
from gnomon.core.ledger.records import Records
from gnomon.core.ledger.shape import Shape
from gnomon.core.ledger.summary import Summary
from gnomon.core.marks import MARK, Mark
from gnomon.definitions.codec import stored_fingerprint
from gnomon.errors import BackendError
from gnomon.flows.ledgers import ledger_of
from gnomon.flows.request_time import defaults_of
from gnomon.flows.responses import Answer, FilledAnswer
from gnomon.plan.ledger import reading_of, shape_of
from gnomon.plan.questions import NO_ROWS, Through, ViewQuestion

__all__ = ["LedgerPart"]


@dataclass(slots=True)
class LedgerPart:
    """One windowed view's part in a request.

    Args:
        view: the view's id.
        table: where its ledgers are.
        columns: the request's columns that hold its key; for a view without entities, one that counts the rows.
        encoder: turns keys into bytes.
        shape: what the ledgers' records hold.
        reading: reads the features asked.
        count: how many features these are.
        defaults: what stands where a feature would be null, by its place; None where nothing does.
        fingerprint: the view's, which the table was loaded for.
    """

    view: str
    table: Table
    columns: tuple[str, ...]
    encoder: ColumnEncoder
    shape: Shape
    reading: Reading
    count: int
    defaults: dict[int, Any] | None
    fingerprint: str

    @classmethod
    def of(cls, project: str, question: ViewQuestion, columns: tuple[str, ...], encoder: ColumnEncoder) -> LedgerPart:
        """The part that a question gives to a view."""
        view, shape = question.view, shape_of(question.view)
        features = [feature for feature, _ in question.features]
        return cls(
            view=view.id,
            table=ledger_of(project, view),
            columns=columns,
            encoder=encoder,
            shape=shape,
            reading=reading_of(view, shape, features),
            count=len(features),
            defaults=defaults_of(view, features),
            fingerprint=stored_fingerprint(view),
        )

    def first_keys(self, keys: list[bytes]) -> list[bytes]:
        """What to fetch for some keys at first."""
        wanted = [MARK]
        for key in keys:
            wanted.append(head_key(key))
            wanted.append(summary_key(key))
        return wanted

    def look(self, store: OnlineStore, keys: list[bytes | None], values: list[bytes | None]) -> _LedgerLook:
        """What was fetched.

        Raises:
            BackendError: the view's definition is not the one the table was loaded for.
        """
        mark = Mark.from_bytes(values[0])
        if mark is not None and not self._answers_from(mark):
            raise BackendError(
                f"the online store has view {self.view!r} as an older definition of it was.",
                hint="load the view again: gnomon materialize-incremental.",
                view=self.view,
            )
        heads = [
            None if raw is None or key is None else Head.from_bytes(self.shape, raw)
            for key, raw in zip(keys, values[1::2], strict=True)
        ]
        return _LedgerLook(self, keys, heads, values[2::2], mark)

    def _answers_from(self, mark: Mark) -> bool:
        """Whether a table has what the windows need: of an older definition it may, if that looked back as far."""
        if mark.fingerprint == self.fingerprint:
            return True
        reach, kept = self.shape.reach, mark.kept
        return mark.shape == self.shape.id and (kept is None or (reach is not None and reach <= kept))


@dataclass(slots=True)
class _LedgerLook:
    """What a part fetched, and what it still needs."""

    part: LedgerPart
    keys: list[bytes | None]
    heads: list[Head | None]
    summaries: Sequence[bytes | None]
    mark: Mark | None
    looks: list[Look | None] = field(default_factory=list)

    @property
    def table(self) -> Table:
        """Where the ledgers are."""
        return self.part.table

    @property
    def newest(self) -> int:
        """Answers are not of an earlier instant than this, as all that is there was known by then."""
        mark = self.mark
        if mark is None:
            return MIN_MICROS
        known = [one.newest for one in self.heads if one is not None and one.newest != NEVER]
        return max([mark.known or MIN_MICROS, *known])

    def chunks(self, now: int) -> list[bytes]:
        """The keys of the chunks that are needed for an instant."""
        shape, look = self.part.shape, self.part.reading.look
        self.looks = [
            None if head is None else look(head, Summary(shape, raw or b""), now)
            for head, raw in zip(self.heads, self.summaries, strict=True)
        ]
        return [
            chunk_key(key, number)
            for key, one in zip(self.keys, self.looks, strict=True)
            if one is not None and key is not None
            for number in one.chunks
        ]

    def answer(self, now: int, chunks: list[bytes | None]) -> Answer:
        """The part's columns.

        Args:
            now: the instant, for which chunks were asked.
            chunks: what was fetched of them; all are there.
        """
        reading, shape, rest = self.part.reading, self.part.shape, iter(chunks)
        rows: list[list[Any]] = []
        for one in self.looks:
            if one is None:
                rows.append(list(reading.nothing))
                continue
            fetched = {number: Records.from_bytes(shape, next(rest) or b"") for number in one.chunks}
            rows.append(reading.values(one, fetched))
        invalid = {}
        for place, row in enumerate(rows):
            if INVALID in row:
                invalid[place] = [feature for feature, value in enumerate(row) if value is INVALID]
                rows[place] = [None if value is INVALID else value for value in row]
        absent = [key is None or self.mark is None for key in self.keys]
        if any(absent):
            rows = [[None] * self.part.count if gone else row for row, gone in zip(rows, absent, strict=True)]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(self.part.count)]
        events = [_last(head) for head in self.heads]
        answer = Answer(columns, events, absent if any(absent) else None, None, None, invalid or None)
        return answer if self.part.defaults is None else FilledAnswer.of(answer, self.part.defaults)

    def through(self, now: int) -> list[Through]:
        """For each entity which rows its answer was made of."""
        mark = self.mark
        if mark is None:
            return [NO_ROWS] * len(self.keys)
        found = []
        for head in self.heads:
            position = mark.position if head is None else max(head.applied, mark.position)
            found.append(Through(position=position or None, end=mark.end, known=mark.known))
        return found


def _last(head: Head | None) -> int | None:
    """When the newest event happened that is kept; None where none is."""
    return head.records.last() if head is not None and len(head.records) else None
