"""A condition means the same to DuckDB and to Python, for every value, and its text is stable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal as PythonDecimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st
from sqlglot.dialects.duckdb import DuckDB

from gnomon.core.expressions import parse
from gnomon.core.expressions.tree import Call, Column
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
    "long": Decimal(30, 10),
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


def holds(text: str, **row: Any) -> bool | None:
    return parse(text).typed(COLUMNS).compile()(row)


@given(st.data())
def test_duckdb_and_python_agree_on_every_row(db, data):
    columns = data.draw(event_columns())
    rows = data.draw(event_rows(columns))
    typed = []
    for _ in range(3):
        try:
            typed.append(parse(write(data.draw(conditions(columns)))).typed(columns))
        except DefinitionError as wrong:
            assert any(words in wrong.what for words in DRAWN_MISFITS)  # noqa: PT017 - most drawn conditions fit
    assume(typed)
    assert [[one.compile()(row) for row in rows] for one in typed] == by_duckdb(db, columns, rows, *typed)


DRAWN_MISFITS = ("38 digits", "not of whole numbers", "cannot be cast", "is beyond")


@given(st.data())
def test_a_where_clause_over_a_table_selects_what_the_function_selects(db, data):
    columns = data.draw(event_columns())
    rows = data.draw(event_rows(columns))
    try:
        typed = parse(write(data.draw(conditions(columns, depth=2)))).typed(columns)
    except DefinitionError:
        reject()
    drawn = table(columns, rows).append_column("n", pa.array(range(len(rows)), pa.int64()))
    db.register("drawn", drawn)
    db.execute("create or replace temp table kept as select * from drawn")  # with statistics that DuckDB may use
    terms = {name: f"f{n}" for n, name in enumerate(columns)}
    found = db.sql(f"select n from kept where {typed.sql(terms.__getitem__)} order by n").fetchall()
    selects = typed.compile()
    assert [n for (n,) in found] == [n for n, row in enumerate(rows) if selects(row) is True]


EDGES: dict[FeatureType, list[Any]] = {
    Int32: [None, 0, 1, -1, 2**31 - 1, -(2**31)],
    Int64: [None, 0, -1, 10, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
    Float32: [None, 0.0, -0.0, math.nan, math.inf, -math.inf, 0.10000000149011612, 3.4028234663852886e38],
    Float64: [None, -0.0, 0.1, math.nan, math.inf, -math.inf, 2.0**53, 2.0**63, -(2.0**63), 1e308, 5e-324, 10.5],
    Decimal(20, 0): [None, PythonDecimal(0), PythonDecimal(2**53 + 1), PythonDecimal(10**20 - 1)],
    Decimal(18, 3): [
        None,
        PythonDecimal("0.000"),
        PythonDecimal("0.100"),
        PythonDecimal("10.500"),
        PythonDecimal("-999999999999999.999"),
    ],
    Decimal(38, 10): [
        None,
        PythonDecimal("0.1"),
        PythonDecimal("1234567890123456789012345678.0123456789"),
        PythonDecimal("9007199254740993.0000000001"),
    ],
}
NUMBERS = ["0", "-1", "0.1", "10.5", "1e3", "2147483648", "9007199254740993", "9223372036854775808", "16777217"]
ON_PAIRS = [
    *(f"a {name} b" for name in ("=", "<>", "<", "<=", ">", ">=", "is distinct from")),
    *("a + b > b", "a - b = a", "a * b < a", "a / b > 0.5", "a % b = 1", "nullif(a, b) is null", "a in (b, 1)"),
    *("coalesce(a, b) = b", "case when a > b then a else b end = a", "abs(a) > b", "-a < b", "a between b and 10"),
]
ON_ONE = [
    *(f"a {name} {number}" for number in NUMBERS for name in ("=", "<", ">=")),
    *(f"a {name} {number} > 10.5" for number in NUMBERS for name in "+-*/"),
    *(f"a in ({', '.join(NUMBERS)})", "a not in (1, null)", "a - a = 0", "a * 0 = 0", "1 / a > 0", "abs(-a) = a"),
    *("cast(a as double) > 0.1", "a > 0 and a < 5", "not a > 0 or a is null", "a = a", "a <> 1 and a <> 2"),
]


def fitting(texts: list[str], columns: dict[str, FeatureType]) -> list[Any]:
    found = []
    for text in texts:
        try:
            found.append(parse(text).typed(columns))
        except DefinitionError:
            continue
    assert len(found) > len(texts) // 3
    return found


@pytest.mark.parametrize("right", EDGES, ids=str)
@pytest.mark.parametrize("left", EDGES, ids=str)
def test_every_pair_of_number_types_agrees_at_its_edges(db, left, right):
    columns = {"a": left, "b": right}
    rows = [{"a": a, "b": b} for a in EDGES[left] for b in EDGES[right]]
    typed = fitting(ON_PAIRS, columns)
    assert [[one.compile()(row) for row in rows] for one in typed] == by_duckdb(db, columns, rows, *typed)


@pytest.mark.parametrize("dtype", EDGES, ids=str)
def test_every_number_type_agrees_with_literals_at_its_edges(db, dtype):
    rows = [{"a": a} for a in EDGES[dtype]]
    typed = fitting(ON_ONE, {"a": dtype})
    assert [[one.compile()(row) for row in rows] for one in typed] == by_duckdb(db, {"a": dtype}, rows, *typed)


@pytest.mark.parametrize(
    ("text", "row", "expected"),
    [
        ("amount > 10", {"amount": math.nan}, True),  # NaN is greater than everything
        ("amount = amount", {"amount": math.nan}, True),
        ("amount = 0", {"amount": -0.0}, True),
        ("1 / amount > 0", {"amount": 0.0}, None),  # a division by zero is null
        ("ratio = 0.1", {"ratio": 0.10000000149011612}, True),  # 0.1 takes the column's type
        ("amount = ratio", {"amount": 0.1, "ratio": 0.10000000149011612}, False),
        ("count = 9007199254740992", {"count": 2**53 + 1}, False),  # exact among integers
        ("count = amount", {"count": 2**53 + 1, "amount": 2.0**53}, True),  # the nearest Float64 beside a float
        ("count > 10.5", {"count": 11}, True),
        ("count * count > 0", {"count": -(2**63)}, True),  # 127 bits
        ("count % 3 = -1", {"count": -7}, True),  # the sign of the left side
        ("price * 3 = 0.3", {"price": PythonDecimal("0.10")}, True),
        # More digits than the 28 of Python's default context.
        (
            "long + 1 = 12345678901234567891.0123456789",
            {"long": PythonDecimal("12345678901234567890.0123456789")},
            True,
        ),
        ("-long = -12345678901234567890.0123456789", {"long": PythonDecimal("12345678901234567890.0123456789")}, True),
        ("status > 'z'", {"status": "ä"}, True),  # by code points
        ("length(status) = 2", {"status": "a\u0308"}, True),  # code points, not graphemes
        ("length(blob) = 2", {"blob": b"\0\xff"}, True),
        ("lower(status) = 'Äa'", {"status": "ÄA"}, True),  # A to Z only
        ("status ilike 'a_%'", {"status": "A\nb"}, True),
        ("status like '50!%' escape '!'", {"status": "50%"}, True),
        ("status like 'a%b%a'", {"status": "aba"}, True),
        ("status like 'a%a'", {"status": "a"}, False),
        ("at >= '2024-01-01'", {"at": 1704067200000000}, True),  # naive is UTC
        ("at < '2024-01-01T01:00:00+01:00'", {"at": 1704067200000000}, False),
        ("at = timestamp '2024-01-01 00:00:00.000001'", {"at": 1704067200000001}, True),
        ("status in ('a', null)", {"status": "b"}, None),
        ("status not in ('a', null)", {"status": "a"}, False),
        ("flag and count > 1", {"flag": False, "count": None}, False),
        ("flag or count > 1", {"flag": False, "count": None}, None),
        ("not flag", {"flag": None}, None),
        ("flag is not true", {"flag": None}, True),
        ("status is distinct from null", {"status": None}, False),
        ("case when flag then count end is null", {"flag": None, "count": 1}, True),
        ("nullif(count, 1) is null", {"count": 1}, True),
        ("coalesce(count, 0) = 0", {"count": None}, True),
        ("isnan(amount)", {"amount": math.inf}, False),
        ("null", {}, None),
    ],
)
def test_what_conditions_mean(db, text, row, expected):
    typed = parse(text).typed(COLUMNS)
    assert typed.compile()(row) is expected
    whole = {name: row.get(name) for name in COLUMNS}
    assert by_duckdb(db, COLUMNS, [whole], typed) == [[expected]]


@given(st.data())
def test_a_normalised_text_reads_back_as_the_same_tree(data):
    tree = data.draw(conditions(data.draw(event_columns())))
    expression = parse(write(tree))
    assert expression.tree == tree
    assert parse(expression.text) == expression


@pytest.mark.parametrize(
    ("written", "normal", "columns"),
    [
        ("  status='ok'  AND(amount>10) ", "status = 'ok' and amount > 10", ("status", "amount")),
        ("a != 1 OR (b == 2 OR c)", "a <> 1 or b = 2 or c", ("a", "b", "c")),
        ("(a or b) and a", "(a or b) and a", ("a", "b")),
        ("NOT a IN (1,2) AND b NOTNULL", "a not in (1, 2) and b is not null", ("a", "b")),
        ("a > 1e3 and a < 1.50 and a <> - -.5", "a > 1000 and a < 1.5 and a <> 0.5", ("a",)),
        ("a - (b - c) * -2", "a - (b - c) * -2", ("a", "b", "c")),
        ('"Plain" = "two words"', 'Plain = "two words"', ("Plain", "two words")),
        (
            "a::decimal(9,2) <=> ifnull(b, 0)",
            "cast(a as decimal(9, 2)) is not distinct from coalesce(b, 0)",
            ("a", "b"),
        ),
        ("t > timestamp '2024-01-01T01:00+01:00'", "t > timestamptz '2024-01-01 00:00:00+00:00'", ("t",)),
        ("a NOT LIKE 'x!%' ESCAPE '!'", "a not like 'x!%' escape '!'", ("a",)),
        ("CASE WHEN a THEN b ELSE NULL END = 1", "case when a then b end = 1", ("a", "b")),
    ],
)
def test_texts_are_normalised(written, normal, columns):
    found = parse(written)
    assert (found.text, found.columns) == (normal, columns)
    assert parse(found.text) == found


def test_every_word_may_name_a_column(db):
    words = {
        word.lower() for word, _ in db.sql("select keyword_name, keyword_category from duckdb_keywords()").fetchall()
    }
    words |= {word.lower() for word in DuckDB.Tokenizer.KEYWORDS if word.isidentifier()}
    for word in sorted(words):
        for shape in (Call("=", (Column(word), Column("x"))), Call("-", (Call("neg", (Column(word),)), Column(word)))):
            tree = Call("is null", (shape,))
            assert parse(write(tree)).tree == tree


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (7, "is no text"),
        ("", "the text is empty"),
        ("  \n", "the text is empty"),
        ("a = 'x\0'", "NUL"),
        ("status =", "not one SQL expression"),
        ("status = 'declined", "not one SQL expression"),
        ("a, b", "not one SQL expression"),
        ("a as b", "not one SQL expression"),
        ("a > 1) or (b > 1", "not one SQL expression"),
        ("a > 1 limit 3", "not one SQL expression"),
        ("a > 1; drop table events", "more than one statement"),
        ("a > 1;", "more than one statement"),
        ("a > 1 -- and b > 2", "a comment"),
        ("a /* not */ > 1", "a comment"),
        ("-- a", "a comment"),
        ("select a > 1", "the keyword 'select'"),
        ("where a > 1", "the keyword 'where'"),
        ("drop table events", "a statement"),
        ("a in (select b from c)", "the subquery"),
        ("exists (select 1)", "the subquery"),
        ("a = (select 1)", "the subquery"),
        ("sum(a) > 1", "the aggregate"),
        ("count(*) > 1", "the aggregate"),
        ("row_number() over () = 1", "the window function"),
        ("sum(a) over () > 1", "the window function"),
        ("at > now()", "differs from call to call"),
        ("at > current_timestamp", "differs from call to call"),
        ("random() < 0.1", "differs from call to call"),
        ("a = ?", "parameter"),
        ("a = $1", "parameter"),
        ("a = :x", "parameter"),
        ("lenght(a) > 1", "did you mean 'length'?"),
        ("foo(a)", "there are: abs, coalesce"),
        ("length(distinct a) > 1", "cannot stand"),
        ("events.a = 1", "'events.a'"),
        ("1 < a < 3", "without parentheses"),
        ("a = b = c", "without parentheses"),
        ("a in ()", "an empty list"),
        ("a between symmetric 3 and 1", "cannot stand"),
        ("a || b = 'x'", "`a || b`"),
        ("a // 2 = 1", "`a // 2`"),
        ("a[1] = 1", "arrays"),
        ("at > interval '1 day'", "window's size"),
        ("at > date '2024-01-01'", "the type 'DATE'"),
        ("at > timestamp 'noon'", "'noon' as an instant"),
        ("try_cast(a as bigint) = 1", "TRY_CAST"),
        ("a::date = b", "the type 'DATE'"),
        ("case a when 1 then b end", "`case x when …`"),
        ("a like b", "a pattern"),
        ("a like 'x!' escape '!'", "ends with its escape"),
        ("a like 'x' escape 'ab'", "an escape"),
        ("a = e'x'", "plain quotes"),
        ("a = 1e999999999", "no type holds it"),
        ("(" * 200 + "a" + ")" * 200, "nests more than 20 deep"),
        ("(" * 5000 + "a" + ")" * 5000, "nests more than 20 deep"),
        ("not " * 100 + "a", "nests more than 20 deep"),
        ("nullif(" * 7 + "a" + ", b)" * 7, "a `nullif` or a divisor more than 6 deep"),
        ("1 / (" * 7 + "a" + ")" * 7 + " > 1", "a `nullif` or a divisor more than 6 deep"),
    ],
)
def test_what_is_not_of_the_subset_is_refused_by_name(text, said):
    with pytest.raises(DefinitionError) as caught:
        parse(text, "declined_24h")
    assert said in str(caught.value)
    assert caught.value.what.startswith("declined_24h: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("statsu = 'x'", "did you mean 'status'?"),
        ('status = "declined"', "there is no column 'declined'"),
        ("status = 10", "status (String) and 10 (a number) cannot be compared"),
        ("count = '10'", "count (Int64) and '10' (a text) cannot be compared"),
        ("status = blob", "status (String) and blob (Bytes)"),
        ("flag = 1", "flag (Bool) and 1 (a number)"),
        ("at > 10", "at (UnixTimestamp) and 10 (a number)"),
        ("at > 'yesterday'", "'yesterday' is no instant"),
        ("count", "count (Int64) is no condition"),
        ("'true'", "'true' (a text) is no condition"),
        ("count and flag", "count (Int64) is not Bool, as `and` needs"),
        ("not status", "status (String) is not Bool, as `not` needs"),
        ("tags is null", "Array(String)"),
        ("lower(count) = 'x'", "count (Int64) is not String"),
        ("length(count) = 1", "count (Int64) is not String or Bytes"),
        ("isnan(count)", "count (Int64) is not Float32 or Float64"),
        ("count like 'x'", "count (Int64) is not String"),
        ("status + 1 = 2", "status (String) is no number"),
        ("-at < 0", "at (UnixTimestamp) is no number"),
        ("amount % 2 = 0", "not of whole numbers"),
        ("price % 2 = 0", "not of whole numbers"),
        ("count * count * count > 1", "can need more than 38 digits"),
        ("wide * price > 1", "can need more than 38 digits"),
        ("wide = 0.12345678901", "meet only in more than 38 digits"),
        ("ratio < 1e39", "0 is beyond Float32"),
        ("amount < 1e309", "1e+309 is beyond Float64"),
        ("cast(amount as bigint) = 1", "cannot be cast to Int64"),
        ("cast(count as integer) = 1", "cannot be cast to Int32"),
        ("coalesce(count, status) is null", "cannot be compared"),
        ("case when count then 1 end = 1", "count (Int64) is not Bool"),
        ("1e50 = 1", "has more than 38 digits"),
    ],
)
def test_types_that_do_not_fit_are_named(text, said):
    expression = parse(text)
    with pytest.raises(DefinitionError) as caught:
        expression.typed(COLUMNS, "declined_24h")
    assert said in str(caught.value)
    assert caught.value.what.startswith("declined_24h: ")
    assert caught.value.hint


def test_long_chains_are_not_deep(db):
    text = " or ".join(f"count = {n}" for n in range(500))
    typed = parse(text).typed(COLUMNS)
    whole = dict.fromkeys(COLUMNS)
    rows = [{**whole, "count": 499}, {**whole, "count": 500}, whole]
    assert [typed.compile()(row) for row in rows] == [True, False, None]
    assert by_duckdb(db, COLUMNS, rows, typed) == [[True, False, None]]


def test_a_name_cannot_get_into_the_function():
    name = 'a"]; raise SystemExit  # '
    column = '"' + name.replace('"', '""') + '"'
    assert parse(f"{column} = 'x'").typed({name: String}).compile()({name: "x"}) is True


def test_patterns_take_time_that_grows_with_the_text_only():
    assert holds("status like '%" + "a%" * 30 + "b'", status="a" * 3000) is False


@pytest.mark.parametrize(
    ("opens", "closes", "times"),
    [
        ("not ", "", 19),
        ("coalesce(", ", false)", 19),
        ("case when ", " then flag else not flag end", 19),
        ("nullif(", ", false)", 6),
    ],
)
def test_what_is_just_not_too_deep_runs(db, opens, closes, times):
    typed = parse(opens * times + "flag" + closes * times).typed(COLUMNS)
    rows = [dict.fromkeys(COLUMNS, None) | {"flag": flag} for flag in (True, False, None)]
    assert [[typed.compile()(row) for row in rows]] == by_duckdb(db, COLUMNS, rows, typed)
