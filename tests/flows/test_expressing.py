"""Expressions over tables, run by the engine, and over single rows, compiled, have the same values, cast alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon import Field, OnDemandFeatureView, RequestSource
from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.core.bits import differing
from gnomon.core.columns import as_python
from gnomon.core.expressions import parse
from gnomon.core.expressions.tree import Node, columns_of
from gnomon.core.expressions.writing import write
from gnomon.engines.duckdb.engine import DuckDBEngine
from gnomon.errors import DefinitionError
from gnomon.flows.computing import Ready, Rows
from gnomon.flows.expressing import Expressing
from gnomon.plan.questions import Computation
from gnomon.testing.strategies import event_columns, event_rows, expressions
from gnomon.types import (
    Bool,
    Bytes,
    Decimal,
    FeatureType,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
    to_arrow,
)

TYPES = (Bool, Int32, Int64, Float32, Float64, String, Bytes, UnixTimestamp, Decimal(38, 10), Decimal(5, 0))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> DuckDBEngine:
    context = Context(repo_path=tmp_path_factory.mktemp("repo"), project="p", clock=ManualClock())
    return DuckDBEngine({}, context)


def computation(expression: str, columns: dict[str, FeatureType], dtype: FeatureType) -> Computation:
    request = RequestSource(name="r", schema=[Field(name, one) for name, one in columns.items()])
    view = OnDemandFeatureView(
        name="v", sources=[request], schema=[Field("of it", dtype)], mode="sql", expressions={"of it": expression}
    )
    inputs = tuple((one.name, one.name, columns[one.name]) for one in view.wanted)
    return Computation(view=view, inputs=inputs, features=(("of it", "of it"),))


def fitting(tree: Node, columns: dict[str, FeatureType]) -> list[FeatureType]:
    """The types that an expression may be declared as."""
    found, expression = [], parse(write(tree), value=True)
    for dtype in TYPES:
        try:
            expression.giving(dtype, columns)
        except DefinitionError:
            continue
        found.append(dtype)
    return found


def both_ways(
    engine: DuckDBEngine, one: Computation, rows: list[dict[str, Any]], dtype: FeatureType
) -> tuple[pa.Array, pa.Array | None]:
    """Row by row, and over a table; the latter None where a value does not fit."""
    arrays = [pa.array([row[name] for row in rows], to_arrow(kind)) for name, _, kind in one.inputs]
    made = Ready.of(one).run([as_python(array) for array in arrays], Rows(len(rows), lambda row: {"row": row}))
    expressing = Expressing.of(one, engine)
    assert expressing is not None
    expressed = expressing.columns(arrays)
    assert expressed is None or not made.invalid
    return pa.array(made.columns[0], to_arrow(dtype)), None if expressed is None else expressed[0]


@settings(max_examples=settings.default.max_examples * 3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_over_tables_and_over_rows(engine: DuckDBEngine, data: st.DataObject) -> None:
    columns = data.draw(event_columns())
    expression = write(data.draw(expressions(columns).filter(lambda tree: columns_of(tree) and fitting(tree, columns))))
    dtype = data.draw(st.sampled_from(fitting(parse(expression, value=True).tree, columns)))
    one = computation(expression, columns, dtype)
    alone, together = both_ways(engine, one, data.draw(event_rows(columns)), dtype)
    if together is not None:
        wrong = differing(alone, together)
        assert not wrong.any(), (expression, alone.to_pylist(), together.to_pylist())


MOST = 2**63 - 1


@pytest.mark.parametrize(
    ("expression", "dtype", "rows", "expected"),
    [
        ("a + b", Int64, [(1, 2), (MOST, 1), (None, 1), (-1, 1)], [3, None, None, 0]),
        ("a + b", Float64, [(1, 2), (MOST, 1)], [3.0, 2.0**63]),
        ("a * b", Int32, [(3, 4), (2**20, 2**20)], [12, None]),
        ("a / b", Float64, [(1, 2), (1, 0), (0, 0), (None, 0)], [0.5, None, None, None]),
        ("a % b", Int64, [(7, 4), (-7, 4), (7, 0)], [3, -3, None]),
        (
            "case when a > b then 'more' when a = b then 'same' end",
            String,
            [(2, 1), (1, 1), (0, 1)],
            ["more", "same", None],
        ),
        ("coalesce(a, b, 0)", Int64, [(None, 5), (None, None), (1, 2)], [5, 0, 1]),
        ("a > b", Bool, [(2, 1), (1, 2), (None, 1)], [True, False, None]),
        ("-a", Int64, [(5, 0), (-(2**63), 0)], [-5, None]),
        ("a * 1.5", Decimal(38, 10), [(3, 0), (MOST, 0)], None),
    ],
)
def test_values_written_down_by_hand(
    engine: DuckDBEngine, expression: str, dtype: FeatureType, rows: list[tuple[Any, ...]], expected: list[Any] | None
) -> None:
    one = computation(expression, {"a": Int64, "b": Int64}, dtype)
    alone, together = both_ways(engine, one, [dict(zip("ab", row, strict=True)) for row in rows], dtype)
    if expected is not None:
        assert alone.to_pylist() == expected
    assert together is None or alone.equals(together)


def test_nan_and_infinity(engine: DuckDBEngine) -> None:
    nan, inf = float("nan"), float("inf")
    rows = [{"a": nan, "b": 1.0}, {"a": inf, "b": inf}, {"a": 1e308, "b": 1e-10}, {"a": -0.0, "b": 1.0}]
    one = computation("a / b", {"a": Float64, "b": Float64}, Float64)
    alone, together = both_ways(engine, one, rows, Float64)
    assert together is not None
    assert not differing(alone, together).any()
    single = computation("a / b", {"a": Float64, "b": Float64}, Float32)
    made, _ = both_ways(engine, single, [{"a": 1e308, "b": 1.0}, {"a": inf, "b": 1.0}], Float32)
    assert made.to_pylist() == [None, inf]


def test_the_engine_is_asked_again_and_again(engine: DuckDBEngine, tmp_path: Path) -> None:
    expressing = Expressing.of(computation("a + 1", {"a": Int64}, Int64), engine)
    assert expressing is not None
    for count in (3, 0, 20_000):
        (found,) = expressing.columns([pa.array(range(count), pa.int64())]) or ()
        assert found.to_pylist() == list(range(1, count + 1))
