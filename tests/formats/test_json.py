"""JSON read at once is JSON read one by one, whatever comes."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon import Field, JsonFormat, PushSource
from gnomon.contracts.streams import Messages
from gnomon.flows.decoding import Reader
from gnomon.flows.rows import checked_pieces
from gnomon.formats import json as formats_json
from gnomon.formats.json import JsonDecoder
from gnomon.types import Array, Bool, Decimal, Float32, Float64, Int32, Int64, String, UnixTimestamp

DTYPES = {
    "at": UnixTimestamp,
    "whole": Int64,
    "small": Int32,
    "real": Float64,
    "single": Float32,
    "text": String,
    "truth": Bool,
    "money": Decimal(10, 2),
    "list": Array(Int64),
}
SOURCE = PushSource(name="s", schema=[Field(name, dtype) for name, dtype in DTYPES.items()], timestamp_field="at")

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "7", "x", "ü", "2024-01-01", "2024-01-01T12:00:00Z", "12.50", "\ud800", "\x00"]),
    st.lists(st.integers(-5, 5) | st.none(), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=2),
    st.sampled_from([1.5, 12.25, 12.255, 1e10]),
)
right = st.fixed_dictionaries(
    {"at": st.sampled_from(["2024-01-01T12:00:00Z", "2024-01-01T12:00:00.123+01:00", "2023-12-31"])},
    optional={
        "whole": st.integers(-(2**63), 2**63 - 1),
        "small": st.integers(-(2**31), 2**31 - 1),
        "real": st.floats(allow_nan=False, allow_infinity=False),
        "single": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "text": st.text(st.characters(codec="utf-8"), max_size=5),
        "truth": st.booleans(),
        "money": st.sampled_from(["12.50", "1", "-0.01"]),
        "list": st.lists(st.integers(-5, 5) | st.none(), max_size=3),
        "more": values,
    },
)
some = st.dictionaries(st.sampled_from([*DTYPES, "more"]), values, max_size=5)
broken = st.sampled_from(
    [
        *(b"", b" ", b"[]", b"7", b"null", b"{", b"}", b"\xff", b"\xef\xbb\xbf{}"),
        *(b'{"whole": 1}{"whole": 2}', b'{"whole": 1}\n{"whole": 2}', b'{"whole": 1} ', b'{"text": "\xff"}'),
        *(b'{"whole": 1,\n "at": "2024-01-01"}', b'{"text": "a\nb"}'),
    ]
)
payloads = st.lists((right | right | some).map(lambda one: json.dumps(one).encode()) | broken, max_size=8)


READERS = {unit: Reader(SOURCE) for unit in ("", "s", "ms", "us")}
for unit, reader in READERS.items():
    reader._decoder = JsonDecoder(JsonFormat(unit), DTYPES)


def events(sent: list[bytes], unit: str = "") -> tuple[list[dict[str, Any]], dict[int, str]]:
    read = READERS[unit].read(Messages(partition="p", offsets=range(len(sent)), payloads=sent))
    table, reasons = checked_pieces(read.pieces, len(sent), SOURCE, {}, read.failed)
    return table.to_pylist(), dict(sorted(reasons.items()))


@given(payloads)
def test_a_batch_is_its_messages(sent: list[bytes]) -> None:
    """However messages are put together, the same events come of them, and the same are refused."""
    together, refused = events(sent)
    alone, wrong = list[dict[str, Any]](), dict[int, str]()
    for row, one in enumerate(sent):
        found, reasons = events([one])
        alone += found
        if reasons:
            wrong[row] = reasons[0]
    assert repr(together) == repr(alone)
    assert refused == wrong


@given(payloads)
def test_reading_in_halves_changes_nothing(sent: list[bytes]) -> None:
    whole = events(sent)
    few, formats_json.FEW = formats_json.FEW, 1
    try:
        assert repr(events(sent)) == repr(whole)
    finally:
        formats_json.FEW = few


@given(st.lists(right, min_size=1, max_size=8))
def test_what_is_right_is_read_as_python_reads_it(rows: list[dict[str, Any]]) -> None:
    found, reasons = events([json.dumps(one).encode() for one in rows])
    assert reasons == {}
    for row, read in zip(rows, found, strict=True):
        for name in ("whole", "small", "real", "text", "truth", "list"):
            assert read[name] == row.get(name)
        assert read["single"] == (None if row.get("single") is None else pa.scalar(row["single"], pa.float32()).as_py())


@pytest.mark.parametrize(
    ("unit", "number", "micros"),
    [("s", 1, 1_000_000), ("s", 1.5, 1_500_000), ("ms", -1, -1_000), ("us", 7, 7), ("ms", 0.0015, None)],
)
def test_numbers_as_instants(unit: str, number: float, micros: int | None) -> None:
    for rows in ([{"at": number}], [{"at": number}, {"at": 2}], [{"at": number}, {"at": "2024-01-01"}]):
        found, reasons = events([json.dumps(one).encode() for one in rows], unit)
        if micros is None:
            assert reasons[0] == f"'at': {number} is no UnixTimestamp without loss"
        else:
            assert found[0]["at"].timestamp() * 1e6 == micros
            assert len(found) == len(rows)


def test_numbers_are_no_instants_unless_that_is_said() -> None:
    found, reasons = events([b'{"at": 1704067200}'])
    assert (found, list(reasons)) == ([], [0])


def test_one_bad_message_among_many_costs_little() -> None:
    import time

    good = [json.dumps({"at": "2024-01-01T12:00:00Z", "whole": number}).encode() for number in range(20_000)]
    bad = list(good)
    bad[7_777] = b"no json"

    def seconds(sent: list[bytes]) -> float:
        began = time.process_time()
        assert len(events(sent)[0]) >= 19_999
        return time.process_time() - began

    assert min(seconds(bad) for _ in range(3)) < 10 * min(seconds(good) for _ in range(3))
