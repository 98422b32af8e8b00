"""Arrow columns as numpy: the values that are there, wherever in a buffer they lie, and no pandas."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest

from gnomon.core.columns import as_numpy, without_nulls


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
    code = (  # of buffers, because from lists and from numpy Arrow imports pandas itself
        "import sys, numpy as np, pyarrow as pa\n"
        "from gnomon.core.columns import of_integers\n"
        "from gnomon.core.packing import EVENT, KNOWN, pack\n"
        "from gnomon.core.rows import Layout; from gnomon.types import Bool, Float64, Int64\n"
        "layout, at = Layout([('a', Int64), ('b', Bool), ('c', Float64)]), of_integers(np.arange(2))\n"
        "some = [pa.nulls(2, kind) for kind in (pa.int64(), pa.bool_(), pa.float64())]\n"
        "batch = pa.RecordBatch.from_arrays([*some, at, at], ['a', 'b', 'c', EVENT, KNOWN])\n"
        "print(len(pack(layout, batch)), 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "2 False"


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.float64(), pa.float32(), pa.bool_()])
def test_nulls_become_zero(kind: pa.DataType) -> None:
    filled = without_nulls(pa.array([None, 1, None]).cast(kind))
    assert filled.type == kind
    assert filled.to_pylist() == [0, 1, 0]
