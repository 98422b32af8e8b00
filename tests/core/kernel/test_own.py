"""Users' own aggregations, over windows like any other: adding and merging is all that is asked of them."""

from __future__ import annotations

import random

import numpy as np
import own_aggregations
import pyarrow as pa
import pytest

from gnomon import Window, agg
from gnomon.core.kernel.columns import Column, arrow_of
from gnomon.core.kernel.part import Given, Inputs, Job, answer
from gnomon.definitions.aggregations import Aggregation
from gnomon.errors import DefinitionError
from gnomon.testing import check_aggregation
from gnomon.testing.reference_windows import WindowEvent, selected_events
from gnomon.types import Array, FeatureType, Float64, Int64, String, UnixTimestamp, to_arrow

WINDOWS = (Window("10us"), Window("30us", hop="7us"), Window("5us", kind="tumbling"), Window(None))
CASES = [
    (own_aggregations.GeometricMean, Float64, [0.5, 2.0, 8.0, 0.1, -1.0]),
    (own_aggregations.Letters, String, ["", "a", "ba", "é"]),
    (own_aggregations.Noon, UnixTimestamp, [0, 5, -7, 10**15]),
]


@pytest.mark.parametrize(("own", "dtype", "pool"), CASES, ids=lambda one: getattr(one, "__name__", ""))
@pytest.mark.parametrize("as_known", ["now", "then"])
def test_a_window_is_its_events_added_one_by_one(own: type, dtype: FeatureType, pool: list, as_known: str) -> None:
    rng = random.Random(own.__name__)
    for _ in range(20):
        events = [
            WindowEvent(key=(0,), event=at, known=at + rng.choice([0, 0, 20]), values={"x": rng.choice(pool)})
            for at in (rng.randrange(60) for _ in range(rng.randrange(25)))
        ]
        at = sorted(rng.randrange(90) for _ in range(12))
        got = swept(agg.custom(own, "x", over=list(WINDOWS)), dtype, events, at, as_known)
        for window, values in zip(WINDOWS, got, strict=True):
            assert values == [by_hand(own(), dtype, events, one, window, as_known) for one in at]


def swept(made: Aggregation, dtype: FeatureType, events: list, at: list[int], as_known: str) -> list[list]:
    plain = pa.int64() if dtype == UnixTimestamp else to_arrow(dtype)
    column = Column(pa.array([one.values["x"] for one in events], plain).cast(to_arrow(dtype)), dtype)
    given = Given(
        key=np.zeros(len(events), np.int64),
        event=np.array([one.event for one in events], np.int64),
        known=np.array([one.known for one in events], np.int64),
        columns={"x": Inputs(column)},
        selected={},
    )
    rows = np.array(at, np.int64)
    job = Job(made.made(), "x", "", made.over)
    answers = answer(given, np.zeros(len(rows), np.int64), rows, 1, [job], as_known)  # type: ignore[arg-type]
    output = made.output({"x": dtype})
    arrays = [arrow_of(values, output) for values in answers]
    return [(one.cast(pa.int64()) if output == UnixTimestamp else one).to_pylist() for one in arrays]


def by_hand(own: agg.Custom, dtype: FeatureType, events: list, at: int, window: Window, as_known: str) -> object:
    inside = selected_events(events, (0,), at, window=window, dtypes={"x": dtype}, as_known=as_known)  # type: ignore[arg-type]
    state = own.empty()
    for one in inside:
        state = own.add(state, one.values["x"])
    return own.result(state) if inside else None


@pytest.mark.parametrize(("own", "dtype", "pool"), CASES, ids=lambda one: getattr(one, "__name__", ""))
def test_these_keep_the_laws(own: type, dtype: FeatureType, pool: list) -> None:
    check_aggregation(own)
    assert dtype in own.takes_types
    assert pool


def test_a_document_keeps_the_hash_of_the_code() -> None:
    made = agg.custom(own_aggregations.GeometricMean, "x", over="1h")
    assert made.feature_names == ("x_geometric_mean_1h",)
    assert made.arguments["place"] == "own_aggregations:GeometricMean"
    assert made.arguments["gives"] == "Float64"
    changed = Aggregation(function="custom", column="x", over=["1h"], arguments={**made.arguments, "code": "0" * 16})
    with pytest.raises(DefinitionError, match="is not what it was when the view was applied") as caught:
        assert changed.made().own  # type: ignore[attr-defined]
    assert "apply the view again" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"result": lambda self, state: 1}, "result gave 1, which is no Float64"),
        ({"result": lambda self, state: "much"}, "result gave 'much', which is no Float64"),
        ({"gives": Int64, "result": lambda self, state: 2**70}, r"result gave \d+, which is no Int64"),
        ({"gives": Array(Int64), "result": lambda self, state: [1, 2.5]}, r"result gave \(1, 2.5\), which is no Array"),
        ({"add": lambda self, state, value: None}, "add gave None, no state: is there a return missing"),
        ({"result": lambda self, state: 1 / 0}, "ZeroDivisionError: division by zero"),
    ],
)
def test_what_an_own_aggregation_gives_is_never_bent_to_fit(
    monkeypatch: pytest.MonkeyPatch, changed: dict, said: str
) -> None:
    """A value of another type, or too large, is an error that says so, not a number that was cut."""
    wrong = type("GeometricMean", (own_aggregations.GeometricMean,), changed)
    wrong.__module__ = own_aggregations.__name__
    monkeypatch.setattr(own_aggregations, "GeometricMean", wrong)
    monkeypatch.setattr("gnomon.core.aggregations.custom._MADE", {})
    events = [WindowEvent(key=(0,), event=1, known=1, values={"x": 2.0})]
    made = Aggregation(
        function="custom", column="x", over=[Window(None)], arguments={"place": "own_aggregations:GeometricMean"}
    )
    with pytest.raises(DefinitionError, match=said):
        swept(made, Float64, events, [5], "now")
