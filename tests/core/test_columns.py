"""Arrow columns as numpy: the values that are there, wherever in a buffer they lie, and no pandas."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest

from gnomon.core.columns import as_numpy


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, -2, 3], pa.int64()),
        pa.array([1, -2, 3], pa.int32()),
        pa.array([0.5, -0.0, 3.0], pa.float32()),
        pa.array([True, False, True]),
        pa.array([None, 5, 6], pa.int64()).fill_null(4),
    ],
)
def test_a_slice_has_its_own_values(values: pa.Array) -> None:
    assert as_numpy(values).tolist() == values.to_pylist()
    assert as_numpy(values[1:]).tolist() == values.to_pylist()[1:]
    assert as_numpy(values[:0]).tolist() == []


def test_pandas_is_not_imported() -> None:
    code = (
        "import sys, pyarrow as pa; from gnomon.core.packing import EVENT, KNOWN, pack\n"
        "from gnomon.core.rows import Layout; from gnomon.types import Bool, Float64, Int64\n"
        "layout = Layout([('a', Int64), ('b', Bool), ('c', Float64)])\n"
        "at = pa.array([1, 2])\n"
        "pack(layout, pa.record_batch({'a': [1, None], 'b': [True, None], 'c': [0.5, None], EVENT: at, KNOWN: at}))\n"
        "print('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
