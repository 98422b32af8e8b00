"""Windowed views on DuckDB: it reads and joins the events, the kernel does the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from gnomon.clock import micros_of
from gnomon.core.columns import as_numpy
from gnomon.core.kernel.columns import Ints
from gnomon.core.kernel.parts import BYTES_HELD, Answers, Parts
from gnomon.core.kernel.windowed import Brought, Spine, answered
from gnomon.definitions.sources import FileSource, Source
from gnomon.engines.duckdb.events import condition_terms, is_delete, version_columns
from gnomon.engines.duckdb.origins import Origin
from gnomon.engines.duckdb.scan import quoted
from gnomon.errors import DefinitionError, RequestError
from gnomon.plan.as_of import keys_step
from gnomon.plan.questions import AsKnown, ViewQuestion
from gnomon.plan.windowed import windowed_plan

__all__ = ["WindowedView"]

EVENTS_A_PART = 400_000
"""What a part has when keys are of one size: its arrays then stay near the processor."""
MOST_PARTS = 4_096
BYTES_A_ROW = 64
"""A guess, for CSV files."""
BATCH_ROWS = 1_000_000
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
"""In which DuckDB says a limit."""


class WindowedView:
    """One windowed view's part in a question.

    Args:
        con: the question's database, with `asked{tag}(r, t, k…)`.
        part: the view and the features asked.
        as_known: how much hindsight is allowed.
        tag: a suffix that keeps this view's tables apart from the other views'.
        span: the least and the greatest instant asked, in µs.
        folder: makes a new folder for files.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        part: ViewQuestion,
        as_known: AsKnown,
        tag: str,
        span: tuple[int, int],
        folder: Callable[[], Path],
    ) -> None:
        self._con, self._part, self._as_known, self._tag, self._folder = con, part, as_known, tag, folder
        self._span = span
        self._plan = windowed_plan(part, as_known, span)
        self._keys = [f"k{place}" for place in range(len(part.view.join_keys))]

    def answers(self, origin: Origin, *, strict: bool) -> Answers:
        """The features asked, row by row of the spine; whoever takes them closes them.

        Args:
            origin: where the events come from.
            strict: whether a value that its type cannot hold is an error, not a null.

        Raises:
            RequestError: a value does not fit and `strict` is said, or a vector has the wrong length.
            DefinitionError: an own aggregation fails.
        """
        self._con.execute(keys_step(self._keys, self._tag))
        key, at = self._spine()
        count = min(max(1, -(-origin.most_rows(BYTES_A_ROW) // EVENTS_A_PART)), MOST_PARTS)
        held = self._held()
        spine, parts = Spine(key, at, count), Parts(count, self._folder, held=held)
        renamed = dict(self._part.features)
        names = [(renamed[name], dtype) for name, dtype in self._plan.names]
        answers = Answers(names, spine.row, len(at), self._folder, held=held)
        try:
            parts.take(self._con.sql(self._events_query(origin)).to_arrow_reader(BATCH_ROWS))
            threads = int(self._con.sql("select current_setting('threads')").fetchall()[0][0])
            threads = min(threads, os.cpu_count() or 1)
            with self._named():
                answered(parts, spine, self._brought(), self._plan.jobs, self._as_known, answers, threads)
            if strict:
                self._refuse(answers, at)
        except BaseException:
            answers.close()
            raise
        finally:
            parts.close()
        return answers

    def instants(self, origin: Origin) -> pa.Table:
        """(r, t): the instants after the span's first, up to its last, at which the answer for row r may change.

        Args:
            origin: where the events come from.
        """
        self._con.execute(keys_step(self._keys, self._tag))
        rows = f"select a.r, q.c from asked{self._tag} a join keys{self._tag} q on {self._same_key('a')}"
        query = self._events_query(origin)
        found = self._con.sql(f"select r, p.* exclude (c) from ({query}) p join ({rows}) q using (c)").to_arrow_table()
        event, row = _numbers(found["e"]), _numbers(found["r"])
        known = _numbers(found["w"]) if "w" in found.column_names else event + self._brought().delay
        changes = [] if self._as_known != "then" else [known]
        for window in dict.fromkeys(window for job in self._plan.jobs for window in job.windows):
            enter = window.enter(event)
            changes += [enter if self._as_known != "then" else np.maximum(enter, known), window.leave(event)]
        instants = np.concatenate(changes)
        pairs = np.stack([np.tile(row, len(changes)), instants], axis=1)
        inside = (instants > self._span[0]) & (instants <= self._span[1])
        pairs = np.unique(pairs[inside], axis=0)
        return pa.table({"r": pa.array(pairs[:, 0]), "t": pa.array(pairs[:, 1])})

    def _spine(self) -> tuple[Ints, Ints]:
        """Per row the number of its key, −1 where it has none, and its instant."""
        joined = f"asked{self._tag} a left join keys{self._tag} q on {self._same_key('a')}"
        found = self._con.sql(f"select r, t, coalesce(c, -1) as c from {joined}").to_arrow_table()
        rows, at, key = (_numbers(found[name]) for name in ("r", "t", "c"))
        order = np.empty(len(rows), np.int64)
        order[rows] = np.arange(len(rows))
        return key[order], at[order]

    def _same_key(self, rows: str) -> str:
        """The condition that some rows are about a numbered key q."""
        return " and ".join(f"{rows}.{key} = q.{key}" for key in self._keys) or "true"

    def _held(self) -> int:
        """How many bytes of events, or of answers, stay in memory: half of what DuckDB may take, at most."""
        number, unit = str(self._con.sql("select current_setting('memory_limit')").fetchall()[0][0]).split()
        return min(BYTES_HELD, int(float(number) * UNITS[unit]) // 2)

    def _events_query(self, origin: Origin) -> str:
        plan, source = self._plan, self._plan.view.source
        rows = origin.rows(until=plan.until, happened=plan.since, more=version_columns(source))
        places = {field.name: f"p.f{place}" for place, field in enumerate(plan.view.inputs)}
        terms = ["q.c as c", "p.e as e"]
        if plan.known_matters and (_states_known_times(source) or source.event_id):
            terms.append("p.w as w")
        if source.event_id:
            terms.append("p.id as id")
        if source.operation:
            terms.append(f"{is_delete('p.op')} as gone")
        terms += [f"{places[name]} as {quoted(f'f:{name}')}" for name in plan.columns]
        conditions = condition_terms(plan.conditions, places.__getitem__)
        terms += [f"{term} as {quoted(f'm:{where}')}" for where, term in conditions]
        joined = f"({rows}) p join keys{self._tag} q on {self._same_key('p')}"
        return f"select {', '.join(terms)} from {joined}{self._known_filter()}"

    def _known_filter(self) -> str:
        """What is known too late for every row asked is not read."""
        if self._as_known == "now":
            return ""
        limit = self._span[1] if isinstance(self._as_known, str) else self._as_known
        return f" where p.w <= {limit}"

    def _brought(self) -> Brought:
        plan = self._plan
        types = {field.name: field.dtype for field in plan.view.inputs}
        return Brought(
            columns=[(name, types[name]) for name in plan.columns],
            conditions=tuple(plan.conditions),
            lengths=plan.lengths,
            ties=plan.ties,
            reach=plan.reach,
            delay=_delay(plan.view.source),
        )

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of the kernel, which knows no views, get the view's name."""
        try:
            yield
        except (DefinitionError, RequestError) as wrong:
            what = f"view {self._part.view.name!r}: {wrong.what}"
            raise type(wrong)(what, instead=wrong.instead, hint=wrong.hint, **wrong.facts) from wrong

    def _refuse(self, answers: Answers, at: Ints) -> None:
        for feature, row in answers.invalid:
            raise RequestError(
                f"feature {feature!r} of view {self._part.view.name!r} has a value that its type cannot hold, "
                f"in row {row} of the spine.",
                hint="sum decimals or floats in place of whole numbers, or leave strict out: the value is null then.",
                feature=feature,
                row=row,
                instant=int(at[row]),
            )


def _states_known_times(source: Source) -> bool:
    """Whether rows carry known times of their own, and not only their source's delay."""
    return not isinstance(source, FileSource) or bool(source.created_timestamp_column)


def _delay(source: Source) -> int:
    return micros_of(source.delay) if isinstance(source, FileSource) and source.delay is not None else 0


def _numbers(column: pa.ChunkedArray) -> Ints:
    found: Ints = as_numpy(column.combine_chunks()).astype(np.int64)
    return found
