"""What a function of a frame gives for a row does not hang on the rows beside it, nor on their order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from on_demand_functions import COLUMNS

from gnomon import Field, OnDemandFeatureView, RequestSource
from gnomon.errors import RequestError
from gnomon.flows.computing import Made, Ready, Rows
from gnomon.flows.vectors import frames
from gnomon.plan.questions import Computation
from gnomon.testing.strategies import values
from gnomon.types import String

REQUEST = RequestSource(name="r", schema=[Field(name, dtype) for name, dtype in COLUMNS.items()])
ROWS = st.lists(st.tuples(*(values(dtype) for dtype in COLUMNS.values())), min_size=1, max_size=5)
"""Rows that have a value of each type, or none."""


def ready(function: Callable[..., Any], mode: str = "pandas", **options: Any) -> Ready:
    """A view's one feature `x` of text, computed from a column of each type."""
    view = OnDemandFeatureView(
        name="v", sources=[REQUEST], schema=[Field("x", String)], mode=mode, function=function, **options
    )
    inputs = tuple((name, name, dtype) for name, dtype in COLUMNS.items())
    return Ready.of(Computation(view=view, inputs=inputs, features=(("x", "x"),)))


def run(made: Ready, rows: list[tuple[Any, ...]], strict: bool = False) -> Made:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return made.run(columns, Rows(len(rows), lambda row: {"row": row}, strict))


def of_column(name: str, doing: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def function(df: pd.DataFrame) -> pd.DataFrame:
        found = doing(df[name])
        return pd.DataFrame({"x": [f"{df[name].dtype} {found.dtype if shown else ''} {one!r}" for one in found]})

    shown = doing is same
    return function


def same(column: Any) -> Any:
    return column


DOING: dict[str, Callable[[Any], Any]] = {
    "same": same,
    "added": lambda one: one + one,
    "equal": lambda one: one == one,
    "null": lambda one: one.isna(),
    "first": lambda one: one.str[:1],
}


def plain(function: Callable[..., Any], made: Ready) -> Ready:
    """The same with another function: one with variables around it cannot be registered."""
    names, dtypes = list(COLUMNS), list(COLUMNS.values())
    return replace(made, together=frames(function, names, dtypes, ["x"], True))


def whole(df):
    return df.assign(x=df["s"])


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("doing", DOING)
@given(rows=ROWS)
@settings(max_examples=10)
def test_a_row_is_what_it_is_alone(name: str, doing: str, rows: list[tuple[Any, ...]]) -> None:
    logging.getLogger("gnomon.on_demand").setLevel(logging.CRITICAL)
    try:
        made = plain(of_column(name, DOING[doing]), ready(whole))
        together, alone = run(made, rows), [run(made, [row]) for row in rows]
    finally:
        logging.getLogger("gnomon.on_demand").setLevel(logging.NOTSET)
    assert together.columns == [[one.columns[0][0] for one in alone]]
    assert list(together.invalid or ()) == [row for row, one in enumerate(alone) if one.invalid]


def test_dtypes_are_those_of_the_documentation() -> None:
    seen: list[dict[str, str]] = []

    def look(df: pd.DataFrame) -> pd.DataFrame:
        seen.append({name: str(dtype) for name, dtype in df.dtypes.items()})
        return whole(df)

    made = plain(look, ready(whole))
    texts = tuple("é" if dtype == String else None for dtype in COLUMNS.values())
    run(made, [texts])
    run(made, [(None,) * len(COLUMNS)])
    assert seen[0] == seen[1]
    assert seen[0]["s"] == seen[0]["y"] == seen[0]["m"] == seen[0]["a"] == "object"
    assert (seen[0]["i"], seen[0]["l"], seen[0]["b"], seen[0]["f"]) == ("Int32", "Int64", "boolean", "float32")
    assert seen[0]["t"] == "datetime64[us, UTC]"


def texts(*given: str | None) -> list[tuple[Any, ...]]:
    return [tuple(one if name == "s" else None for name in COLUMNS) for one in given]


def backwards(df):
    return df.sort_values("s", ascending=False).assign(x=df["s"])


def test_the_index_says_which_row_is_which() -> None:
    assert run(ready(backwards), texts("a", "c", "b")).columns == [["a", "c", "b"]]


def fewer(df):
    return df.assign(x=df["s"])[df["s"] != "c"]


def doubled(df):
    return df.assign(x=df["s"]).set_axis([0] * len(df))


def foreign(df):
    return df.assign(x=df["s"]).set_index("s")


@pytest.mark.parametrize(
    ("function", "expected", "said"),
    [
        (fewer, ["a", None, "b"], "gives 0 rows for 1"),
        (foreign, [None] * 3, "gives a frame with the index ['a'], not that of the frame it was given"),
    ],
)
def test_a_frame_of_other_rows_is_invalid(
    function: Any, expected: list[Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = run(ready(function), texts("a", "c", "b"))
    assert made.columns == [expected]
    assert list(made.invalid or ()) == [row for row, one in enumerate(expected) if one is None]
    assert said in caplog.text
    with pytest.raises(RequestError, match="cannot be computed for"):
        run(ready(function), texts("a", "c", "b"), strict=True)


def test_rows_that_stand_twice_are_told_from_those_that_do_not() -> None:
    assert run(ready(doubled), texts("a", "c")).columns == [["a", "c"]]  # each alone has the index it was given


def leaves(inputs):
    raise SystemExit(3)


class Odd(BaseException):
    pass


def odd(inputs):
    raise Odd("odd")


def stopped(inputs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("mode", ["python", "pandas"])
def test_whatever_a_function_raises_spoils_its_rows_alone(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    options = {"singleton": True} if mode == "python" else {}
    for function, said in ((leaves, "SystemExit: 3"), (odd, "Odd: odd")):
        made = run(ready(function, mode, **options), texts("a", "b"))
        assert (made.columns, list(made.invalid or ())) == ([[None, None]], [0, 1])
        assert said in caplog.text
        with pytest.raises(RequestError, match=said):
            run(ready(function, mode, **options), texts("a"), strict=True)
    with pytest.raises(KeyboardInterrupt):
        run(ready(stopped, mode, **options), texts("a"))
