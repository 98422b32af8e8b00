"""Arrow columns as numpy arrays: pyarrow's own `to_numpy` imports pandas where it is installed, which takes 0.3 s.

>>> import pyarrow as pa
>>> as_numpy(pa.array([True, False])).tolist()
[True, False]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["as_numpy"]


def as_numpy(column: pa.Array) -> Any:
    """A column of numbers or truth values as a numpy array that is not to be written to, numbers uncopied.

    Args:
        column: integers, floats or booleans, without nulls.
    """
    if pa.types.is_boolean(column.type):
        return np.from_dlpack(column.cast(pa.uint8())).view(np.bool_)
    return np.from_dlpack(column)
