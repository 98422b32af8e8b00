"""Showing answers: tables for people, JSON for programs, a progress bar on a terminal. rich is loaded only here."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from gnomon.clock import duration_text

if TYPE_CHECKING:
    from rich.progress import Progress as RichBars
    from rich.progress import TaskID

    from gnomon.cli.session import Session
    from gnomon.flows.progress import Progress

__all__ = ["answer", "cell", "confirm", "plain", "progress", "table"]


def answer(session: Session, document: Any, say: Callable[[], object]) -> None:
    """Give an answer: the document as JSON to a program, or what `say` prints to a person."""
    if session.json:
        click.echo(json.dumps(plain(document), ensure_ascii=False, allow_nan=False))
    else:
        say()


def plain(value: Any) -> Any:
    r"""A value as JSON can hold it.

    Instants are ISO-8601 texts in UTC, decimals texts, bytes hex texts, and the floats JSON lacks `"NaN"`,
    `"Infinity"` and `"-Infinity"`.

    >>> plain({"at": datetime(2024, 1, 1, tzinfo=timezone.utc), "x": float("nan"), "raw": b"\x00"})
    {'at': '2024-01-01T00:00:00Z', 'x': 'NaN', 'raw': '00'}
    """
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, (date, Decimal)):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return duration_text(value) if isinstance(value, timedelta) else value


def cell(value: Any) -> str:
    r"""A value as a table's cell: short, on one line, null as nothing.

    >>> cell([1.5, None]), cell(None), cell("a\nb")
    ('[1.5, null]', '', 'a b')
    """
    if value is None:
        return ""
    text = plain(value)
    text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


_WIDEST = 200


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "Nothing yet.") -> None:
    """Print a table; through a pipe it is as wide as it needs to be, so that no cell is cut."""
    from rich.console import Console
    from rich.table import Table

    cells = [[cell(one) for one in row] for row in rows]
    if not cells:
        click.echo(empty)
        return
    console = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 100_000)
    made = Table(box=None, pad_edge=False)
    for name in columns:
        made.add_column(name)
    for row in cells:
        made.add_row(*row)
    console.print(made)


def confirm(question: str) -> None:
    """Ask whether to remove something; where the answer is no, or nobody is there, leave."""
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked; add --yes.")
    if not click.confirm(question, err=True):
        click.echo("Nothing was removed.", err=True)
        sys.exit(1)


@contextlib.contextmanager
def progress(session: Session) -> Iterator[Progress | None]:
    """A progress bar, where a person watches a terminal; else None."""
    if session.json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Bars(bars)


class Bars:
    """One bar per view that is loaded, or one for a training set.

    Args:
        bars: the display they stand on.
    """

    def __init__(self, bars: RichBars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, view: str, total: int | None) -> None:
        """It begins; `total` rows are expected, None where nobody knows."""
        self._task = self._bars.add_task(view, total=total)

    def advance(self, rows: int) -> None:
        """Some more rows are in."""
        if self._task is not None:
            self._bars.advance(self._task, rows)

    def end(self) -> None:
        """It is done."""
        if self._task is not None:
            self._bars.stop_task(self._task)
        self._task = None
