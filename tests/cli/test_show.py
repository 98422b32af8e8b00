"""Values as JSON and as cells, tables through a pipe, bars on a terminal."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.cli.session import Session
from gnomon.cli.show import Bars, answer, cell, plain, progress, table


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2024-01-01T00:00:00Z"),
        (datetime(2024, 1, 1), "2024-01-01T00:00:00Z"),  # noqa: DTZ001 - a naive time is UTC
        (date(2024, 1, 1), "2024-01-01"),
        (Decimal("1.50"), "1.50"),
        (b"\x00\xff", "00ff"),
        (timedelta(hours=36), "1d12h"),
        (float("inf"), "Infinity"),
        (-float("inf"), "-Infinity"),
        (float("nan"), "NaN"),
        ([1, (2.5, None)], [1, [2.5, None]]),
        ({1: True}, {"1": True}),
    ],
)
def test_a_value_as_json_has_it(value: Any, expected: Any) -> None:
    assert plain(value) == expected


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_every_value_becomes_strict_json(value: Any) -> None:
    text = json.dumps(plain(value), allow_nan=False)
    assert json.loads(text) == plain(value)


@given(VALUES)
def test_every_cell_is_one_short_line(value: Any) -> None:
    shown = cell(value)
    assert len(shown) <= 200
    assert len(shown.splitlines()) <= 1


def test_a_table_through_a_pipe_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table(["A", "B"], [["x" * 150, "[bold]not markup[/bold] :smile:"], [None, 1.5]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["A", "B"]
    assert "x" * 150 in lines[1]
    assert lines[1].rstrip().endswith("[bold]not markup[/bold] :smile:")
    assert lines[2].split() == ["1.5"]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    table(["A"], [], "Nothing here.")
    assert capsys.readouterr().out == "Nothing here.\n"


def test_json_is_all_a_program_gets(capsys: pytest.CaptureFixture[str]) -> None:
    answer(Session(Path(), json=True), {"a": float("nan"), "b": "é"}, lambda: pytest.fail("said something"))
    assert capsys.readouterr().out == '{"a": "NaN", "b": "é"}\n'


def test_no_bar_for_a_program_or_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    with progress(Session(Path(), json=False)) as bars:
        assert bars is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(Session(Path(), json=True)) as bars:
        assert bars is None


def test_a_bar_a_view_on_a_terminal() -> None:
    from rich.progress import Progress

    shown = Progress(disable=True)
    bars = Bars(shown)
    bars.advance(1)
    for view, total in (("a@1", 10), ("b@1", None)):
        bars.begin(view, total)
        bars.advance(4)
        bars.advance(3)
        bars.end()
    assert [(task.description, task.completed, task.total) for task in shown.tasks] == [
        ("a@1", 7, 10),
        ("b@1", 7, None),
    ]
    assert all(task.stop_time is not None for task in shown.tasks)
