"""A condition means the same to DuckDB and to Python, for every value, and its text is stable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from gnomon.core.expressions import parse
from gnomon.core.expressions.writing import write
from gnomon.errors import DefinitionError
from gnomon.testing.strategies import conditions, event_columns, event_rows
from gnomon.types import (
    Array,
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

COLUMNS: dict[str, FeatureType] = {
    "status": String,
    "amount": Float64,
    "ratio": Float32,
    "count": Int64,
    "small": Int32,
    "price": Decimal(10, 2),
    "wide": Decimal(38, 10),
    "flag": Bool,
    "blob": Bytes,
    "at": UnixTimestamp,
    "tags": Array(String),
}


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def table(columns: dict[str, FeatureType], rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table(
        {f"f{n}": pa.array([row[name] for row in rows], to_arrow(columns[name])) for n, name in enumerate(columns)}
    )


def by_duckdb(db, columns, rows, *typed):
    """What DuckDB says of each condition, row by row."""
    terms = {name: f"f{n}" for n, name in enumerate(columns)}
    events = table(columns, rows)  # noqa: F841 - the query names it
    wanted = ", ".join(f"{one.sql(terms.__getitem__)} as c{n}" for n, one in enumerate(typed))
    found = db.sql(f"select {wanted} from events").to_arrow_table()
    return [column.to_pylist() for column in found.columns]


@given(st.data())
def test_duckdb_and_python_agree_on_every_row(db, data):
    columns = data.draw(event_columns())
    rows = data.draw(event_rows(columns))
    expressions = [parse(write(data.draw(conditions(columns)))) for _ in range(3)]
    typed = []
    for one in expressions:
        try:
            typed.append(one.typed(columns))
        except DefinitionError as wrong:
            event(wrong.what.split(" ")[-1])
            assert "38 digits" in wrong.what or "whole numbers" in wrong.what or "cast" in wrong.what or "beyond" in wrong.what, str(wrong)
    assume(typed)
    assert [[one.compile()(row) for row in rows] for one in typed] == by_duckdb(db, columns, rows, *typed)


@given(st.data())
def test_a_normalised_text_reads_back_as_the_same_tree(data):
    tree = data.draw(conditions(data.draw(event_columns())))
    expression = parse(write(tree))
    assert expression.tree == tree
    assert parse(expression.text) == expression
