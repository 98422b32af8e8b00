"""Columns are compared by bits, whatever they hold, and if they hold nothing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from gnomon.core.bits import differing

NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "left", "right", "differ"),
    [
        (pa.float64(), [0.0, NAN, 1.0, None], [-0.0, NAN, 1.0, None], [True, False, False, False]),
        (pa.list_(pa.float64()), [[0.0], [NAN], None, [1.0]], [[-0.0], [NAN], None, None], [True, False, False, True]),
        (pa.list_(pa.int64()), [None, None], [None, None], [False, False]),
        (pa.list_(pa.int64()), [], [], []),
        (pa.string(), ["a", None], ["a", "b"], [False, True]),
    ],
)
def test_differing(kind: pa.DataType, left: list[Any], right: list[Any], differ: list[bool]) -> None:
    assert differing(pa.array(left, kind), pa.chunked_array([pa.array(right, kind)])).tolist() == differ
