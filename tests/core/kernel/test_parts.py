"""However a question is cut, by keys or in time, in memory or on disk, the answer is the same."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gnomon.core.aggregations import function_of
from gnomon.core.kernel import parts as parts_module
from gnomon.core.kernel.part import Job
from gnomon.core.kernel.parts import Answers, Parts, each
from gnomon.core.kernel.pieces import pieces
from gnomon.core.kernel.windowed import Brought, Spine, answered
from gnomon.core.windows import Window
from gnomon.types import Array, Float64, Int64

EVENTS, KEYS, ROWS = 6_000, 40, 600
WINDOWS = (Window("50us"), Window("1ms", hop="100us"), Window("2ms", kind="tumbling", offset="10us"))
JOBS = [
    Job(function_of(name, arguments), "x", "", WINDOWS)
    for name, arguments in (("count", {}), ("sum", {}), ("stddev", {}), ("max", {}), ("last_n", {"n": 3}))
]
NAMES = [
    (f"{job.function.word} {place}", job.function.output(Float64)) for job in JOBS for place in range(len(WINDOWS))
]
REACH = max(window.reach or 0 for window in WINDOWS)


@pytest.fixture(scope="module")
def events() -> pa.Table:
    """Half of them of one key, a tenth of them late."""
    rng = np.random.default_rng(5)
    key = np.where(rng.random(EVENTS) < 0.5, 7, rng.integers(0, KEYS, EVENTS))
    event = rng.integers(0, 10_000, EVENTS)
    known = event + np.where(rng.random(EVENTS) < 0.1, rng.integers(0, 3_000, EVENTS), 0)
    return pa.table({"c": key, "e": event, "w": known, "f:x": rng.normal(size=EVENTS)})


@pytest.fixture(scope="module")
def asked() -> tuple[np.ndarray, np.ndarray]:
    """Some rows have no key."""
    rng = np.random.default_rng(6)
    key = np.where(rng.random(ROWS) < 0.5, 7, rng.integers(-1, KEYS, ROWS))
    return key, rng.integers(0, 12_000, ROWS)


def solved(
    folder: Path,
    events: pa.Table,
    asked: tuple[np.ndarray, np.ndarray],
    *,
    parts: int = 1,
    held: int = 1 << 30,
    gathered: int = 1 << 22,
    most: int = 1 << 21,
    threads: int = 1,
    reach: int | None = REACH,
) -> pa.Table:
    """The answer, cut as said."""
    made = iter(range(99))

    def new_folder() -> Path:
        path = folder / f"made-{next(made)}"
        path.mkdir()
        return path

    kept, spine = Parts(parts, new_folder, held=held, gathered=gathered), Spine(*asked, parts)
    answers = Answers(NAMES, spine.row, len(asked[0]), new_folder, held=held)
    kept.take(events.to_batches(max_chunksize=1_000))
    brought = Brought(
        columns=[("x", Float64)], conditions=(), lengths={}, ties=(), reach=reach, delay=0, most_events=most
    )
    answered(kept, spine, brought, JOBS, "then", answers, threads)
    kept.close()
    table = pa.Table.from_batches(answers.batches(700))
    answers.close()
    assert list(folder.iterdir()) == []
    return table


@pytest.mark.parametrize(
    "how",
    [
        {"parts": 7},
        {"parts": 64, "threads": 2},
        {"parts": 3, "held": 0, "gathered": 2_500},
        {"parts": 3, "held": 200_000, "gathered": 2_500},
        {"most": 500},
        {"most": 3_000, "parts": 2},
        {"most": 1},
        {"most": 500, "reach": None},
    ],
    ids=str,
)
def test_the_answer_does_not_depend_on_the_cuts(tmp_path: Path, events: pa.Table, asked: tuple, how: dict) -> None:
    whole = solved(tmp_path, events, asked)
    assert whole.num_rows == ROWS
    assert whole["count 1"].null_count == int((asked[0] < 0).sum())
    assert solved(tmp_path, events, asked, **how).equals(whole)


def test_pieces_are_small_where_they_can_be(events: pa.Table) -> None:
    key = np.sort(np.where(np.arange(ROWS) % 2, 7, np.arange(ROWS) // 2 % KEYS))
    at = np.arange(ROWS)
    for one in range(KEYS):
        at[key == one] = np.linspace(0, 12_000, int((key == one).sum())).astype(np.int64)
    cut = list(pieces(events, key, at, 1, REACH, most=1_800))
    assert [begin for begin, _, _ in cut] == [0, *(end for _, end, _ in cut[:-1])]
    assert cut[-1][1] == ROWS
    assert max(len(some) for _, _, some in cut) < 2_100 < len(events) / 2
    everything = list(pieces(events, key, at, 1, None, most=1_800))
    assert max(len(some) for _, _, some in everything) > 2_700  # without a reach a key is not cut


def test_windows_with_more_events_than_a_piece_may_have_are_not_cut_row_by_row() -> None:
    """Each piece gets on by a good part of its windows, so that every event is read a few times, not once a row."""
    at = np.arange(1_000)
    events = pa.table({"c": np.zeros(1_000, np.int64), "e": at})
    cut = list(pieces(events, np.zeros(1_000, np.int64), at, 1, 400, most=10))
    assert len(cut) < 30
    assert sum(len(some) for _, _, some in cut) < 10 * len(events)


def test_the_first_error_ends_the_work() -> None:
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 3:
            raise ZeroDivisionError

    stop = threading.Event()
    with pytest.raises(ZeroDivisionError):
        each(2, work, range(10_000), stop)
    assert stop.is_set()
    assert len(begun) < 10_000


def test_lists_of_a_part_that_has_none(tmp_path: Path) -> None:
    """A column that no part filled is null everywhere."""
    answers = Answers([("x", Array(Int64)), ("y", Int64)], np.empty(0, np.int64), 3, lambda: tmp_path)
    table = pa.Table.from_batches(answers.batches(2))
    assert table.to_pylist() == [{"x": None, "y": None}] * 3
    assert parts_module.__doc__
